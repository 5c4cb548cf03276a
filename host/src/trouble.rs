//! What went wrong with a file or folder, and with which: kept beside the small errors of core's traits for the person.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;

use thiserror::Error;
use waft_core::path::escape;

/// A path and what went wrong there.
#[derive(Debug, Error)]
#[error("{path}: {cause}")]
pub struct Trouble {
    /// Where; safe to show.
    pub path: String,
    /// What.
    pub cause: Cause,
}

impl Trouble {
    pub(crate) fn new(path: impl AsRef<OsStr>, cause: impl Into<Cause>) -> Self {
        Self { path: shown(path.as_ref()), cause: cause.into() }
    }

    /// Whether something in the target is in the way of the folder.
    pub fn is_in_the_way(&self) -> bool {
        matches!(self.cause, Cause::FolderInTheWay | Cause::FileInTheWay | Cause::Immutable | Cause::MountPoint)
    }

    /// Whether a part of a folder was moved into the target, and the rest is still to be moved.
    pub fn is_unfinished(&self) -> bool {
        matches!(self.cause, Cause::Unfinished(_))
    }

    /// The file system's error, if it was one.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match &self.cause {
            Cause::Io(error) | Cause::Unfinished(error) => Some(error.kind()),
            _ => None,
        }
    }
}

/// What went wrong at a path.
#[derive(Debug, Error)]
pub enum Cause {
    /// The file system said so.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A file is not what it was when the folder was walked.
    #[error("it changed while it was being sent")]
    Changed,
    /// A folder is needed there.
    #[error("it is not a folder")]
    NotAFolder,
    /// A folder stands where a file is to go.
    #[error("a folder of that name is in the way of a file")]
    FolderInTheWay,
    /// A file stands where a folder is to go.
    #[error("a file or link of that name is in the way of a folder")]
    FileInTheWay,
    /// Somebody else's.
    #[error("it belongs to another user")]
    NotOurs,
    /// Another process works there.
    #[error("another waft is receiving there")]
    InUse,
    /// It is the root of another file system: nothing can be moved onto it or, by a rename, into it.
    #[error("something is mounted there")]
    MountPoint,
    /// The file system keeps it as it is.
    #[error("it is marked as immutable or append-only")]
    Immutable,
    /// An entry of a folder has the name of the staging area.
    #[error("waft needs that name while it receives into this folder")]
    Staging,
    /// What was being moved into the target cannot be moved to its end.
    #[error("{0}")]
    Unfinished(io::Error),
    /// The path names no folder that could be made.
    #[error("it does not name a folder")]
    Nameless,
}

/// Whether a file system has no more room, at all or for this user.
pub(crate) fn is_disk_full(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Any name or path as it can be shown: nothing in it reaches the terminal as a command.
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
