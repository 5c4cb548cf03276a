//! Windows: private files, the attributes of files and directories, and how a tree becomes durable.
//!
//! There are no modes and owners: the folders of a user profile already exclude other users. Files become durable one by
//! one, and the file system's log makes names durable.

use std::ffi::OsStr;
use std::fs::{self, File, FileTimes};
use std::io;
use std::os::windows::fs::FileExt as _;
use std::path::Path;
use std::time::SystemTime;

use cap_fs_ext::DirExt as _;
use cap_std::fs::{Dir, Metadata, OpenOptions};
use socket2::Socket;
use waft_core::archive::Modified;

use crate::error::Cause;
use crate::platform::TooOpen;

/// Creates a file. It inherits the access control list of its folder, which in a profile admits the owner and
/// administrators. Fails if the name exists.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new().write(true).create_new(true).open(path)
}

/// Creates a directory and its parents. Existing directories stay as they are.
pub(crate) fn create_private_directory(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

/// Always succeeds for an existing file: the inherited access control list is not checked.
pub(crate) fn check_private(path: &Path) -> io::Result<Result<(), TooOpen>> {
    std::fs::metadata(path).map(|_| Ok(()))
}

/// `false`: access control lists protect the folders of other users.
#[cfg_attr(not(feature = "cli"), allow(dead_code))] // for the command
pub(crate) fn is_foreign(_path: &Path) -> io::Result<bool> {
    Ok(false)
}

/// Distinguishes one version of a file from the next: its length, and the times of its creation and last change.
pub(crate) type FileVersion = (u64, SystemTime, SystemTime);

/// The present version of the file.
pub(crate) fn file_version(path: &Path) -> io::Result<FileVersion> {
    let found = std::fs::metadata(path)?;
    Ok((found.len(), found.created()?, found.modified()?))
}

/// Always succeeds for an existing file, for the same reason.
pub(crate) fn check_unchangeable(path: &Path) -> io::Result<Result<(), TooOpen>> {
    check_private(path)
}

/// Does nothing: a directory cannot be flushed, and NTFS logs its changes in order.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    std::fs::metadata(path).map(|_| ())
}

/// Does nothing: on Windows a port can be used again at once, and the option would let two programs share it.
pub(crate) fn listen_again(_socket: &Socket) -> io::Result<()> {
    Ok(())
}

/// The mode of a private directory: the one that [`mode`] returns for every directory.
pub(crate) const PRIVATE_DIR: u16 = 0o755;

/// Opens the directory `name` in `parent`, without following a symlink.
pub(crate) fn open_dir(parent: &Dir, name: impl AsRef<Path>) -> io::Result<Dir> {
    parent.open_dir_nofollow(name)
}

/// Reads bytes of a file from this position on. Moves the file's own position, on which nothing else may depend.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    file.seek_read(buffer, position)
}

/// Creates the directory `name`. It inherits its access control list from its parent.
pub(crate) fn create_private_dir(parent: &Dir, name: impl AsRef<Path>) -> io::Result<()> {
    parent.create_dir(name)
}

/// Does nothing: a file inherits its access control list from its directory.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Permission bits that stand for the read-only attribute.
pub(crate) fn mode(metadata: &Metadata) -> u16 {
    match (metadata.is_dir(), metadata.permissions().readonly()) {
        (true, _) => 0o755,
        (false, true) => 0o444,
        (false, false) => 0o644,
    }
}

/// Permission bits that stand for the read-only attribute.
pub(crate) fn file_mode(metadata: &std::fs::Metadata) -> u16 {
    if metadata.permissions().readonly() { 0o444 } else { 0o644 }
}

/// Always `true`: owners are not checked.
pub(crate) fn is_ours(_metadata: &Metadata) -> bool {
    true
}

/// Always `true`: owners are not checked.
pub(crate) fn has_owner_of(_one: &Metadata, _other: &Metadata) -> bool {
    true
}

/// Always `false`: metadata does not identify a file.
pub(crate) fn is_same(_one: &Metadata, _other: &Metadata) -> bool {
    false
}

/// Always 0: file systems are not distinguished.
pub(crate) fn device(_metadata: &Metadata) -> u64 {
    0
}

/// Always `true`: an open file keeps its name.
pub(crate) fn is_named(_dir: &Dir, _name: &str, _file: &File) -> io::Result<bool> {
    Ok(true)
}

/// Copies nothing and reports no loss: access follows from the parent folder.
pub(crate) fn copy_attributes(_from: &Dir, _to: &Dir) -> io::Result<Vec<&'static str>> {
    Ok(Vec::new())
}

