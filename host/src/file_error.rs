//! The detailed cause of a file system error: the path and the problem. It is recorded beside the small errors of
//! core's traits, for the text that the user reads.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;

use thiserror::Error;
use waft_core::path::escape;

/// A path and the problem there.
#[derive(Debug, Error)]
#[error("{path}: {cause}")]
pub struct FileError {
    /// The path, escaped for display.
    pub path: String,
    /// The problem.
    pub cause: Cause,
}

impl FileError {
    pub(crate) fn new(path: impl AsRef<OsStr>, cause: impl Into<Cause>) -> Self {
        Self { path: shown(path.as_ref()), cause: cause.into() }
    }

    /// Whether an entry in the target cannot be replaced by the folder's entry.
    pub fn is_in_the_way(&self) -> bool {
        matches!(self.cause, Cause::FolderInTheWay | Cause::FileInTheWay | Cause::Immutable | Cause::MountPoint)
    }

    /// Whether a part of a folder was moved into the target, and the rest is still to be moved.
    pub fn is_unfinished(&self) -> bool {
        matches!(self.cause, Cause::Unfinished(_))
    }

    /// The kind of the file system's error, if the cause is one.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match &self.cause {
            Cause::Io(error) | Cause::Unfinished(error) => Some(error.kind()),
            _ => None,
        }
    }
}

/// The problem at a path.
#[derive(Debug, Error)]
pub enum Cause {
    /// An error of the file system.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A file differs from its state when the folder was walked.
    #[error("it changed while it was being sent")]
    Changed,
    /// The path has to be a folder and is not.
    #[error("it is not a folder")]
    NotAFolder,
    /// A folder exists where a file has to be written.
    #[error("a folder of that name is in the way of a file")]
    FolderInTheWay,
    /// A file exists where a folder has to be created.
    #[error("a file or link of that name is in the way of a folder")]
    FileInTheWay,
    /// The entry belongs to another user.
    #[error("it belongs to another user")]
    NotOurs,
    /// Another process receives into this folder.
    #[error("another waft is receiving there")]
    InUse,
    /// The path is a mount point: nothing can replace it, and nothing can be renamed into it from another file
    /// system.
    #[error("something is mounted there")]
    MountPoint,
    /// The file system marks the entry as immutable or append-only.
    #[error("it is marked as immutable or append-only")]
    Immutable,
    /// An entry of a folder has the name of the staging area.
    #[error("waft needs that name while it receives into this folder")]
    Staging,
    /// A move into the target was started and cannot be completed.
    #[error("{0}")]
    Unfinished(io::Error),
    /// The path does not name a folder that could be created.
    #[error("it does not name a folder")]
    Nameless,
}

/// Whether the error means that the file system, or this user's quota, is full.
pub(crate) fn is_disk_full(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Escapes a name or path for display, so that no part of it reaches the terminal as a control sequence.
pub(crate) fn shown(name: &OsStr) -> String {
    let mut text = String::new();
    for chunk in name.as_encoded_bytes().utf8_chunks() {
        let _ = write!(text, "{}", escape(chunk.valid()));
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_bytes_that_are_no_text() {
        assert_eq!(shown(OsStr::new("a b")), "a b");
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStrExt;
            assert_eq!(shown(OsStr::from_bytes(b"a\xff\x1b[b")), "a\\xff\\u{1b}[b");
        }
    }
}
