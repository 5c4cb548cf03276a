//! Makes the staged tree from the archive's content, in the manifest's order.
//!
//! Every directory is made before what is in it and gets its mode and time after that; every file is made anew, so that
//! the file system itself tells of two names that it takes for one. PROTOCOL.md, sections 8.2 and 8.3.

use std::fs::File;
use std::io::{self, BufReader, Write as _};

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt as _};
use cap_std::fs::{Dir, OpenOptions};
use waft_core::archive::{Content, ContentReader, Kind, Summary};
use waft_core::digest::Digest;
use waft_core::session::StoreError;

use super::capabilities::{Capabilities, Kept};
use super::failure::{Failure, Result, go_on};
use super::merge;
use super::place::Place;
use super::staging::{MANIFEST, Staging, TREE};
use crate::folder::entries::{Descent, Entries, Item, system_time};
use crate::platform;

/// A tree that is being made.
pub(super) struct Tree {
    pub(super) entries: Entries<BufReader<File>>,
    /// Taken from `entries`, and not made yet.
    pub(super) pending: Option<Item>,
    pub(super) open: Descent<Level>,
    pub(super) reader: ContentReader,
    /// The file whose content comes next.
    pub(super) file: Option<(File, Item)>,
    pub(super) manifest: Digest,
    root: Option<Digest>,
    capabilities: Capabilities,
}

/// An open directory of the tree.
pub(super) struct Level {
    pub(super) item: Item,
    /// Entries in it so far.
    pub(super) children: usize,
}

impl Tree {
    /// Begins behind the manifest, which is staged and checked.
    pub(super) fn begin(
        place: &Place,
        staging: &Staging,
        summary: Summary,
        capabilities: Capabilities,
    ) -> Result<Self> {
        let manifest = staging.manifest().map_err(|error| place.at_staging(MANIFEST, error))?;
        let tree = staging.tree().map_err(|error| place.at_staging(TREE, error))?;
        Ok(Self {
            entries: merge::entries(place, manifest, summary.shape.manifest)?,
            pending: None,
            open: Descent::new(tree),
            reader: ContentReader::new(&summary),
            file: None,
            manifest: summary.digest,
            root: None,
            capabilities,
        })
    }

    /// Takes the next bytes behind the manifest.
    pub(super) fn write(&mut self, place: &Place, archive: &mut &[u8]) -> Result<()> {
        while let Some(next) = self.reader.next(archive).map_err(StoreError::Archive)? {
            go_on()?;
            match next {
                Content::Data(bytes) => {
                    let (file, _) = self.file.as_mut().expect("content comes after its file was asked for");
                    file.write_all(bytes).map_err(|error| self.trouble(place, error))?;
                }
                Content::FileEnd => self.end_file(place)?,
                Content::NeedFile => self.next_file(place)?,
                Content::End { root } => self.root = Some(root),
            }
        }
        Ok(())
    }

    /// The whole archive was written: ends the tree. Returns the archive's root and its manifest's digest.
    pub(super) fn end(mut self, place: &Place) -> Result<(Digest, Digest)> {
        let root = self.root.ok_or(StoreError::Verify)?;
        while let Some(item) = self.take_entry(place)? {
            match item.kind {
                Kind::Directory => self.make_directory(place, item)?,
                Kind::File { .. } => return Err(StoreError::Verify.into()),
            }
        }
        self.leave(place, 1)?;
        platform::sync_dir(self.open.here()).map_err(|error| place.at_staging(TREE, error))?;
        Ok((root, self.manifest))
    }

    fn next_file(&mut self, place: &Place) -> Result<()> {
        while let Some(item) = self.take_entry(place)? {
            go_on()?;
            match item.kind {
                Kind::Directory => self.make_directory(place, item)?,
                Kind::File { size } => {
                    let made = self.open.here().open_with(self.entries.name(), &new_file());
                    let file = made.map_err(|error| self.not_made(place, &item, error))?.into_std();
                    self.file = Some((file, item));
                    return self.reader.begin_file(size).map_err(|error| StoreError::Archive(error).into());
                }
            }
        }
        // The first reading counted more files.
        Err(StoreError::Verify.into())
    }

