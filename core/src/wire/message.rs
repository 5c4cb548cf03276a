//! The messages of a session, in the postcard encoding. [`session`](crate::session) sends and receives them in frames.
//!
//! The order of variants and fields *is* the format: only ever append to it. PROTOCOL.md, section 5.

use core::fmt;

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::archive::Shape;
use crate::bytes;
use crate::digest::Digest;
use crate::limits::{BASE_FILES_MAX, LIST_MAX, MESSAGE_MAX, SEALED_NAME};
pub use crate::wire::kibibytes::Kibibytes;

/// A list of numbers in order of preference.
pub type List = Vec<u8, LIST_MAX>;
/// A 32-byte nonce, salt, tag or MAC.
pub type Bytes32 = [u8; 32];

/// A message from the sender to the receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromSender<'a> {
    /// The first message.
    Hello(Hello),
    /// The code that the receiver shows to its user.
    Code {
        /// Four ASCII digits.
        #[serde(with = "bytes")]
        digits: [u8; 4],
    },
    /// The folder that the sender wants to send, and the parameters of the stream.
    #[serde(borrow)]
    Offer(Offer<'a>),
    /// The offset at which the chunks begin.
    Resume {
        /// 0, or the offset of `Accept`, in bytes of archive.
        offset: u64,
        /// Whether the sender wants to leave out the files that the receiver's base has as well.
        base: bool,
    },
    /// The sender ends the session.
    Cancel(Cancel),
    /// Keep-alive of a sender that is busy or waits. It renews the receiver's deadline.
    Working(Stage),
    /// The next bytes of the archive that do not cross, because the receiver's base has them. The chunks that follow
    /// carry the archive up to them.
    LeaveOut {
        /// Offset of the first of these bytes; the length of the archive if no more are left out.
        offset: u64,
        /// Their number.
        length: u64,
    },
}

impl FromSender<'_> {
    /// Whether the payload of a frame is [`FromSender::Working`].
    pub fn is_working(payload: &[u8]) -> bool {
        // 5 is the number of `Working`.
        matches!(payload, [5, _])
    }
}

/// A message from the receiver to the sender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromReceiver {
    /// The first message.
    Greeting(Greeting),
    /// The code was right.
    CodeAccepted,
    /// The code was wrong; the sender may send another.
    CodeWrong {
        /// Tries left, at least 1.
        left: u8,
    },
    /// Keep-alive of a receiver that is busy or waits. It renews the sender's deadline.
    Working(Stage),
    /// The receiver has the key, and accepts the offer. The message states the prefix of the archive that the receiver
    /// already holds.
    Accept {
        /// Length of the prefix, in bytes of archive; 0 for none.
        offset: u64,
        /// BLAKE3 of the prefix.
        digest: Digest,
        /// Whether the receiver has a base: a committed folder of the same sender, whose files it can use.
        base: bool,
        /// MAC of `offset`, `digest` and `base`, which proves that the receiver has the key.
        #[serde(with = "bytes")]
        mac: Bytes32,
    },
    /// The first bytes of the archive are stored durably.
    Progress {
        /// Their number.
        durable: u64,
    },
    /// The new folder is verified and in place.
    Committed {
        /// The archive's root.
        digest: Digest,
        /// Number of files.
        files: u32,
        /// Length of the archive, in bytes.
        bytes: u64,
        /// Number of the commit at this receiver; 0 where the receiver does not count commits.
        generation: u64,
    },
    /// The receiver refuses, and ends the session.
    Refused(Refusal),
    /// The receiver ends the session.
    Cancel(Cancel),
    /// Files of the new manifest that the receiver's base has with the same path and length.
    BaseFiles {
        /// The next of them, in the manifest's order.
        files: BaseFiles,
    },
    /// All such files are listed.
    BaseEnd {
        /// MAC of the whole list.
        #[serde(with = "bytes")]
        mac: Bytes32,
    },
}

/// A part of the list of the files that a receiver's base has.
pub type BaseFiles = Vec<BaseFile, BASE_FILES_MAX>;

/// A file of the new manifest that the receiver's base has with the same path and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseFile {
    /// Number of files of the manifest between the one that was listed before (or the manifest's start) and this one.
    pub skipped: u32,
    /// BLAKE3 of the content that the base has.
    pub digest: Digest,
}

/// The sender's first message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Lowest protocol version that the sender speaks.
    pub min: u8,
    /// Highest protocol version that the sender speaks.
    pub max: u8,
    /// Random bytes, fresh for each connection.
    #[serde(with = "bytes")]
    pub nonce: Bytes32,
    /// Random bytes, fresh for each run.
    #[serde(with = "bytes")]
    pub salt: Bytes32,
}

