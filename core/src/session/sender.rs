//! The sender's side of a session.
//!
//! A [`Source`] provides the archive; an authenticated link carries the frames to the receiver:
//!
//! Walk -> archive -> **compress -> seal -> frame** -> TLS. PROTOCOL.md, section 6.

mod dialogue;
mod flow;

use core::fmt;

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

/// What a sender knows about its archive before it sends the first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveInfo {
    /// The archive's lengths and counts.
    pub shape: Shape,
    /// Digest of the manifest.
    pub manifest_digest: Digest,
    /// Longest path, in bytes.
    pub longest_path: u16,
}

/// The archive that a sender sends. Every reading from the start gives the same bytes.
///
/// A source whose work takes long returns `Pending` now and then, so that the session can send keep-alives. The session
/// may drop the source's futures at any await; then it calls only `rewind`.
pub trait Source {
    /// What is known about the archive.
    fn info(&self) -> ArchiveInfo;
    /// Goes back to the first byte.
    async fn rewind(&mut self) -> Result<(), SourceError>;
    /// Fills `buffer` with the next bytes of the archive, and returns their number. It is less than the buffer's length
    /// only at the end of the archive.
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError>;
    /// The archive's root, once its last byte was read.
    fn root(&self) -> Option<Digest>;
}

/// Why a source cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceError {
    /// A file has changed since the manifest was made.
    Changed,
    /// A file cannot be read.
    Unreadable,
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Changed => "a file has changed since it was listed",
            Self::Unreadable => "a file cannot be read",
        })
    }
}

impl core::error::Error for SourceError {}

/// The sender's user, and whatever shows events to them.
pub trait Operator {
    /// Asks the user for the code that the receiver shows. `left` is the number of tries that are left after a wrong
    /// code. `None`: the user gave up. The session drops this future when the connection ends.
    async fn code(&mut self, left: Option<u8>) -> Option<AuthCode>;
    /// Shows an event.
    fn event(&mut self, event: Event);
    /// Completes when the user interrupts the session. Cancel-safe.
    async fn interrupted(&mut self) {
        core::future::pending().await
    }
}

/// An event at a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The receiver stated its bounds.
    Greeted {
        /// Bytes that are free at the receiver.
        free: u64,
        /// Whether the key mode will be *sealed*: then no user has to type the key.
        sealed: bool,
    },
    /// The receiver accepted the code.
    CodeAccepted,
    /// The offer was sent.
    Offered {
        /// Whether the key mode is *sealed*: then no user has to type the key.
        sealed: bool,
    },
    /// The receiver is busy with this.
    Working(Stage),
    /// The receiver has the key; the chunks begin at `offset`.
    Accepted {
        /// Bytes of archive that the receiver holds already.
        offset: u64,
    },
    /// This many bytes of the archive were handed to the connection so far.
    Sent(u64),
    /// This many bytes of the archive are durable at the receiver.
    Durable(u64),
}

/// What all connections of one run have in common.
pub struct Run<'a> {
    /// The transfer key, for mode *typed*.
    pub key: &'a TransferKey,
    /// Random bytes, fresh for this run.
    pub salt: [u8; 32],
    /// When the run began, in seconds since 1970.
    pub created: u64,
    /// PBKDF2 iterations that this side prefers. The receiver's bound may lower them.
    pub iterations: u32,
    /// Chunk size that this side prefers, a power of two. The receiver's bound may lower it.
    pub chunk: u32,
    /// The sender's own certificate.
    pub certificate: CertificateHash,
    /// Whether the receiver's user has to type the key. With a sealed key the receiver opens the folder without a user.
    pub typed_only: bool,
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

/// Length of each of a sender's buffers for chunks of `chunk` bytes.
pub const fn buffer_len(chunk: u32) -> usize {
    let sealed = seal_buffer(chunk);
    limits::FRAME_HEADER + if sealed > limits::MESSAGE_MAX { sealed } else { limits::MESSAGE_MAX }
}

/// Everything that a sender uses in one session, lent by the caller.
pub struct Sender<'a, S, O, K, R> {
    /// The run to which the session belongs.
    pub run: &'a Run<'a>,
    /// The archive.
    pub source: &'a mut S,
    /// The user.
    pub operator: &'a mut O,
    /// The clock.
    pub clock: &'a K,
    /// The source of random bytes.
    pub entropy: &'a mut R,
    /// The buffers.
    pub buffers: Buffers<'a>,
}

impl<S: Source, O: Operator, K: Clock, R: CryptoRngCore> Sender<'_, S, O, K, R> {
    /// Offers the source's archive to the authenticated receiver `peer`, and sends it. `C` implements the ciphers that
    /// this side supports.
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
            session.report_error(error).await;
        }
        result
    }
}