    fn end_file(&mut self, place: &Place) -> Result<()> {
        let (file, item) = self.file.take().expect("a file ends after it began");
        self.finish_file(&file, &item).map_err(|error| self.trouble(place, error))
    }

    fn make_directory(&mut self, place: &Place, item: Item) -> Result<()> {
        let here = self.open.here();
        let made = platform::create_private_dir(here, self.entries.name());
        made.map_err(|error| self.not_made(place, &item, error))?;
        let dir = platform::open_dir(here, self.entries.name()).map_err(|error| self.trouble(place, error))?;
        self.open.enter(dir, Level { item, children: 0 });
        Ok(())
    }

    /// The next entry that is not made yet; the directories that it is not in are ended.
    fn take_entry(&mut self, place: &Place) -> Result<Option<Item>> {
        if let Some(item) = self.pending.take() {
            return Ok(Some(item));
        }
        let item = merge::next(place, &mut self.entries)?;
        if let Some(item) = &item {
            self.leave(place, item.depth)?;
        }
        Ok(item)
    }

    /// Ends the directories that an entry of that depth is not in.
    fn leave(&mut self, place: &Place, depth: usize) -> Result<()> {
        while let Some((dir, level)) = self.open.leave(depth) {
            self.finish_dir(&dir, &level.item).map_err(|error| place.at_staging(TREE, error))?;
        }
        Ok(())
    }

    /// Gives a whole file its mode and time.
    pub(super) fn finish_file(&self, file: &File, item: &Item) -> io::Result<()> {
        let Kept { modes, times } = self.capabilities.files;
        if modes {
            platform::set_file_mode(file, item.mode)?;
        }
        if let Some(time) = system_time(item.modified).filter(|_| times.can_be_set()) {
            platform::set_file_time(file, time)?;
        }
        platform::sync_file(file)
    }

    /// Gives a directory its mode and time, after all that is in it.
    pub(super) fn finish_dir(&self, dir: &Dir, item: &Item) -> io::Result<()> {
        finish_dir(self.capabilities.directories, dir, item)
    }

    /// What it means that an entry could not be made.
    fn not_made(&self, place: &Place, item: &Item, error: io::Error) -> Failure {
        let entry = item.index;
        // The name is what is wrong: the path that is named is the one that the entry was to have in the end.
        let at_target = |error: io::Error| place.at_target(self.entries.path(), error);
        match error.kind() {
            io::ErrorKind::AlreadyExists => Failure::At(StoreError::Collision { entry }, at_target(error)),
            _ if platform::is_refused_name(&error) || (is_doubtful(&error) && self.takes_another_name()) => {
                Failure::At(StoreError::Name { entry }, at_target(error))
            }
            _ => self.trouble(place, error),
        }
    }

    /// Whether a file of an ordinary name can be made where an entry could not.
    fn takes_another_name(&self) -> bool {
        let name = format!("waft-probe-{}", std::process::id());
        let here = self.open.here();
        here.open_with(&name, &new_file()).is_ok() && here.remove_file(&name).is_ok()
    }

    pub(super) fn trouble(&self, place: &Place, error: io::Error) -> Failure {
        Failure::Io(place.at_staging(&self.path(), error))
    }

    fn path(&self) -> String {
        format!("{TREE}/{}", self.entries.path())
    }
}

/// Whether an error may be about a name, and may be about something else: which of the two differs from one file system
/// to the next. SMB says of some names that they are not found, FUSE's programs that they are not permitted.
fn is_doubtful(error: &io::Error) -> bool {
    use io::ErrorKind::{NotFound, PermissionDenied, Unsupported};
    matches!(error.kind(), NotFound | PermissionDenied | Unsupported)
}

/// Options for a file that must not be there yet.
fn new_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    platform::private(options.write(true).create_new(true).follow(FollowSymlinks::No));
    options
}

/// Gives a directory its mode and time, after all that is in it, and makes it durable.
pub(super) fn finish_dir(kept: Kept, dir: &Dir, item: &Item) -> io::Result<()> {
    if kept.modes {
        platform::set_dir_mode(dir, item.mode)?;
    }
    if kept.times.can_be_set() {
        platform::set_dir_time(dir, item.modified)?;
    }
    platform::sync_dir(dir)
}
