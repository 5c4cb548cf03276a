//! Windows: a profile's folders are closed to other users already, and names are durable with their file system's log.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

use socket2::Socket;

use super::TooOpen;

mod opened;
mod signals;
mod terminal;

pub(crate) use opened::*;
pub(crate) use signals::*;
pub(crate) use terminal::*;

/// Creates a file; it inherits the access list of its folder, which in a profile lets in the owner and administrators.
/// Fails if anything has that name.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Creates a directory and its parents. Existing ones stay as they are.
pub(crate) fn create_private_directory(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

/// Always content: what a file inherits from its folder is not checked here.
pub(crate) fn check_private(path: &Path) -> io::Result<Result<(), TooOpen>> {
    std::fs::metadata(path).map(|_| Ok(()))
}

/// What tells one version of a file from the next: its length, and when it was made and changed last.
pub(crate) type FileVersion = (u64, SystemTime, SystemTime);

/// The version of a file that stands there now.
pub(crate) fn file_version(path: &Path) -> io::Result<FileVersion> {
    let found = std::fs::metadata(path)?;
    Ok((found.len(), found.created()?, found.modified()?))
}

/// Always content, for the same reason.
pub(crate) fn check_unchangeable(path: &Path) -> io::Result<Result<(), TooOpen>> {
    check_private(path)
}

/// Says no: here a service has no standard input at all, and is told so when it reads.
pub(crate) fn stdin_is_null() -> bool {
    false
}

/// Does nothing: a directory cannot be flushed, NTFS logs its changes in order.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    std::fs::metadata(path).map(|_| ())
}

/// Bytes that this user can still write to the file system that holds `path`.
pub(crate) fn free_space(path: &Path) -> io::Result<u64> {
    fs4::available_space(path)
}

/// Bytes that are taken on the file system that holds `path`.
pub(crate) fn used_space(path: &Path) -> io::Result<u64> {
    Ok(fs4::total_space(path)?.saturating_sub(fs4::free_space(path)?))
}

/// Ends a process, and what it has started: it cannot be asked to.
pub(crate) fn ask_to_end(child: &mut Child) -> io::Result<()> {
    let mut tree = Command::new("taskkill");
    tree.args(["/F", "/T", "/PID", &child.id().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if tree.status().is_ok_and(|status| status.success()) { Ok(()) } else { child.kill() }
}

/// Does nothing: a port is free at once here, and reuse would let two programs share it.
pub(crate) fn listen_again(_socket: &Socket) -> io::Result<()> {
    Ok(())
}

/// A program to be run, which the terminal's Ctrl-C does not reach. It lives on if this process is killed.
pub(crate) fn child(program: &Path) -> Command {
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
    let mut command = Command::new(program);
    command.creation_flags(CREATE_NEW_PROCESS_GROUP);
    command
}
