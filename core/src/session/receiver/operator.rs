//! The interface between a receiver's session and its user: the questions that the session asks, and the events that it
//! reports.

use crate::certificate::CertificateHash;
use crate::code::{AuthCode, TransferKey};
use crate::path::FolderName;
use crate::session::outcome::Receipt;
use crate::session::receiver::peers::LockoutSnapshot;
use crate::session::receiver::store::Offered;

/// The user interface of a receiver. The host and the firmware implement it, and the session calls it.
pub trait Operator {
    /// Shows the code that a sender must give next. Called after each right code and when a sender is locked out; the
    /// code may be the same as before. The session does not show the first code: the caller gets it from
    /// [`PeerState::code`](crate::session::peers::PeerState::code).
    fn code(&mut self, code: &AuthCode);
    /// Stores the wrong codes and lockouts of all senders. Called after each code, before the sender learns the result.
    /// After a reset, [`PeerState::restore`](crate::session::peers::PeerState::restore) reads the stored snapshot. The
    /// default stores nothing, so that a reset ends all lockouts.
    fn keep_lockouts(&mut self, _lockouts: &LockoutSnapshot) {}
    /// Decides whether the offered folder may be received. Called once for each connection that offers a folder, before
    /// the user is asked for the key.
    fn accepts(&mut self, _offered: &Offered) -> bool {
        true
    }
    /// Asks the user for the transfer key, and writes it to `key`. `left` is `None` at first, and after a wrong key the
    /// number of tries that are left. The session drops this future when the connection ends or the time for the key is
    /// over.
    async fn key(&mut self, offered: &Offered, left: Option<u8>, key: &mut TransferKey) -> KeyAnswer;
    /// Reports the name of the folder, once the key is proven. Called only if the store
    /// [takes names](crate::session::Store::TAKES_NAME).
    fn folder_name(&mut self, _name: FolderName<'_>) {}
    /// Reports an event.
    fn event(&mut self, event: Event);
    /// Completes when the user interrupts the session. The default never completes. While the session waits for
    /// [`key`](Self::key), it does not poll this: `key` returns [`KeyAnswer::Interrupted`] instead. Cancel-safe.
    async fn interrupted(&mut self) {
        core::future::pending().await
    }
}

/// The result of [`Operator::key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAnswer {
    /// A well-formed key was written to `key`.
    Given,
    /// The user declined to receive the folder.
    Declined,
    /// There is no key, because the program has no user to ask and no other source of keys. The session refuses the
    /// folder with `KeyTimeout`.
    Unavailable,
    /// The user interrupted the session.
    Interrupted,
}

/// An event at a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The session with an authenticated sender begins. The value is the hash of the sender's certificate.
    Connected(CertificateHash),
    /// The sender gave a wrong code.
    CodeWrong {
        /// The number of tries until the sender is locked out.
        left: u8,
    },
    /// The sender was refused because it is locked out.
    Locked {
        /// Seconds until the lockout ends.
        seconds: u32,
    },
    /// The sender gave the right code.
    CodeAccepted,
    /// The sender offers a folder.
    Offered(Offered),
    /// The store looks for a part of the archive that it already holds, and reads it back.
    Hashing,
    /// The session waits because a reader or another transfer is using the storage.
    Waiting,
    /// The key is right, and the chunks of the archive begin at `offset`.
    Receiving {
        /// The number of bytes of the archive that the store already holds.
        offset: u64,
        /// The length of the archive, in bytes.
        total: u64,
    },
    /// So many bytes of the archive were taken from the folder that the store already has. Reported once for each range of
    /// such bytes.
    Taken(u64),
    /// The number of bytes of the archive that were received so far, including those before `offset`.
    Received(u64),
    /// The whole archive was received, and the store verifies it.
    Verifying,
    /// The store committed the new folder. Not reported if only the receipt of an earlier connection is sent again.
    Committed(Receipt),
}
