//! Who says what when: the asynchronous sender and receiver, and the traits through which they reach the world.
//!
//! One session is one authenticated connection. [`sender::Sender`] and [`receiver::Receiver`] drive it from `Hello`
//! to `Committed`; what a receiver has to remember from one connection to the next stands in [`desk::Desk`].
//! PROTOCOL.md, section 6.

pub mod apart;
mod channel;
pub mod desk;
pub mod receiver;
pub mod sender;

use embedded_io_async::{Read, Write};

use crate::archive::{ArchiveError, Shape};
use crate::certificate::CertificateHash;
use crate::digest::Digest;
use crate::wire::message::{Cancel, Limit, Refusal};

/// An authenticated, ordered, reliable stream of bytes: TLS on TCP.
pub trait Link: Read + Write {
    /// Completes when `read` would return without waiting for the peer to begin something: a byte, the end, or an error
    /// is there. **Cancel-safe**, which `read` need not be: a session waits here beside its clock and its
    /// operator, and reads only then.
    async fn readable(&mut self) -> Result<(), Self::Error>;
}

/// A [`Link`] on which a write may be dropped and gone on with: a sender, whose chunks are long, hears the receiver
/// while they are sent off.
pub trait DuplexLink: Link {
    /// Writes some bytes from the front of `bytes`, or, where there are none, flushes what was written. Where neither
    /// can go on now, it also completes once there is something to read. **Cancel-safe**: bytes that it did not report
    /// as written were not written.
    async fn write_or_readable(&mut self, bytes: &[u8]) -> Result<Written, Self::Error>;
}

/// What [`DuplexLink::write_or_readable`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// So many bytes were written; 0 where there were none to write: everything was flushed.
    Bytes(usize),
    /// Nothing was written, and there is something to read.
    Readable,
}

/// Time since some fixed moment. Virtual in tests.
pub trait Clock {
    /// Milliseconds since that moment; never goes back.
    fn now(&self) -> u64;
    /// Completes once `now() >= at`.
    async fn sleep_until(&self, at: u64);
}

/// What a sender offers, once its keys are proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offered {
    /// The sender's certificate.
    pub sender: CertificateHash,
    /// When the sender began its run, in seconds since 1970.
    pub created: u64,
    /// The archive's lengths and counts.
    pub shape: Shape,
}

/// A prefix of the offered archive that a store holds, read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its length, in bytes of archive.
    pub offset: u64,
    /// BLAKE3 of those bytes.
    pub digest: Digest,
}

/// What a store can take at most. All of it is stated to the sender.
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
    /// The longest archive for which there is room now, in bytes. What the store holds already counts as room, since a
    /// sender asks nobody for a code past this bound.
    pub free: u64,
}

/// The proof of a committed folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Receipt {
    /// The archive's root.
    pub digest: Digest,
    /// Files in the folder.
    pub files: u32,
    /// Length of the archive, in bytes.
    pub bytes: u64,
    /// Counts committed folders where the store counts them, else 0.
    pub generation: u64,
}

/// Where a received folder goes. It gets the archive's bytes in order, and is atomic: readers see the old folder until
/// `commit` returns `Ok`, and the new one from then on.
///
/// Calls come in the order `check`, `begin`, at most one `restart`, `write`..., `commit`; or end at any point with
/// `suspend` or `discard`, which also come where nothing was begun, and do nothing then.
///
/// A store that works for long returns `Pending` meanwhile, so that the session can say so to the sender. The session
/// drops the futures of `check`, `begin`, `restart` and `write` at any await when the connection or its user ends it,
/// and calls `suspend` or `discard` then. A `commit` that was begun is never dropped by it.
pub trait Store {
    /// What it can take.
    fn capacity(&mut self) -> Capacity;

    /// Why nothing that `sender` may offer can be taken now, where that is known already: then its user is asked for no
    /// code.
    fn refuses(&mut self, _sender: &CertificateHash) -> Option<StoreError> {
        None
    }

    /// Finds what would make [`begin`](Self::begin) fail, as far as it can be known while the key is not: the operator
    /// is asked for the key only after this succeeds. Writes nothing. Reports [`StoreError::InUse`] only where that is
    /// not likely to be over by the time that the key is typed, and nothing that does not matter if the offered folder
    /// is the one that is committed already.
    async fn check(&mut self, offered: &Offered) -> Result<(), StoreError>;

