//! Windows, relative to open directories: no modes and owners; files become durable one by one.

use std::ffi::OsStr;
use std::fs::{File, FileTimes};
use std::io;
use std::path::Path;
use std::time::SystemTime;

use cap_fs_ext::DirExt as _;
use cap_std::fs::{Dir, Metadata, OpenOptions};
use waft_core::archive::Modified;

use crate::trouble::Cause;

/// The mode of a directory that is its owner's only: what [`mode`] says of any.
pub(crate) const PRIVATE_DIR: u16 = 0o755;

/// Opens the directory `name` in `parent`, without following a symlink.
pub(crate) fn open_dir(parent: &Dir, name: impl AsRef<Path>) -> io::Result<Dir> {
    parent.open_dir_nofollow(name)
}

/// Makes the directory `name`. Who may enter it follows from its parent.
pub(crate) fn create_private_dir(parent: &Dir, name: impl AsRef<Path>) -> io::Result<()> {
    parent.create_dir(name)
}

/// Who may read a file follows from its directory.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Permission bits that stand for what the system says.
pub(crate) fn mode(metadata: &Metadata) -> u16 {
    match (metadata.is_dir(), metadata.permissions().readonly()) {
        (true, _) => 0o755,
        (false, true) => 0o444,
        (false, false) => 0o644,
    }
}

/// Permission bits that stand for what the system says.
pub(crate) fn file_mode(metadata: &std::fs::Metadata) -> u16 {
    if metadata.permissions().readonly() { 0o444 } else { 0o644 }
}

/// Owners are not looked at.
pub(crate) fn is_ours(_metadata: &Metadata) -> bool {
    true
}

/// Owners are not looked at.
pub(crate) fn has_owner_of(_one: &Metadata, _other: &Metadata) -> bool {
    true
}

/// File systems are not told apart.
pub(crate) fn device(_metadata: &Metadata) -> u64 {
    0
}

/// Always: a file that is open keeps its name.
pub(crate) fn is_named(_dir: &Dir, _name: &str, _file: &File) -> io::Result<bool> {
    Ok(true)
}

/// Gives nothing, and loses nothing that can be told: who may do what follows from the parent folder.
pub(crate) fn copy_attributes(_from: &Dir, _to: &Dir) -> io::Result<Vec<&'static str>> {
    Ok(Vec::new())
}

/// Found out when it is moved.
pub(crate) fn lock_of(_dir: &Dir, _name: &str, _parent: &Metadata, _found: &Metadata) -> io::Result<Option<Cause>> {
    Ok(None)
}

/// Found out when it is replaced.
pub(crate) fn is_kept_for_its_owner(_parent: &Metadata, _found: &Metadata) -> bool {
    false
}

/// Volumes that are mounted on folders are not told apart.
pub(crate) fn is_mount_point(_parent: &Dir, _name: &OsStr) -> io::Result<bool> {
    Ok(false)
}

/// Lets a file that is opened with these options get its time.
pub(crate) fn changeable(options: &mut OpenOptions) -> &mut OpenOptions {
    options.write(true)
}

/// Fails: a file that cannot be written could not be replaced later, so modes are not set.
pub(crate) fn set_file_mode(_file: &File, _mode: u16) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Sets a file's modification time.
pub(crate) fn set_file_time(file: &File, modified: SystemTime) -> io::Result<()> {
    file.set_times(FileTimes::new().set_modified(modified))
}

/// Renames a directory to a name that is free or an empty directory's, which is removed first.
pub(crate) fn rename_over_empty(from: &Dir, name: &Path, parent: &Dir, target: &Path) -> io::Result<()> {
    match parent.remove_dir(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        removed => removed?,
    }
    from.rename(name, parent, target)
}

/// Modes are not set.
pub(crate) fn set_dir_mode(_dir: &Dir, _mode: u16) -> io::Result<()> {
    Ok(())
}

/// Modes are not set.
pub(crate) fn unlock_dir(_parent: &Dir, _name: &Path) -> io::Result<()> {
    Ok(())
}

/// Found out when a file is made.
pub(crate) fn may_write(_dir: &Dir) -> io::Result<()> {
    Ok(())
}

/// Fails: a directory's time is when its content changed last.
pub(crate) fn set_dir_time(_dir: &Dir, _modified: Modified) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether a file of that name can be made here, and is then the one that the name means.
pub(crate) fn holds_name(component: &str) -> bool {
    crate::platform::names::holds(component)
}

/// Whether a file system says that it cannot hold a name.
pub(crate) fn is_refused_name(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidFilename
}

/// Makes a whole file durable.
pub(crate) fn sync_file(file: &File) -> io::Result<()> {
    file.sync_all()
}

/// The file system keeps names by itself.
pub(crate) fn sync_dir(_dir: &Dir) -> io::Result<()> {
    Ok(())
}

/// The file system keeps names by itself.
pub(crate) fn sync_names(_dir: &Dir) -> io::Result<()> {
    Ok(())
}

/// Every file was made durable at its end.
pub(crate) fn sync_all(_dir: &Dir) -> io::Result<()> {
    Ok(())
}
