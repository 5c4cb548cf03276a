//! A folder on this computer as the source of an archive.
//!
//! [`Folder::walk`] goes through the folder once and writes its manifest. [`FolderSource`] then reads the bytes of the
//! archive, as often as needed. PROTOCOL.md, section 8.

pub(crate) mod entries;
mod error;
mod source;
mod walk;

use std::io;
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use tempfile::SpooledTempFile;
use waft_core::session::sender::ArchiveInfo;

pub(crate) use error::source_error;
pub use error::{FolderError, Unsendable, UnsendableWhy};
pub use source::FolderSource;

use crate::file_error::{FileError, shown};
use crate::worker::Worker;

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

#[cfg(test)]
mod tests;
