//! Why an archive is refused.

use core::fmt;

use crate::path::PathError;

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
