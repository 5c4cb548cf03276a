//! Receives an archive into the staging area: first its manifest, then its files, in the order of the manifest.
//!
//! The manifest is checked and written before any file is created from it. Every directory is created before its entries,
//! and gets its mode and time after them. Every file (see `staged_file`) is created anew, so that the file system itself
//! reports two names that it treats as the same. PROTOCOL.md, sections 8.1 to 8.3.

use std::fs::File;
use std::io::{self, BufReader, Write as _};

use cap_std::fs::Dir;
use waft_core::archive::{Content, ContentReader, Kind, ManifestReader, Shape, Summary};
use waft_core::digest::Digest;
use waft_core::path::RelPath;
use waft_core::session::StoreError;

use crate::folder::entries::{Descent, Entries, Item};
use crate::platform;
use crate::store::capabilities::{Capabilities, Kept};
use crate::store::error::{Failure, Result, check_wanted};
use crate::store::merge;
use crate::store::place::Place;
use crate::store::small_files::{Failed, SmallFiles};
use crate::store::staged_file::{StagedFile, finish, new_file};
use crate::store::staging::{MANIFEST, Staging, TREE};
use crate::store::stays::Stays;

/// A tree under construction.
pub(super) struct Tree {
    pub(super) entries: Entries<BufReader<File>>,
    /// The entry that was taken from `entries` but is not created yet.
    pub(super) pending: Option<Item>,
    pub(super) open: Descent<Level>,
    pub(super) reader: ContentReader,
    /// The open file whose content comes next.
    pub(super) file: Option<StagedFile>,
    /// Whether that file is left to the threads for small files.
    is_small: bool,
    /// The files that are not staged, because they stay in the target.
    pub(super) stays: Stays,
    pub(super) manifest: Digest,
    /// The digests of the files that are complete.
    pub(super) digests: Vec<Digest>,
    root: Option<Digest>,
    capabilities: Capabilities,
}

/// The digests of a complete archive.
pub(super) struct Digests {
    pub(super) root: Digest,
    pub(super) manifest: Digest,
    pub(super) files: Vec<Digest>,
}

/// An open directory of the tree.
pub(super) struct Level {
    pub(super) item: Item,
    /// Number of entries in it so far.
    pub(super) children: usize,
}

impl Tree {
    /// Starts after the manifest, which is staged and checked.
    pub(super) fn begin(
        place: &Place,
        staging: &Staging,
        summary: Summary,
        capabilities: Capabilities,
    ) -> Result<Self> {
        let manifest = staging.manifest().map_err(|error| place.at_staging(MANIFEST, error))?;
        let tree = staging.tree().map_err(|error| place.at_staging(TREE, error))?;
        Ok(Self {
            entries: merge::entries(place, manifest, summary.shape.manifest)?,
            pending: None,
            open: Descent::new(tree),
            reader: ContentReader::new(&summary),
            file: None,
            is_small: false,
            stays: Stays::default(),
            manifest: summary.digest,
            digests: Vec::new(),
            root: None,
            capabilities,
        })
    }

    /// Writes the next bytes after the manifest, which begin at the offset `start` of the archive. Small files that are
    /// complete within these bytes are left to `small`.
    pub(super) fn write(
        &mut self,
        place: &Place,
        start: u64,
        archive: &mut &[u8],
        mut small: Option<&mut SmallFiles<'_, '_>>,
    ) -> Result<()> {
        while let Some(next) = self.reader.next(archive).map_err(StoreError::Archive)? {
            check_wanted()?;
            match next {
                Content::Data(bytes) => self.add_content(place, bytes, small.as_deref_mut())?,
                Content::FileEnd { digest } => {
                    self.digests.push(digest);
                    self.end_file(place, start, small.as_deref_mut())?;
                }
                // Whether the next file stays in the target is known once the first of its bytes are there.
                Content::NeedFile if archive.is_empty() => break,
                Content::NeedFile => {
                    let size = self.next_file(place)?;
                    self.is_small = small.is_some() && is_small(size, archive.len());
                }
                Content::End { root } => self.root = Some(root),
            }
        }
        small.map_or(Ok(()), |small| small.hand_over(start).map_err(|failed| Self::not_written(place, failed)))
    }

