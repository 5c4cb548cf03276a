//! Windows: the folders of a user profile already exclude other users, and the file system's log makes names durable.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::SystemTime;

use socket2::Socket;

use super::TooOpen;

mod opened;

pub(crate) use opened::*;

/// Creates a file. It inherits the access control list of its folder, which in a profile admits the owner and
/// administrators. Fails if the name exists.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Creates a directory and its parents. Existing directories stay as they are.
pub(crate) fn create_private_directory(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

/// Always succeeds for an existing file: the inherited access control list is not checked.
pub(crate) fn check_private(path: &Path) -> io::Result<Result<(), TooOpen>> {
    std::fs::metadata(path).map(|_| Ok(()))
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
