//! Walks a folder in the manifest's order and writes its manifest.
//!
//! **Walk** -> archive -> compress -> seal -> frame -> TLS. PROTOCOL.md, sections 8.1 and 8.2. Memory holds only the
//! names in the directories from the root down to the current one. No symlink is followed.
//!
//! walkdir is not used, because it opens whole paths, in which a directory can be replaced by a symlink meanwhile.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufWriter, Seek, Write};
use std::path::Path;
use std::vec::IntoIter;

use cap_std::fs::{Dir, Metadata};
use tempfile::SpooledTempFile;
use waft_core::archive::{ENTRY_PREFIX, Entry, Kind, ManifestWriter, Summary};
use waft_core::limits::{DEPTH_MAX, ENTRY_MAX};
use waft_core::path::RelPath;

use super::entries::modified;
use super::source::open_file;
use super::{Few, FolderError, Skipped, SkippedWhy, Unsendable, UnsendableWhy};
use crate::error::{FileError, shown};
use crate::platform;
use crate::worker::is_given_up;

/// Manifests up to this length stay in memory; longer ones go to an unnamed temporary file.
const IN_MEMORY: usize = 1 << 20;

/// A folder's manifest, and the entries that it does not contain.
pub(super) struct Walked {
    pub(super) spool: SpooledTempFile,
    pub(super) summary: Summary,
    pub(super) longest_path: u16,
    pub(super) skipped: Few<Skipped>,
    pub(super) unsendable: Few<Unsendable>,
}

/// Walks `root`, which errors call `root_name`.
pub(super) fn walk(root: &Dir, root_name: &Path) -> Result<Walked, FolderError> {
    let mut walk = Walk {
        root_name,
        manifest: ManifestWriter::new(),
        spool: BufWriter::with_capacity(64 << 10, tempfile::spooled_tempfile(IN_MEMORY)),
        encoded: [0; ENTRY_PREFIX + ENTRY_MAX],
        path: String::new(),
        longest_path: 0,
        skipped: Few::new(),
        unsendable: Few::new(),
    };
    let first = names(root).map_err(|error| walk.unreadable(error))?;
    walk.all(root, first)?;
    walk.finish()
}

struct Walk<'n> {
    root_name: &'n Path,
    manifest: ManifestWriter,
    spool: BufWriter<SpooledTempFile>,
    encoded: [u8; ENTRY_PREFIX + ENTRY_MAX],
    /// Path of the current directory or file, relative to the folder.
    path: String,
    longest_path: usize,
    skipped: Few<Skipped>,
    unsendable: Few<Unsendable>,
}

/// A directory on the path from the root to the current entry.
struct Level {
    dir: Dir,
    names: IntoIter<OsString>,
    /// Length of its path.
    path: usize,
}

impl Walk<'_> {
    fn all(&mut self, root: &Dir, first: IntoIter<OsString>) -> Result<(), FolderError> {
        let root = root.try_clone().map_err(|error| self.unreadable(error))?;
        let mut levels = vec![Level { dir: root, names: first, path: 0 }];
        while let Some(level) = levels.last_mut() {
            if is_given_up() {
                return Err(self.unreadable(io::Error::other("nothing waits for it any more")));
            }
            self.path.truncate(level.path);
            let Some(name) = level.names.next() else {
                levels.pop();
                continue;
            };
            let below = self.one(&level.dir, &name)?;
            levels.extend(below);
        }
        Ok(())
    }

    /// Writes the entry of `name` in `dir`. Returns the level to continue with if it is a directory.
    fn one(&mut self, dir: &Dir, name: &OsStr) -> Result<Option<Level>, FolderError> {
        let found = match dir.symlink_metadata(name) {
            Ok(found) => found,
            // The entry was removed after its directory was read; treat it as if it had never existed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Ok(self.skip(below(&self.path, name), &error)),
        };
        let is_dir = found.is_dir();
        if !is_dir && !found.is_file() {
            let why = if found.is_symlink() { SkippedWhy::Symlink } else { SkippedWhy::Special };
            self.skipped.push(|| Skipped { path: below(&self.path, name), why });
            return Ok(None);
        }
        if let Err(unsendable) = self.go_to(name) {
            self.unsendable.push(|| unsendable);
            return Ok(None);
        }
        // Files and directories are opened now, so that unreadable ones are known before anything is sent.
        let opened = match is_dir {
            true => platform::open_dir(dir, name).and_then(|dir| names(&dir).map(|names| Some((dir, names)))),
            false => open_file(dir, name).map(|_| None),
        };
        match opened {
            Ok(Some((dir, names))) => {
                self.entry(Kind::Directory, &found)?;
                Ok(Some(Level { dir, names, path: self.path.len() }))
            }
            Ok(None) => self.entry(Kind::File { size: found.len() }, &found).map(|()| None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Ok(self.skip(shown(&self.path), &error)),
        }
    }

    /// Records an entry that cannot be read. Nothing below it is read.
    fn skip(&mut self, path: String, error: &io::Error) -> Option<Level> {
        self.unsendable.push(|| Unsendable { path, why: UnsendableWhy::Unreadable(error.kind()) });
        None
    }

    /// Appends `name` to the path, if the result can be sent.
    fn go_to(&mut self, name: &OsStr) -> Result<(), Unsendable> {
        let unsendable = |path: &str, why| Unsendable { path: below(path, name), why };
        let text = name.to_str().ok_or_else(|| unsendable(&self.path, UnsendableWhy::NotText))?;
        let before = self.path.len();
        if before > 0 {
            self.path.push('/');
        }
        self.path.push_str(text);
        match RelPath::new(&self.path) {
            Ok(_) => Ok(()),
            Err(error) => {
                self.path.truncate(before);
                Err(unsendable(&self.path, UnsendableWhy::Path(error)))
            }
        }
    }

    fn entry(&mut self, kind: Kind, found: &Metadata) -> Result<(), FolderError> {
        let time = found.modified().map_err(|error| self.unreadable(error))?;
        let path = RelPath::new(&self.path).expect("`go_to` lets only valid paths in");
        let entry = Entry { kind, path, mode: platform::mode(found), modified: modified(time.into_std()) };
        let length = self.manifest.push(&entry, &mut self.encoded).map_err(FolderError::PastLimit)?;
        self.longest_path = self.longest_path.max(self.path.len());
        self.spool.write_all(&self.encoded[..length]).map_err(FolderError::Spool)
    }

    fn finish(self) -> Result<Walked, FolderError> {
        let summary = self.manifest.finish();
        let mut spool = self.spool.into_inner().map_err(|error| FolderError::Spool(error.into_error()))?;
        spool.rewind().map_err(FolderError::Spool)?;
        let longest_path = self.longest_path as u16;
        Ok(Walked { spool, summary, longest_path, skipped: self.skipped, unsendable: self.unsendable })
    }

    fn unreadable(&self, error: io::Error) -> FolderError {
        let path = if self.path.is_empty() { self.root_name } else { self.path.as_ref() };
        FolderError::Unreadable(FileError::new(path, error))
    }
}

/// The names in a directory, sorted by their bytes.
fn names(dir: &Dir) -> io::Result<IntoIter<OsString>> {
    let mut names = dir.entries()?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable();
    Ok(names.into_iter())
}

/// The path of `name` below `path`, safe to print.
fn below(path: &str, name: &OsStr) -> String {
    if path.is_empty() { shown(name) } else { format!("{}/{}", shown(path), shown(name)) }
}

// Each level has an open directory. This many are well below the number of files that a process may open.
const _: () = assert!(DEPTH_MAX <= 64);
