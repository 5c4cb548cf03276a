//! Unix: private files, the attributes of files and directories, and how a tree becomes durable.
//!
//! Functions that take a path serve the configuration folder. Those that take an open directory serve the store, which
//! resolves no path twice. [`attributes`] copies those of a directory that is replaced.

mod attributes;

use std::fs::{self, File, FileTimes, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::SystemTime;

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt as _};
use cap_std::fs::{Dir, DirBuilder, DirBuilderExt as _, Metadata, MetadataExt as _, OpenOptions, OpenOptionsExt as _};
use rustix::fs::{Access, AtFlags, Mode, OFlags, Timespec, Timestamps};
use socket2::Socket;
use waft_core::archive::Modified;

pub(crate) use self::attributes::{copy_attributes, is_kept_for_its_owner, is_mount_point, lock_of};
use crate::platform::{Openness, TooOpen};

/// Creates a file that only its owner can read and write. Fails if anything has that name.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Creates a directory and its parents with access only for their owner. Existing directories stay as they are.
pub(crate) fn create_private_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Whether only this user and root can read and write a file.
pub(crate) fn check_private(path: &Path) -> io::Result<Result<(), TooOpen>> {
    check(path, 0o077)
}

/// Whether only this user and root can change a file or directory.
pub(crate) fn check_unchangeable(path: &Path) -> io::Result<Result<(), TooOpen>> {
    check(path, 0o022)
}

/// Like ssh, this treats anything that another user owns as changeable by that user.
fn check(path: &Path, forbidden: u32) -> io::Result<Result<(), TooOpen>> {
    let found = std::fs::metadata(path)?;
    let (mode, owner) = (found.mode() & 0o777, found.uid());
    let problem = if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        Openness::Foreign { owner }
    } else if mode & forbidden != 0 {
        Openness::Mode { mode, cure: if found.is_dir() { "700" } else { "600" } }
    } else {
        return Ok(Ok(()));
    };
    Ok(Err(TooOpen { path: path.to_owned(), problem }))
}

/// Whether a file or folder belongs to another user than this one and root. For root, the user who called `sudo` is no other.
#[cfg_attr(not(feature = "cli"), allow(dead_code))] // for the command
pub(crate) fn is_foreign(path: &Path) -> io::Result<bool> {
    let (owner, user) = (std::fs::metadata(path)?.uid(), rustix::process::geteuid().as_raw());
    let caller = || std::env::var("SUDO_UID").ok()?.parse().ok();
    Ok(owner != 0 && owner != user && (user != 0 || caller() != Some(owner)))
}

/// Distinguishes one version of a file from the next: its device and inode, its length, and the times of its last
/// changes.
pub(crate) type FileVersion = (u64, u64, u64, [i64; 4]);

/// The present version of the file.
pub(crate) fn file_version(path: &Path) -> io::Result<FileVersion> {
    let found = std::fs::metadata(path)?;
    let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
    Ok((found.dev(), found.ino(), found.len(), times))
}

/// Makes the names in a directory durable: all creations, renames and removals so far.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Lets a port be used again at once, while connections of an earlier process are still closing.
pub(crate) fn listen_again(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_address(true)
}

/// The mode of a directory with access only for its owner.
pub(crate) const PRIVATE_DIR: u16 = 0o700;

/// Opens the directory `name` in `parent` without following a symlink. The handle can be used to read it and to change
/// its attributes.
pub(crate) fn open_dir(parent: &Dir, name: impl AsRef<Path>) -> io::Result<Dir> {
    let mut options = OpenOptions::new();
    options.read(true).follow(FollowSymlinks::No).custom_flags(OFlags::DIRECTORY.bits() as i32);
    Ok(Dir::from_std_file(parent.open_with(name, &options)?.into_std()))
}

/// Reads bytes of a file from this position on, without moving the file's own position.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    file.read_at(buffer, position)
}

/// Creates the directory `name` with access only for its owner.
pub(crate) fn create_private_dir(parent: &Dir, name: impl AsRef<Path>) -> io::Result<()> {
    parent.create_dir_with(name, DirBuilder::new().mode(0o700))
}

