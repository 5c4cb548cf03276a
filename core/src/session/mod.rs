//! Sessions: the asynchronous sender and receiver, and the traits through which they reach the outside world.
//!
//! One session runs on one authenticated connection. [`sender::Sender`] and [`receiver::Receiver`] drive it from
//! `Hello` to `Committed`. [`peers::PeerState`] holds the state that a receiver keeps between connections. PROTOCOL.md,
//! section 6.

mod channel;
pub mod own_frame;
pub mod peers;
pub mod receiver;
pub mod sender;

use core::fmt;

use embedded_io_async::{Read, Write};

use crate::archive::{ArchiveError, Shape};
use crate::certificate::CertificateHash;
use crate::digest::Digest;
use crate::wire::message::{Cancel, Limit, Refusal};

/// An authenticated, ordered, reliable stream of bytes: TLS on TCP.
pub trait Link: Read + Write {
    /// Completes when data, the end of the stream or an error is pending. A `read` after it may still have to wait for
    /// the rest of a TLS record.
    ///
    /// **Cancel-safe**, which `read` need not be: a session waits here, alongside its clock and its operator, and calls
    /// `read` only afterwards.
    async fn readable(&mut self) -> Result<(), Self::Error>;
}

/// A [`Link`] whose writes can be interrupted and continued. A sender needs it to receive messages while it sends a
/// long chunk.
pub trait DuplexLink: Link {
    /// Writes some bytes from the front of `bytes`; if `bytes` is empty, flushes what was written before. While neither
    /// can proceed, it also completes once there is something to read.
    ///
    /// **Cancel-safe**: bytes that it did not report as written were not written.
    async fn write_or_readable(&mut self, bytes: &[u8]) -> Result<Written, Self::Error>;
}

/// The result of [`DuplexLink::write_or_readable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// This many bytes were written. 0 if there were none to write: then everything was flushed.
    Bytes(usize),
    /// Nothing was written, because there is something to read.
    Readable,
}

/// A monotonic clock. Tests use virtual time.
pub trait Clock {
    /// Milliseconds since some fixed moment. Never decreases.
    fn now(&self) -> u64;
    /// Completes once `now() >= at`.
    async fn sleep_until(&self, at: u64);
}

/// The folder that a sender offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offered {
    /// The sender's certificate.
    pub sender: CertificateHash,
    /// When the sender began its run, in seconds since 1970.
    pub created: u64,
    /// The archive's lengths and counts.
    pub shape: Shape,
}

/// A prefix of the offered archive that a store holds, and has read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Length of the prefix, in bytes of archive.
    pub offset: u64,
    /// BLAKE3 of the prefix.
    pub digest: Digest,
}

/// The bounds of a store, which the `Greeting` states to the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Longest archive, in bytes.
    pub total: u64,
    /// Most entries.
    pub entries: u32,
    /// Longest manifest, in bytes.
    pub manifest: u32,
    /// Longest path, in bytes.
    pub path: u16,
    /// The longest archive for which there is space now, in bytes. Space taken by a held prefix counts as free, since a
    /// sender whose archive exceeds this bound does not even ask its user for the code.
    pub free: u64,
}

/// The proof of a committed folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Receipt {
    /// The archive's root.
    pub digest: Digest,
    /// Number of files.
    pub files: u32,
    /// Length of the archive, in bytes.
    pub bytes: u64,
    /// Number of the commit, if the store counts its commits, else 0.
    pub generation: u64,
}

/// The storage for received folders. It gets the archive's bytes in order, and is atomic: readers see the old folder
/// until `commit` returns `Ok`, and the new one from then on.
///
/// The session calls `check`, `begin`, at most once `restart`, then `write` repeatedly, then `commit`. At any point it
/// may end with `suspend` or `discard` instead; without a preceding `begin` these have nothing to do.
///
/// A store whose work takes long returns `Pending` now and then, so that the session can send keep-alives. When the
/// connection ends or the user interrupts, the session drops the futures of `check`, `begin`, `restart` and `write` at
/// any await, and then calls `suspend` or `discard`. It never drops the future of `commit`.
pub trait Store {
    /// The bounds of this store.
    fn capacity(&mut self) -> Capacity;

