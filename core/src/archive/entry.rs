//! One entry of a manifest: a file or a directory.
//!
//! PROTOCOL.md, section 8.1.
//!
//! ```text
//! +---------------+------+------+------+---------+-------+
//! | length (u16)  | kind | path | mode | seconds | nanos |
//! +---------------+------+------+------+---------+-------+
//!                  `----------- postcard --------------´
//! ```

use serde::{Deserialize, Serialize};

use crate::archive::ArchiveError;
use crate::limits::ENTRY_MAX;
use crate::path::RelPath;

/// Bytes of the length before an entry.
pub(super) const LENGTH: usize = 2;

/// A file or a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Which of the two.
    pub kind: Kind,
    /// Where it stands.
    pub path: RelPath<'a>,
    /// Unix permission bits, at most 0o777.
    pub mode: u16,
    /// When it was last modified.
    pub modified: Modified,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A directory, empty or not.
    Directory,
    /// A regular file.
    File {
        /// Its length, in bytes.
        size: u64,
    },
}

/// A time since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Modified {
    /// Whole seconds; before 1970 negative.
    pub seconds: i64,
    /// Nanoseconds on top, below 1 000 000 000.
    pub nanos: u32,
}

/// As it crosses. The order of the fields is the format.
#[derive(Serialize, Deserialize)]
struct Raw<'a> {
    kind: Kind,
    path: &'a str,
    mode: u16,
    seconds: i64,
    nanos: u32,
}

impl<'a> Entry<'a> {
    /// Writes the entry, its length first, to the front of `out`. Gives the bytes written.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, ArchiveError> {
        self.check()?;
        let Self { kind, path, mode, modified: Modified { seconds, nanos } } = *self;
        let raw = Raw { kind, path: path.as_str(), mode, seconds, nanos };
        let (length, body) = out.split_first_chunk_mut::<LENGTH>().ok_or(ArchiveError::Buffer)?;
        let count = postcard::to_slice(&raw, body).map_err(|_| ArchiveError::Buffer)?.len();
        debug_assert!(count <= ENTRY_MAX);
        *length = (count as u16).to_be_bytes();
        Ok(LENGTH + count)
    }

    /// Reads an entry that fills `bytes`, which begin behind its length.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, ArchiveError> {
        let (Raw { kind, path, mode, seconds, nanos }, []) =
            postcard::take_from_bytes(bytes).map_err(|_| ArchiveError::Malformed)?
        else {
            return Err(ArchiveError::Malformed);
        };
        let path = RelPath::new(path).map_err(ArchiveError::Path)?;
        let entry = Self { kind, path, mode, modified: Modified { seconds, nanos } };
        entry.check()?;
        Ok(entry)
    }

    fn check(&self) -> Result<(), ArchiveError> {
        if self.mode & !0o777 != 0 {
            return Err(ArchiveError::Mode);
        }
        if self.modified.nanos >= 1_000_000_000 {
            return Err(ArchiveError::Time);
        }
        Ok(())
    }
}