    /// Takes up the offered archive. Finds out whether a prefix of it is held: one that came from the same
    /// sender and whose manifest digest `is_it`. A committed folder counts as a prefix of full length.
    /// Where a reader holds the place it fails at once, with [`StoreError::InUse`], and is called again.
    async fn begin(&mut self, offered: &Offered, is_it: &dyn Fn(&Digest) -> bool) -> Result<Held, StoreError>;

    /// Forgets the held prefix, and takes up the archive from its first byte. Where a reader holds the place, as
    /// [`begin`](Self::begin).
    async fn restart(&mut self) -> Result<(), StoreError>;

    /// Takes the next bytes of the archive. A store may still be writing them when this returns, once the manifest is
    /// whole: what is called next tells how that went.
    async fn write(&mut self, archive: &[u8]) -> Result<(), StoreError>;

    /// Digest of the manifest of the archive that was begun, once all of it is held.
    fn manifest(&self) -> Option<Digest>;

    /// Bytes of the archive that a reset would not lose.
    fn durable(&self) -> u64;

    /// Verifies the whole archive and puts it where readers find it. On a folder that was held in full, says so again.
    async fn commit(&mut self) -> Result<Receipt, StoreError>;

    /// The connection is gone: keeps what a later session can go on from.
    async fn suspend(&mut self);

    /// The archive or its sender is not to be trusted: keeps nothing of it.
    async fn discard(&mut self);
}

/// Why a store does not take an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StoreError {
    /// It is larger than what is free.
    NoSpace {
        /// Bytes that it needs.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The target holds another folder and must not be overwritten.
    NotEmpty,
    /// The target cannot be written.
    NotWritable,
    /// A reader's lease holds the place that would be erased.
    InUse,
    /// Older than what this sender sent last.
    Older,
    /// Past a bound of [`Capacity`].
    Limit(Limit),
    /// The entry of that index has a name that this platform cannot hold safely.
    Name {
        /// Index in the manifest, from 0.
        entry: u32,
    },
    /// That entry's name means the same file as another's here.
    Collision {
        /// Index in the manifest, from 0.
        entry: u32,
    },
    /// The sender's archive is not well-formed, or does not match its digests.
    Archive(ArchiveError),
    /// Reading or writing failed.
    Io,
    /// What was stored does not read back.
    Verify,
}

impl StoreError {
    /// What the sender is told.
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

/// Why a session ended without a receipt. The variant says who ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SessionError {
    /// The receiver refused: on the sender's side as it was told, on the receiver's side what it said.
    Refused(Refusal),
    /// The peer cancelled.
    PeerCancelled(Cancel),
    /// This side cancelled.
    Cancelled(Cancel),
    /// The connection ended or broke.
    Disconnected,
    /// The peer said nothing for too long.
    TimedOut,
    /// The peer broke the protocol.
    PeerMisbehaved(Misbehaviour),
    /// The folder goes past a bound that the receiver stated (sender only).
    OverLimit {
        /// Which bound.
        limit: Limit,
        /// What the folder has, or what this side needs at least.
        has: u64,
        /// What the receiver takes at most.
        most: u64,
    },
    /// The receiver has less room than the folder needs, as it stated (sender only).
    NoSpace {
        /// Bytes that the folder needs.
        needed: u64,
        /// Bytes for which there is room.
        free: u64,
    },
    /// The receiver takes the key sealed only, and the sender wants it typed (sender only).
    KeyNotTyped,
    /// The two sides have no version, cipher, codec or key mode in common (sender only).
    NothingInCommon,
    /// The receiver's certificate has no key to seal to (sender only).
    NoHpkeKey,
    /// Everything was sent, and the receipt did not come: the connection ended, or time ran out (sender only).
    OutcomeUnknown {
        /// This side's user did not want to wait for it.
        interrupted: bool,
    },
    /// The receipt is for another folder than the one that was sent (sender only).
    WrongReceipt,
    /// The caller's buffers are too small for the chosen chunk size.
    Buffers,
}

/// How a peer broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Misbehaviour {
    /// A frame of an unknown kind, or longer than its kind allows.
    Frame,
    /// A message that does not decode.
    Message,
    /// A message that has no place here.
    Unexpected,
    /// A field out of its bounds.
    Field,
    /// `Accept` without proof of the key.
    AcceptMac,
    /// A chunk that does not open.
    Chunk,
}
