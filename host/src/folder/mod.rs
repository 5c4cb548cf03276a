//! A folder on this computer as the source of an archive.
//!
//! [`Folder::walk`] goes through it once and writes its manifest; [`FolderSource`] then gives the archive's bytes, as
//! often as needed. PROTOCOL.md, section 8.

pub(crate) mod entries;
mod source;
mod walk;

use std::io;
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use tempfile::SpooledTempFile;
use thiserror::Error;
use waft_core::archive::ArchiveError;
use waft_core::path::PathError;
use waft_core::session::sender::ArchiveInfo;

pub use source::FolderSource;

use crate::trouble::{Trouble, shown};
use crate::worker::Worker;

/// A folder that was walked.
pub struct Folder {
    root: Dir,
    spool: SpooledTempFile,
    /// The shape of its archive.
    pub info: ArchiveInfo,
    /// Symlinks and special files, which stay behind.
    pub skipped: Few<Skipped>,
    /// What cannot be sent; not empty only with [`Options::skip_unsendable`].
    pub unsendable: Few<Unsendable>,
}

/// How a folder is walked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Leaves behind what cannot be read, or has a name or path that cannot be sent, instead of failing.
    pub skip_unsendable: bool,
}

/// Something that is not sent since it is neither a file nor a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Where; safe to show.
    pub path: String,
    /// What it is.
    pub why: SkippedWhy,
}

/// What is never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkippedWhy {
    /// A symbolic link.
    Symlink,
    /// A device, pipe or socket.
    Special,
}

/// Something that cannot be sent. What is below it is not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsendable {
    /// Where; safe to show.
    pub path: String,
    /// Why.
    pub why: UnsendableWhy,
}

/// Why something cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UnsendableWhy {
    /// No text.
    #[error("the name is not UTF-8")]
    NotText,
    /// No path of an archive.
    #[error(transparent)]
    Path(PathError),
    /// The system does not let this user read it.
    #[error("it cannot be read: {0}")]
    Unreadable(io::ErrorKind),
}

impl UnsendableWhy {
    /// Whether it cannot be read, whatever its name is.
    pub fn is_unreadable(self) -> bool {
        matches!(self, Self::Unreadable(_))
    }

    /// Whether the path is too long or too deep; else it is the name that is wrong.
    pub fn is_too_long(self) -> bool {
        matches!(self, Self::Path(PathError::TooLong | PathError::TooDeep | PathError::ComponentTooLong))
    }
}

/// A list of which only the first items are kept: as many as a person reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Few<T> {
    /// How many there are.
    pub count: u64,
    /// The first of them.
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

/// Why a folder cannot be sent.
#[derive(Debug, Error)]
pub enum FolderError {
    /// Nothing of that name.
    #[error("{0}: no such folder")]
    Missing(String),
    /// Something of that name, but not a folder.
    #[error("{0}: not a folder")]
    NotAFolder(String),
    /// Nothing in it, or nothing that can be sent.
    #[error("{0}: nothing in it to send")]
    Empty(String),
    /// It cannot be read.
    #[error("cannot read {0}")]
    Unreadable(Trouble),
    /// Something in it cannot be read, or has a name or path that cannot be sent.
    #[error("{} things in it cannot be sent", .0.count)]
    Unsendable(Few<Unsendable>),
    /// More, longer or deeper than any archive may be.
    #[error("too much for one transfer: {0}")]
    PastLimit(ArchiveError),
    /// The temporary file for a long manifest cannot be written or read.
    #[error("cannot use a temporary file: {0}")]
    Spool(io::Error),
}

impl Folder {
    /// Walks the folder at `path`, on a thread of its own. Can be given up at any moment.
    pub async fn walk(path: &Path, options: &Options) -> Result<Self, FolderError> {
        let (path, options) = (path.to_owned(), *options);
        Worker::new(()).run(move |()| Self::walk_blocking(&path, &options)).await
    }

    fn walk_blocking(path: &Path, options: &Options) -> Result<Self, FolderError> {
        let name = || shown(path.as_os_str());
        let root = Dir::open_ambient_dir(path, ambient_authority()).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => FolderError::Missing(name()),
            io::ErrorKind::NotADirectory => FolderError::NotAFolder(name()),
            _ => FolderError::Unreadable(Trouble::new(path, error)),
        })?;
        let folder = Self::walk_dir(root, path, options)?;
        if folder.info.shape.entries == 0 { Err(FolderError::Empty(name())) } else { Ok(folder) }
    }

    /// Walks an open folder, which errors call `root_name`; an empty one is fine.
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

#[cfg(test)]
mod tests;
