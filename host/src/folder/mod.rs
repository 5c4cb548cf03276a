//! A folder on this computer as the source of an archive, and the reasons why one cannot be sent.
//!
//! [`Folder::walk`] goes through the folder once and writes its manifest. [`FolderSource`] then reads the bytes of the
//! archive, as often as needed. PROTOCOL.md, section 8.

mod base;
pub(crate) mod entries;
mod ignored;
mod manifest;
mod name;
mod place;
mod source;
mod walk;
mod watch;

use std::ffi::OsStr;
use std::io::{self, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(test)]
use cap_std::fs::Dir;
use waft_core::archive::{ArchiveError, Kind};
use waft_core::path::{FolderName, PathError};
use waft_core::session::sender::{ArchiveInfo, SourceError};

use self::entries::{Entries, EntriesError};
use self::manifest::ManifestBytes;
use self::place::{Item, Place};
use self::walk::Walked;
use crate::error::Class::{Storage, Usage};
use crate::error::{Error, FileError, sentence, shown};
use crate::worker::Worker;

pub use source::FolderSource;
pub use watch::Watch;

/// A folder that was walked: a directory on this computer, or a collection of files and directories. A clone reads the
/// same files.
#[derive(Clone)]
pub struct Folder {
    root: Arc<Place>,
    /// A [`FolderName`].
    name: String,
    manifest: ManifestBytes,
    /// The shape of its archive.
    pub info: ArchiveInfo,
    /// Symlinks and special files, which are not sent.
    pub skipped: Few<Skipped>,
    /// Entries that cannot be sent. Not empty only with [`Options::skip_unsendable`].
    pub unsendable: Few<Unsendable>,
    /// Paths that [`Options::exclude`] or [`Options::gitignore`] leave out, safe to print.
    pub left_out: Few<String>,
}

/// Options for the walk.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Skips entries that cannot be read or whose name or path cannot be sent, instead of failing.
    pub skip_unsendable: bool,
    /// Leaves out what these patterns match, in the syntax of `.gitignore` files. They are relative to the folder.
    pub exclude: Vec<String>,
    /// Leaves out what the `.gitignore` files in the folder and above it in the same work tree exclude, and `.git`.
    pub gitignore: bool,
    /// Follows symlinks, instead of skipping them.
    pub follow_links: bool,
    /// Lists everything that is not sent, instead of the first entries only.
    pub list_all: bool,
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
    /// A symbolic link that leads nowhere, where links are followed.
    BrokenLink,
    /// A symbolic link that leads to a directory in which it is, where links are followed.
    Loop,
}

/// A list that keeps only its first items, enough to show to a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Few<T> {
    /// The number of all items.
    pub count: u64,
    /// The first of the items.
    pub first: Vec<T>,
    /// Whether all items are kept.
    keeps_all: bool,
}

impl<T> Few<T> {
    const KEPT: usize = 100;

    fn new(keeps_all: bool) -> Self {
        Self { count: 0, first: Vec::new(), keeps_all }
    }

    fn push(&mut self, item: impl FnOnce() -> T) {
        self.count += 1;
        if self.keeps_all || self.first.len() < Self::KEPT {
            self.first.push(item());
        }
    }
}

impl Folder {
    /// Walks the folder at `path` on a worker thread. Dropping the future stops the walk.
    pub async fn walk(path: impl AsRef<Path>, options: &Options) -> Result<Self, FolderError> {
        let (path, options) = (path.as_ref().to_owned(), options.clone());
        Worker::new(()).run(move |()| Self::walk_blocking(&path, &options)).await
    }

    /// Walks what is at these paths, on a worker thread: the one directory, as [`walk`](Self::walk) does; a single file or
    /// several paths as a folder that holds them under their own names. These paths may be links.
    pub async fn gather(paths: &[PathBuf], options: &Options) -> Result<Self, FolderError> {
        let (paths, options) = (paths.to_vec(), options.clone());
        Worker::new(()).run(move |()| Self::gather_blocking(&paths, &options)).await
    }

