//! Replaces a folder in an inbox by its successor in one step, unless it was changed here.
//!
//! Where the system can exchange two directories, readers see the old folder or the new one at every moment. Elsewhere
//! the old one is first moved into the staging area (`old`). If a process is interrupted between the two moves, the next
//! process moves the old folder back.
//!
//! ```text
//! 1. record the new folder as the next one (see `committed`)
//! 2. exchange target and staged tree
//! 3. the next record becomes the record
//! 4. remove the staging area, in which the old folder is now
//! ```
//!
//! A process that is interrupted before step 3 leaves two records, one of which is true: the next transfer finds out
//! which, by comparing the target with both.

use std::io::{self, ErrorKind};
use std::path::Path;

use cap_std::fs::Dir;
use waft_core::session::{Offered, StoreError};

use super::blocking::BlockingStore;
use super::capabilities::Capabilities;
use super::committed::{Received, Record};
use super::compare::{Rules, root_of};
use super::error::{Failure, Result};
use super::place::{Found, Place};
use super::staging::{OLD, Staging, TREE};
use crate::error::Cause;
use crate::platform;

/// How a staged folder gets into a target that holds another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Onto {
    /// Not at all.
    Nothing,
    /// File by file, among what the target holds.
    Merged,
    /// In the place of its predecessor, or merged into it if `merges` and it was changed here meanwhile.
    Replaced {
        /// Whether a folder that was changed is merged.
        merges: bool,
    },
}

impl BlockingStore {
    /// How the offered folder gets into `target`, which holds something. Fails if it does not.
    pub(super) fn onto(&mut self, target: Dir, offered: &Offered) -> Result<Onto> {
        let merged = if self.overwrite { Ok(Onto::Merged) } else { Err(self.not_empty()) };
        if !self.may_replace() {
            return merged;
        }
        let record = self.received.as_ref().and_then(|received| received.load(&self.place.target_path()));
        let Some(record) = record.filter(|record| record.sender == offered.sender) else { return merged };
        let capabilities = self.measure_now().unwrap_or(Capabilities::NONE);
        let rules = self.rules(capabilities, false);
        // Reading all its content takes long. That is left to the commit, which has no deadline.
        match root_of(target, &record, rules, false) {
            Some(_) => Ok(Onto::Replaced { merges: self.overwrite }),
            None if self.overwrite => Ok(Onto::Merged),
            None => Err(edited(&self.place)),
        }
    }

    /// Whether a folder in this place is replaced by its successor: in an inbox, and where it can be renamed.
    pub(super) fn may_replace(&self) -> bool {
        self.inbox.is_some() && self.place.in_place.is_none()
    }

    /// If a process was interrupted while it replaced the target, finds out which of the two records is true.
    pub(super) fn settle_record(&mut self) {
        let Some(received) = &self.received else { return };
        let path = self.place.target_path();
        let Some(next) = received.load_next(&path) else { return };
        let rules = self.rules(Capabilities::NONE, false);
        if let Ok(Found::Filled(target)) = self.place.inspect()
            && root_of(target, &next, rules, true) == Some(next.root)
        {
            received.promote_next(&path);
        }
    }
}

/// Whether the target still holds exactly the folder of its record. Reads all its content.
pub(super) fn is_unchanged(place: &Place, target: Dir, record: &Record, capabilities: Capabilities) -> bool {
    let rules = Rules { capabilities, others: false, place };
    root_of(target, record, rules, true) == Some(record.root)
}

/// The failure for a target that was changed here.
pub(super) fn edited(place: &Place) -> Failure {
    Failure::At(StoreError::Edited, place.at_target("", Cause::Edited))
}

/// Puts the staged tree in the place of the target, which is then in the staging area.
pub(super) fn exchange(place: &Place, staging: &Staging) -> io::Result<()> {
    let (dir, parent, target) = (&staging.dir, &place.parent, place.target.as_ref());
    match platform::exchange(dir, TREE.as_ref(), parent, target) {
        Err(error) if is_unsupported(&error) => move_both(dir, parent, target)?,
        exchanged => exchanged?,
    }
    platform::sync_names(parent)?;
    platform::sync_names(dir)
}