/// Always `None`: a lock shows when the file is moved.
pub(crate) fn lock_of(_dir: &Dir, _name: &str, _parent: &Metadata, _found: &Metadata) -> io::Result<Option<Cause>> {
    Ok(None)
}

/// Always `false`: a lock shows when the directory is replaced.
pub(crate) fn is_kept_for_its_owner(_parent: &Metadata, _found: &Metadata) -> bool {
    false
}

/// Always `false`: volumes that are mounted on folders are not recognised.
pub(crate) fn is_mount_point(_parent: &Dir, _name: &OsStr) -> io::Result<bool> {
    Ok(false)
}

/// Does nothing: modes are not set.
pub(crate) fn mode_at_creation(options: &mut OpenOptions, _mode: u16) -> &mut OpenOptions {
    options
}

/// Always `None`: files get no holes, because a file would have to be marked for that.
pub(crate) fn allocated(_metadata: &std::fs::Metadata) -> Option<u64> {
    None
}

/// Does nothing: files have no holes here.
pub(crate) fn free_allocated_ahead(_file: &File, _from: u64, _length: u64) {}

/// Does nothing: the system begins by itself.
pub(crate) fn begin_write_back(_file: &File, _from: u64, _length: u64) {}

/// Makes a file that is opened with these options accept a new time.
pub(crate) fn changeable(options: &mut OpenOptions) -> &mut OpenOptions {
    options.write(true)
}

/// Fails: a read-only file could not be replaced later, so modes are not set.
pub(crate) fn set_file_mode(_file: &File, _mode: u16) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Sets a file's modification time.
pub(crate) fn set_file_time(file: &File, modified: SystemTime) -> io::Result<()> {
    file.set_times(FileTimes::new().set_modified(modified))
}

/// Renames a directory to a name that is free or that of an empty directory, which is removed first.
pub(crate) fn rename_over_empty(from: &Dir, name: &Path, parent: &Dir, target: &Path) -> io::Result<()> {
    match parent.remove_dir(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        removed => removed?,
    }
    from.rename(name, parent, target)
}

/// Fails: two directories cannot be exchanged in one step.
pub(crate) fn exchange(_from: &Dir, _name: &Path, _parent: &Dir, _target: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Does nothing: modes are not set.
pub(crate) fn set_dir_mode(_dir: &Dir, _mode: u16) -> io::Result<()> {
    Ok(())
}

/// Does nothing: modes are not set.
pub(crate) fn unlock_dir(_parent: &Dir, _name: &Path) -> io::Result<()> {
    Ok(())
}

/// Always succeeds: missing rights show when a file is created.
pub(crate) fn may_write(_dir: &Dir) -> io::Result<()> {
    Ok(())
}

/// Fails: a directory's time is that of the last change of its content.
pub(crate) fn set_dir_time(_dir: &Dir, _modified: Modified) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether a file of that name can be created on this platform, and the name then refers to it.
pub(crate) fn holds_name(component: &str) -> bool {
    crate::platform::windows_holds(component)
}

/// Whether an error says that the file system cannot hold a name.
pub(crate) fn is_refused_name(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidFilename
}

/// When a file was changed last, or its attributes.
pub(crate) type ChangeTime = u64;

/// Returns 0: the standard library does not tell entries apart.
pub(crate) fn inode(_metadata: &Metadata) -> u64 {
    0
}

/// Returns `false`: there are no such bits.
pub(crate) fn has_special_bits(_metadata: &Metadata) -> bool {
    false
}

/// Returns `false`: the standard library does not tell.
pub(crate) fn has_change_time(_metadata: &Metadata) -> bool {
    false
}

/// The time of the last change. `None`: the standard library does not tell.
pub(crate) fn changed(_metadata: &Metadata) -> Option<ChangeTime> {
    None
}

/// Returns `false`: two files never share their content.
pub(crate) fn share_content(_from: &File, _to: &File) -> bool {
    false
}

/// Makes a complete file durable.
pub(crate) fn sync_file(file: &File) -> io::Result<()> {
    file.sync_all()
}

/// Does nothing: the file system makes names durable without a call.
pub(crate) fn sync_dir(_dir: &Dir) -> io::Result<()> {
    Ok(())
}

/// Does nothing: the file system makes names durable without a call.
pub(crate) fn sync_names(_dir: &Dir) -> io::Result<()> {
    Ok(())
}

/// Does nothing: every file was made durable at its end.
pub(crate) fn sync_all(_dir: &Dir) -> io::Result<()> {
    Ok(())
}
