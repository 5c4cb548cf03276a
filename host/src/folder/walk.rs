//! Walks a folder in the manifest's order and writes its manifest.
//!
//! **Walk** -> archive -> compress -> seal -> frame -> TLS. PROTOCOL.md, sections 8.1 and 8.2. Memory holds only the
//! names in the directories from the root down to the current one. Links are followed only where `place` says so.
//!
//! walkdir is not used, because it opens whole paths, in which a directory can be replaced by a symlink meanwhile.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::vec::IntoIter;

use cap_std::fs::Metadata;
use waft_core::archive::{ENTRY_PREFIX, Entry, Kind, ManifestWriter, Summary};
use waft_core::limits::{DEPTH_MAX, ENTRY_MAX};
use waft_core::path::RelPath;

use super::entries::modified;
use super::ignored::Ignored;
use super::manifest::{ManifestBytes, ManifestSpool};
use super::place::Place;
use super::{Few, FolderError, Options, Skipped, SkippedWhy, Unsendable, UnsendableWhy};
use crate::error::{FileError, shown};
use crate::platform;
use crate::worker::is_given_up;

/// A folder's manifest, and the entries that it does not contain.
pub(super) struct Walked {
    pub(super) manifest: ManifestBytes,
    pub(super) summary: Summary,
    pub(super) longest_path: u16,
    pub(super) skipped: Few<Skipped>,
    pub(super) unsendable: Few<Unsendable>,
    pub(super) left_out: Few<String>,
}

/// Walks `root`, which errors call `root_name`.
pub(super) fn walk(root: &Arc<Place>, root_name: &Path, options: &Options) -> Result<Walked, FolderError> {
    let few = options.list_all;
    let mut walk = Walk {
        root_name,
        ignored: Ignored::new(&options.exclude, options.gitignore)?,
        manifest: ManifestWriter::new(),
        spool: ManifestSpool::new(),
        encoded: [0; ENTRY_PREFIX + ENTRY_MAX],
        path: String::new(),
        longest_path: 0,
        skipped: Few::new(few),
        unsendable: Few::new(few),
        left_out: Few::new(few),
    };
    let names = root.names().map_err(|error| walk.unreadable(error))?;
    let disk = match &**root {
        Place::Directory { .. } => Some(std::path::absolute(root_name).map_err(|error| walk.unreadable(error))?),
        Place::Collection { .. } => None,
    };
    if let Some(disk) = &disk {
        walk.ignored.enter_work_tree(disk);
        walk.ignored.enter(root, disk);
    }
    walk.all(Level { place: root.clone(), names: names.into_iter(), path: 0, disk, ignored: 0 })?;
    walk.finish()
}

struct Walk<'n> {
    root_name: &'n Path,
    ignored: Ignored,
    manifest: ManifestWriter,
    spool: ManifestSpool,
    encoded: [u8; ENTRY_PREFIX + ENTRY_MAX],
    /// Path of the current directory or file, relative to the folder.
    path: String,
    longest_path: usize,
    skipped: Few<Skipped>,
    unsendable: Few<Unsendable>,
    left_out: Few<String>,
}

/// A directory on the path from the root to the current entry.
struct Level {
    place: Arc<Place>,
    names: IntoIter<OsString>,
    /// Length of its path.
    path: usize,
    /// Its absolute path on the disk, for git's patterns; `None` for a collection.
    disk: Option<PathBuf>,
    /// The number of levels in [`Ignored`] without the patterns of this directory.
    ignored: usize,
}