    /// What the folder is called at the receiver, if its sender says nothing else: the name of the directory, or of the
    /// first path. Characters that a name cannot have are replaced.
    pub fn name(&self) -> FolderName<'_> {
        FolderName::new(&self.name).expect("the walk made a name")
    }

    fn walk_blocking(path: &Path, options: &Options) -> Result<Self, FolderError> {
        let name = || shown(path.as_os_str());
        let dir = place::open_ambient(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => FolderError::Missing(name()),
            io::ErrorKind::NotADirectory => FolderError::NotAFolder(name()),
            _ => FolderError::Unreadable(FileError::new(path, error)),
        })?;
        let follow = options.follow_links.then(|| path.to_owned());
        Self::walk_place(Place::Directory { dir, follow }, path, options)?.if_not_empty(name)
    }

    fn gather_blocking(paths: &[PathBuf], options: &Options) -> Result<Self, FolderError> {
        if let [path] = paths
            && !path.is_file()
        {
            return Self::walk_blocking(path, options);
        }
        let name = || paths.iter().map(|path| shown(path.as_os_str())).collect::<Vec<_>>().join(", ");
        let items = collect(paths)?;
        let root = Place::Collection { items, follow: options.follow_links };
        let folder = Self::walk_place(root, Path::new(""), options)?.if_not_empty(name)?;
        Ok(Self { name: paths.first().map_or(folder.name, |first| name::of_path(first)), ..folder })
    }

    fn if_not_empty(self, name: impl Fn() -> String) -> Result<Self, FolderError> {
        if self.info.shape.entries == 0 { Err(FolderError::Empty(name())) } else { Ok(self) }
    }

    /// Walks an open directory, which errors call `root_name`. It may be empty.
    #[cfg(test)]
    pub(crate) fn walk_dir(dir: Dir, root_name: &Path, options: &Options) -> Result<Self, FolderError> {
        Self::walk_place(Place::Directory { dir, follow: None }, root_name, options)
    }

    fn walk_place(root: Place, root_name: &Path, options: &Options) -> Result<Self, FolderError> {
        let root = Arc::new(root);
        let walked = walk::walk(&root, root_name, options)?;
        if walked.unsendable.count > 0 && !options.skip_unsendable {
            return Err(FolderError::Unsendable(walked.unsendable));
        }
        let name = name::of_path(root_name);
        let info = ArchiveInfo {
            shape: walked.summary.shape,
            manifest_digest: walked.summary.digest,
            longest_path: walked.longest_path,
        };
        let Walked { manifest, skipped, unsendable, left_out, .. } = walked;
        Ok(Self { root, name, manifest, info, skipped, unsendable, left_out })
    }

    /// Calls `take` for each entry that is sent, in order: with its path and, for a file, its size.
    pub fn list(&self, mut take: impl FnMut(&str, Option<u64>)) -> Result<(), FolderError> {
        let mut entries = Entries::new(BufReader::new(self.manifest.reader()), self.info.shape.manifest);
        while let Some(item) = entries.next().map_err(|error| match error {
            EntriesError::Io(error) => FolderError::Spool(error),
            EntriesError::Damaged => FolderError::Spool(ErrorKind::InvalidData.into()),
        })? {
            let size = match item.kind {
                Kind::File { size } => Some(size),
                Kind::Directory => None,
            };
            take(entries.path(), size);
        }
        Ok(())
    }
}

/// The items of a collection of these paths, sorted by their names.
fn collect(paths: &[PathBuf]) -> Result<Vec<Item>, FolderError> {
    let mut items = Vec::with_capacity(paths.len());
    for path in paths {
        let unreadable = |error: io::Error| match error.kind() {
            ErrorKind::NotFound => FolderError::Missing(shown(path.as_os_str())),
            _ => FolderError::Unreadable(FileError::new(path, error)),
        };
        path.metadata().map_err(unreadable)?;
        // A path such as `..` has a name only in its absolute form.
        let name = match path.file_name() {
            Some(name) => Some(name.to_owned()),
            None => path.canonicalize().map_err(unreadable)?.file_name().map(OsStr::to_owned),
        };
        let name = name.ok_or_else(|| FolderError::Nameless(shown(path.as_os_str())))?;
        items.push(Item { name, path: path.clone() });
    }
    items.sort_by(|one, other| one.name.cmp(&other.name));
    match items.windows(2).find(|two| two[0].name == two[1].name) {
        Some(two) => Err(FolderError::SameName(shown(two[0].path.as_os_str()), shown(two[1].path.as_os_str()))),
        None => Ok(items),
    }
}

/// How many names of a list are shown.
const SHOWN: usize = 10;

/// The reason why a folder cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Nothing has that name.
    #[error("{0}: no such file or folder")]
    Missing(String),
    /// The name belongs to something other than a folder.
    #[error("{0}: not a folder")]
    NotAFolder(String),
    /// The path has no name under which it could be sent, as `/` has none.
    #[error("{0}: it has no name among other files")]
    Nameless(String),
    /// Two of the paths have the same name.
    #[error("{0} and {1} have the same name")]
    SameName(String, String),
    /// A pattern of [`Options::exclude`] is malformed.
    #[error("the pattern {0:?} is malformed: {1}")]
    Pattern(String, String),
    /// The operating system does not report changes of a path.
    #[error("cannot watch {0} for changes: {1}")]
    Unwatched(String, String),
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
        FolderError::Missing(_) => {
            "Compare the name. `waft send PATH... TO` sends files and folders; the last argument is the receiver."
        }
        FolderError::NotAFolder(_) => "Name a file or a folder.",
        FolderError::Nameless(_) => "Send it alone, or name what is in it.",
        FolderError::SameName(..) => "Rename one of the two, or send the folders that they are in.",
        FolderError::Unwatched(..) => {
            "On Linux, fs.inotify.max_user_watches limits how many folders can be watched. Or send without --watch."
        }
        FolderError::Pattern(..) => "Patterns have the syntax of .gitignore files: *.log, build/, /notes.txt.",
        FolderError::Empty(_) => {
            "Put into it what is to be sent. Links are sent only with --follow-links, devices never."
        }
        FolderError::Unreadable(file) => unreadable(file),
        FolderError::Unsendable(few) => return unsendable(few),
        FolderError::PastLimit(_) => "Send it in parts.",
        FolderError::Spool(_) => "Make room in the temporary folder, or name another one in TMPDIR.",
    };
    let what = match error {
        // These texts begin with the name of the folder, whose case must not change.
        FolderError::Missing(_)
        | FolderError::NotAFolder(_)
        | FolderError::Empty(_)
        | FolderError::Nameless(_)
        | FolderError::SameName(..) => format!("{error}."),
        error => sentence(error),
    };
    let class = if matches!(error, FolderError::Pattern(..)) { Usage } else { Storage };
    Error::new(class, what, next)
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
