//! One entry of a manifest: a file or a directory, with what is known of it.
//!
//! ```text
//! 0               2
//! +---------------+------------------------------------------------------+
//! | length (u16)  | kind (and size) | path | mode | seconds | nanos       |
//! +---------------+------------------------------------------------------+
//!   big-endian      postcard: length bytes, every integer in its shortest form
//! ```
//!
//! PROTOCOL.md, section 8.1.

use serde::{Deserialize, Serialize};

use super::ArchiveError;
use crate::limits::ENTRY_MAX;
use crate::path::RelPath;

/// Bytes of length before every entry.
pub const ENTRY_PREFIX: usize = 2;
/// All mode bits that an entry may have: no setuid, no setgid, no sticky bit.
pub const MODE_MAX: u16 = 0o777;

const NANOS: u32 = 1_000_000_000;

/// One entry of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// File or directory.
    pub kind: Kind,
    /// Where it stands, relative to the folder.
    pub path: RelPath<'a>,
    /// Unix permission bits, at most [`MODE_MAX`].
    pub mode: u16,
    /// When it was changed last.
    pub modified: Modified,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Kind {
    /// A directory.
    Directory,
    /// A file.
    File {
        /// Length of its content, in bytes.
        size: u64,
    },
}

/// A point in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Modified {
    /// Seconds since 1970-01-01 UTC.
    pub seconds: i64,
    /// Nanoseconds behind them, below 1 000 000 000.
    pub nanos: u32,
}

impl<'a> Entry<'a> {
    /// Writes the entry, its 2-byte length before it, to the front of `out`; gives the number of bytes written.
    /// `ENTRY_PREFIX + ENTRY_MAX` bytes always suffice.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, ArchiveError> {
        self.check()?;
        let (prefix, body) = out.split_first_chunk_mut::<ENTRY_PREFIX>().ok_or(ArchiveError::Buffer)?;
        let length = postcard::to_slice(&Body::from(self), body).map_err(|_| ArchiveError::Buffer)?.len();
        *prefix = u16::try_from(length).map_err(|_| ArchiveError::EntryTooLong)?.to_be_bytes();
        Ok(ENTRY_PREFIX + length)
    }

    /// Reads an entry that takes up all of `bytes`, its length not among them.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, ArchiveError> {
        if bytes.len() > ENTRY_MAX {
            return Err(ArchiveError::EntryTooLong);
        }
        let body: Body<'a> = postcard::from_bytes(bytes).map_err(|_| ArchiveError::Malformed)?;
        // Bytes that were left over, or an integer longer than it needs to be: one tree has one manifest.
        if body.length() != bytes.len() {
            return Err(ArchiveError::Malformed);
        }
        let modified = Modified { seconds: body.seconds, nanos: body.nanos };
        let entry = Self { kind: body.kind, path: RelPath::new(body.path)?, mode: body.mode, modified };
        entry.check()?;
        Ok(entry)
    }

    /// The size of a file; `None` for a directory.
    pub fn size(&self) -> Option<u64> {
        match self.kind {
            Kind::File { size } => Some(size),
            Kind::Directory => None,
        }
    }

    fn check(&self) -> Result<(), ArchiveError> {
        if self.mode > MODE_MAX {
            return Err(ArchiveError::Mode);
        }
        if self.modified.nanos >= NANOS {
            return Err(ArchiveError::Time);
        }
        Ok(())
    }
}

/// An entry as postcard has it: nothing checked but its form.
#[derive(Serialize, Deserialize)]
struct Body<'a> {
    kind: Kind,
    path: &'a str,
    mode: u16,
    seconds: i64,
    nanos: u32,
}

impl Body<'_> {
    /// Length of its shortest form.
    fn length(&self) -> usize {
        let kind = match self.kind {
            Kind::Directory => 1,
            Kind::File { size } => 1 + varint(size),
        };
        let seconds = (self.seconds << 1) ^ (self.seconds >> 63);
        let path = varint(self.path.len() as u64) + self.path.len();
        kind + path + varint(self.mode.into()) + varint(seconds as u64) + varint(self.nanos.into())
    }
}

impl<'a> From<&Entry<'a>> for Body<'a> {
    fn from(entry: &Entry<'a>) -> Self {
        let Modified { seconds, nanos } = entry.modified;
        Self { kind: entry.kind, path: entry.path.as_str(), mode: entry.mode, seconds, nanos }
    }
}

/// Length of the shortest varint of `value`.
fn varint(value: u64) -> usize {
    let bits = u64::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}