/// Moves the target into the staging area, and the staged tree to the target.
fn move_both(staging: &Dir, parent: &Dir, target: &Path) -> io::Result<()> {
    parent.rename(target, staging, OLD)?;
    staging.rename(TREE, parent, target).or_else(|error| {
        staging.rename(OLD, parent, target)?;
        Err(error)
    })
}

/// Whether the system or the file system cannot exchange directories.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::InvalidInput)
}

/// If a process was interrupted between the two moves of [`exchange`], moves the old folder back. Returns whether it
/// was.
pub(super) fn recover(place: &Place) -> Result<bool> {
    let Some(staging) = Staging::existing(place)? else { return Ok(false) };
    let moves_back = staging.dir.symlink_metadata(OLD).is_ok() && matches!(place.inspect()?, Found::Nothing);
    if moves_back {
        let moved = staging.dir.rename(OLD, &place.parent, &place.target);
        moved.and_then(|()| platform::sync_names(&place.parent)).map_err(|error| place.at_target("", error))?;
    }
    Ok(moves_back)
}

/// Commits a staged folder over its predecessor, if that was not changed. Returns whether it did.
pub(super) fn commit_over(
    place: &Place,
    staging: &Staging,
    target: Dir,
    received: &Received,
    capabilities: Capabilities,
    store_next: impl FnOnce(),
) -> Result<bool> {
    let path = place.target_path();
    let Some(record) = received.load(&path) else { return Ok(false) };
    let copied = staging.tree().and_then(|tree| platform::copy_attributes(&target, &tree));
    copied.map_err(|error| place.at_staging(TREE, error))?;
    if !is_unchanged(place, target, &record, capabilities) {
        return Ok(false);
    }
    store_next();
    exchange(place, staging).map_err(|error| place.at_target("", error))?;
    received.promote_next(&path);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::put;

    /// A place whose target holds `old`, and its staging area with `new`.
    fn bench() -> (tempfile::TempDir, Place, Staging) {
        let temp = tempfile::tempdir().unwrap();
        put(temp.path(), "folder/file", b"old", 0o644);
        let place = Place::of(&temp.path().join("folder")).unwrap();
        let staging = Staging::open(&place).ok().unwrap();
        put(temp.path(), ".folder.waft/tree/file", b"new", 0o644);
        (temp, place, staging)
    }

    fn content(temp: &tempfile::TempDir) -> String {
        fs::read_to_string(temp.path().join("folder/file")).unwrap()
    }

    #[test]
    fn a_folder_is_replaced_by_exchange_or_by_two_moves() {
        let (temp, place, staging) = bench();
        exchange(&place, &staging).unwrap();
        assert_eq!(content(&temp), "new");
        let (temp, place, staging) = bench();
        move_both(&staging.dir, &place.parent, place.target.as_ref()).unwrap();
        assert_eq!(content(&temp), "new");
        staging.remove(&place).unwrap();
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_replacement_that_was_interrupted_between_the_moves_is_undone() {
        let (temp, place, staging) = bench();
        place.parent.rename(&place.target, &staging.dir, OLD).unwrap();
        drop(staging);
        assert!(recover(&place).unwrap_or_default());
        assert_eq!(content(&temp), "old");
        assert!(!recover(&place).unwrap_or(true), "once");
    }

    #[test]
    fn a_second_move_that_fails_is_undone_at_once() {
        let (temp, place, staging) = bench();
        fs::remove_dir_all(temp.path().join(".folder.waft/tree")).unwrap();
        assert!(move_both(&staging.dir, &place.parent, place.target.as_ref()).is_err());
        assert_eq!(content(&temp), "old");
    }
}
