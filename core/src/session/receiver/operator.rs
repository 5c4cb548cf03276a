//! The receiver's user, and the events that are shown to them.

use crate::certificate::CertificateHash;
use crate::code::{AuthCode, TransferKey};
use crate::session::outcome::Receipt;
use crate::session::receiver::peers::LockoutSnapshot;
use crate::session::receiver::store::Offered;

/// The receiver's user, and whatever shows events to them.
pub trait Operator {
    /// Shows the code that a sender must give. Called whenever the code changes.
    fn code(&mut self, code: &AuthCode);
    /// Keeps the lockouts after a code was tried. If they are kept in memory that survives a reset,
    /// [`PeerState::restore`](crate::session::peers::PeerState::restore) reads them after it.
    fn keep_lockouts(&mut self, _lockouts: &LockoutSnapshot) {}
    /// Decides whether the offered folder may be received. Called with each connection, before the user is asked for the
    /// key.
    fn accepts(&mut self, _offered: &Offered) -> bool {
        true
    }
    /// Asks the user for the transfer key, and writes it to `key`. `left` is the number of tries that are left after a
    /// wrong key. The session drops this future when the sender disconnects.
    async fn key(&mut self, offered: &Offered, left: Option<u8>, key: &mut TransferKey) -> KeyAnswer;
    /// Shows an event.
    fn event(&mut self, event: Event);
    /// Completes when the user interrupts the session. Cancel-safe.
    async fn interrupted(&mut self) {
        core::future::pending().await
    }
}

/// The user's answer to the question for the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAnswer {
    /// The user typed a well-formed key, which was written to the caller's buffer.
    Given,
    /// The user declined the folder.
    Declined,
    /// There is no user to ask, and no key was given in another way.
    Unavailable,
    /// The user interrupted the session.
    Interrupted,
}

/// An event at a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An authenticated sender connected.
    Connected(CertificateHash),
    /// The sender gave a wrong code.
    CodeWrong {
        /// Tries left.
        left: u8,
    },
    /// The sender is locked out.
    Locked {
        /// Seconds until the lockout ends.
        seconds: u32,
    },
    /// The sender gave the right code.
    CodeAccepted,
    /// The sender offers a folder.
    Offered(Offered),
    /// The store reads back the prefix of the archive that it holds.
    Hashing,
    /// The receiver waits for a reader or another transfer to release the storage.
    Waiting,
    /// The key is right; receiving begins at `offset`.
    Receiving {
        /// Bytes of archive that the store holds already.
        offset: u64,
        /// Length of the archive, in bytes.
        total: u64,
    },
    /// This many bytes of the archive were received so far.
    Received(u64),
    /// The whole archive was received, and the store verifies it.
    Verifying,
    /// The new folder is in place.
    Committed(Receipt),
}