/// The receiver's first message, which states its bounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// The protocol version that the receiver has chosen.
    pub version: u8,
    /// Random bytes, fresh for each connection.
    #[serde(with = "bytes")]
    pub nonce: Bytes32,
    /// Longest archive, in bytes.
    pub max_total: u64,
    /// Most entries.
    pub max_entries: u32,
    /// Longest manifest, in bytes.
    pub max_manifest: u32,
    /// Longest path, in bytes.
    pub max_path: u16,
    /// Largest chunk, in bytes of archive.
    pub max_chunk: u32,
    /// Free space, in bytes.
    pub free: u64,
    /// [`Aead`](crate::sealed::Aead) numbers, best first.
    pub aeads: List,
    /// [`Codec`](crate::sealed::Codec) numbers, best first.
    pub codecs: List,
    /// Key modes, best first: see [`KEY_TYPED`] and [`KEY_SEALED`].
    pub keys: List,
    /// Whether the sender must send a code next.
    pub code_needed: bool,
    /// Most PBKDF2 iterations.
    pub max_iterations: u32,
    /// How long the receiver's user has to type the key, in seconds.
    pub key_seconds: u16,
}

/// Number of key mode *typed* in [`Greeting::keys`].
pub const KEY_TYPED: u8 = 0;
/// Number of key mode *sealed* in [`Greeting::keys`].
pub const KEY_SEALED: u8 = 1;

/// How the key reaches the receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyMode {
    /// The receiver's user types it.
    Typed,
    /// It is sealed to the receiver's HPKE key.
    Sealed(#[serde(with = "bytes")] Encapsulation),
}

/// An HPKE encapsulation: an uncompressed point of P-256.
pub type Encapsulation = [u8; 65];

/// An [`Offer`] without its tags and name: the part that the keys are bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferBody {
    /// PBKDF2 iterations; 0 in mode sealed.
    pub iterations: u32,
    /// [`Aead`](crate::sealed::Aead) number.
    pub aead: u8,
    /// [`Codec`](crate::sealed::Codec) number.
    pub codec: u8,
    /// Bytes of archive in a chunk.
    pub chunk: u32,
    /// How the key reaches the receiver.
    pub key: KeyMode,
    /// When the sender began its run: seconds since 1970.
    pub created: u64,
    /// The archive's lengths and counts.
    pub shape: Shape,
}

/// The folder that a sender wants to send, and the parameters of the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer<'a> {
    /// The parameters, to which the keys are bound.
    pub body: OfferBody,
    /// MAC of the manifest's digest.
    #[serde(with = "bytes")]
    pub manifest_tag: Bytes32,
    /// Commitment to the key.
    #[serde(with = "bytes")]
    pub commitment: Bytes32,
    /// The sealed name of the folder, of [`SEALED_NAME`] bytes.
    pub name: &'a [u8],
}

/// Length of what follows the body in an encoded [`Offer`] whose name has its length: the tags, the length of the sealed
/// name, and the sealed name.
pub const OFFER_TAIL: usize = 64 + 2 + SEALED_NAME;

/// What a side is busy with or waits for. It only informs the user of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[serde(from = "u8", into = "u8")]
#[non_exhaustive]
pub enum Stage {
    /// The receiver waits for its user to type the key.
    Key,
    /// The receiver waits for its user to type the key again, after a wrong one.
    KeyAgain,
    /// A side hashes the prefix of the archive that the receiver holds, or stretches the key.
    Hashing,
    /// The receiver verifies the stored archive.
    Verifying,
    /// A side waits: for its user, for the other side, or for a reader or another transfer to release the storage.
    Waiting,
    /// The receiver waits for its slow storage to store chunks.
    Storing,
    /// The sender waits for its slow storage to read the folder.
    Reading,
    /// A number that this version does not know.
    Unknown(u8),
}

impl From<u8> for Stage {
    fn from(number: u8) -> Self {
        match number {
            0 => Self::Key,
            1 => Self::KeyAgain,
            2 => Self::Hashing,
            3 => Self::Verifying,
            4 => Self::Waiting,
            5 => Self::Storing,
            6 => Self::Reading,
            number => Self::Unknown(number),
        }
    }
}

impl From<Stage> for u8 {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Key => 0,
            Stage::KeyAgain => 1,
            Stage::Hashing => 2,
            Stage::Verifying => 3,
            Stage::Waiting => 4,
            Stage::Storing => 5,
            Stage::Reading => 6,
            Stage::Unknown(number) => number,
        }
    }
}

/// Why a side ends the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Cancel {
    /// Its user interrupted the transfer.
    Interrupted,
    /// A file changed while it was sent.
    SourceChanged,
    /// A file cannot be read.
    SourceUnreadable,
    /// The peer sent nothing for too long.
    TimedOut,
    /// The peer's last message breaks the protocol.
    Protocol,
    /// The canceller does not accept the bounds or algorithms that the peer stated.
    Declined,
    /// The receiver can no longer read what the sender left out. The sender sends everything on a new connection.
    BaseLost,
}