    /// Writes the next bytes of the current file, or leaves them to `small`. A file that stays in the target needs none.
    fn add_content(&mut self, place: &Place, bytes: &[u8], small: Option<&mut SmallFiles<'_, '_>>) -> Result<()> {
        let Some(file) = self.file.as_mut() else { return Ok(()) };
        match small.filter(|_| self.is_small) {
            Some(small) => {
                small.add_content(bytes);
                Ok(())
            }
            None => file.write(bytes, self.capabilities).map_err(|error| self.file_error(place, error)),
        }
    }

    /// Completes the current file, whose content matches its digest, or leaves that to `small`.
    fn end_file(&mut self, place: &Place, start: u64, small: Option<&mut SmallFiles<'_, '_>>) -> Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        match small.filter(|_| self.is_small) {
            Some(small) => {
                let added = small.add(file, self.entries.path(), self.capabilities, start);
                added.map_err(|failed| Self::not_written(place, failed))
            }
            None => file.finish(self.capabilities).map_err(|error| self.file_error(place, error)),
        }
    }

    /// Completes the tree after the whole archive was written. Returns the digests of the archive.
    pub(super) fn end(mut self, place: &Place) -> Result<Digests> {
        let root = self.root.ok_or(StoreError::Verify)?;
        while let Some(item) = self.take_entry(place)? {
            match item.kind {
                Kind::Directory => self.make_directory(place, item)?,
                Kind::File { .. } => return Err(StoreError::Verify.into()),
            }
        }
        self.leave(place, 1)?;
        platform::sync_dir(self.open.here()).map_err(|error| place.at_staging(TREE, error))?;
        Ok(Digests { root, manifest: self.manifest, files: self.digests })
    }

    /// Creates the next file, unless it stays in the target. Returns its size.
    fn next_file(&mut self, place: &Place) -> Result<u64> {
        while let Some(item) = self.take_entry(place)? {
            check_wanted()?;
            match item.kind {
                Kind::Directory => self.make_directory(place, item)?,
                Kind::File { size } if self.stays.contains(item.index) => {
                    self.reader.begin_file(size).map_err(StoreError::Archive)?;
                    return Ok(size);
                }
                Kind::File { size } => {
                    let made = StagedFile::create(self.open.here(), self.entries.name(), item, self.capabilities);
                    self.file = Some(made.map_err(|error| self.not_made(place, &item, error))?);
                    self.reader.begin_file(size).map_err(StoreError::Archive)?;
                    return Ok(size);
                }
            }
        }
        // The manifest had more files when it was received.
        Err(StoreError::Verify.into())
    }

    /// Creates the next file, and lets it share the content of `source` in place of being written. Returns the file to read
    /// the content from, which then has to be verified as if it had arrived. `None` if that cannot be done: then the file is
    /// written as any other.
    pub(super) fn share_next(&mut self, place: &Place, source: &File) -> Result<Option<File>> {
        self.next_file(place)?;
        self.is_small = false;
        let Some(file) = self.file.as_mut() else { return Ok(None) };
        file.share(source).map_err(|error| self.file_error(place, error))
    }

    fn make_directory(&mut self, place: &Place, item: Item) -> Result<()> {
        let here = self.open.here();
        let made = platform::create_private_dir(here, self.entries.name());
        made.map_err(|error| self.not_made(place, &item, error))?;
        let dir = platform::open_dir(here, self.entries.name()).map_err(|error| self.file_error(place, error))?;
        self.open.enter(dir, Level { item, children: 0 });
        Ok(())
    }

    /// Returns the next entry that is not created yet, and closes the open directories that do not contain it.
    fn take_entry(&mut self, place: &Place) -> Result<Option<Item>> {
        if let Some(item) = self.pending.take() {
            return Ok(Some(item));
        }
        let item = merge::next(place, &mut self.entries)?;
        if let Some(item) = &item {
            self.leave(place, item.depth)?;
        }
        Ok(item)
    }

    /// Closes the open directories that do not contain an entry of depth `depth`.
    fn leave(&mut self, place: &Place, depth: usize) -> Result<()> {
        while let Some((dir, level)) = self.open.leave(depth) {
            self.finish_dir(&dir, &level.item).map_err(|error| place.at_staging(TREE, error))?;
        }
        Ok(())
    }

    /// Sets the mode and time of a file that was complete when an earlier transfer was interrupted.
    pub(super) fn finish_file(&self, file: &File, item: &Item) -> io::Result<()> {
        finish(file, item, self.capabilities.files)
    }

    /// Sets the mode and time of a directory after all its entries were created.
    pub(super) fn finish_dir(&self, dir: &Dir, item: &Item) -> io::Result<()> {
        finish_dir(self.capabilities.directories, dir, item)
    }

    /// Finds the reason why an entry could not be created.
    fn not_made(&self, place: &Place, item: &Item, error: io::Error) -> Failure {
        let entry = item.index;
        // The error is about the name, so it names the path that the entry was to have in the target.
        let at_target = |error: io::Error| place.at_target(self.entries.path(), error);
        match error.kind() {
            io::ErrorKind::AlreadyExists => Failure::At(StoreError::Collision { entry }, at_target(error)),
            _ if platform::is_refused_name(&error) || (is_doubtful(&error) && self.takes_another_name()) => {
                Failure::At(StoreError::Name { entry }, at_target(error))
            }
            _ => self.file_error(place, error),
        }
    }

    /// Whether a file with an ordinary name can be created in the directory where an entry could not.
    fn takes_another_name(&self) -> bool {
        let name = format!("waft-probe-{}", std::process::id());
        let here = self.open.here();
        here.open_with(&name, &new_file()).is_ok() && here.remove_file(&name).is_ok()
    }

    /// The failure of a file that was left to the threads for small files.
    pub(super) fn not_written(place: &Place, Failed { path, error }: Failed) -> Failure {
        Failure::Io(place.at_staging(&staged_path(&path), error))
    }

    pub(super) fn file_error(&self, place: &Place, error: io::Error) -> Failure {
        Failure::Io(place.at_staging(&staged_path(self.entries.path()), error))
    }
}

