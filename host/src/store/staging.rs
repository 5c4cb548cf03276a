//! The staging area: a directory beside the target, `.NAME.waft`, or inside of a target that is a mount point,
//! `.incoming.waft`. Only its owner has access.
//!
//! ```text
//! journal    the offer that the archive belongs to; locked while a process uses the staging area
//! manifest   the archive's manifest, as received so far
//! tree/      its files and directories, as received so far, without files that stay in the target (see `stays`)
//! copies/    only while such files are copied at the commit (see `restage`)
//! intent     only while files are being moved into a filled target (see `merge`)
//! old/       only while the target is being replaced on a system that cannot exchange directories (see `replace`)
//! ```

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt as _};
use cap_std::fs::{Dir, Metadata, OpenOptions};
use waft_core::session::{Offered, StoreError};

use super::error::{Failure, Result};
use super::place::Place;
use crate::error::Cause;
use crate::files::FileLock;
use crate::platform;
use crate::worker::is_given_up;

const JOURNAL: &str = "journal";
pub(super) const MANIFEST: &str = "manifest";
pub(super) const TREE: &str = "tree";
pub(super) const INTENT: &str = "intent";
pub(super) const OLD: &str = "old";

const COPIES: &str = "copies";
const PROBE: &str = "probe";

/// How often the removal of a directory is tried whose files were closed a moment ago, and the pause between tries.
const REMOVALS: u32 = 50;
const REMOVAL_PAUSE: Duration = Duration::from_millis(10);
/// The most names of a directory that are in memory at once while its entries are removed.
const BATCH: usize = 4096;

const MAGIC: &[u8; 16] = b"waft journal 1\n\0";
const RECORD: usize = MAGIC.len() + 32 + 8 + 4 + 4 + 4;

/// A staging area that is locked by this process.
pub(super) struct Staging {
    pub(super) dir: Dir,
    /// The journal, with the lock on it.
    journal: FileLock,
}

