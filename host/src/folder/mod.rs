//! A folder on this computer as the source of an archive, and the reasons why one cannot be sent.
//!
//! [`Folder::walk`] goes through the folder once and writes its manifest. [`FolderSource`] then reads the bytes of the
//! archive, as often as needed. PROTOCOL.md, section 8.

mod base;
pub(crate) mod entries;
mod source;
mod walk;

use std::io::{self, ErrorKind};
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use tempfile::SpooledTempFile;
use waft_core::archive::ArchiveError;
use waft_core::path::PathError;
use waft_core::session::sender::{ArchiveInfo, SourceError};

use crate::error::Class::Storage;
use crate::error::{Error, FileError, sentence, shown};
use crate::worker::Worker;

pub use source::FolderSource;

/// A folder that was walked.
pub struct Folder {
    root: Dir,
    spool: SpooledTempFile,
    /// The shape of its archive.
    pub info: ArchiveInfo,
    /// Symlinks and special files, which are not sent.
    pub skipped: Few<Skipped>,
    /// Entries that cannot be sent. Not empty only with [`Options::skip_unsendable`].
    pub unsendable: Few<Unsendable>,
}

/// Options for the walk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Skips entries that cannot be read or whose name or path cannot be sent, instead of failing.
    pub skip_unsendable: bool,
}

/// An entry that is not sent because it is neither a file nor a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its path, safe to print.
    pub path: String,
    /// The kind of entry.
    pub why: SkippedWhy,
}

/// The kinds of entries that are never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkippedWhy {
    /// A symbolic link.
    Symlink,
    /// A device, pipe or socket.
    Special,
}

/// A list that keeps only its first items, enough to show to a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Few<T> {
    /// The number of all items.
    pub count: u64,
    /// The first of the items.
    pub first: Vec<T>,
}

impl<T> Few<T> {
    const KEPT: usize = 100;

    fn new() -> Self {
        Self { count: 0, first: Vec::new() }
    }

    fn push(&mut self, item: impl FnOnce() -> T) {
        self.count += 1;
        if self.first.len() < Self::KEPT {
            self.first.push(item());
        }
    }
}

impl Folder {
    /// Walks the folder at `path` on a worker thread. Dropping the future stops the walk.
    pub async fn walk(path: impl AsRef<Path>, options: &Options) -> Result<Self, FolderError> {
        let (path, options) = (path.as_ref().to_owned(), *options);
        Worker::new(()).run(move |()| Self::walk_blocking(&path, &options)).await
    }

    fn walk_blocking(path: &Path, options: &Options) -> Result<Self, FolderError> {
        let name = || shown(path.as_os_str());
        let root = Dir::open_ambient_dir(path, ambient_authority()).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => FolderError::Missing(name()),
            io::ErrorKind::NotADirectory => FolderError::NotAFolder(name()),
            _ => FolderError::Unreadable(FileError::new(path, error)),
        })?;
        let folder = Self::walk_dir(root, path, options)?;
        if folder.info.shape.entries == 0 { Err(FolderError::Empty(name())) } else { Ok(folder) }
    }

    /// Walks an open folder, which errors call `root_name`. The folder may be empty.
    pub(crate) fn walk_dir(root: Dir, root_name: &Path, options: &Options) -> Result<Self, FolderError> {
        let walked = walk::walk(&root, root_name)?;
        if walked.unsendable.count > 0 && !options.skip_unsendable {
            return Err(FolderError::Unsendable(walked.unsendable));
        }
        let info = ArchiveInfo {
            shape: walked.summary.shape,
            manifest_digest: walked.summary.digest,
            longest_path: walked.longest_path,
        };
        Ok(Self { root, spool: walked.spool, info, skipped: walked.skipped, unsendable: walked.unsendable })
    }
}

/// How many names of a list are shown.
const SHOWN: usize = 10;

/// The reason why a folder cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Nothing has that name.
    #[error("{0}: no such folder")]
    Missing(String),
    /// The name belongs to something other than a folder.
    #[error("{0}: not a folder")]
    NotAFolder(String),
    /// The folder has no entries, or none that can be sent.
    #[error("{0}: nothing in it to send")]
    Empty(String),
    /// The folder cannot be read.
    #[error("cannot read {0}")]
    Unreadable(FileError),
    /// Entries in the folder cannot be read, or have a name or path that cannot be sent.
    #[error("{} things in it cannot be sent", .0.count)]
    Unsendable(Few<Unsendable>),
    /// The folder has more, longer or deeper entries than an archive may have.
    #[error("too much for one transfer: {0}")]
    PastLimit(ArchiveError),
    /// The temporary file for a long manifest cannot be written or read.
    #[error("cannot use a temporary file: {0}")]
    Spool(io::Error),
}