/// The path below the staging area of what has this path in the folder.
pub(super) fn staged_path(path: &str) -> String {
    format!("{TREE}/{path}")
}

/// Whether a file of this size is small, and is followed by its digest within the next `left` bytes of the archive.
fn is_small(size: u64, left: usize) -> bool {
    const SMALL: u64 = 32 << 10;
    size <= SMALL && size as usize + size_of::<Digest>() <= left
}

/// Whether an error may be about the name or about something else; file systems differ in this. SMB reports that some
/// names are not found, FUSE file systems that they are not permitted.
fn is_doubtful(error: &io::Error) -> bool {
    use io::ErrorKind::{NotFound, PermissionDenied, Unsupported};
    matches!(error.kind(), NotFound | PermissionDenied | Unsupported)
}

/// Sets the mode and time of a directory after all its entries were created, and makes it durable.
pub(super) fn finish_dir(kept: Kept, dir: &Dir, item: &Item) -> io::Result<()> {
    if kept.modes {
        platform::set_dir_mode(dir, item.mode)?;
    }
    if kept.times.can_be_set() {
        platform::set_dir_time(dir, item.modified)?;
    }
    platform::sync_dir(dir)
}

/// A manifest that has arrived in part.
pub(super) struct Incoming {
    reader: ManifestReader,
    names: Names,
    file: File,
}

impl Incoming {
    /// Starts with an empty `file`.
    pub(super) fn new(file: File, length: u32) -> Self {
        Self { reader: ManifestReader::new(length), names: Names::default(), file }
    }

    /// Consumes the bytes at the front of `archive` that belong to the manifest.
    pub(super) fn write(&mut self, place: &Place, archive: &mut &[u8]) -> Result<()> {
        let before = *archive;
        while let Some(entry) = self.reader.next(archive).map_err(StoreError::Archive)? {
            self.names.check(entry.path)?;
        }
        let taken = &before[..before.len() - archive.len()];
        self.file.write_all(taken).map_err(|error| Failure::Io(place.at_staging(MANIFEST, error)))
    }

    pub(super) fn is_complete(&self) -> bool {
        self.reader.is_complete()
    }

    /// Returns the summary of the complete manifest, if it agrees with the offer.
    pub(super) fn finish(self, stated: &Shape) -> Result<Summary> {
        let summary = self.reader.finish().map_err(StoreError::Archive)?;
        summary.check(stated).map_err(StoreError::Archive)?;
        Ok(summary)
    }
}

/// Checks names by the rules of this platform.
#[derive(Default)]
pub(super) struct Names {
    index: u32,
}

impl Names {
    /// Checks the name of the next entry. The names of its parents were checked before.
    pub(super) fn check(&mut self, path: RelPath<'_>) -> Result<()> {
        let entry = self.index;
        self.index += 1;
        if platform::holds_name(path.name()) { Ok(()) } else { Err(StoreError::Name { entry }.into()) }
    }
}
