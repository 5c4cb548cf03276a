//! Checks of the target that need no byte of a folder. They run when a receiver starts, when a sender connects, and
//! when a folder is offered, before the user is asked for a code or a key.

use std::ffi::OsStr;
use std::io;
use std::time::{Duration, Instant};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use waft_core::archive::Shape;
use waft_core::certificate::CertificateHash;
use waft_core::limits::ENTRY_MAX;
use waft_core::session::{Offered, StoreError};

use super::LeftBehind;
use super::blocking::BlockingStore;
use super::capabilities::Note;
use super::error::{Failure, Result, no_space};
use super::place::{Found, Place};
use super::staging::{Staging, TREE};
use crate::error::{Cause, FileError};
use crate::platform;
use crate::worker::is_given_up;

/// Limits for counting the bytes below a directory: the number of entries, and the time.
const COUNTED: u32 = 4_096;
const COUNTING: Duration = Duration::from_millis(500);

impl BlockingStore {
    /// Checks that this target can receive folders, by creating the staging area and removing it again. Returns the
    /// notes that the user should see before a transfer.
    pub(super) fn probe(&mut self) -> Result<Vec<Note>> {
        let mut notes: Vec<_> = self.place.in_place.map(Note::InPlace).into_iter().collect();
        self.check_target()?;
        if self.received.is_some() {
            self.check_content(None)?;
        }
        let staging = match Staging::open(&self.place) {
            // Another process receives into this target at the moment.
            Err(Failure::At(StoreError::InUse, _)) => return Ok(notes),
            staging => staging?,
        };
        let capabilities = self.measure(&staging)?;
        if let (Found::Empty(target), None) = (self.place.inspect()?, self.place.in_place) {
            let lost = staging.lost_attributes(&target).map_err(|error| self.place.at_staging("", error))?;
            notes.extend(lost.into_iter().map(Note::Attribute));
        }
        if !staging.is_used() {
            staging.remove(&self.place).map_err(|error| self.place.at_staging("", error))?;
        }
        notes.extend(capabilities.notes());
        Ok(notes)
    }

    /// Fails if the store could accept nothing at all from `sender` now.
    pub(super) fn refuses(&self, sender: &CertificateHash) -> Result<()> {
        self.check_content(Some(sender))?;
        self.place.check_staging()?;
        self.check_target()
    }

    /// Fails if the target is not empty, may not be overwritten, and does not hold a folder of `sender` (of any sender
    /// for `None`), which that sender may send again.
    fn check_content(&self, sender: Option<&CertificateHash>) -> Result<()> {
        if self.overwrite || !matches!(self.place.inspect()?, Found::Filled(_)) {
            return Ok(());
        }
        let record = self.received.as_ref().and_then(|received| received.load(&self.place.target_path()));
        match record.is_some_and(|record| sender.is_none_or(|sender| record.sender == *sender)) {
            true => Ok(()),
            false => Err(self.not_empty()),
        }
    }

    /// Fails as the store would fail to begin the folder in a sealed file, which has this shape and no sender, as far
    /// as that can be known without the folder's manifest.
    pub(super) fn check_opening(&self, shape: &Shape) -> Result<()> {
        self.check_unless(shape, |target| self.may_hold(&target, shape))
    }

    /// Fails as the store would fail to begin the offered folder, as far as that can be known without the folder's
    /// manifest.
    pub(super) fn check(&mut self, offered: &Offered) -> Result<()> {
        self.forget_place()?;
        self.check_unless(&offered.shape, |target| self.may_be_committed(target, offered))
    }

