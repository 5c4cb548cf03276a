//! Files that stay where they are while a folder is merged into a target that holds an earlier version of it.
//!
//! The sender leaves out files that the target has (see `base`). Such a file is hashed like all content, but it is neither
//! copied to the staging area nor moved back from there if the merge would replace it by its equal: one with the same
//! content, mode and time. So an update costs what the changed files cost, and reading the others.
//!
//! ```text
//! manifest staged | file read and hashed | ... | commit: all checked again, some staged after all | intent written
//!        ^-- a file that was changed after this moment does not stay ------------------------^
//! ```
//!
//! A file that was changed during the transfer is found when it is read, or at the commit: the file system keeps the time
//! of the last change of each file, which no program can set. At the commit a file has to be the one that was read, with
//! the same inode and the same time. A file that is not is copied to the staging area, and the copy is hashed (see
//! `restage`). So a change of attributes costs a copy, and only a change of content loses the base. A transfer that
//! resumes counts a file as held whose content is as it was, whether it will stay or be copied.
//!
//! All files are written to the drive before the first one is read, because a change through a memory map may get its time
//! only then; on tmpfs such a change gets none. Where the file system does not keep exact times, or shows the time of the
//! content for the other, no file stays.
//!
//! Where a file system takes two names for one, a file that is moved could replace one that stays. So a file stays only if
//! no file is moved onto its inode.

use cap_std::fs::Metadata;
use waft_core::archive::Kind;

use super::capabilities::Kept;
use crate::folder::entries::Item;
use crate::platform::{self, ChangeTime};

/// Recognises files that may stay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unchanged {
    /// When the transfer began.
    before: ChangeTime,
    kept: Kept,
}

impl Unchanged {
    /// Recognises files that have not changed since `manifest`, a file of the same file system, was written. `None` if
    /// the system does not tell when files change.
    pub(super) fn since(manifest: &Metadata, kept: Kept) -> Option<Self> {
        platform::changed(manifest).map(|before| Self { before, kept })
    }

    /// Whether the target's file with this metadata is as the merge would make it from an entry with content of `size`
    /// bytes, and has not changed.
    pub(super) fn is_unchanged(self, found: &Metadata, size: u64, item: &Item) -> bool {
        let Ok(modified) = found.modified() else { return false };
        found.is_file()
            && found.len() == size
            && platform::is_ours(found)
            && !platform::has_special_bits(found)
            && platform::has_change_time(found)
            && platform::changed(found).is_some_and(|changed| changed < self.before)
            && self.kept.is_exactly((platform::mode(found), modified.into_std()), item.mode, item.modified)
    }
}

/// The files of a transfer that stay.
#[derive(Debug, Default)]
pub(super) struct Stays {
    /// In the order of their entries in the manifest.
    files: Vec<Staying>,
    /// Recognises them; `None` if there are none.
    unchanged: Option<Unchanged>,
}

/// A file that stays, as it was when it was read.
#[derive(Clone, Copy, Debug)]
struct Staying {
    /// The entry's index in the manifest.
    entry: u32,
    inode: u64,
    changed: Option<ChangeTime>,
}

impl Stays {
    /// Adds the file of an entry, which comes after all that were added before.
    pub(super) fn add(&mut self, entry: u32, found: &Metadata, unchanged: Unchanged) {
        let (inode, changed) = (platform::inode(found), platform::changed(found));
        self.files.push(Staying { entry, inode, changed });
        self.unchanged = Some(unchanged);
    }

    /// The files of these entries, which are ascending, do not stay.
    pub(super) fn remove(&mut self, entries: &[u32]) {
        self.files.retain(|file| entries.binary_search(&file.entry).is_err());
    }

    /// Whether the file of this entry stays.
    pub(super) fn contains(&self, entry: u32) -> bool {
        self.of(entry).is_some()
    }

    fn of(&self, entry: u32) -> Option<Staying> {
        let found = self.files.binary_search_by_key(&entry, |file| file.entry).ok()?;
        Some(self.files[found])
    }

    /// Whether no file stays.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The inodes of the files, ascending, each with the entry of the file.
    pub(super) fn inodes(&self) -> Vec<(u64, u32)> {
        let mut inodes: Vec<_> = self.files.iter().map(|file| (file.inode, file.entry)).collect();
        inodes.sort_unstable();
        inodes
    }

    /// Whether the file of this entry was to stay, and what was found in the target is not that file as it was read.
    pub(super) fn has_changed(&self, item: &Item, found: Option<&Metadata>) -> bool {
        let (Some(file), Kind::File { size }) = (self.of(item.index), item.kind) else { return false };
        !self.unchanged.zip(found).is_some_and(|(unchanged, found)| {
            (platform::inode(found), platform::changed(found)) == (file.inode, file.changed)
                && unchanged.is_unchanged(found, size, item)
        })
    }
}
