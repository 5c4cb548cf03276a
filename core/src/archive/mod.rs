//! A folder as one stream of bytes, and back.
//!
//! ```text
//! +----------+---------+-----------------+-----+---------+-----------------+--------+
//! | manifest | content | BLAKE3(content) | ... | content | BLAKE3(content) |  root  |
//! +----------+---------+-----------------+-----+---------+-----------------+--------+
//!             first file                        last file
//! ```
//!
//! A sender walks its folder into a [`ManifestWriter`], then hashes each file with a [`ContentHasher`] as it reads it.
//! A receiver checks the manifest entry by entry with a [`ManifestReader`], then everything behind it with a
//! [`ContentReader`]. Neither needs memory that grows with the folder. PROTOCOL.md, section 8.

mod content;
mod entry;
mod manifest;

pub use content::{Content, ContentHasher, ContentReader};
pub use entry::{Entry, Kind, Modified};
pub use manifest::{ManifestReader, ManifestWriter, Summary};

use crate::path::PathError;

/// How an archive breaks its rules. On the way in the sender is at fault, on the way out the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ArchiveError {
    /// An entry that does not decode, or has bytes behind its last field.
    Malformed,
    /// An entry longer than any legal one.
    EntryTooLong,
    /// A path that no entry may have.
    Path(PathError),
    /// Mode bits beyond 0o777.
    Mode,
    /// Nanoseconds of a second or more.
    Time,
    /// An entry that does not come behind the one before it; so also every duplicate.
    Order,
    /// An entry whose parent is not a directory before it.
    Parent,
    /// More entries than allowed.
    TooManyEntries,
    /// A manifest longer than allowed, or longer than was said.
    ManifestTooLong,
    /// The manifest ends in the middle of an entry.
    ManifestTruncated,
    /// The archive would be longer than allowed.
    TooLong,
    /// More bytes than the archive has.
    Excess,
    /// A file's bytes do not match its digest.
    FileDigest,
    /// The digests do not match the root.
    RootDigest,
    /// The caller's buffer is too short.
    Buffer,
    /// The caller began a file where none was needed, or left one out.
    Misuse,
}
