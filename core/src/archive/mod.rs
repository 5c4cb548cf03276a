//! The archive: a folder as one stream of bytes.
//!
//! ```text
//! manifest | content of the 1st file | its BLAKE3 | ... | content of the last file | its BLAKE3 | root
//! ```
//!
//! A sender walks its folder, writes the manifest through a [`ManifestWriter`], and then passes each file through a
//! [`ContentHasher`]. A receiver reads the first [`Shape::manifest`] bytes with a [`ManifestReader`] and all others
//! with a [`ContentReader`]. Both readers accept the bytes in pieces of any size. PROTOCOL.md, section 8.

mod content;
mod entry;
mod manifest;
mod rules;

use core::fmt;

use serde::{Deserialize, Serialize};

pub use content::{Content, ContentHasher, ContentReader};
pub use entry::{ENTRY_PREFIX, Entry, Kind, MODE_MAX, Modified};
pub use manifest::{ManifestReader, ManifestWriter};

use crate::digest::Digest;
use crate::path::PathError;

/// Length of the digest that follows every file's content, and of the root that ends an archive.
pub const DIGEST: usize = 32;

/// The lengths and counts of an archive, which are announced before its first byte.
///
/// An `Offer` and the header of a sealed file contain this struct as it is: the order of its fields *is* the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Length of the archive, in bytes.
    pub total: u64,
    /// Number of files.
    pub files: u32,
    /// Number of entries in the manifest: files and directories.
    pub entries: u32,
    /// Length of the manifest, in bytes.
    pub manifest: u32,
}

impl Shape {
    /// Whether there is at least one entry, there are no more files than entries, the manifest is long enough for its
    /// entries, and the archive is long enough for the manifest and all digests.
    pub fn is_consistent(&self) -> bool {
        // One digest for each file, and the root.
        let digests = DIGEST as u64 * (u64::from(self.files) + 1);
        self.entries > 0
            && self.files <= self.entries
            && self.entries <= self.manifest
            && u64::from(self.manifest) + digests <= self.total
    }
}

/// The summary of a whole manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// BLAKE3 of the manifest.
    pub digest: Digest,
    /// The archive's lengths and counts.
    pub shape: Shape,
    /// Sum of the files' sizes, in bytes.
    pub content: u64,
}

impl Summary {
    /// Checks that the manifest agrees with the lengths and counts that were announced.
    pub fn check(&self, announced: &Shape) -> Result<(), ArchiveError> {
        if self.shape == *announced { Ok(()) } else { Err(ArchiveError::Counts) }
    }
}

/// Why an archive is refused. Its sender is at fault, except where the variant names the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ArchiveError {
    /// An entry's bytes are not exactly one entry in its shortest form.
    Malformed,
    /// An entry is longer than any legal one.
    EntryTooLong,
    /// An entry's path is not legal.
    Path(PathError),
    /// An entry has mode bits beyond 0o777.
    Mode,
    /// An entry's time has 1 000 000 000 or more nanoseconds.
    Time,
    /// An entry's path sorts before the path of the previous entry.
    Order,
    /// An entry has the same path as the previous entry.
    Duplicate,
    /// The manifest has no entry for an entry's directory.
    ParentMissing,
    /// An entry's directory is a file.
    ParentIsFile,
    /// There are more entries than the protocol allows.
    TooManyEntries,
    /// The manifest is longer than the protocol allows.
    ManifestTooLong,
    /// The archive would be longer than the protocol allows, by the sizes of its files in the manifest.
    ArchiveTooLong,
    /// The manifest or the archive ends too early.
    Truncated,
    /// The manifest contradicts the announced lengths and counts.
    Counts,
    /// A file's content does not match its digest.
    FileDigest,
    /// The archive does not match its root.
    Root,
    /// Bytes follow the root.
    Trailing,
    /// The caller's buffer is too short for the entry.
    Buffer,
    /// The caller began or ended a file at the wrong moment, or gave sizes that contradict the manifest.
    Misuse,
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "an entry of the manifest does not decode",
            Self::EntryTooLong => "an entry of the manifest is too long",
            Self::Path(error) => return error.fmt(f),
            Self::Mode => "an entry has more mode bits than 0o777",
            Self::Time => "an entry's time is out of range",
            Self::Order => "the manifest's entries are out of order",
            Self::Duplicate => "the manifest has an entry twice",
            Self::ParentMissing => "an entry's directory is not in the manifest",
            Self::ParentIsFile => "an entry's directory is a file",
            Self::TooManyEntries => "the manifest has too many entries",
            Self::ManifestTooLong => "the manifest is too long",
            Self::ArchiveTooLong => "the archive is too long",
            Self::Truncated => "the archive ends too early",
            Self::Counts => "the manifest contradicts the announced lengths and counts",
            Self::FileDigest => "a file does not match its digest",
            Self::Root => "the archive does not match its root",
            Self::Trailing => "bytes follow the end of the archive",
            Self::Buffer => "the buffer is too short for the entry",
            Self::Misuse => "a file was begun or ended at the wrong moment",
        })
    }
}

impl core::error::Error for ArchiveError {}

impl From<PathError> for ArchiveError {
    fn from(error: PathError) -> Self {
        Self::Path(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_compared_with_the_announced_shape() {
        let shape = Shape { total: 10 + 5 + 64, files: 1, entries: 2, manifest: 10 };
        let summary = Summary { digest: Digest([0; 32]), shape, content: 5 };
        assert_eq!(summary.check(&shape), Ok(()));
        for announced in [
            Shape { total: 78, ..shape },
            Shape { files: 2, ..shape },
            Shape { entries: 1, ..shape },
            Shape { manifest: 9, ..shape },
        ] {
            assert_eq!(summary.check(&announced), Err(ArchiveError::Counts));
        }
    }

    #[test]
    fn a_shape_that_contradicts_itself_is_not_consistent() {
        let shape = Shape { total: 10 + 3 * 32, files: 2, entries: 2, manifest: 10 };
        assert!(shape.is_consistent());
        for wrong in [
            Shape { total: shape.total - 1, ..shape },
            Shape { manifest: 11, ..shape },
            Shape { files: 3, ..shape },
            Shape { files: 0, entries: 0, ..shape },
            Shape { manifest: 1, ..shape },
        ] {
            assert!(!wrong.is_consistent(), "{wrong:?}");
        }
    }
}
