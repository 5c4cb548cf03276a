//! Checks a target that holds other files before the first file of a folder is moved into it.
//!
//! Once moving has begun there is no way back, so everything that could stop it is looked for first: an entry of the
//! other kind in the way, a mount point, a directory or file that this user may not change. Nothing is changed, except
//! that a directory of this user whose mode forbids to look into it is opened to its owner meanwhile.

use std::fs::File;
use std::io::{self, BufReader};

use cap_std::fs::{Dir, Metadata};
use waft_core::archive::Kind;
use waft_core::session::StoreError;

use super::error::{Failure, Result, check_wanted};
use super::merge::next;
use super::place::Place;
use crate::file_error::Cause;
use crate::folder::entries::{Descent, Entries, Item};
use crate::platform;

/// The permissions by which the owner of a directory reads and enters it.
const READABLE: u16 = 0o500;

/// Checks that every entry can be moved into `target`.
pub(super) fn preflight(place: &Place, target: Dir, entries: Entries<BufReader<File>>) -> Result<()> {
    let own = target.dir_metadata().map_err(|error| Failure::Io(place.at_target("", error)))?;
    // The mode of the target itself is not changed, so it must be writable already.
    platform::may_write(&target).map_err(|error| Failure::Io(place.at_target("", error)))?;
    let device = platform::device(&own);
    let (staging, open, here, absent) = (place.staging_within(), Descent::new(target), vec![own], usize::MAX);
    Preflight { place, device, staging, open, here, absent }.run(entries)
}

struct Preflight<'a> {
    place: &'a Place,
    device: u64,
    /// The staging area, if it is inside of the target.
    staging: Option<Metadata>,
    /// The open directories, and the mode to restore of those that were closed to their owner.
    open: Descent<Option<u16>>,
    /// Metadata of the open directories, the target first.
    here: Vec<Metadata>,
    /// Depth of a directory that does not exist in the target. Entries below it need no check.
    absent: usize,
}

impl Preflight<'_> {
    fn run(mut self, mut entries: Entries<BufReader<File>>) -> Result<()> {
        while let Some(item) = next(self.place, &mut entries)? {
            check_wanted()?;
            if item.depth > self.absent {
                continue;
            }
            self.absent = usize::MAX;
            self.leave(item.depth);
            self.entry(&item, entries.name(), entries.path())?;
        }
        Ok(())
    }

    /// Closes the open directories that do not contain an entry of depth `depth`.
    fn leave(&mut self, depth: usize) {
        while let Some((dir, closed)) = self.open.leave(depth) {
            self.here.pop();
            if let Some(mode) = closed {
                // Its owner, who is this user, has only gained access to it.
                let _ = platform::set_dir_mode(&dir, mode);
            }
        }
    }

    fn entry(&mut self, item: &Item, name: &str, path: &str) -> Result<()> {
        // The entry would replace the staging area itself.
        let is_staging =
            || Failure::At(StoreError::Name { entry: item.index }, self.place.at_target(path, Cause::Staging));
        if self.place.is_staging_within(path) {
            return Err(is_staging());
        }
        let io = |error: io::Error| Failure::Io(self.place.at_target(path, error));
        let is_dir = item.kind == Kind::Directory;
        let found = match self.open.here().symlink_metadata(name) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.absent = if is_dir { item.depth } else { usize::MAX };
                return Ok(());
            }
            Err(error) => return Err(io(error)),
        };
        // Some file systems give a directory a second name: VFAT and NTFS a short one.
        if self.staging.as_ref().is_some_and(|staging| platform::is_same(staging, &found)) {
            return Err(is_staging());
        }
        let parent = self.here.last().expect("the first element is the target, and is never removed");
        let lock = platform::lock_of(self.open.here(), name, parent, &found).map_err(io)?;
        let cause = match (is_dir, found.is_dir()) {
            (false, true) => Some(Cause::FolderInTheWay),
            (true, false) => Some(Cause::FileInTheWay),
            _ if platform::device(&found) != self.device => Some(Cause::MountPoint),
            _ => lock,
        };
        if let Some(cause) = cause {
            return Err(Failure::At(StoreError::NotWritable, self.place.at_target(path, cause)));
        }
        if is_dir {
            self.enter(name, found).map_err(io)?;
        }
        Ok(())
    }

    /// Enters a directory if entries in it can be changed. Its owner can make it accessible, so that is enough.
    fn enter(&mut self, name: &str, found: Metadata) -> io::Result<()> {
        let (is_ours, mode) = (platform::is_ours(&found), platform::mode(&found));
        let closed = (is_ours && mode & READABLE != READABLE).then_some(mode);
        if closed.is_some() {
            platform::unlock_dir(self.open.here(), name.as_ref())?;
        }
        let dir = platform::open_dir(self.open.here(), name)?;
        let written = platform::may_write(&dir);
        self.open.enter(dir, closed);
        self.here.push(found);
        match written {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && is_ours => Ok(()),
            written => written,
        }
    }
}

impl Drop for Preflight<'_> {
    fn drop(&mut self) {
        self.leave(1);
    }
}