impl fmt::Display for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupted => "its user interrupted the transfer",
            Self::SourceChanged => "a file changed while it was sent",
            Self::SourceUnreadable => "a file could not be read",
            Self::TimedOut => "it received nothing for too long",
            Self::Protocol => "it received a message that breaks the protocol",
            Self::Declined => "it does not accept the bounds or algorithms of the other side",
            Self::BaseLost => "it can no longer read the files that did not have to be sent",
        })
    }
}

/// A bound that was exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Limit {
    /// Length of the archive.
    Total,
    /// Number of entries.
    Entries,
    /// Length of the manifest.
    Manifest,
    /// Length of a path.
    Path,
    /// Chunk size.
    Chunk,
    /// PBKDF2 iterations.
    Iterations,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Total => "length of the archive",
            Self::Entries => "number of entries",
            Self::Manifest => "length of the manifest",
            Self::Path => "length of a path",
            Self::Chunk => "chunk size",
            Self::Iterations => "PBKDF2 iterations",
        })
    }
}

/// Why a receiver refuses a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Refusal {
    /// The two sides speak no common version.
    Version,
    /// The sender is locked out after too many wrong codes.
    Locked {
        /// Seconds until the lockout ends.
        seconds: u32,
    },
    /// The sender sent no code in time.
    CodeTimeout,
    /// The key is wrong.
    KeyWrong,
    /// The receiver's user did not type the key in time.
    KeyTimeout,
    /// The receiver's user declined.
    Declined,
    /// The receiver does not support the offer's key mode.
    KeyMode,
    /// The offer exceeds a bound.
    Limit {
        /// The bound.
        limit: Limit,
    },
    /// The storage does not have enough space.
    NoSpace {
        /// How much more space is needed.
        missing: Kibibytes,
    },
    /// The target holds another folder, which must not be overwritten.
    NotEmpty,
    /// The target cannot be written.
    NotWritable,
    /// A reader or another transfer is using the storage.
    InUse,
    /// The offer was created before the one that this sender sent last.
    Older,
    /// An entry has a name that the receiver's platform cannot hold safely.
    Name {
        /// Index of the entry in the manifest, from 0.
        entry: u32,
    },
    /// An entry has a name that means, on the receiver's platform, the same file as another entry's name.
    Collision {
        /// Index of the entry in the manifest, from 0.
        entry: u32,
    },
    /// The archive is malformed, or does not match its digests.
    Archive,
    /// A chunk failed authentication or could not be decoded.
    Chunk,
    /// Reading or writing the storage failed.
    Storage,
    /// The stored archive does not read back as it was written.
    Verify,
    /// The sender sent an unexpected or malformed frame or message.
    Protocol,
    /// The receiver's application rejects the folder.
    Rejected {
        /// The application's own number for its reason; 0 if it did not decide in time.
        code: u16,
    },
    /// The receiver cannot store a folder of this name.
    FolderName,
    /// The folder that this one would replace was changed at the receiver.
    Edited,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "the two sides speak no common version",
            Self::Locked { seconds } => return write!(f, "too many wrong codes: try again in {seconds} s"),
            Self::CodeTimeout => "no code came in time",
            Self::KeyWrong => "the key is wrong",
            Self::KeyTimeout => "the key was not typed in time",
            Self::Declined => "the receiver's user declined",
            Self::KeyMode => "the receiver does not support the key mode",
            Self::Limit { limit } => return write!(f, "a bound is exceeded: {limit}"),
            Self::NoSpace { missing: Kibibytes(0) } => "there is too little room",
            Self::NoSpace { missing } => return write!(f, "there is too little room: {missing} more are needed"),
            Self::NotEmpty => "the target holds another folder",
            Self::NotWritable => "the target cannot be written",
            Self::InUse => "a reader or another transfer is using the storage",
            Self::Older => "the folder is older than the one that was sent last",
            Self::Name { entry } => return write!(f, "entry {entry} has a name that the receiver cannot hold"),
            Self::Collision { entry } => return write!(f, "entry {entry} has the name of another entry there"),
            Self::Archive => "the archive is malformed, or does not match its digests",
            Self::Chunk => "a chunk is not authentic",
            Self::Storage => "the storage failed",
            Self::Verify => "the stored folder does not read back as it was written",
            Self::Protocol => "the sender broke the protocol",
            Self::Rejected { code } => {
                return write!(f, "the receiver's application rejects the folder: number {code}");
            }
            Self::FolderName => "the receiver cannot store a folder of this name",
            Self::Edited => "the folder that this one would replace was changed at the receiver",
        })
    }
}

impl core::error::Error for Refusal {}

// A message has room for an encapsulation and the longest encoding of every field.
const _: () = assert!(1 + 5 * 6 + 10 * 3 + 2 + 66 + OFFER_TAIL <= MESSAGE_MAX);
const _: () = assert!(2 + BASE_FILES_MAX * (5 + size_of::<Digest>()) < MESSAGE_MAX);
