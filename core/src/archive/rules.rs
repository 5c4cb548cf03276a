//! What holds between the entries of a manifest: order, parents, and the limits on their sums.
//!
//! Writer and reader ask the same [`Rules`], one entry after the other. Since entries ascend component by component, all
//! entries between a directory and one of its children stand below that directory; so the last entry
//! alone tells whether the next one's parent is there. PROTOCOL.md, sections 8.1 and 10.

use core::cmp::Ordering;

use super::{ArchiveError, DIGEST, Entry, Kind, Summary};
use crate::digest::Digest;
use crate::limits::{ARCHIVE_MAX, ENTRIES_MAX, MANIFEST_MAX};
use crate::path::{PathBuffer, RelPath};

/// The entries so far: the last path, and the sums. Every sum is within its limit.
pub(super) struct Rules {
    last: PathBuffer,
    last_is_file: bool,
    sums: Sums,
}

#[derive(Clone, Copy)]
struct Sums {
    manifest: u32,
    entries: u32,
    files: u32,
    content: u64,
}

impl Rules {
    pub(super) const fn new() -> Self {
        let sums = Sums { manifest: 0, entries: 0, files: 0, content: 0 };
        Self { last: PathBuffer::new(), last_is_file: false, sums }
    }

    /// Takes up the next entry, `length` bytes long with its prefix. One that breaks a rule changes nothing.
    pub(super) fn admit(&mut self, entry: &Entry<'_>, length: usize) -> Result<(), ArchiveError> {
        self.check_order(entry.path)?;
        self.check_parent(entry.path)?;
        self.sums = self.sums.plus(entry, length)?;
        self.last.set(entry.path);
        self.last_is_file = matches!(entry.kind, Kind::File { .. });
        Ok(())
    }

    pub(super) fn summary(&self, digest: Digest) -> Summary {
        let Sums { manifest, entries, files, content } = self.sums;
        Summary { digest, manifest, entries, files, content, total: self.sums.total() }
    }

    fn check_order(&self, path: RelPath<'_>) -> Result<(), ArchiveError> {
        match self.last.path().map(|last| last.cmp(&path)) {
            None | Some(Ordering::Less) => Ok(()),
            Some(Ordering::Equal) => Err(ArchiveError::Duplicate),
            Some(Ordering::Greater) => Err(ArchiveError::Order),
        }
    }

    fn check_parent(&self, path: RelPath<'_>) -> Result<(), ArchiveError> {
        let Some(parent) = path.parent() else { return Ok(()) };
        match self.last.path() {
            Some(last) if last == parent && self.last_is_file => Err(ArchiveError::ParentIsFile),
            Some(last) if last == parent || last.is_below(parent) => Ok(()),
            _ => Err(ArchiveError::ParentMissing),
        }
    }
}

impl Sums {
    fn plus(self, entry: &Entry<'_>, length: usize) -> Result<Self, ArchiveError> {
        if self.entries == ENTRIES_MAX {
            return Err(ArchiveError::TooManyEntries);
        }
        let longer = u32::try_from(length).ok().and_then(|length| self.manifest.checked_add(length));
        let manifest = longer.filter(|manifest| *manifest <= MANIFEST_MAX).ok_or(ArchiveError::ManifestTooLong)?;
        let content = self.content.checked_add(entry.size().unwrap_or(0)).filter(|content| *content <= ARCHIVE_MAX);
        let content = content.ok_or(ArchiveError::ArchiveTooLong)?;
        let files = self.files + u32::from(entry.size().is_some());
        let sums = Self { manifest, entries: self.entries + 1, files, content };
        if sums.total() > ARCHIVE_MAX { Err(ArchiveError::ArchiveTooLong) } else { Ok(sums) }
    }

    /// Length of the archive. Far from overflow: each sum is within its own limit.
    fn total(&self) -> u64 {
        u64::from(self.manifest) + self.content + (u64::from(self.files) + 1) * DIGEST as u64
    }
}