impl Staging {
    /// Opens the staging area, and creates it if necessary.
    pub(super) fn open(place: &Place) -> Result<Self> {
        loop {
            match platform::create_private_dir(&place.base, &place.staging) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(place.at_staging("", error).into()),
            }
            if let Some(staging) = Self::existing(place)? {
                return Ok(staging);
            }
        }
    }

    /// Opens the staging area if it exists.
    pub(super) fn existing(place: &Place) -> Result<Option<Self>> {
        let Some(dir) = own(place)? else { return Ok(None) };
        let mut options = read_write();
        options.create(true);
        let opened = dir.open_with(JOURNAL, &options);
        let journal = match opened {
            Ok(journal) => journal.into_std(),
            // Another process has just removed the staging area.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(place.at_staging(JOURNAL, error).into()),
        };
        let locked = FileLock::try_lock(journal).map_err(|error| place.at_staging(JOURNAL, error))?;
        let mut journal = locked.ok_or_else(|| Self::in_use(place))?;
        // Another process may have removed the staging area between opening and locking.
        let named = platform::is_named(&dir, JOURNAL, journal.file());
        let named = named.map_err(|error| place.at_staging(JOURNAL, error))?;
        Ok(named.then_some(Self { dir, journal }))
    }

    /// Whether another process uses the staging area at the moment. Writes nothing.
    pub(super) fn is_in_use(place: &Place) -> bool {
        let mut options = OpenOptions::new();
        options.read(true).follow(FollowSymlinks::No);
        let journal = platform::open_dir(&place.base, &place.staging).and_then(|dir| dir.open_with(JOURNAL, &options));
        journal.is_ok_and(|journal| matches!(FileLock::try_lock(journal.into_std()), Ok(None)))
    }

    /// The failure for a staging area that another process uses.
    pub(super) fn in_use(place: &Place) -> Failure {
        Failure::At(StoreError::InUse, place.at_staging("", Cause::InUse))
    }

    /// Whether a part of a folder is staged, or was being moved.
    pub(super) fn is_used(&self) -> bool {
        [MANIFEST, TREE, INTENT, OLD].iter().any(|name| self.dir.symlink_metadata(name).is_ok())
    }

    /// Whether the staged part belongs to that offer.
    pub(super) fn is_of(&mut self, offered: &Offered) -> io::Result<bool> {
        let mut found = Vec::with_capacity(RECORD + 1);
        self.journal.file().rewind()?;
        Read::by_ref(self.journal.file()).take(RECORD as u64 + 1).read_to_end(&mut found)?;
        Ok(found == record(offered))
    }

    /// Removes what is staged.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.journal.file().set_len(0)?;
        remove(&self.dir, MANIFEST)?;
        remove(&self.dir, INTENT)?;
        remove(&self.dir, TREE)?;
        remove(&self.dir, COPIES)?;
        remove(&self.dir, OLD)
    }

    /// Creates an empty manifest and an empty tree for that offer. Returns the file of the manifest. Files in the tree
    /// inherit the same group and access control lists as they would in `target`.
    pub(super) fn begin(&mut self, offered: &Offered, target: Option<&Dir>) -> io::Result<File> {
        let manifest = self.dir.open_with(MANIFEST, read_write().create_new(true))?.into_std();
        // The tree gets the target's mode later; until then the mode of the staging area keeps other users out.
        self.dir.create_dir(TREE)?;
        if let Some(target) = target {
            let tree = self.tree()?;
            platform::copy_attributes(target, &tree)?;
            platform::unlock_dir(&self.dir, TREE.as_ref())?;
        }
        self.journal.file().rewind()?;
        self.journal.file().write_all(&record(offered))?;
        Ok(manifest)
    }

    /// Opens the staged manifest.
    pub(super) fn manifest(&self) -> io::Result<File> {
        Ok(self.dir.open_with(MANIFEST, &read_write())?.into_std())
    }

    /// Opens the directory of the staged files and directories.
    pub(super) fn tree(&self) -> io::Result<Dir> {
        platform::open_dir(&self.dir, TREE)
    }

    /// Creates an empty directory for files that are copied before they get into the tree. They inherit the same group and
    /// access control lists as files in the tree.
    pub(super) fn copies(&self) -> io::Result<Dir> {
        remove(&self.dir, COPIES)?;
        self.dir.create_dir(COPIES)?;
        platform::copy_attributes(&self.tree()?, &platform::open_dir(&self.dir, COPIES)?)?;
        platform::unlock_dir(&self.dir, COPIES.as_ref())?;
        platform::open_dir(&self.dir, COPIES)
    }

    /// Returns the attributes of `target` that this user cannot give to a directory that replaces it.
    pub(super) fn lost_attributes(&self, target: &Dir) -> io::Result<Vec<&'static str>> {
        remove(&self.dir, PROBE)?;
        platform::create_private_dir(&self.dir, PROBE)?;
        let lost = platform::open_dir(&self.dir, PROBE).and_then(|probe| platform::copy_attributes(target, &probe));
        remove(&self.dir, PROBE)?;
        lost
    }

    /// Removes the staging area. The journal is removed last, so that the lock covers the removal of everything else.
    /// It is closed before the directory is removed, because NFS and FUSE keep a removed file in its directory while it
    /// is open.
    pub(super) fn remove(mut self, place: &Place) -> io::Result<()> {
        self.clear()?;
        if cfg!(windows) {
            drop(self.journal);
            self.dir.remove_file(JOURNAL)?;
        } else {
            self.dir.remove_file(JOURNAL)?;
            drop(self.journal);
        }
        let dir = (!cfg!(windows)).then_some(self.dir);
        let taken_over = || dir.as_ref().is_some_and(|dir| dir.symlink_metadata(JOURNAL).is_ok());
        remove_emptied(&place.base, place.staging.as_ref(), taken_over)
    }
}

/// Opens the staging area if it is a directory of this user, and takes away the access of others.
fn own(place: &Place) -> Result<Option<Dir>> {
    let not_ours = |cause: Cause| Failure::At(StoreError::NotWritable, place.at_staging("", cause));
    let dir = match platform::open_dir(&place.base, &place.staging) {
        Ok(dir) => dir,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => match place.base.symlink_metadata(&place.staging) {
            Ok(found) if !found.is_dir() => return Err(not_ours(Cause::NotAFolder)),
            _ => return Err(place.at_staging("", error).into()),
        },
    };
    let found = dir.dir_metadata().map_err(|error| place.at_staging("", error))?;
    if !platform::is_ours(&found) && !is_as_made_here(&dir, &found) {
        return Err(not_ours(Cause::NotOurs));
    }
    if platform::mode(&found) != platform::PRIVATE_DIR {
        // The owner may set the mode, except on file systems without modes: there the mount options determine access.
        let _ = platform::set_dir_mode(&dir, platform::PRIVATE_DIR);
    }
    Ok(Some(dir))
}