    /// Runs the checks of [`check`](Self::check) and [`check_opening`](Self::check_opening). If `is_there` says
    /// that the target may already hold the folder, the remaining checks are skipped.
    fn check_unless(&self, shape: &Shape, is_there: impl FnOnce(Dir) -> bool) -> Result<()> {
        if !self.is_staging() && Staging::is_in_use(&self.place) {
            return Err(Staging::in_use(&self.place));
        }
        if let Found::Filled(target) = self.place.inspect()? {
            if is_there(target) {
                return Ok(());
            }
            if !self.overwrite {
                return Err(self.not_empty());
            }
        }
        self.place.check_staging()?;
        self.check_target()?;
        // Before the folder has a name, an inbox does not know which part of it is staged.
        let reclaimable = if self.inbox.is_some() { self.bytes_in_inbox() } else { self.reclaimable() };
        let (needed, free) = (shape.total, self.free().saturating_add(reclaimable));
        if needed > free { Err(no_space(needed, free).into()) } else { Ok(()) }
    }

    /// Whether the target has as many entries, files and bytes as a folder of `shape`, or more if the target may hold
    /// other files.
    fn may_hold(&self, target: &Dir, shape: &Shape) -> bool {
        let mut counted = Counted::default();
        match counted.count(target, shape.entries, &|name| self.place.ignores(name)) {
            Ok(true) if self.overwrite => counted.files >= shape.files && counted.archive(shape) >= shape.total,
            Ok(true) => {
                let Counted { entries, files, .. } = counted;
                (entries, files, counted.archive(shape)) == (shape.entries, shape.files, shape.total)
            }
            Ok(false) => self.overwrite,
            // The target could be the folder although it cannot be read at the moment.
            Err(_) => true,
        }
    }

    /// Fails if the target could not be replaced, or not be written into.
    fn check_target(&self) -> Result<()> {
        match self.place.inspect()? {
            Found::Filled(target) if self.overwrite => self.place.check_fillable(&target),
            Found::Empty(target) if self.place.in_place.is_some() => self.place.check_fillable(&target),
            Found::Empty(target) => self.place.check_replaceable(&target),
            Found::Filled(_) | Found::Nothing => Ok(()),
        }
    }

    pub(super) fn not_empty(&self) -> Failure {
        let cause = match self.inbox {
            Some(_) => Cause::NotTheirs,
            None => io::Error::from(io::ErrorKind::DirectoryNotEmpty).into(),
        };
        Failure::At(StoreError::NotEmpty, self.place.at_target("", cause))
    }

    /// The longest archive that fits. Space that is already used here counts as free: a staged part is resumed or
    /// removed, and a folder that is already in the target takes no more space when it is sent again.
    pub(super) fn room(&self) -> u64 {
        let target = match self.place.inspect() {
            Ok(Found::Filled(target)) => self.bytes_below(&target),
            _ => 0,
        };
        self.free().saturating_add(self.reclaimable()).saturating_add(target).saturating_add(self.bytes_in_inbox())
    }

    /// Number of bytes in all folders and staging areas of an inbox. The next folder may be one of them.
    fn bytes_in_inbox(&self) -> u64 {
        let Some(inbox) = &self.inbox else { return 0 };
        Dir::open_ambient_dir(inbox.path(), ambient_authority()).map_or(0, |dir| self.bytes_below(&dir))
    }

    /// Number of bytes in the staging area.
    fn reclaimable(&self) -> u64 {
        let staging = platform::open_dir(&self.place.base, &self.place.staging);
        let tree = staging.and_then(|staging| platform::open_dir(&staging, TREE));
        tree.map_or(0, |tree| self.bytes_below(&tree))
    }

    /// An upper bound of the archive's length for a directory. If it holds too many entries to count, returns the used
    /// space of the whole file system.
    fn bytes_below(&self, dir: &Dir) -> u64 {
        let mut limit = Limit { entries: COUNTED, end: Instant::now() + COUNTING };
        let used = |stats: fs4::FsStats| stats.total_space().saturating_sub(stats.free_space());
        bytes_below(dir, &mut limit).unwrap_or_else(|| fs4::statvfs(&self.place.base_path).map_or(0, used))
    }
}

