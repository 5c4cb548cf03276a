//! Files that stay where they are while a folder is merged into a target that holds an earlier version of it.
//!
//! The sender leaves out files that the target has (see `base`). Such a file is hashed like all content, but it is neither
//! copied to the staging area nor moved back from there if the merge would replace it by its equal: one with the same
//! content, mode and time. So an update costs what the changed files cost, and reading the others.
//!
//! ```text
//! manifest staged | file read and hashed | ... | commit: all looked at again | intent written
//!        ^-- a file that was changed after this moment does not stay --^
//! ```
//!
//! Nothing is committed that differs from what was verified: the file system keeps the time of the last change of each
//! file, and no program can set it. A file that was changed during the transfer is either found when it is read, and copied,
//! or found at the commit, which then fails as for every base that is lost. Where the file system does not keep exact times,
//! no file stays.

use cap_std::fs::Metadata;
use waft_core::session::StoreError;

use super::capabilities::Kept;
use super::error::Result;
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
    pub(super) fn is(self, found: &Metadata, size: u64, item: &Item) -> bool {
        let Ok(modified) = found.modified() else { return false };
        found.is_file()
            && found.len() == size
            && platform::is_ours(found)
            && platform::changed(found).is_some_and(|changed| changed < self.before)
            && self.kept.is_exactly((platform::mode(found), modified.into_std()), item.mode, item.modified)
    }
}

/// The files of a transfer that stay.
#[derive(Debug, Default)]
pub(super) struct Stays {
    /// Their entries' indices in the manifest, ascending.
    entries: Vec<u32>,
    /// Recognises them; `None` if there are none.
    unchanged: Option<Unchanged>,
}

impl Stays {
    /// Adds the file of an entry, which comes after all that were added before.
    pub(super) fn add(&mut self, entry: u32, unchanged: Unchanged) {
        self.entries.push(entry);
        self.unchanged = Some(unchanged);
    }

    /// Whether the file of this entry stays.
    pub(super) fn contains(&self, entry: u32) -> bool {
        self.entries.binary_search(&entry).is_ok()
    }

    /// Whether no file stays.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Fails if the file of this entry was to stay, and what was found in the target is not that file any more.
    pub(super) fn check(&self, item: &Item, size: u64, found: Option<&Metadata>) -> Result<()> {
        let is_there = || self.unchanged.zip(found).is_some_and(|(unchanged, found)| unchanged.is(found, size, item));
        if !self.contains(item.index) || is_there() { Ok(()) } else { Err(StoreError::BaseLost.into()) }
    }
}
