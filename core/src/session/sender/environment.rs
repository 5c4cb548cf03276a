//! What a sender works with: the types of its surroundings, its run, its peer, and its buffers.

use rand_core::CryptoRngCore;

use crate::certificate::CertificateHash;
use crate::code::TransferKey;
use crate::limits;
use crate::path::FolderName;
use crate::sealed::cipher::Cipher;
use crate::sealed::hpke::POINT;
use crate::sealed::stream::{Compressor, seal_buffer};
use crate::sealed::suite::ChunkSize;
use crate::session::link::{Clock, DuplexLink};
use crate::session::sender::operator::Operator;
use crate::session::sender::source::Source;

/// The types through which a sender reaches the outside world. A program implements this once, for an empty type; no
/// value of that type is needed.
pub trait Environment {
    /// The authenticated connection to the receiver.
    type Link: DuplexLink;
    /// The archive.
    type Source: Source;
    /// The user interface.
    type Operator: Operator;
    /// The clock.
    type Clock: Clock;
    /// The source of random bytes.
    type Rng: CryptoRngCore;
    /// The ciphers that this side supports.
    type Cipher: Cipher;
}

/// Everything that a sender uses in its sessions, lent by the caller.
pub struct Sender<'a, E: Environment> {
    /// The run to which the session belongs.
    pub run: &'a Run<'a>,
    /// The archive.
    pub source: &'a mut E::Source,
    /// The user interface.
    pub operator: &'a mut E::Operator,
    /// The clock.
    pub clock: &'a E::Clock,
    /// The source of random bytes.
    pub rng: &'a mut E::Rng,
    /// The buffers.
    pub buffers: Buffers<'a>,
}

/// What all connections of one run have in common.
pub struct Run<'a> {
    /// The transfer key, for mode *typed*.
    pub key: &'a TransferKey,
    /// Random bytes, fresh for this run.
    pub salt: [u8; 32],
    /// What the folder is called at the receiver.
    pub name: FolderName<'a>,
    /// When the run began, in seconds since 1970.
    pub created: u64,
    /// PBKDF2 iterations that this side prefers. The receiver's bound may lower them.
    pub iterations: u32,
    /// Chunk size that this side prefers. The receiver's bound may lower it.
    pub chunk: ChunkSize,
    /// The sender's own certificate.
    pub certificate: CertificateHash,
    /// The ways in which the key may reach the receiver.
    pub keys: KeyRule,
}

/// The ways in which a sender lets its key reach the receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyRule {
    /// The one that the receiver prefers.
    #[default]
    Any,
    /// Only typed by the receiver's user. With a sealed key the receiver opens the folder without a user.
    TypedOnly,
    /// Only sealed to the receiver, so that no user has to type it.
    SealedOnly,
}

/// The authenticated receiver.
pub struct Peer<'a> {
    /// The receiver's certificate.
    pub certificate: CertificateHash,
    /// The HPKE public key in the receiver's certificate, as an uncompressed point.
    pub hpke: Option<&'a [u8; POINT]>,
}

/// Buffers of a sender, lent by the caller. Each slice has the length that [`buffer_len`] returns.
pub struct Buffers<'a> {
    /// For pieces of the archive before they are sealed.
    pub plain: &'a mut [u8],
    /// For frames that are sent.
    pub frame: &'a mut [u8],
    /// For compression. Without it all chunks are raw.
    pub compressor: Option<&'a mut Compressor>,
}

/// Length of each of a sender's buffers for chunks of this size.
pub const fn buffer_len(chunk: ChunkSize) -> usize {
    let sealed = seal_buffer(chunk);
    limits::FRAME_HEADER + if sealed > limits::MESSAGE_MAX { sealed } else { limits::MESSAGE_MAX }
}