    /// The error that every offer of `sender` would meet now, if that is known already. The session then refuses before
    /// the sender's user is asked for the code.
    fn refuses(&mut self, _sender: &CertificateHash) -> Option<StoreError> {
        None
    }

    /// Returns the error with which [`begin`](Self::begin) would fail, as far as it can be known before the keys are
    /// proven: the session asks its user for the key only after this succeeds. Writes nothing. Reports
    /// [`StoreError::InUse`] only if that will probably still hold once the key is typed, and no error that does not
    /// matter if the offered folder is the committed one.
    async fn check(&mut self, offered: &Offered) -> Result<(), StoreError>;

    /// Begins to receive the offered archive, and returns the prefix of it that the store holds: one from the same
    /// sender for whose manifest digest `is_it` returns true. A committed folder counts as a prefix of full length.
    /// While a reader has a lease on the needed storage, this fails at once with [`StoreError::InUse`], and the session
    /// calls it again.
    async fn begin(&mut self, offered: &Offered, is_it: &dyn Fn(&Digest) -> bool) -> Result<Held, StoreError>;

    /// Drops the held prefix, and begins to receive the archive from its first byte. Fails with [`StoreError::InUse`]
    /// as [`begin`](Self::begin) does.
    async fn restart(&mut self) -> Result<(), StoreError>;

    /// Stores the next bytes of the archive. Once the manifest is complete, a store may still be writing them when this
    /// returns: the next call then reports an error of that.
    async fn write(&mut self, archive: &[u8]) -> Result<(), StoreError>;

    /// The manifest digest of the archive that is being received, once its manifest is complete.
    fn manifest(&self) -> Option<Digest>;

    /// Number of bytes of the archive that are stored durably: a reset would not lose them.
    fn durable(&self) -> u64;

    /// Verifies the whole archive and makes it visible to readers. If the store held the whole folder already, returns
    /// its receipt again.
    async fn commit(&mut self) -> Result<Receipt, StoreError>;

    /// Ends the transfer, and keeps what was received, so that a later session can resume.
    async fn suspend(&mut self);

    /// Ends the transfer, and keeps nothing of it, because the archive or its sender cannot be trusted.
    async fn discard(&mut self);
}

/// Why a store refuses an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StoreError {
    /// There is not enough free space.
    NoSpace {
        /// Bytes that the archive needs.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The target holds another folder, which must not be overwritten.
    NotEmpty,
    /// The target cannot be written.
    NotWritable,
    /// A reader or another transfer is using the storage that the archive needs.
    InUse,
    /// The offer was created before the one that this sender sent last.
    Older,
    /// The archive exceeds a bound of [`Capacity`].
    Limit(Limit),
    /// An entry has a name that this platform cannot hold safely.
    Name {
        /// Index of the entry in the manifest, from 0.
        entry: u32,
    },
    /// An entry has a name that means, on this platform, the same file as another entry's name.
    Collision {
        /// Index of the entry in the manifest, from 0.
        entry: u32,
    },
    /// The sender's archive is malformed, or does not match its digests.
    Archive(ArchiveError),
    /// Reading or writing the storage failed.
    Io,
    /// The stored archive does not read back as it was written.
    Verify,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive(error) => error.fmt(f),
            other => other.refusal().fmt(f),
        }
    }
}

impl core::error::Error for StoreError {}

impl StoreError {
    /// The refusal that the sender gets.
    pub fn refusal(self) -> Refusal {
        match self {
            Self::NoSpace { needed, free } => Refusal::NoSpace { needed, free },
            Self::NotEmpty => Refusal::NotEmpty,
            Self::NotWritable => Refusal::NotWritable,
            Self::InUse => Refusal::InUse,
            Self::Older => Refusal::Older,
            Self::Limit(limit) => Refusal::Limit { limit },
            Self::Name { entry } => Refusal::Name { entry },
            Self::Collision { entry } => Refusal::Collision { entry },
            Self::Archive(_) => Refusal::Archive,
            Self::Io => Refusal::Storage,
            Self::Verify => Refusal::Verify,
        }
    }
}

