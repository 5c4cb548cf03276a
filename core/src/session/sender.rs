//! The sender's side of a session.
//!
//! Walk -> archive -> **compress -> seal -> frame** -> TLS. PROTOCOL.md, section 6.

mod dialogue;
mod flow;

use rand_core::CryptoRngCore;

use crate::archive::Shape;
use crate::certificate::CertificateHash;
use crate::code::{AuthCode, TransferKey};
use crate::digest::Digest;
use crate::limits;
use crate::sealed::cipher::Cipher;
use crate::sealed::hpke::POINT;
use crate::sealed::stream::{Compressor, seal_buffer};
use crate::session::channel::Channel;
use crate::session::{Clock, DuplexLink, Receipt, SessionError};
use crate::wire::message::Stage;
use dialogue::Dialogue;
use flow::Session;

/// What a sender knows of its archive before the first byte crosses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveInfo {
    /// Its lengths and counts.
    pub shape: Shape,
    /// Digest of its manifest.
    pub manifest_digest: Digest,
    /// Longest path, in bytes.
    pub longest_path: u16,
}

/// Where a sender's archive comes from: the same bytes at every reading, from the start.
///
/// A source that works for long returns `Pending` meanwhile, so that the session can say so to the receiver. Its futures
/// may be dropped at any await; then only `rewind` follows.
pub trait Source {
    /// What is known of it.
    fn info(&self) -> ArchiveInfo;
    /// Goes back to the first byte.
    async fn rewind(&mut self) -> Result<(), SourceError>;
    /// Fills `buffer` with the next bytes of the archive; less only at its end.
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError>;
    /// The archive's root, once its last byte was read.
    fn root(&self) -> Option<Digest>;
}

/// Why a source has no more bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceError {
    /// A file is not what it was when the manifest was made.
    Changed,
    /// A file cannot be read.
    Unreadable,
}

/// The sender's person.
pub trait Operator {
    /// Asks for the code that the receiver shows. `left`: tries left after a wrong one. `None`: the person gave up.
    /// Dropped when the connection ends meanwhile.
    async fn code(&mut self, left: Option<u8>) -> Option<AuthCode>;
    /// Something happened that a person may want to see.
    fn event(&mut self, event: Event);
    /// Completes when the person wants to stop. Cancel-safe.
    async fn interrupted(&mut self) {
        core::future::pending().await
    }
}

/// What happens at a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The receiver stated its bounds.
    Greeted {
        /// Bytes that are free there.
        free: u64,
        /// Whether the key mode will be *sealed*: then nobody has to type the key.
        sealed: bool,
    },
    /// The receiver accepted the code.
    CodeAccepted,
    /// The offer is made. `sealed`: the key goes sealed to the receiver, and nobody has to type it.
    Offered {
        /// Whether the key mode is *sealed*.
        sealed: bool,
    },
    /// The receiver works.
    Working(Stage),
    /// The receiver has the key; sending goes on from `offset`.
    Accepted {
        /// Bytes of archive that need not be sent.
        offset: u64,
    },
    /// Bytes of archive handed to the connection.
    Sent(u64),
    /// Bytes of archive that are durable at the receiver.
    Durable(u64),
}

/// What is the same for every connection of one run.
pub struct Run<'a> {
    /// The key, for mode typed.
    pub key: &'a TransferKey,
    /// Fresh for this run.
    pub salt: [u8; 32],
    /// Seconds since 1970 at which the run began.
    pub created: u64,
    /// PBKDF2 iterations that this side would like; the receiver's bound may lower them.
    pub iterations: u32,
    /// Chunk size that this side would like, a power of two; the receiver's bound may lower it.
    pub chunk: u32,
    /// The sender's own certificate.
    pub certificate: CertificateHash,
    /// Whether the receiver's operator has to type the key. A receiver that takes it sealed opens the folder alone.
    pub typed_only: bool,
}

/// The authenticated receiver.
pub struct Peer<'a> {
    /// Its certificate.
    pub certificate: CertificateHash,
    /// The HPKE public key in its certificate: an uncompressed point.
    pub hpke: Option<&'a [u8; POINT]>,
}

/// Memory for a sender, lent by the caller: each slice as long as [`buffer_len`] says.
pub struct Buffers<'a> {
    /// For frames that come in and archive bytes that go out.
    pub plain: &'a mut [u8],
    /// For frames that go out.
    pub frame: &'a mut [u8],
    /// For compressing; without one everything is sent raw.
    pub compressor: Option<&'a mut Compressor>,
}

/// Length of each of a sender's buffers for chunks of `chunk` bytes.
pub const fn buffer_len(chunk: u32) -> usize {
    let sealed = seal_buffer(chunk);
    limits::FRAME_HEADER + if sealed > limits::MESSAGE_MAX { sealed } else { limits::MESSAGE_MAX }
}

/// What a sender works with in one session, all of it lent by the caller.
pub struct Sender<'a, S, O, K, R> {
    /// What is the same for every connection of its run.
    pub run: &'a Run<'a>,
    /// Where the archive comes from.
    pub source: &'a mut S,
    /// Its person.
    pub operator: &'a mut O,
    /// Its clock.
    pub clock: &'a K,
    /// Its entropy.
    pub entropy: &'a mut R,
    /// Its memory.
    pub buffers: Buffers<'a>,
}

impl<S: Source, O: Operator, K: Clock, R: CryptoRngCore> Sender<'_, S, O, K, R> {
    /// Offers the source's archive to the authenticated receiver `peer` and sends it. `C`: the ciphers that this side
    /// has.
    pub async fn send<C: Cipher>(
        &mut self,
        link: &mut impl DuplexLink,
        peer: &Peer<'_>,
    ) -> Result<Receipt, SessionError> {
        let Buffers { plain, frame, compressor } = &mut self.buffers;
        let mut session = Session {
            dialogue: Dialogue::new(Channel::new(link, self.clock), self.operator, frame),
            peer,
            run: self.run,
            source: self.source,
            entropy: self.entropy,
            plain,
            compressor: compressor.as_deref_mut(),
        };
        let result = session.run::<C>().await;
        if let Err(error) = result {
            session.settle(error).await;
        }
        result
    }
}
