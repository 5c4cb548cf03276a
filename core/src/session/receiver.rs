//! The receiver's side of a session. Boards and hosts run the same code.
//!
//! An authenticated [`Link`] carries the sender's frames; the received archive goes to a [`Store`]:
//!
//! TLS -> **frame -> open -> decompress** -> store. PROTOCOL.md, section 6.

mod flow;
mod key;
mod opening;
mod session;
mod transfer;
mod wait;

use rand_core::CryptoRngCore;

use crate::certificate::CertificateHash;
use crate::code::{AuthCode, TransferKey};
use crate::limits;
use crate::sealed::cipher::Cipher;
use crate::sealed::hpke::HpkeSecret;
use crate::session::channel::Channel;
use crate::session::peers::{LockoutSnapshot, PeerState};
use crate::session::{Clock, Link, Offered, Receipt, SessionError, Store};
use session::Session;

/// The receiver's user, and whatever shows events to them.
pub trait Operator {
    /// Shows the code that a sender must give. Called whenever the code changes.
    fn code(&mut self, code: &AuthCode);
    /// Keeps the lockouts after a code was tried. If they are kept in memory that survives a reset,
    /// [`PeerState::restore`] reads them after it.
    fn keep_lockouts(&mut self, _lockouts: &LockoutSnapshot) {}
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

/// The source of the transfer key.
#[derive(Clone, Copy)]
pub enum KeySource<'a> {
    /// The receiver's user types it.
    Typed,
    /// The sender seals it to this key, whose public key is in the receiver's certificate.
    Sealed(&'a HpkeSecret),
}

/// Settings of a receiver.
pub struct Policy<'a> {
    /// Whether a sender must give the code.
    pub code_needed: bool,
    /// Where the transfer key comes from.
    pub key: KeySource<'a>,
    /// Most PBKDF2 iterations.
    pub max_iterations: u32,
    /// Largest chunk, a power of two.
    pub max_chunk: u32,
    /// How long the user has to type the key, in seconds.
    pub key_seconds: u16,
    /// The receiver's own certificate.
    pub certificate: CertificateHash,
}

/// Buffers of a receiver, lent by the caller.
pub struct Buffers<'a> {
    /// For frames, of the length that [`buffer_len`] returns.
    pub frame: &'a mut [u8],
    /// For decompressed chunks, of [`Policy::max_chunk`] bytes.
    pub plain: &'a mut [u8],
}

/// Length of a receiver's frame buffer for chunks of up to `chunk` bytes.
pub const fn buffer_len(chunk: u32) -> usize {
    limits::frame_max(chunk)
}

/// Everything that a receiver uses in one session, lent by the caller.
pub struct Receiver<'a, S, O, K, R> {
    /// The settings.
    pub policy: &'a Policy<'a>,
    /// The state that is kept between connections.
    pub peers: &'a mut PeerState,
    /// The storage for the folder.
    pub store: &'a mut S,
    /// The user.
    pub operator: &'a mut O,
    /// The clock.
    pub clock: &'a K,
    /// The source of random bytes.
    pub entropy: &'a mut R,
    /// The buffers.
    pub buffers: Buffers<'a>,
}

impl<S: Store, O: Operator, K: Clock, R: CryptoRngCore> Receiver<'_, S, O, K, R> {
    /// Receives one folder from the authenticated sender `peer`, and tells the sender the result. `C` implements the
    /// ciphers that this side supports.
    pub async fn receive<C: Cipher>(
        &mut self,
        link: &mut impl Link,
        peer: CertificateHash,
    ) -> Result<Receipt, SessionError> {
        let mut session = Session {
            channel: Channel::new(link, self.clock),
            peer,
            receiver: self,
            run: None,
            manifest: None,
            is_receipt_sent: false,
        };
        let result = session.run::<C>().await;
        session.end(result.err()).await;
        // The side that sent the last message waits for the other side to close.
        if !matches!(result, Err(SessionError::Disconnected | SessionError::PeerCancelled(_))) {
            let confirmed = session.channel.linger().await;
            if confirmed
                && session.is_receipt_sent
                && let Some(run) = session.run
            {
                session.receiver.peers.confirm(&run);
            }
        }
        result
    }
}