impl Walk<'_> {
    fn all(&mut self, root: Level) -> Result<(), FolderError> {
        let mut levels = vec![root];
        while let Some(level) = levels.last_mut() {
            if is_given_up() {
                return Err(self.unreadable(io::Error::other("nothing waits for it any more")));
            }
            self.path.truncate(level.path);
            let Some(name) = level.names.next() else {
                self.ignored.truncate(level.ignored);
                levels.pop();
                continue;
            };
            let below = self.one(&levels, &name)?;
            levels.extend(below);
        }
        Ok(())
    }

    /// Writes the entry of `name` in the last of these levels. Returns the level to continue with if it is a directory.
    fn one(&mut self, levels: &[Level], name: &OsStr) -> Result<Option<Level>, FolderError> {
        let level = levels.last().expect("the entry is in a directory");
        let place = &level.place;
        let found = match place.metadata(name) {
            Ok(found) => found,
            Err(_) if place.is_broken_link(name) => return Ok(self.skip(name, SkippedWhy::BrokenLink)),
            // The entry was removed after its directory was read; treat it as if it had never existed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Ok(self.cannot_read(below(&self.path, name), &error)),
        };
        let is_dir = found.is_dir();
        let disk = level.disk.as_ref().map(|disk| disk.join(name));
        if self.ignored.leaves_out(&Path::new(&self.path).join(name), disk.as_ref(), is_dir) {
            self.left_out.push(|| below(&self.path, name));
            return Ok(None);
        }
        if !is_dir && !found.is_file() {
            let why = if found.is_symlink() { SkippedWhy::Symlink } else { SkippedWhy::Special };
            return Ok(self.skip(name, why));
        }
        if is_dir && place.followed(name).is_some() && self.is_loop(levels, name) {
            return Ok(self.skip(name, SkippedWhy::Loop));
        }
        if let Err(unsendable) = self.go_to(name) {
            self.unsendable.push(|| unsendable);
            return Ok(None);
        }
        // Files and directories are opened now, so that unreadable ones are known before anything is sent.
        let opened = match is_dir {
            true => place.open_dir(name).and_then(|place| Ok(Some((place.names()?, place)))),
            false => place.open_file(name).map(|_| None),
        };
        match opened {
            Ok(Some((names, place))) => {
                self.entry(Kind::Directory, &found)?;
                let disk = disk.or_else(|| self.item_on_disk(level, name));
                Ok(Some(self.enter(place, names, disk, level.disk.is_none())))
            }
            Ok(None) => self.entry(Kind::File { size: found.len() }, &found).map(|()| None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Ok(self.cannot_read(shown(&self.path), &error)),
        }
    }

    /// The level of a directory whose entry was written. `is_item` says whether it was named by the user.
    fn enter(&mut self, place: Place, names: Vec<OsString>, disk: Option<PathBuf>, is_item: bool) -> Level {
        let ignored = self.ignored.depth();
        if let Some(disk) = &disk {
            if is_item {
                self.ignored.enter_work_tree(disk);
            }
            self.ignored.enter(&place, disk);
        }
        Level { place: Arc::new(place), names: names.into_iter(), path: self.path.len(), disk, ignored }
    }

    /// The absolute path of a directory that the user named.
    fn item_on_disk(&self, level: &Level, name: &OsStr) -> Option<PathBuf> {
        level.place.followed(name).and_then(|path| std::path::absolute(path).ok())
    }

    /// Whether the link `name` leads to one of these directories, so that following it would never end.
    fn is_loop(&self, levels: &[Level], name: &OsStr) -> bool {
        let target = levels.last().and_then(|level| level.place.open_dir(name).ok()).and_then(|place| place.identity());
        target.is_some() && levels.iter().any(|level| level.place.identity() == target)
    }

    /// Records an entry that is never sent.
    fn skip(&mut self, name: &OsStr, why: SkippedWhy) -> Option<Level> {
        self.skipped.push(|| Skipped { path: below(&self.path, name), why });
        None
    }

    /// Records an entry that cannot be read. Nothing below it is read.
    fn cannot_read(&mut self, path: String, error: &io::Error) -> Option<Level> {
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
        self.spool.write(&self.encoded[..length]).map_err(FolderError::Spool)
    }

    fn finish(self) -> Result<Walked, FolderError> {
        Ok(Walked {
            manifest: self.spool.finish().map_err(FolderError::Spool)?,
            summary: self.manifest.finish(),
            longest_path: self.longest_path as u16,
            skipped: self.skipped,
            unsendable: self.unsendable,
            left_out: self.left_out,
        })
    }

    fn unreadable(&self, error: io::Error) -> FolderError {
        let path = if self.path.is_empty() { self.root_name } else { self.path.as_ref() };
        FolderError::Unreadable(FileError::new(path, error))
    }
}

/// The path of `name` below `path`, safe to print.
fn below(path: &str, name: &OsStr) -> String {
    if path.is_empty() { shown(name) } else { format!("{}/{}", shown(path), shown(name)) }
}

// Each level has an open directory. This many are well below the number of files that a process may open.
const _: () = assert!(DEPTH_MAX <= 64);