impl From<StoreError> for SessionError {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.refusal())
    }
}

/// Why a session ended without a receipt. The variant names the side that ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SessionError {
    /// The receiver refused. Both sides report this, with the same refusal.
    Refused(Refusal),
    /// The peer cancelled.
    PeerCancelled(Cancel),
    /// This side cancelled.
    Cancelled(Cancel),
    /// The connection ended or broke.
    Disconnected,
    /// The peer sent nothing for too long.
    TimedOut,
    /// The peer broke the protocol.
    PeerMisbehaved(Misbehaviour),
    /// The folder exceeds a bound that the receiver stated (sender only).
    OverLimit {
        /// The bound.
        limit: Limit,
        /// The folder's value, or the least that this side needs.
        has: u64,
        /// The most that the receiver accepts.
        most: u64,
    },
    /// The receiver stated less free space than the folder needs (sender only).
    NoSpace {
        /// Bytes that the folder needs.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The receiver takes sealed keys only, but the sender requires a typed one (sender only).
    KeyNotTyped,
    /// The two sides have no version, cipher, codec or key mode in common (sender only).
    NothingInCommon,
    /// The receiver's certificate has no valid HPKE key to seal to (sender only).
    NoHpkeKey,
    /// Everything was sent, but the receipt did not arrive: the connection ended, or time ran out (sender only).
    OutcomeUnknown {
        /// Whether the sender's user interrupted the wait for the receipt.
        interrupted: bool,
    },
    /// The receipt is not for the folder that was sent (sender only).
    WrongReceipt,
    /// The caller's buffers are too short for the chosen chunk size.
    Buffers,
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused(refusal) => return write!(f, "the receiver refused: {refusal}"),
            Self::PeerCancelled(reason) => return write!(f, "the peer cancelled: {reason}"),
            Self::Cancelled(reason) => return write!(f, "this side cancelled: {reason}"),
            Self::Disconnected => "the connection was lost",
            Self::TimedOut => "the peer sent nothing for too long",
            Self::PeerMisbehaved(how) => return write!(f, "the peer broke the protocol: {how}"),
            Self::OverLimit { limit, has, most } => {
                return write!(f, "a bound is exceeded: {limit}: {has}, but at most {most}");
            }
            Self::NoSpace { needed, free } => return write!(f, "{needed} bytes are needed, but {free} are free"),
            Self::KeyNotTyped => "the receiver takes sealed keys only",
            Self::NothingInCommon => "the two sides have no version, cipher, codec or key mode in common",
            Self::NoHpkeKey => "the receiver's certificate has no valid HPKE key",
            Self::OutcomeUnknown { .. } => "everything was sent, but the receipt did not arrive",
            Self::WrongReceipt => "the receipt is not for the folder that was sent",
            Self::Buffers => "the buffers are too short for the chunk size",
        })
    }
}

impl core::error::Error for SessionError {}

/// How a peer broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Misbehaviour {
    /// It sent a frame of an unknown kind, or one that is longer than its kind allows.
    Frame,
    /// It sent a message that does not decode.
    Message,
    /// It sent a message that is not allowed at this point.
    Unexpected,
    /// It sent a message with a field that exceeds its bounds.
    Field,
    /// It sent an `Accept` that does not prove the key.
    AcceptMac,
    /// It sent a chunk that does not open.
    Chunk,
}

impl fmt::Display for Misbehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Frame => "a frame has an unknown kind, or is too long",
            Self::Message => "a message does not decode",
            Self::Unexpected => "a message is not allowed at this point",
            Self::Field => "a field of a message is out of range",
            Self::AcceptMac => "the receiver did not prove that it has the key",
            Self::Chunk => "a chunk is not authentic",
        })
    }
}

impl core::error::Error for Misbehaviour {}
