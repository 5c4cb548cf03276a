//! Replaces a folder in an inbox by its successor in one step, unless it was changed here.
//!
//! Where the system can exchange two directories, readers see the old folder or the new one at every moment. Elsewhere
//! the old one is first moved into the staging area (`old`). If a process is interrupted between the two moves, the next
//! process moves the old folder back.
//!
//! ```text
//! 1. record the new folder as the next one (see `committed`)
//! 2. compare the target with its record
//! 3. exchange target and staged tree
//! 4. look at the old folder again, which is in the staging area now; if it was changed meanwhile, exchange them back
//! 5. the next record becomes the record
//! 6. remove the staging area with the old folder
//! ```
//!
//! The comparison (step 2) reads all content and may take minutes. The second look (step 4) reads no content: it finds
//! a file that was saved since, or a folder that was put in the target's place. What file managers put into a folder is
//! ignored both times (see `file_managers`). A process that is interrupted before step 5 leaves two records, one of
//! which is true: the next transfer finds out which, by comparing the target with both.

use std::io::{self, ErrorKind};
use std::path::Path;

use cap_std::fs::{Dir, Metadata};
use waft_core::session::{Offered, StoreError};

use super::blocking::BlockingStore;
use super::capabilities::Capabilities;
use super::committed::{Received, Record};
use super::compare::{Others, Rules, root_of};
use super::error::{Failure, Result};
use super::merge::Step;
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
        let rules = self.rules(capabilities, others(self.overwrite));
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
        let rules = self.rules(Capabilities::NONE, Others::FileManagers);
        if let Ok(Found::Filled(target)) = self.place.inspect()
            && root_of(target, &next, rules, true) == Some(next.root)
        {
            received.promote_next(&path);
        }
    }
}

/// The failure for a target that was changed here.
pub(super) fn edited(place: &Place) -> Failure {
    Failure::At(StoreError::Edited, place.at_target("", Cause::Edited))
}

/// Puts the staged tree in the place of the target. Returns the name that the target then has in the staging area.
pub(super) fn exchange(place: &Place, staging: &Staging) -> io::Result<&'static str> {
    let (dir, parent, target) = (&staging.dir, &place.parent, place.target.as_ref());
    let old = match platform::exchange(dir, TREE.as_ref(), parent, target) {
        Err(error) if is_unsupported(&error) => move_both(dir, parent, target).map(|()| OLD)?,
        exchanged => exchanged.map(|()| TREE)?,
    };
    platform::sync_names(parent)?;
    platform::sync_names(dir)?;
    Ok(old)
}

