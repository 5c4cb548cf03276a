//! What a receiver works with: the types of its surroundings, its settings, and its buffers.

use rand_core::CryptoRngCore;

use crate::certificate::CertificateHash;
use crate::limits;
use crate::sealed::cipher::Cipher;
use crate::sealed::hpke::HpkeSecret;
use crate::sealed::suite::ChunkSize;
use crate::session::link::{Clock, Link};
use crate::session::receiver::operator::Operator;
use crate::session::receiver::peers::PeerState;
use crate::session::receiver::store::Store;

/// The types through which a receiver reaches the outside world. A program implements this once, for an empty type; no
/// value of that type is needed.
pub trait Environment {
    /// The authenticated connection to the sender.
    type Link: Link;
    /// The storage for the folder.
    type Store: Store;
    /// The user interface.
    type Operator: Operator;
    /// The clock.
    type Clock: Clock;
    /// The source of random bytes.
    type Rng: CryptoRngCore;
    /// The ciphers that this side supports.
    type Cipher: Cipher;
}

/// Everything that a receiver uses in its sessions, lent by the caller.
pub struct Receiver<'a, E: Environment> {
    /// The settings.
    pub policy: &'a Policy<'a>,
    /// The state that is kept between connections.
    pub peers: &'a mut PeerState,
    /// The storage for the folder.
    pub store: &'a mut E::Store,
    /// The user interface.
    pub operator: &'a mut E::Operator,
    /// The clock.
    pub clock: &'a E::Clock,
    /// The source of random bytes.
    pub rng: &'a mut E::Rng,
    /// The buffers.
    pub buffers: Buffers<'a>,
}

/// The source of the transfer key.
#[derive(Clone, Copy)]
pub enum KeySource<'a> {
    /// The receiver's user types it.
    Typed,
    /// The sender seals it to this key, whose public key is in the receiver's certificate.
    Sealed(&'a HpkeSecret),
    /// The sender decides which of the two. It thereby decides whether a user is asked.
    Either(&'a HpkeSecret),
}

impl<'a> KeySource<'a> {
    /// Whether the user may be asked for a key.
    pub fn is_typed(self) -> bool {
        !matches!(self, Self::Sealed(_))
    }

    /// The key to which senders may seal theirs.
    pub fn hpke(self) -> Option<&'a HpkeSecret> {
        match self {
            Self::Typed => None,
            Self::Sealed(hpke) | Self::Either(hpke) => Some(hpke),
        }
    }
}

/// Settings of a receiver.
pub struct Policy<'a> {
    /// Whether a sender must give the code.
    pub code_needed: bool,
    /// Where the transfer key comes from.
    pub key: KeySource<'a>,
    /// Most PBKDF2 iterations.
    pub max_iterations: u32,
    /// Largest chunk.
    pub max_chunk: ChunkSize,
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

/// Length of a receiver's frame buffer for chunks of up to this size.
pub const fn buffer_len(chunk: ChunkSize) -> usize {
    limits::frame_max(chunk.bytes())
}
