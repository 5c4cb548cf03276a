//! Unix, relative to open directories: modes, owners, and how a tree becomes durable.

use std::fs::{File, FileTimes, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::SystemTime;

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt as _};
use cap_std::fs::{Dir, DirBuilder, DirBuilderExt as _, Metadata, MetadataExt as _, OpenOptions, OpenOptionsExt as _};
use rustix::fs::{Access, AtFlags, Mode, OFlags, Timespec, Timestamps};
use waft_core::archive::Modified;

/// The mode of a directory with access only for its owner.
pub(crate) const PRIVATE_DIR: u16 = 0o700;

/// Opens the directory `name` in `parent` without following a symlink. The handle can be used to read it and to change
/// its attributes.
pub(crate) fn open_dir(parent: &Dir, name: impl AsRef<Path>) -> io::Result<Dir> {
    let mut options = OpenOptions::new();
    options.read(true).follow(FollowSymlinks::No).custom_flags(OFlags::DIRECTORY.bits() as i32);
    Ok(Dir::from_std_file(parent.open_with(name, &options)?.into_std()))
}

/// Creates the directory `name` with access only for its owner.
pub(crate) fn create_private_dir(parent: &Dir, name: impl AsRef<Path>) -> io::Result<()> {
    parent.create_dir_with(name, DirBuilder::new().mode(0o700))
}

/// Makes a file that is created with these options accessible only to its owner.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

/// The permission bits of a file or directory.
pub(crate) fn mode(metadata: &Metadata) -> u16 {
    (metadata.mode() & 0o777) as u16
}

/// The permission bits of an open file.
pub(crate) fn file_mode(metadata: &std::fs::Metadata) -> u16 {
    (metadata.mode() & 0o777) as u16
}

/// Whether this process's user is the owner.
pub(crate) fn is_ours(metadata: &Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw()
}

/// Whether both have the same owner.
pub(crate) fn has_owner_of(one: &Metadata, other: &Metadata) -> bool {
    one.uid() == other.uid()
}

/// Whether both describe the same file or directory.
pub(crate) fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// The device of its file system.
pub(crate) fn device(metadata: &Metadata) -> u64 {
    metadata.dev()
}

/// Whether that name refers to the open file. The link count would not show this, because NFS and FUSE rename a file
/// that is removed while it is open.
pub(crate) fn is_named(dir: &Dir, name: &str, file: &File) -> io::Result<bool> {
    let open = file.metadata()?;
    match dir.symlink_metadata(name) {
        Ok(found) => Ok((found.dev(), found.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes a file that is opened with these options accept a new mode and time. On Unix the owner may always set them.
pub(crate) fn changeable(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Sets a file's mode.
pub(crate) fn set_file_mode(file: &File, mode: u16) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(mode.into()))
}

/// Sets a file's modification time.
pub(crate) fn set_file_time(file: &File, modified: SystemTime) -> io::Result<()> {
    file.set_times(FileTimes::new().set_modified(modified))
}

/// Renames a directory to a name that is free or that of an empty directory.
pub(crate) fn rename_over_empty(from: &Dir, name: &Path, parent: &Dir, target: &Path) -> io::Result<()> {
    from.rename(name, parent, target)
}

/// Sets a directory's permission bits. The set-group-ID bit, by which entries inherit the group, is kept.
pub(crate) fn set_dir_mode(dir: &Dir, mode: u16) -> io::Result<()> {
    let inherited = Mode::from_raw_mode(dir.dir_metadata()?.mode() as _) & Mode::SGID;
    Ok(rustix::fs::fchmod(dir, Mode::from_raw_mode(mode.into()) | inherited)?)
}

/// Lets the owner of the directory `name` read, write and enter it. The other bits are kept.
pub(crate) fn unlock_dir(parent: &Dir, name: &Path) -> io::Result<()> {
    let mode = parent.symlink_metadata(name)?.mode() & 0o7777 | 0o700;
    parent.set_permissions(name, cap_std::fs::Permissions::from_std(Permissions::from_mode(mode)))
}

/// Fails unless this user may create and remove names in the directory.
pub(crate) fn may_write(dir: &Dir) -> io::Result<()> {
    Ok(rustix::fs::accessat(dir, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?)
}

/// Sets a directory's modification time.
pub(crate) fn set_dir_time(dir: &Dir, modified: Modified) -> io::Result<()> {
    let omit = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
    let modified = Timespec { tv_sec: modified.seconds, tv_nsec: modified.nanos.into() };
    Ok(rustix::fs::futimens(dir, &Timestamps { last_access: omit, last_modification: modified })?)
}

/// Whether a file of that name can be created on this platform. The file system may still refuse it.
pub(crate) fn holds_name(_component: &str) -> bool {
    true
}

/// Whether an error says that the file system cannot hold a name: it is too long, has a character that is not allowed,
/// or is not in the required encoding.
pub(crate) fn is_refused_name(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::NAMETOOLONG | Errno::INVAL | Errno::ILSEQ))
}

/// Flushes a file to the drive, on systems where [`sync_all`] does not.
pub(crate) fn sync_file(file: &File) -> io::Result<()> {
    sync_each(file)
}

/// Flushes the names in a directory to the drive, on systems where [`sync_all`] does not.
pub(crate) fn sync_dir(dir: &Dir) -> io::Result<()> {
    sync_each(dir)
}

fn sync_each(file: impl AsFd) -> io::Result<()> {
    #[cfg(all(test, target_os = "linux"))]
    handed::note(file.as_fd());
    if cfg!(target_os = "linux") { Ok(()) } else { Ok(rustix::fs::fsync(file)?) }
}

/// Records the files that other systems flush one by one. On Linux only this shows whether one was left out.
#[cfg(all(test, target_os = "linux"))]
pub(crate) mod handed {
    use std::path::{Path, PathBuf};
    use std::sync::Mutex;

    use rustix::fd::{AsRawFd, BorrowedFd};

    static HANDED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

    pub(super) fn note(file: BorrowedFd<'_>) {
        let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).expect("it is open");
        HANDED.lock().expect("no test panics meanwhile").push(path);
    }

    /// The recorded paths below a folder, in the order in which they were flushed.
    pub(crate) fn below(folder: &Path) -> Vec<PathBuf> {
        let handed = HANDED.lock().expect("no test panics meanwhile");
        handed.iter().filter_map(|path| path.strip_prefix(folder).ok().map(Path::to_owned)).collect()
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_names(dir: &Dir) -> io::Result<()> {
    full_sync(dir)
}

/// Makes all writes to the file system of `dir` durable: one call for a tree of any size.
#[cfg(target_os = "linux")]
pub(crate) fn sync_all(dir: &Dir) -> io::Result<()> {
    Ok(rustix::fs::syncfs(dir)?)
}

/// Makes durable what was flushed file by file and directory by directory. Called once, at the end.
#[cfg(not(target_os = "linux"))]
pub(crate) fn sync_all(dir: &Dir) -> io::Result<()> {
    full_sync(dir)
}

#[cfg(not(target_vendor = "apple"))]
fn full_sync(file: impl AsFd) -> io::Result<()> {
    Ok(rustix::fs::fsync(file)?)
}

/// On Apple systems `fsync` leaves the data in the drive's own cache, and another call makes the drive write it out.
/// File systems that do not support that call, such as network file systems, get `fsync`.
#[cfg(target_vendor = "apple")]
fn full_sync(file: impl AsFd) -> io::Result<()> {
    rustix::fs::fcntl_fullfsync(&file).or_else(|_| rustix::fs::fsync(&file)).map_err(Into::into)
}
