//! The receiver's side of a session: the same code on a board and on a host.
//!
//! TLS -> **frame -> open -> decompress** -> store. PROTOCOL.md, section 6.

mod flow;
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
use flow::Session;

/// The receiver's person.
pub trait Operator {
    /// Shows the code that a sender must give: whenever it changes, where one is needed.
    fn code(&mut self, code: &AuthCode);
    /// A code was tried. What is given here outlives a reset where it is kept, and is what [`PeerState::restore`] takes.
    fn keep_lockouts(&mut self, _lockouts: &LockoutSnapshot) {}
    /// Asks for the transfer key, which goes to `key`. `left`: tries left after a wrong one. Dropped when the sender
    /// goes away.
    async fn key(&mut self, offered: &Offered, left: Option<u8>, key: &mut TransferKey) -> KeyAnswer;
    /// Something happened that a person may want to see.
    fn event(&mut self, event: Event);
    /// Completes when the person wants to stop. Cancel-safe.
    async fn interrupted(&mut self) {
        core::future::pending().await
    }
}

/// What the user answers who is asked for the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAnswer {
    /// A well-formed key, which stands in the place that was given for it.
    Given,
    /// No, not this folder.
    Declined,
    /// No user can be asked, and no key was given in another way.
    Unavailable,
    /// Stop altogether.
    Interrupted,
}

/// What happens at a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An authenticated sender is there.
    Connected(CertificateHash),
    /// It gave a wrong code.
    CodeWrong {
        /// Tries left.
        left: u8,
    },
    /// It has to wait.
    Locked {
        /// Seconds.
        seconds: u32,
    },
    /// It gave the right code.
    CodeAccepted,
    /// It offers a folder.
    Offered(Offered),
    /// Held bytes are read back.
    Hashing,
    /// A reader holds the place for the folder, and is waited for.
    Waiting,
    /// The key is right; receiving begins at `offset`.
    Receiving {
        /// Bytes of archive that are held already.
        offset: u64,
        /// Bytes of archive in all.
        total: u64,
    },
    /// Bytes of archive received so far.
    Received(u64),
    /// Everything is here and is being verified.
    Verifying,
    /// The new folder is in place.
    Committed(Receipt),
}

/// Where the transfer key comes from.
#[derive(Clone, Copy)]
pub enum KeySource<'a> {
    /// A person types it.
    Typed,
    /// The sender seals it to this key, whose public half is in the receiver's certificate.
    Sealed(&'a HpkeSecret),
}

/// How this receiver receives.
pub struct Policy<'a> {
    /// Whether a sender must give the code.
    pub code_needed: bool,
    /// Where the transfer key comes from.
    pub key: KeySource<'a>,
    /// Most PBKDF2 iterations.
    pub max_iterations: u32,
    /// Largest chunk, a power of two.
    pub max_chunk: u32,
    /// How long a person has to type the key, in seconds.
    pub key_seconds: u16,
    /// The receiver's own certificate.
    pub certificate: CertificateHash,
}

/// Memory for a receiver, lent by the caller.
pub struct Buffers<'a> {
    /// For frames: as [`buffer_len`] says.
    pub frame: &'a mut [u8],
    /// For decompressed chunks: `Policy::max_chunk` bytes.
    pub plain: &'a mut [u8],
}

/// Length of a receiver's frame buffer for chunks of up to `chunk` bytes.
pub const fn buffer_len(chunk: u32) -> usize {
    limits::frame_max(chunk)
}

/// What a receiver works with in one session, all of it lent by the caller.
pub struct Receiver<'a, S, O, K, R> {
    /// How it receives.
    pub policy: &'a Policy<'a>,
    /// What it remembers.
    pub peers: &'a mut PeerState,
    /// Where the folder goes.
    pub store: &'a mut S,
    /// Its person.
    pub operator: &'a mut O,
    /// Its clock.
    pub clock: &'a K,
    /// Its entropy.
    pub entropy: &'a mut R,
    /// Its memory.
    pub buffers: Buffers<'a>,
}

impl<S: Store, O: Operator, K: Clock, R: CryptoRngCore> Receiver<'_, S, O, K, R> {
    /// Receives one folder from the authenticated sender `peer`, and tells it how that ended. `C`: the ciphers that
    /// this side has.
    pub async fn receive<C: Cipher>(
        &mut self,
        link: &mut impl Link,
        peer: CertificateHash,
    ) -> Result<Receipt, SessionError> {
        let mut session = Session {
            channel: Channel::new(link, self.clock),
            peer,
            at: self,
            run: None,
            manifest: None,
            receipt_sent: false,
        };
        let result = session.run::<C>().await;
        session.end(result.err()).await;
        // The side that had the last word waits for the other to close.
        if !matches!(result, Err(SessionError::Disconnected | SessionError::PeerCancelled(_))) {
            let confirmed = session.channel.linger().await;
            if confirmed
                && session.receipt_sent
                && let Some(run) = session.run
            {
                session.at.peers.confirm(&run);
            }
        }
        result
    }
}