/// Gives a file that is created with these options that mode, without the bits in the process's mask.
pub(crate) fn mode_at_creation(options: &mut OpenOptions, mode: u16) -> &mut OpenOptions {
    options.mode(mode.into())
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

/// Room that the file takes on the disk, in bytes. `None` if the system does not tell.
pub(crate) fn allocated(metadata: &std::fs::Metadata) -> Option<u64> {
    Some(metadata.blocks() * 512)
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

/// When a file was changed last, or its attributes, by the clock of its file system. No program can set this time.
pub(crate) type ChangeTime = (i64, i64);

/// What tells an entry of a file system apart from all others there.
pub(crate) fn inode(metadata: &Metadata) -> u64 {
    metadata.ino()
}

/// Whether a file is run as another user or group, or is sticky: bits that [`mode`] leaves out.
pub(crate) fn has_special_bits(metadata: &Metadata) -> bool {
    metadata.mode() & 0o7000 != 0
}

/// Whether the time of the last change is one of its own. Some file systems show the time of the content for it, which
/// programs can set.
pub(crate) fn has_change_time(metadata: &Metadata) -> bool {
    (metadata.ctime(), metadata.ctime_nsec()) != (metadata.mtime(), metadata.mtime_nsec())
}

/// The time of the last change. `None` if the system does not tell.
pub(crate) fn changed(metadata: &Metadata) -> Option<ChangeTime> {
    Some((metadata.ctime(), metadata.ctime_nsec()))
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

/// Exchanges two directories in one step. Fails with `Unsupported` or `InvalidInput` where that is not possible.
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
pub(crate) fn exchange(from: &Dir, name: &Path, parent: &Dir, target: &Path) -> io::Result<()> {
    Ok(rustix::fs::renameat_with(from, name, parent, target, rustix::fs::RenameFlags::EXCHANGE)?)
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
pub(crate) fn exchange(_from: &Dir, _name: &Path, _parent: &Dir, _target: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
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

/// Lets the system begin to write a part of a file to the drive, and does not wait for it. That part was just written, so
/// none of it is on the drive yet. Makes nothing durable.
#[cfg(target_os = "linux")]
pub(crate) fn begin_write_back(file: &File, from: u64, length: u64) {
    // This advice lets Linux write pages that are not on the drive yet, and discard others. It is no failure if a file
    // system ignores it.
    let _ = rustix::fs::fadvise(file, from, std::num::NonZeroU64::new(length), rustix::fs::Advice::DontNeed);
}

/// Does nothing: this is known only of Linux.
#[cfg(not(target_os = "linux"))]
pub(crate) fn begin_write_back(_file: &File, _from: u64, _length: u64) {}

/// Frees the room that the file system has allocated for a part of a file to which nothing was written. XFS allocates ahead
/// of what is written, as much as the file is long, and keeps that room where a hole follows.
#[cfg(target_os = "linux")]
pub(crate) fn free_allocated_ahead(file: &File, from: u64, length: u64) {
    use rustix::fs::FallocateFlags;
    // Where it cannot be done the file takes more room, and reads the same.
    let _ = rustix::fs::fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, from, length);
}

/// Does nothing: this is known only of Linux.
#[cfg(not(target_os = "linux"))]
pub(crate) fn free_allocated_ahead(_file: &File, _from: u64, _length: u64) {}

/// Lets an empty file share the content of another one on the disk, where the file system can do that (Btrfs, XFS): it
/// takes no room until one of them is written to, and neither changes with the other. Returns whether it does.
#[cfg(target_os = "linux")]
pub(crate) fn share_content(from: &File, to: &File) -> bool {
    rustix::fs::ioctl_ficlone(to, from).is_ok()
}

/// Returns `false`: this is known only of Linux.
#[cfg(not(target_os = "linux"))]
pub(crate) fn share_content(_from: &File, _to: &File) -> bool {
    false
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

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_others_can_open_is_reported_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create_private(&path).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o610] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let problem = check_private(&path).unwrap().unwrap_err();
            assert!(matches!(problem.problem, Openness::Mode { mode: found, .. } if found == mode));
            assert_eq!(check_unchangeable(&path).unwrap().is_err(), mode == 0o620);
            assert!(problem.to_string().contains("chmod 600"), "{problem}");
        }
    }

    #[test]
    fn private_directories_are_closed() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        create_private_directory(&inner).unwrap();
        assert_eq!(std::fs::metadata(&inner).unwrap().mode() & 0o777, 0o700);
        create_private_directory(&inner).unwrap();
    }
}
