//! The rules that relate the entries of a manifest to each other: their order, their parents, and limits on their sums.
//!
//! The manifest's writer and reader pass every entry through the same [`Rules`]. Since entries ascend component by
//! component, all entries between a directory and one of its children are inside that directory; so the last entry
//! suffices to check that the parent of the next one exists. PROTOCOL.md, sections 8.1 and 10.

use core::cmp::Ordering;

use super::entry::{Entry, Kind};
use super::error::ArchiveError;
use super::shape::{DIGEST, Shape, Summary};
use crate::digest::Digest;
use crate::limits::{ARCHIVE_MAX, ENTRIES_MAX, MANIFEST_MAX};
use crate::path::{PathBuffer, RelPath};

/// State after the entries so far: the last path, and the sums. Every sum is within its limit.
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
        Self { last: PathBuffer::new(), last_is_file: false, sums: Sums::NONE }
    }

    /// Starts over, in place.
    pub(super) fn restart(&mut self) {
        self.last.clear();
        (self.last_is_file, self.sums) = (false, Sums::NONE);
    }

    /// Checks and adds the next entry, which takes `length` bytes with its prefix. An error leaves the state unchanged.
    pub(super) fn check_entry(&mut self, entry: &Entry<'_>, length: usize) -> Result<(), ArchiveError> {
        self.check_order(entry.path)?;
        self.check_parent(entry.path)?;
        self.sums = self.sums.plus(entry, length)?;
        self.last.set(entry.path);
        self.last_is_file = matches!(entry.kind, Kind::File { .. });
        Ok(())
    }

    pub(super) fn summary(&self, digest: Digest) -> Summary {
        let Sums { manifest, entries, files, content } = self.sums;
        Summary { digest, shape: Shape { total: self.sums.total(), files, entries, manifest }, content }
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
    const NONE: Self = Self { manifest: 0, entries: 0, files: 0, content: 0 };

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

    /// Length of the archive. It cannot overflow, since each sum is within its own limit.
    fn total(&self) -> u64 {
        u64::from(self.manifest) + self.content + (u64::from(self.files) + 1) * DIGEST as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Modified;

    fn directory(path: &str) -> Entry<'_> {
        let path = RelPath::new(path).unwrap();
        Entry { kind: Kind::Directory, path, mode: 0o755, modified: Modified::default() }
    }

    fn file(path: &str, size: u64) -> Entry<'_> {
        Entry { kind: Kind::File { size }, ..directory(path) }
    }

    /// The result for the last of the entries. All entries before it must be accepted.
    fn result_of(entries: &[Entry<'_>]) -> Result<(), ArchiveError> {
        let mut rules = Rules::new();
        let (last, before) = entries.split_last().unwrap();
        before.iter().for_each(|entry| rules.check_entry(entry, 20).unwrap());
        rules.check_entry(last, 20)
    }

    #[test]
    fn entries_ascend() {
        assert_eq!(result_of(&[directory("a"), file("a/x", 1), file("a-b", 1)]), Ok(()));
        assert_eq!(result_of(&[directory("a"), file("a-b", 1), file("a/x", 1)]), Err(ArchiveError::Order));
        assert_eq!(result_of(&[file("a", 1), file("a", 2)]), Err(ArchiveError::Duplicate));
        assert_eq!(result_of(&[file("a", 1), directory("a")]), Err(ArchiveError::Duplicate));
    }

    #[test]
    fn parents_are_directories_that_precede_their_children() {
        assert_eq!(result_of(&[file("a/b", 1)]), Err(ArchiveError::ParentMissing));
        assert_eq!(result_of(&[directory("a"), file("a/b/c", 1)]), Err(ArchiveError::ParentMissing));
        assert_eq!(result_of(&[directory("a"), file("ab/c", 1)]), Err(ArchiveError::ParentMissing));
        assert_eq!(result_of(&[file("a", 1), file("a/b", 1)]), Err(ArchiveError::ParentIsFile));
        let deep = [directory("a"), directory("a/b"), directory("a/b/c"), file("a/b/c/d", 1)];
        assert_eq!(result_of(&[&deep[..], &[file("a/b-", 1)]].concat()), Ok(()));
        assert_eq!(result_of(&[&deep[..], &[file("a/c/d", 1)]].concat()), Err(ArchiveError::ParentMissing));
    }

    #[test]
    fn the_archive_stays_within_its_limit() {
        let room = ARCHIVE_MAX - 20 - 2 * DIGEST as u64;
        assert_eq!(result_of(&[file("a", room)]), Ok(()));
        assert_eq!(result_of(&[file("a", room + 1)]), Err(ArchiveError::ArchiveTooLong));
        assert_eq!(result_of(&[file("a", u64::MAX)]), Err(ArchiveError::ArchiveTooLong));
        assert_eq!(result_of(&[file("a", 1), file("b", u64::MAX)]), Err(ArchiveError::ArchiveTooLong));
        assert_eq!(result_of(&[file("a", room - 20 - DIGEST as u64), file("b", 1)]), Err(ArchiveError::ArchiveTooLong));
    }

    #[test]
    fn counts_and_lengths_stay_within_their_limits() {
        let mut rules = Rules::new();
        rules.sums.entries = ENTRIES_MAX - 1;
        assert_eq!(rules.check_entry(&directory("a"), 20), Ok(()));
        assert_eq!(rules.check_entry(&directory("b"), 20), Err(ArchiveError::TooManyEntries));

        let mut rules = Rules::new();
        rules.sums.manifest = MANIFEST_MAX - 20;
        assert_eq!(rules.check_entry(&directory("a"), 21), Err(ArchiveError::ManifestTooLong));
        assert_eq!(rules.check_entry(&directory("a"), usize::MAX), Err(ArchiveError::ManifestTooLong));
        assert_eq!(rules.check_entry(&directory("a"), 20), Ok(()));
    }

    #[test]
    fn a_refused_entry_changes_nothing() {
        let mut rules = Rules::new();
        rules.check_entry(&directory("b"), 20).unwrap();
        let before = rules.summary(Digest([0; 32]));
        rules.check_entry(&file("a", 1), 20).unwrap_err();
        rules.check_entry(&file("c", u64::MAX), 20).unwrap_err();
        assert_eq!(rules.summary(Digest([0; 32])), before);
        assert_eq!(rules.check_entry(&file("b/c", 1), 20), Ok(()));
    }
}
