//! The location of a received folder: the target, and the staging area beside it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata};

use crate::error::{Cause, FileError};
use crate::platform;

/// The target, its parent, and the directory that holds the staging area. The directories stay open, so that no longer
/// path is looked up again.
pub(super) struct Place {
    pub(super) parent: Dir,
    /// Path of the parent.
    path: PathBuf,
    pub(super) target: OsString,
    /// The directory that holds the staging area: the parent, or the target itself if it is a mount point.
    pub(super) base: Dir,
    pub(super) base_path: PathBuf,
    pub(super) staging: OsString,
    pub(super) in_place: Option<InPlace>,
}

/// The reason why a target is filled in place, file by file, instead of being replaced by one rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InPlace {
    /// It is the current directory of this process, and so of the shell that started it.
    CurrentFolder,
    /// It is a mount point.
    MountPoint,
}

/// The state of the target.
pub(super) enum Found {
    Nothing,
    Empty(Dir),
    Filled(Dir),
}

/// Name of the staging area of a mount point. It is inside of the target, because a rename cannot cross file systems.
const INSIDE: &str = ".incoming.waft";
/// A directory that a new file system has in its top directory.
const LOST_AND_FOUND: &str = "lost+found";

impl Place {
    /// Locates `target`, which need not exist but whose parent folder must.
    pub(super) fn of(target: &Path) -> Result<Self, FileError> {
        let whole = resolve(target)?;
        let (Some(path), Some(name)) = (whole.parent(), whole.file_name()) else {
            return Err(FileError::new(target, Cause::Nameless));
        };
        let open = |path: &Path| Dir::open_ambient_dir(path, ambient_authority());
        let opened = |path: &Path| open(path).and_then(|dir| platform::open_dir(&dir, "."));
        let parent = opened(path).map_err(|error| FileError::new(path, error))?;
        let mounted = is_mount_point(&parent, name).map_err(|error| FileError::new(&whole, error))?;
        let is_current = std::env::current_dir().and_then(|current| current.canonicalize()).is_ok_and(|at| at == whole);
        let (in_place, base_path, staging) = match (mounted, is_current) {
            (true, _) => (Some(InPlace::MountPoint), whole.as_path(), INSIDE.into()),
            (false, is_current) => (is_current.then_some(InPlace::CurrentFolder), path, staging_name(name)),
        };
        let base = opened(base_path).map_err(|error| FileError::new(base_path, error))?;
        Ok(Self {
            parent,
            path: path.to_owned(),
            target: name.into(),
            base,
            base_path: base_path.into(),
            staging,
            in_place,
        })
    }

    /// The absolute path of the staging area.
    pub(super) fn staging_path(&self) -> PathBuf {
        self.base_path.join(&self.staging)
    }

    /// The absolute path of the target.
    pub(super) fn target_path(&self) -> PathBuf {
        self.path.join(&self.target)
    }

    /// Opens the target and reports its present state.
    pub(super) fn inspect(&self) -> Result<Found, FileError> {
        let dir = match platform::open_dir(&self.parent, &self.target) {
            Ok(dir) => dir,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) if is_other(&self.parent, &self.target) => {
                drop(error);
                return Err(self.at_target("", Cause::NotAFolder));
            }
            Err(error) => return Err(self.at_target("", error)),
        };
        let mounted = is_mount_point(&self.parent, &self.target).map_err(|error| self.at_target("", error))?;
        if mounted != (self.in_place == Some(InPlace::MountPoint)) {
            // The target was mounted or unmounted since this place was located.
            return Err(self.at_target("", Cause::MountPoint));
        }
        let empty = self.is_empty(&dir).map_err(|error| self.at_target("", error))?;
        Ok(if empty { Found::Empty(dir) } else { Found::Filled(dir) })
    }

    fn is_empty(&self, target: &Dir) -> io::Result<bool> {
        for entry in target.entries()? {
            if !self.ignores(&entry?.file_name()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a name in the target's top directory does not count as a part of the folder.
    pub(super) fn ignores(&self, name: &OsStr) -> bool {
        self.in_place == Some(InPlace::MountPoint) && (name == self.staging || name == LOST_AND_FOUND)
    }

    /// Whether an entry of a folder would be inside of the staging area, by its path. File systems that do not
    /// distinguish case are common on removable media, which are mount points.
    pub(super) fn is_staging_within(&self, path: &str) -> bool {
        let top = path.split('/').next().unwrap_or_default();
        self.in_place == Some(InPlace::MountPoint) && top.eq_ignore_ascii_case(INSIDE)
    }

    /// The staging area, if it is inside of the target.
    pub(super) fn staging_within(&self) -> Option<Metadata> {
        let is_within = self.in_place == Some(InPlace::MountPoint);
        is_within.then(|| self.base.symlink_metadata(&self.staging).ok()).flatten()
    }

    /// An error about a path below the target.
    pub(super) fn at_target(&self, path: &str, cause: impl Into<Cause>) -> FileError {
        FileError::new(below(&self.path, &self.target, path), cause)
    }

    /// An error about a path in the staging area.
    pub(super) fn at_staging(&self, path: &str, cause: impl Into<Cause>) -> FileError {
        FileError::new(below(&self.base_path, &self.staging, path), cause)
    }
}

/// Name of the staging area beside a target.
pub(super) fn staging_name(target: &OsStr) -> OsString {
    let mut staging = OsString::from(".");
    staging.push(target);
    staging.push(".waft");
    staging
}

/// Whether a name could be that of a staging area. Some file systems do not distinguish case.
pub(super) fn is_staging_name(name: &OsStr) -> bool {
    let bytes = name.as_encoded_bytes();
    let is_long_enough = bytes.len() > b"..waft".len();
    is_long_enough
        && bytes.starts_with(b".")
        && bytes.last_chunk().is_some_and(|end: &[u8; 5]| end.eq_ignore_ascii_case(b".waft"))
}

/// The name of the target to which a staging area of this name belongs.
pub(super) fn staged_target(staging: &OsStr) -> Option<&str> {
    staging.to_str()?.strip_prefix('.')?.strip_suffix(".waft").filter(|target| !target.is_empty())
}

/// Whether the name is a mount point: its device differs from its parent's, or the system reports it as one.
fn is_mount_point(parent: &Dir, name: &OsStr) -> io::Result<bool> {
    match parent.symlink_metadata(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Ok(found) if !found.is_dir() => Ok(false),
        found => {
            let other_device = platform::device(&found?) != platform::device(&parent.dir_metadata()?);
            Ok(other_device || platform::is_mount_point(parent, name)?)
        }
    }
}

/// The absolute path of `target`. Symlinks on the way are followed, because the user chose the path.
fn resolve(target: &Path) -> Result<PathBuf, FileError> {
    match target.canonicalize() {
        Ok(whole) => Ok(whole),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Some(name) = target.file_name() else { return Err(FileError::new(target, Cause::Nameless)) };
            let parent = target.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let parent = parent.canonicalize().map_err(|error| FileError::new(parent, error))?;
            Ok(parent.join(name))
        }
        Err(error) => Err(FileError::new(target, error)),
    }
}

/// Whether the name exists and is not a directory.
fn is_other(parent: &Dir, name: &OsStr) -> bool {
    parent.symlink_metadata(name).is_ok_and(|found| !found.is_dir())
}

fn below(parent: &Path, name: &OsStr, path: &str) -> PathBuf {
    let whole = parent.join(name);
    if path.is_empty() { whole } else { whole.join(path) }
}
