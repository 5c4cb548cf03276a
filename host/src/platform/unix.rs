//! Unix: modes and `fsync` of directories.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use socket2::Socket;

use super::{Openness, TooOpen};

mod attributes;
mod opened;

pub(crate) use attributes::*;
pub(crate) use opened::*;

/// Creates a file that only its owner can read and write. Fails if anything has that name.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Creates a directory and its parents with access only for their owner. Existing directories stay as they are.
pub(crate) fn create_private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
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