/// An entry that cannot be sent. Nothing below it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsendable {
    /// Its path, safe to print.
    pub path: String,
    /// The reason.
    pub why: UnsendableWhy,
}

/// The reason why an entry cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsendableWhy {
    /// The name is not UTF-8.
    #[error("the name is not UTF-8")]
    NotText,
    /// The path is not allowed in an archive.
    #[error(transparent)]
    Path(PathError),
    /// The operating system does not let this user read it.
    #[error("it cannot be read: {0}")]
    Unreadable(io::ErrorKind),
}

impl UnsendableWhy {
    /// Whether the entry cannot be read, whatever its name is.
    pub fn is_unreadable(self) -> bool {
        matches!(self, Self::Unreadable(_))
    }

    /// Whether the path is too long or too deep. If not, the name itself is not allowed.
    pub fn is_too_long(self) -> bool {
        matches!(self, Self::Path(PathError::TooLong | PathError::TooDeep | PathError::ComponentTooLong))
    }
}

impl From<FolderError> for Error {
    fn from(error: FolderError) -> Self {
        folder_error(&error)
    }
}

fn folder_error(error: &FolderError) -> Error {
    let next = match error {
        FolderError::Missing(_) => "Compare the name; `waft send FOLDER TO` sends another one.",
        FolderError::NotAFolder(_) => "Put the file into a folder, and send that.",
        FolderError::Empty(_) => "Put into it what is to be sent; links and devices are never sent.",
        FolderError::Unreadable(file) => unreadable(file),
        FolderError::Unsendable(few) => return unsendable(few),
        FolderError::PastLimit(_) => "Send it in parts.",
        FolderError::Spool(_) => "Make room in the temporary folder, or name another one in TMPDIR.",
    };
    let what = match error {
        // These texts begin with the name of the folder, whose case must not change.
        FolderError::Missing(_) | FolderError::NotAFolder(_) | FolderError::Empty(_) => format!("{error}."),
        error => sentence(error),
    };
    Error::new(Storage, what, next)
}

/// The advice for an entry that cannot be read.
fn unreadable(error: &FileError) -> &'static str {
    match error.io_kind() {
        Some(ErrorKind::PermissionDenied) => "Look at its owner and permissions: this user may not read it.",
        Some(ErrorKind::NotFound) => "Something has just removed it. Let that come to an end, then begin again.",
        _ => "Look at the disk or the network that it is on.",
    }
}

fn unsendable(few: &Few<Unsendable>) -> Error {
    let any = |is: fn(&Unsendable) -> bool| few.first.iter().any(is);
    let unreadable = any(|item| item.why.is_unreadable());
    let long = any(|item| item.why.is_too_long());
    let named = any(|item| !item.why.is_unreadable() && !item.why.is_too_long());
    let (one, many) = match (unreadable, named, long) {
        (true, false, false) => ("1 file or folder cannot be read", "files or folders cannot be read"),
        (false, true, false) => ("1 name cannot be sent", "names cannot be sent"),
        (false, false, true) => ("1 path cannot be sent", "paths cannot be sent"),
        (false, ..) => ("1 name or path cannot be sent", "names or paths cannot be sent"),
        _ => ("1 file or folder cannot be sent", "files or folders cannot be sent"),
    };
    let mut text = if few.count == 1 { format!("{one}:") } else { format!("{} {many}:", few.count) };
    for Unsendable { path, why } in few.first.iter().take(SHOWN) {
        text.push_str(&format!("\n  {path}: {why}"));
    }
    if few.count > SHOWN as u64 {
        text.push_str(&format!("\n  and {} more", few.count - SHOWN as u64));
    }
    let cures = [
        (unreadable, "Look at the owner and permissions of what cannot be read."),
        (named, "Rename what has a wrong name."),
        (long, "Shorten what is too long, or send the deeper folder separately."),
    ];
    let mut next: Vec<_> = cures.iter().filter(|(applies, _)| *applies).map(|(_, cure)| *cure).collect();
    next.push("Or leave them behind with --skip-unsendable.");
    Error::new(Storage, text, next.join(" "))
}

/// The error for a folder that changed, or became unreadable, after the transfer had begun. `file` is the path and the
/// problem, if it is known.
pub(crate) fn source_error(error: SourceError, file: Option<&FileError>) -> Error {
    let cure = file.map_or("See whether it is still there and may be read.", unreadable);
    let detail = file.map_or(String::new(), |file| format!(" {file}."));
    match error {
        SourceError::Changed => Error::new(
            Storage,
            format!("The folder changed while it was read.{detail}"),
            "Let the changes come to an end, then begin again. Nothing appeared at the other end.",
        ),
        _ => Error::new(
            Storage,
            format!("A file of the folder cannot be read any more.{detail}"),
            format!("{cure} Nothing appeared at the other end."),
        ),
    }
}

#[cfg(test)]
mod tests;
