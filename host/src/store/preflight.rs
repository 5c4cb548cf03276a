//! Checks a target that holds other files before the first file of a folder is moved into it.
//!
//! Once moving has begun there is no way back, so everything that could stop it is looked for first: an entry of the
//! other kind in the way, a mount point, a directory or file that this user may not change.

use std::fs::File;
use std::io::{self, BufReader};

use cap_std::fs::{Dir, Metadata};
use waft_core::archive::Kind;
use waft_core::session::StoreError;

use super::failure::{Failure, Result, go_on};
use super::merge::next;
use super::place::Place;
use crate::folder::entries::{Descent, Entries, Item};
use crate::platform;
use crate::trouble::Cause;

/// Checks that every entry can be moved into `target`.
pub(super) fn preflight(place: &Place, target: Dir, entries: Entries<BufReader<File>>) -> Result<()> {
    let own = target.dir_metadata().map_err(|error| Failure::Io(place.at_target("", error)))?;
    // The mode of the target itself is not changed, so it must be writable already.
    platform::may_write(&target).map_err(|error| Failure::Io(place.at_target("", error)))?;
    let device = platform::device(&own);
    Preflight { place, device, open: Descent::new(target), here: vec![own], absent: usize::MAX }.run(entries)
}

struct Preflight<'a> {
    place: &'a Place,
    device: u64,
    open: Descent<()>,
    /// Metadata of the open directories, the target first.
    here: Vec<Metadata>,
    /// Depth of a directory that does not exist in the target. Entries below it need no check.
    absent: usize,
}

impl Preflight<'_> {
    fn run(mut self, mut entries: Entries<BufReader<File>>) -> Result<()> {
        while let Some(item) = next(self.place, &mut entries)? {
            go_on()?;
            if item.depth > self.absent {
                continue;
            }
            self.absent = usize::MAX;
            while self.open.leave(item.depth).is_some() {
                self.here.pop();
            }
            self.entry(&item, entries.name(), entries.path())?;
        }
        Ok(())
    }

    fn entry(&mut self, item: &Item, name: &str, path: &str) -> Result<()> {
        if self.place.is_staging_within(path) {
            // The entry would replace the staging area itself.
            return Err(Failure::At(
                StoreError::Name { entry: item.index },
                self.place.at_target(path, Cause::Staging),
            ));
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
        let parent = self.here.last().expect("the target is never left");
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

    /// Enters a directory if entries in it can be changed. Its owner can make it writable, so that is enough.
    fn enter(&mut self, name: &str, found: Metadata) -> io::Result<()> {
        let dir = platform::open_dir(self.open.here(), name)?;
        match platform::may_write(&dir) {
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
            Err(error) if !platform::is_ours(&found) => return Err(error),
            _ => {}
        }
        self.open.enter(dir, ());
        self.here.push(found);
        Ok(())
    }
}
