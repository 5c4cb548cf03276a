//! Opens files of the target by their paths in the folder, to read them. No symlink is followed, and a directory stays
//! open while files in it are opened one after the other. See `base`.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt as _, OpenOptionsSyncExt as _};
use cap_std::fs::{Dir, Metadata, OpenOptions};

use super::capabilities::{Capabilities, Kept};
use super::stays::Unchanged;
use crate::folder::entries::Item;
use crate::platform;

/// Opens files below the target, without following links.
pub(super) struct OpenFiles {
    root: Dir,
    /// The directory in which a file was opened last, and its path.
    parent: Option<(String, Dir)>,
}

impl OpenFiles {
    pub(super) fn new(root: Dir) -> Self {
        Self { root, parent: None }
    }

    /// The target itself.
    pub(super) fn root(&self) -> &Dir {
        &self.root
    }

    /// Whether the target still has the file as it was written, as far as that can be seen without reading it.
    pub(super) fn has(&mut self, path: &str, size: u64, item: &Item, capabilities: Capabilities) -> bool {
        let Some((dir, name)) = self.dir_of(path) else { return false };
        let Ok(found) = dir.symlink_metadata(name) else { return false };
        let Ok(modified) = found.modified() else { return false };
        // A changed mode changes no content.
        let kept = Kept { modes: false, ..capabilities.files };
        found.is_file() && found.len() == size && kept.is_written((0, modified.into_std()), 0, item.modified)
    }

    /// Opens a file of `size` bytes. `None` if it cannot be opened, or has another length.
    pub(super) fn open(&mut self, path: &str, size: u64) -> Option<OpenFile> {
        let (dir, name) = self.dir_of(path)?;
        let mut options = OpenOptions::new();
        // If a pipe has taken the file's place, do not block until it has a writer.
        options.read(true).follow(FollowSymlinks::No).nonblock(true);
        let file = dir.open_with(name, &options).ok()?;
        let found = file.metadata().ok()?;
        (found.is_file() && found.len() == size).then(|| OpenFile { file: file.into_std(), found })
    }

    /// The directory of a path, and the path's last component.
    fn dir_of<'p>(&mut self, path: &'p str) -> Option<(&Dir, &'p str)> {
        let Some((parent, name)) = path.rsplit_once('/') else { return Some((&self.root, path)) };
        if self.parent.as_ref().is_none_or(|(open, _)| open != parent) {
            let mut components = parent.split('/');
            let mut dir = platform::open_dir(&self.root, components.next()?).ok()?;
            for component in components {
                dir = platform::open_dir(&dir, component).ok()?;
            }
            self.parent = Some((parent.to_owned(), dir));
        }
        self.parent.as_ref().map(|(_, dir)| (dir, name))
    }
}

/// A file of the target.
pub(super) struct OpenFile {
    pub(super) file: File,
    pub(super) found: Metadata,
}

impl OpenFile {
    /// Whether the file may stay in the target. Makes it durable, as the tree is.
    pub(super) fn may_stay(&self, unchanged: Unchanged, size: u64, item: &Item) -> bool {
        unchanged.is_unchanged(&self.found, size, item) && platform::sync_file(&self.file).is_ok()
    }

    /// Appends `length` bytes from offset `from` on. `None` if the file does not have them.
    pub(super) fn read(mut self, from: u64, length: u64, bytes: &mut Vec<u8>) -> Option<()> {
        if from > 0 {
            self.file.seek(SeekFrom::Start(from)).ok()?;
        }
        let got = self.file.take(length).read_to_end(bytes).ok()?;
        (got as u64 == length).then_some(())
    }
}
