//! The directories from which a folder is read: a directory on the disk, or a collection of files and directories from
//! several places.
//!
//! The walk reads them in the manifest's order (`walk`), and the source reads the files' content (`source`). No symlink
//! is followed, with two exceptions: the paths that the user named, and every link if the user asks for it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use cap_fs_ext::{FollowSymlinks, MetadataExt as _, OpenOptionsFollowExt as _, OpenOptionsSyncExt as _};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata, OpenOptions};

use crate::platform;

/// A directory from which a folder is read.
pub(super) enum Place {
    /// A directory on the disk.
    Directory {
        /// The directory, open.
        dir: Dir,
        /// Its path, if links in it are followed. A link may lead out of the directory, so it is opened by its path.
        follow: Option<PathBuf>,
    },
    /// Files and directories from several places, sorted by their names.
    Collection {
        /// The files and directories.
        items: Vec<Item>,
        /// Whether links below them are followed.
        follow: bool,
    },
}

/// A file or directory of a collection.
#[derive(Clone)]
pub(super) struct Item {
    /// Its name in the collection.
    pub(super) name: OsString,
    /// Its path on the disk.
    pub(super) path: PathBuf,
}

impl Place {
    /// The names in the directory, sorted by their bytes.
    pub(super) fn names(&self) -> io::Result<Vec<OsString>> {
        match self {
            Self::Directory { dir, .. } => {
                let mut names = dir.entries()?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
                names.sort_unstable();
                Ok(names)
            }
            Self::Collection { items, .. } => Ok(items.iter().map(|item| item.name.clone()).collect()),
        }
    }

    /// Metadata of the entry `name`: of the link itself, unless it is followed.
    pub(super) fn metadata(&self, name: &OsStr) -> io::Result<Metadata> {
        match (self, self.followed(name)) {
            (_, Some(path)) => std::fs::metadata(path).map(Metadata::from_just_metadata),
            (Self::Directory { dir, .. }, None) => dir.symlink_metadata(name),
            (Self::Collection { .. }, None) => Err(ErrorKind::NotFound.into()),
        }
    }

    /// Whether the entry `name` is a link that is followed and leads nowhere.
    pub(super) fn is_broken_link(&self, name: &OsStr) -> bool {
        self.followed(name).is_some_and(|path| path.is_symlink() && !path.exists())
    }

    /// Opens the directory `name`.
    pub(super) fn open_dir(&self, name: &OsStr) -> io::Result<Self> {
        let (dir, follows) = match (self, self.followed(name)) {
            (Self::Directory { follow, .. }, Some(path)) => (open_ambient(&path)?, follow.is_some()),
            (Self::Directory { dir, follow }, None) => (platform::open_dir(dir, name)?, follow.is_some()),
            (Self::Collection { follow, .. }, Some(path)) => (open_ambient(&path)?, *follow),
            (Self::Collection { .. }, None) => return Err(ErrorKind::NotFound.into()),
        };
        let follow = if follows { self.path(name) } else { None };
        Ok(Self::Directory { dir, follow })
    }

    /// Opens the file `name` for reading. If a pipe has taken the file's place, this does not block until it has a
    /// writer.
    pub(super) fn open_file(&self, name: &OsStr) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).nonblock(true);
        match (self, self.followed(name)) {
            (_, Some(path)) => {
                let file = cap_std::fs::File::open_ambient_with(path, &options, ambient_authority())?;
                Ok(file.into_std())
            }
            (Self::Directory { dir, .. }, None) => {
                Ok(dir.open_with(name, options.follow(FollowSymlinks::No))?.into_std())
            }
            (Self::Collection { .. }, None) => Err(ErrorKind::NotFound.into()),
        }
    }

    /// What identifies the directory on this machine, to find a link that leads into one of its own parents.
    pub(super) fn identity(&self) -> Option<(u64, u64)> {
        match self {
            Self::Directory { dir, .. } => dir.dir_metadata().ok().map(|found| (found.dev(), found.ino())),
            Self::Collection { .. } => None,
        }
    }

    /// The path at which the entry is opened, if it is a link that is followed, or was named by the user.
    pub(super) fn followed(&self, name: &OsStr) -> Option<PathBuf> {
        match self {
            Self::Directory { follow: None, .. } => None,
            Self::Directory { dir, .. } => {
                let is_link = dir.symlink_metadata(name).is_ok_and(|found| found.is_symlink());
                if is_link { self.path(name) } else { None }
            }
            Self::Collection { .. } => self.path(name),
        }
    }

    /// The path of the entry, if it may be opened by its path.
    fn path(&self, name: &OsStr) -> Option<PathBuf> {
        match self {
            Self::Directory { follow, .. } => follow.as_ref().map(|path| path.join(name)),
            Self::Collection { items, .. } => items.iter().find(|item| item.name == name).map(|item| item.path.clone()),
        }
    }
}

/// Opens the directory at this path, and follows links.
pub(super) fn open_ambient(path: &Path) -> io::Result<Dir> {
    Dir::open_ambient_dir(path, ambient_authority())
}