impl Place {
    /// Fails if no file could be moved into the target, which holds other files or is filled in place.
    fn check_fillable(&self, target: &Dir) -> Result<()> {
        platform::may_write(target).map_err(|error| self.at_target("", error).into())
    }

    /// Fails if an empty target could not be replaced by a rename.
    fn check_replaceable(&self, target: &Dir) -> Result<()> {
        let both = target.dir_metadata().and_then(|target| Ok((self.parent.dir_metadata()?, target)));
        let (parent, target) = both.map_err(|error| self.at_target("", error))?;
        match platform::is_kept_for_its_owner(&parent, &target) {
            true => Err(Failure::At(StoreError::NotWritable, self.at_target("", Cause::NotOurs))),
            false => Ok(()),
        }
    }

    /// Fails if the staging area could not be created or used.
    fn check_staging(&self) -> Result<()> {
        match self.base.symlink_metadata(&self.staging) {
            Ok(found) if !found.is_dir() => {
                Err(Failure::At(StoreError::NotWritable, self.at_staging("", Cause::NotAFolder)))
            }
            Ok(found) if !platform::is_ours(&found) => {
                Err(Failure::At(StoreError::NotWritable, self.at_staging("", Cause::NotOurs)))
            }
            _ => platform::may_write(&self.base).map_err(|error| FileError::new(&self.base_path, error).into()),
        }
    }
}

/// What an interrupted transfer left in the staging area of this place, if it left anything.
pub(super) fn left_behind(place: &Place) -> Option<LeftBehind> {
    let staging = Staging::existing(place).ok()??;
    // The manifest is written before the first file, and removed before the first file is removed.
    if staging.manifest().and_then(|manifest| manifest.metadata()).is_ok_and(|found| found.len() > 0) {
        return Some(LeftBehind::Part(place.staging_path()));
    }
    let holds_files = staging.tree().and_then(|tree| tree.entries()).is_ok_and(|mut files| files.next().is_some());
    holds_files.then(|| LeftBehind::Unremoved(place.staging_path()))
}

/// The entries below a directory.
#[derive(Default)]
struct Counted {
    entries: u32,
    files: u32,
    /// Sum of the lengths of the files.
    bytes: u64,
}

impl Counted {
    /// Counts the entries below `dir`, and stops after `most` of them. Returns whether all were counted.
    fn count(&mut self, dir: &Dir, most: u32, ignored: &dyn Fn(&OsStr) -> bool) -> io::Result<bool> {
        for entry in dir.entries()? {
            let entry = entry?;
            if ignored(&entry.file_name()) {
                continue;
            }
            self.entries += 1;
            if self.entries > most || is_given_up() {
                return Ok(false);
            }
            let found = entry.metadata()?;
            if found.is_file() {
                self.files += 1;
                self.bytes += found.len();
            } else if found.is_dir() && !self.count(&platform::open_dir(dir, entry.file_name())?, most, &|_| false)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Length of the archive of these entries, if its manifest is as long as `shape` says.
    fn archive(&self, shape: &Shape) -> u64 {
        u64::from(shape.manifest) + self.bytes + 32 * (u64::from(self.files) + 1)
    }
}

/// The limits that are left for counting.
struct Limit {
    entries: u32,
    end: Instant,
}

/// An upper bound of the archive's length for a directory. `None` if a limit was reached or a directory cannot be read.
fn bytes_below(dir: &Dir, limit: &mut Limit) -> Option<u64> {
    let mut bytes = 0_u64;
    for entry in dir.entries().ok()?.flatten() {
        limit.entries = limit.entries.checked_sub(1).filter(|_| Instant::now() < limit.end)?;
        let Ok(found) = entry.metadata() else { continue };
        // The entry in the manifest, and the digest.
        bytes += ENTRY_MAX as u64 + 64;
        if found.is_dir() {
            let below = platform::open_dir(dir, entry.file_name()).ok()?;
            bytes += bytes_below(&below, limit)?;
        } else if found.is_file() {
            bytes += found.len();
        }
    }
    Some(bytes)
}
