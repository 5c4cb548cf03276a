//! The messages of a session, in postcard.
//!
//! The order of variants and of fields *is* the format: never change it, append. PROTOCOL.md, section 5.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::archive::Shape;
use crate::digest::Digest;
use crate::limits::{LIST_MAX, MESSAGE_MAX};

/// A list of numbers in order of preference.
pub type List = Vec<u8, LIST_MAX>;
/// A 32-byte nonce, salt, tag or MAC.
pub type Bytes32 = [u8; 32];

/// What a sender says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromSender {
    /// Its first message.
    Hello(Hello),
    /// The code that the receiver shows.
    Code {
        /// Four ASCII digits.
        digits: [u8; 4],
    },
    /// What it would like to send.
    Offer(Offer),
    /// Where the chunks begin.
    Resume {
        /// 0, or the offset of `Accept`, in bytes of archive.
        offset: u64,
    },
    /// It stops.
    Cancel(Cancel),
    /// It is still there, and busy or waiting; renews the receiver's deadline.
    Working(Stage),
}

impl FromSender {
    /// Whether the payload of a frame is [`FromSender::Working`].
    pub fn is_working(payload: &[u8]) -> bool {
        matches!(payload, [5, _])
    }
}

/// What a receiver says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromReceiver {
    /// Its first message.
    Greeting(Greeting),
    /// The code was right.
    CodeAccepted,
    /// The code was wrong.
    CodeWrong {
        /// Tries left, at least 1.
        left: u8,
    },
    /// It is still there, and busy or waiting; renews the sender's deadline.
    Working(Stage),
    /// It has the key, and holds a prefix.
    Accept {
        /// Length of the prefix, in bytes of archive.
        offset: u64,
        /// BLAKE3 of the prefix.
        digest: Digest,
        /// Proof of the key.
        mac: Bytes32,
    },
    /// So much is durable.
    Progress {
        /// Bytes of archive.
        durable: u64,
    },
    /// The new folder is in place.
    Committed {
        /// The archive's root.
        digest: Digest,
        /// Files in it.
        files: u32,
        /// Length of the archive, in bytes.
        bytes: u64,
        /// Counts committed folders, where that is done.
        generation: u64,
    },
    /// It refuses.
    Refused(Refusal),
    /// It stops.
    Cancel(Cancel),
}

/// A sender's first message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Lowest version spoken.
    pub min: u8,
    /// Highest version spoken.
    pub max: u8,
    /// Fresh for each connection.
    pub nonce: Bytes32,
    /// Fresh for each run.
    pub salt: Bytes32,
}

/// A receiver's first message: its bounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// The version chosen.
    pub version: u8,
    /// Fresh for each connection.
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
    /// Whether a code must come next.
    pub code_needed: bool,
    /// Most PBKDF2 iterations.
    pub max_iterations: u32,
    /// How long a person has to type the key, in seconds.
    pub key_seconds: u16,
}

/// Number of key mode *typed* in [`Greeting::keys`].
pub const KEY_TYPED: u8 = 0;
/// Number of key mode *sealed* in [`Greeting::keys`].
pub const KEY_SEALED: u8 = 1;

/// How the key reaches the receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyMode {
    /// A person types it.
    Typed,
    /// Sealed to the receiver's HPKE key: the encapsulation, 65 bytes.
    Sealed(Vec<u8, 65>),
}

/// An [`Offer`] without its tags.
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

/// What a sender would like to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// What the keys are bound to.
    pub body: OfferBody,
    /// Tag of the manifest's digest.
    pub manifest_tag: Bytes32,
    /// Commitment to the key.
    pub commitment: Bytes32,
}

/// Length of the tags that end an encoded [`Offer`].
pub const OFFER_TAGS: usize = 64;

/// What a side is busy with or waits for. It only informs the user on the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[serde(from = "u8", into = "u8")]
pub enum Stage {
    /// The receiver waits for its user to type the key.
    Key,
    /// The same, after a wrong one.
    KeyAgain,
    /// A side reads back what it holds of the archive, or stretches the key.
    Hashing,
    /// The receiver verifies what was stored.
    Verifying,
    /// A side waits: for its user, for the other side, or for a reader or another transfer to release the storage.
    Waiting,
    /// The receiver's storage takes what was received.
    Storing,
    /// The sender's storage gives what comes next.
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

/// Why a side stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Cancel {
    /// Its person wants so.
    Interrupted,
    /// A file changed while it was sent.
    SourceChanged,
    /// A file cannot be read.
    SourceUnreadable,
    /// The peer said nothing for too long.
    TimedOut,
    /// It holds the peer's last message to be wrong.
    Protocol,
    /// It does not go on with what the peer stated.
    Declined,
}

/// A bound that was passed.
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

/// Why a receiver refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Refusal {
    /// No common version.
    Version,
    /// Too many wrong codes.
    Locked {
        /// Come back after so many seconds.
        seconds: u32,
    },
    /// No code came.
    CodeTimeout,
    /// The key is wrong.
    KeyWrong,
    /// Nobody typed the key.
    KeyTimeout,
    /// The receiver's person said no.
    Declined,
    /// The receiver does not take keys that way.
    KeyMode,
    /// Past a bound.
    Limit {
        /// Which.
        limit: Limit,
    },
    /// Not enough space.
    NoSpace {
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The target holds another folder.
    NotEmpty,
    /// The target cannot be written.
    NotWritable,
    /// A reader, or another transfer, holds the place.
    InUse,
    /// Older than what this sender sent last.
    Older,
    /// A name that the receiver's platform cannot hold safely.
    Name {
        /// Index in the manifest, from 0.
        entry: u32,
    },
    /// A name that means the same file as another's there.
    Collision {
        /// Index in the manifest, from 0.
        entry: u32,
    },
    /// The archive is not well-formed, or does not match its digests.
    Archive,
    /// A chunk does not open.
    Chunk,
    /// Reading or writing failed.
    Storage,
    /// What was stored does not read back.
    Verify,
    /// An unexpected or malformed frame or message.
    Protocol,
}

// An encapsulation and every field at its longest still fit a message.
const _: () = assert!(1 + 5 * 6 + 10 * 3 + 2 + 67 + OFFER_TAGS < MESSAGE_MAX);
