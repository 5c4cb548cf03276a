//! Where a received folder goes: the target, and the staging area beside it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use crate::platform;
use crate::trouble::{Cause, Trouble};

/// The target and its parent, which stays open: nothing is looked up by a longer path.
pub(super) struct Place {
    /// Where both stand.
    pub(super) parent: Dir,
    pub(super) path: PathBuf,
    pub(super) target: OsString,
    pub(super) staging: OsString,
}

/// What stands at the target.
pub(super) enum Found {
    Nothing,
    /// An empty folder of that mode.
    Empty(u16),
    Filled(Dir),
}

impl Place {
    /// The place of `target`, which need not exist, in a folder that does.
    pub(super) fn of(target: &Path) -> Result<Self, Trouble> {
        let whole = resolve(target)?;
        let (Some(path), Some(name)) = (whole.parent(), whole.file_name()) else {
            return Err(Trouble::new(target, Cause::Nameless));
        };
        let parent = Dir::open_ambient_dir(path, ambient_authority()).and_then(|dir| platform::open_dir(&dir, "."));
        let parent = parent.map_err(|error| Trouble::new(path, error))?;
        let mut staging = OsString::from(".");
        staging.push(name);
        staging.push(".waft");
        Ok(Self { parent, path: path.to_owned(), target: name.to_owned(), staging })
    }

    /// The target's whole path.
    pub(super) fn target_path(&self) -> PathBuf {
        self.path.join(&self.target)
    }

    /// What stands at the target now.
    pub(super) fn look(&self) -> Result<Found, Trouble> {
        let dir = match platform::open_dir(&self.parent, &self.target) {
            Ok(dir) => dir,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) if is_other(&self.parent, &self.target) => {
                drop(error);
                return Err(self.at_target("", Cause::NotAFolder));
            }
            Err(error) => return Err(self.at_target("", error)),
        };
        let look = || {
            let (own, outer) = (dir.dir_metadata()?, self.parent.dir_metadata()?);
            let empty = dir.entries()?.next().is_none();
            io::Result::Ok((own, outer, empty))
        };
        let (own, outer, empty) = look().map_err(|error| self.at_target("", error))?;
        if platform::device(&own) != platform::device(&outer) {
            return Err(self.at_target("", Cause::MountPoint));
        }
        Ok(if empty { Found::Empty(platform::mode(&own)) } else { Found::Filled(dir) })
    }

    /// Trouble with something below the target.
    pub(super) fn at_target(&self, path: &str, cause: impl Into<Cause>) -> Trouble {
        Trouble::new(below(&self.path, &self.target, path), cause)
    }

    /// Trouble with something in the staging area.
    pub(super) fn at_staging(&self, path: &str, cause: impl Into<Cause>) -> Trouble {
        Trouble::new(below(&self.path, &self.staging, path), cause)
    }
}

/// The absolute path of `target`. What leads to it may be links: its person named them.
fn resolve(target: &Path) -> Result<PathBuf, Trouble> {
    match target.canonicalize() {
        Ok(whole) => Ok(whole),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Some(name) = target.file_name() else { return Err(Trouble::new(target, Cause::Nameless)) };
            let parent = target.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let parent = parent.canonicalize().map_err(|error| Trouble::new(parent, error))?;
            Ok(parent.join(name))
        }
        Err(error) => Err(Trouble::new(target, error)),
    }
}

/// Whether something stands there that is not a directory.
fn is_other(parent: &Dir, name: &OsStr) -> bool {
    parent.symlink_metadata(name).is_ok_and(|found| !found.is_dir())
}

fn below(parent: &Path, name: &OsStr, path: &str) -> PathBuf {
    let whole = parent.join(name);
    if path.is_empty() { whole } else { whole.join(path) }
}