/// Whether the file system shows the same foreign owner for whatever this process creates. Some file systems have no
/// owners, and some servers map root to another user.
fn is_as_made_here(dir: &Dir, found: &Metadata) -> bool {
    let name = format!("{PROBE}-{}", std::process::id());
    let made = platform::create_private_dir(dir, &name).and_then(|()| dir.symlink_metadata(&name));
    let same = made.as_ref().is_ok_and(|probe| platform::has_owner_of(probe, found));
    made.is_ok() && dir.remove_dir(&name).is_ok() && same
}

/// Options for a file of the staging area that is read and written, with access only for its owner.
pub(super) fn read_write() -> OpenOptions {
    let mut options = OpenOptions::new();
    platform::private(options.read(true).write(true).follow(FollowSymlinks::No));
    options
}

/// The content of the journal: the fixed parts of the offer. Integers are big-endian.
fn record(offered: &Offered) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    let parts: [&[u8]; 6] = [
        MAGIC,
        &offered.sender.0,
        &offered.shape.total.to_be_bytes(),
        &offered.shape.manifest.to_be_bytes(),
        &offered.shape.files.to_be_bytes(),
        &offered.shape.entries.to_be_bytes(),
    ];
    let mut at = 0;
    for part in parts {
        record[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    record
}

/// Removes a file, or a directory with all that is below it. Follows no symlink.
pub(super) fn remove(parent: &Dir, name: impl AsRef<Path>) -> io::Result<()> {
    let name = name.as_ref();
    let found = match parent.symlink_metadata(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !found.is_dir() {
        return parent.remove_file(name);
    }
    // A received directory may have any mode, but it must be readable and writable to be emptied.
    if platform::mode(&found) & 0o700 != 0o700 {
        platform::unlock_dir(parent, name)?;
    }
    let dir = platform::open_dir(parent, name)?;
    remove_where(&dir, |_| true)?;
    drop(dir);
    remove_emptied(parent, name, || false)
}

/// Removes the entries of a directory whose names `is_superfluous`, and returns how many are left. Takes the names in
/// batches, because a sender decides how many there are.
pub(super) fn remove_where(dir: &Dir, is_superfluous: impl Fn(&OsStr) -> bool) -> io::Result<usize> {
    loop {
        let (mut batch, mut left) = (Vec::new(), 0);
        for name in names(dir)? {
            let name = name?;
            if is_superfluous(&name) {
                batch.push(name);
            } else {
                left += 1;
            }
            if batch.len() == BATCH {
                break;
            }
        }
        for name in &batch {
            if is_given_up() {
                return Err(io::Error::other("nothing waits for it any more"));
            }
            remove(dir, name)?;
        }
        if batch.len() < BATCH {
            return Ok(left);
        }
    }
}

/// Removes a directory whose content was just removed. FUSE learns late that a file was closed and keeps it until then,
/// so the directory may not be empty for a moment. `taken_over` says whether another process has put a file into it.
fn remove_emptied(parent: &Dir, name: &Path, taken_over: impl Fn() -> bool) -> io::Result<()> {
    for _ in 0..REMOVALS {
        match parent.remove_dir(name) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && !taken_over() => {}
            removed => return removed,
        }
        std::thread::sleep(REMOVAL_PAUSE);
    }
    parent.remove_dir(name)
}

/// The number of entries in a directory, without those whose names are ignored.
pub(super) fn count(dir: &Dir, is_ignored: impl Fn(&OsStr) -> bool) -> io::Result<usize> {
    names(dir)?.try_fold(0, |count, name| Ok(count + usize::from(!is_ignored(&name?))))
}

/// The names of the entries in a directory, one after the other.
fn names(dir: &Dir) -> io::Result<impl Iterator<Item = io::Result<OsString>>> {
    Ok(dir.entries()?.map(|entry| Ok(entry?.file_name())))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use cap_std::ambient_authority;

    use super::*;

    #[test]
    fn more_entries_than_a_batch_are_removed() {
        let temp = tempfile::tempdir().unwrap();
        (0..=BATCH + 1).for_each(|number| fs::write(temp.path().join(number.to_string()), "").unwrap());
        let dir = Dir::open_ambient_dir(temp.path(), ambient_authority()).unwrap();
        assert_eq!(remove_where(&dir, |name| name != "7").unwrap(), 1);
        assert_eq!(count(&dir, |_| false).unwrap(), 1);
        assert_eq!(count(&dir, |name| name == "7").unwrap(), 0);
        assert_eq!(remove_where(&dir, |_| true).unwrap(), 0);
    }
}