/// Puts the old folder, which is `old` in the staging area, back in its place, and the new one into the staging area.
fn put_back(place: &Place, staging: &Staging, old: &str) -> io::Result<()> {
    let (dir, parent, target) = (&staging.dir, &place.parent, Path::new(&place.target));
    let taken_back = match old {
        TREE => platform::exchange(dir, TREE.as_ref(), parent, target),
        _ => parent.rename(target, dir, TREE).and_then(|()| dir.rename(old, parent, target)),
    };
    match taken_back {
        // The new folder was moved away meanwhile.
        Err(error) if error.kind() == ErrorKind::NotFound => dir.rename(old, parent, target)?,
        taken_back => taken_back?,
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
/// was. Fails if there is another folder at its place: then the staging area has the only copy, and is left as it is.
pub(super) fn recover(place: &Place) -> Result<bool> {
    let Some(staging) = Staging::existing(place)? else { return Ok(false) };
    if staging.dir.symlink_metadata(OLD).is_err() {
        return Ok(false);
    }
    // The second move takes the new folder out of the staging area.
    let is_only_copy = staging.dir.symlink_metadata(TREE).is_ok();
    match place.inspect()? {
        Found::Filled(_) if is_only_copy => return Err(Failure::Io(place.at_staging(OLD, Cause::OnlyCopy))),
        Found::Nothing => {}
        Found::Empty(_) if is_only_copy => {}
        Found::Empty(_) | Found::Filled(_) => return Ok(false),
    }
    let moved = platform::rename_over_empty(&staging.dir, OLD.as_ref(), &place.parent, place.target.as_ref());
    moved.and_then(|()| platform::sync_names(&place.parent)).map_err(|error| place.at_target("", error))?;
    Ok(true)
}

/// What a predecessor may hold besides. Where a folder that was changed is merged, nothing: then nothing in it is removed.
pub(super) fn others(merges: bool) -> Others {
    if merges { Others::Nothing } else { Others::FileManagers }
}

/// Commits a staged folder over its predecessor, if that was not changed. Returns whether it did.
pub(super) fn commit_over(
    rules: Rules<'_>,
    staging: &Staging,
    target: Dir,
    received: &Received,
    store_next: impl FnOnce(),
    step: Step<'_>,
) -> Result<bool> {
    let place = rules.place;
    let path = place.target_path();
    let Some(record) = received.load(&path) else { return Ok(false) };
    let copied = staging.tree().and_then(|tree| platform::copy_attributes(&target, &tree));
    copied.map_err(|error| place.at_staging(TREE, error))?;
    let compared = target.dir_metadata().map_err(|error| place.at_target("", error))?;
    let predecessor = Predecessor { record, compared, rules };
    store_next();
    if !predecessor.is_whole(target) {
        received.remove_next(&path);
        return Ok(false);
    }
    let exchanged = step().and_then(|()| exchange(place, staging));
    let old = exchanged.map_err(|error| place.at_target("", error))?;
    if !predecessor.seems_to_be(&staging.dir, old) {
        put_back(place, staging, old).map_err(|error| place.at_staging(old, error))?;
        received.remove_next(&path);
        return Ok(false);
    }
    received.promote_next(&path);
    Ok(true)
}

/// The folder that is to be replaced.
struct Predecessor<'a> {
    record: Record,
    /// The directory that was compared with the record.
    compared: Metadata,
    rules: Rules<'a>,
}

impl Predecessor<'_> {
    /// Whether the target still holds exactly the folder of its record. Reads all its content.
    fn is_whole(&self, target: Dir) -> bool {
        root_of(target, &self.record, self.rules, true) == Some(self.record.root)
    }

    /// Whether the directory of this name is the one that was compared, and seems to be unchanged. Reads no content.
    fn seems_to_be(&self, staging: &Dir, old: &str) -> bool {
        let Ok(old) = platform::open_dir(staging, old) else { return false };
        // Windows does not tell directories apart, but moves none while it is open for the comparison.
        let is_it = old.dir_metadata().is_ok_and(|found| cfg!(windows) || platform::is_same(&found, &self.compared));
        is_it && root_of(old, &self.record, self.rules, false).is_some()
    }
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
    fn an_old_folder_is_put_back() {
        for (is_moved, is_there) in [(false, true), (true, true), (false, false), (true, false)] {
            let (temp, place, staging) = bench();
            let old = match is_moved {
                true => move_both(&staging.dir, &place.parent, place.target.as_ref()).map(|()| OLD).unwrap(),
                false => exchange(&place, &staging).unwrap(),
            };
            if !is_there {
                fs::rename(temp.path().join("folder"), temp.path().join("away")).unwrap();
            }
            put_back(&place, &staging, old).unwrap();
            assert_eq!(content(&temp), "old");
            assert_eq!(temp.path().join(".folder.waft/tree/file").exists(), is_there);
        }
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
    fn the_only_copy_of_an_old_folder_is_not_given_up_for_what_took_its_place() {
        let (temp, place, staging) = bench();
        place.parent.rename(&place.target, &staging.dir, OLD).unwrap();
        drop(staging);
        put(temp.path(), "folder/mine", b"mine", 0o644);
        assert!(recover(&place).is_err());
        assert!(temp.path().join(".folder.waft/old/file").exists() && temp.path().join("folder/mine").exists());
        // Nor for an empty folder.
        fs::remove_file(temp.path().join("folder/mine")).unwrap();
        assert!(recover(&place).unwrap_or_default());
        assert_eq!(content(&temp), "old");
    }

    #[test]
    fn an_old_folder_whose_successor_is_in_place_stays_in_the_staging_area() {
        for is_empty in [false, true] {
            let (temp, place, staging) = bench();
            move_both(&staging.dir, &place.parent, place.target.as_ref()).unwrap();
            drop(staging);
            if is_empty {
                fs::remove_file(temp.path().join("folder/file")).unwrap();
            }
            assert!(!recover(&place).unwrap_or(true));
            assert!(temp.path().join(".folder.waft/old/file").exists());
        }
    }

    #[test]
    fn a_second_move_that_fails_is_undone_at_once() {
        let (temp, place, staging) = bench();
        fs::remove_dir_all(temp.path().join(".folder.waft/tree")).unwrap();
        assert!(move_both(&staging.dir, &place.parent, place.target.as_ref()).is_err());
        assert_eq!(content(&temp), "old");
    }
}
