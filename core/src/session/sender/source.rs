//! The archive that a sender sends: the trait [`Source`], and its errors.

use core::fmt;
use core::ops::Range;

use crate::archive::Shape;
use crate::digest::Digest;
use crate::session::outcome::SessionError;
use crate::wire::message::Cancel;

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
    /// Whether files that the receiver has already may be left out. The default is no.
    fn uses_base(&self) -> bool {
        false
    }
    /// Notes that the receiver has a file with the path and length of file number `file` of the manifest, whose content
    /// has this digest. Called once for each such file, in ascending order, before [`compare_base`](Self::compare_base).
    fn note_base_file(&mut self, _file: u32, _digest: &Digest) {}
    /// Hashes the files that were noted. From then on, [`read`](Self::read) continues at offset `from` of the archive, and
    /// skips the ranges that [`left_out`](Self::left_out) returns: what begins there with the rest of each file that is
    /// equal.
    async fn compare_base(&mut self, _from: u64) -> Result<(), SourceError> {
        Ok(())
    }
    /// The next range of the archive that is left out, at or after offset `from`; an empty range at the archive's end if
    /// there is none.
    fn left_out(&mut self, _from: u64) -> Range<u64> {
        let end = self.info().shape.total;
        end..end
    }
    /// The archive's root, once its last byte was read.
    fn root(&self) -> Option<Digest>;
}

/// Why a source cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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

impl From<SourceError> for SessionError {
    fn from(error: SourceError) -> Self {
        Self::Cancelled(match error {
            SourceError::Changed => Cancel::SourceChanged,
            SourceError::Unreadable => Cancel::SourceUnreadable,
        })
    }
}
