//! Stages files at the commit that were to stay in the target (see `stays`), but are not what they were any more.
//!
//! Most often only their attributes have changed: a new mode that was taken back, another hard link. The content is then
//! copied from the target as `base` does it, and is compared with its digest again. Only if the content itself has
//! changed is the base lost.

use std::fs::File;
use std::io::{self, BufReader};

use cap_std::fs::Dir;
use waft_core::archive::Kind;
use waft_core::digest::{Digest, Hasher};
use waft_core::session::StoreError;

use super::base::{PIECE, SHARED_MIN};
use super::blocking::Staged;
use super::capabilities::Capabilities;
use super::error::{Failure, Result, check_wanted, no_space};
use super::merge::{self, open_writable};
use super::open_files::OpenFiles;
use super::place::{Found, Place};
use super::staged_file::StagedFile;
use super::staging::{MANIFEST, TREE};
use super::stays::Stays;
use super::tree::{Digests, finish_dir, staged_path};
use crate::error::is_disk_full;
use crate::folder::entries::{Descent, Entries, Item};
use crate::platform;
use crate::worker::is_given_up;

/// The name of a copy.
const COPY: &str = "copy";

impl Staged {
    /// Checks that everything can be moved into the target, which was `found`, and stages the files that do not stay
    /// there after all. Then they are durable, as everything else that is staged.
    pub(super) fn stage_changed(
        &self,
        place: &Place,
        found: &Found,
        stays: &mut Stays,
        digests: &Digests,
    ) -> Result<()> {
        loop {
            let changed = self.check(place, found, stays)?;
            let target = match found {
                Found::Filled(target) | Found::Empty(target) if !changed.is_empty() => target.try_clone(),
                _ => return Ok(()),
            };
            let target = OpenFiles::new(target.map_err(|error| place.at_target("", error))?);
            let manifest = self.staging.manifest().map_err(|error| place.at_staging(MANIFEST, error))?;
            let entries = merge::entries(place, manifest, self.offered.shape.manifest)?;
            let tree = self.staging.tree().map_err(|error| place.at_staging(TREE, error))?;
            let copies = self.staging.copies().map_err(|error| place.at_staging("", error))?;
            let (tree, capabilities) = (Descent::new(tree), self.capabilities);
            let restaging = Restaging { place, capabilities, target, copies, tree };
            restaging.run(entries, &changed, &digests.files)?;
            platform::sync_all(&self.staging.dir).map_err(|error| place.at_staging("", error))?;
            // One file fewer stays each time, so this ends.
            stays.remove(&changed);
        }
    }
}

/// Copies files from the target to the staged tree, which is complete but for them.
struct Restaging<'a> {
    place: &'a Place,
    capabilities: Capabilities,
    target: OpenFiles,
    /// Where a file is until its content is verified.
    copies: Dir,
    tree: Descent<Item>,
}

impl Restaging<'_> {
    /// Stages the files of the entries in `changed`, which are ascending. `digests` are those of all files, in the order
    /// of the manifest.
    fn run(mut self, mut entries: Entries<BufReader<File>>, changed: &[u32], digests: &[Digest]) -> Result<()> {
        let mut digests = digests.iter();
        while let Some(item) = merge::next(self.place, &mut entries)? {
            check_wanted()?;
            self.leave(item.depth)?;
            match item.kind {
                Kind::Directory => self.enter(item, entries.name(), entries.path())?,
                Kind::File { size } => {
                    let digest = digests.next().ok_or(StoreError::Verify)?;
                    if changed.binary_search(&item.index).is_ok() {
                        self.file(item, size, entries.name(), entries.path(), digest)?;
                    }
                }
            }
        }
        self.leave(1)?;
        platform::sync_dir(self.tree.here()).map_err(|error| self.place.at_staging(TREE, error).into())
    }

    /// Opens a directory of the staged tree. It was complete, and its mode may forbid to change it.
    fn enter(&mut self, item: Item, name: &str, path: &str) -> Result<()> {
        let opened = open_writable(self.tree.here(), name);
        let dir = opened.map_err(|error| self.place.at_staging(&staged_path(path), error))?;
        self.tree.enter(dir, item);
        Ok(())
    }

    /// Closes the open directories that do not contain an entry of depth `depth`, and gives them back their attributes.
    fn leave(&mut self, depth: usize) -> Result<()> {
        while let Some((dir, item)) = self.tree.leave(depth) {
            let finished = finish_dir(self.capabilities.directories, &dir, &item);
            finished.map_err(|error| self.place.at_staging(TREE, error))?;
        }
        Ok(())
    }

    fn file(&mut self, item: Item, size: u64, name: &str, path: &str, digest: &Digest) -> Result<()> {
        let source = self.target.open(path, size).ok_or(StoreError::BaseLost)?.file;
        let copied = StagedFile::create(&self.copies, COPY, item, self.capabilities)
            .and_then(|staged| copy(&source, staged, size, digest, self.capabilities));
        match copied {
            // A resume takes what is in the tree for the content of the entry, so the copy gets there as a whole.
            Ok(true) => self.move_in(name).map_err(|error| self.not_copied(item, size, path, error)),
            Ok(false) => Err(StoreError::BaseLost.into()),
            Err(error) => Err(self.not_copied(item, size, path, error)),
        }
    }

    /// Moves the copy into the tree. Fails if something of that name is there.
    fn move_in(&self, name: &str) -> io::Result<()> {
        let dir = self.tree.here();
        match dir.symlink_metadata(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.copies.rename(COPY, dir, name),
            Err(error) => Err(error),
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }

    fn not_copied(&self, item: Item, size: u64, path: &str, error: io::Error) -> Failure {
        let at_staging = |error| self.place.at_staging(&staged_path(path), error);
        match error.kind() {
            // The file system takes the names of two entries for one, of which the other is staged.
            io::ErrorKind::AlreadyExists => {
                Failure::At(StoreError::Collision { entry: item.index }, self.place.at_target(path, error))
            }
            kind if is_disk_full(kind) => {
                let free = fs4::available_space(&self.place.base_path).unwrap_or(0);
                Failure::At(no_space(size, free), at_staging(error))
            }
            _ => Failure::Io(at_staging(error)),
        }
    }
}

/// Copies a file of `size` bytes, or lets the staged file share its content. Returns whether the content matches
/// `digest`.
fn copy(
    source: &File,
    mut staged: StagedFile,
    size: u64,
    digest: &Digest,
    capabilities: Capabilities,
) -> io::Result<bool> {
    let shared = if size < SHARED_MIN { None } else { staged.share(source)? };
    // What is shared is read from the staged file itself, since the other one may change.
    let from = shared.as_ref().unwrap_or(source);
    let (mut hasher, mut buffer, mut at) = (Hasher::new(), vec![0; PIECE], 0);
    while at < size {
        if is_given_up() {
            return Err(io::Error::other("nothing waits for it any more"));
        }
        // A file that cannot be read counts as one that has changed: its sender sends it.
        let got = match platform::read_at(from, &mut buffer, at) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.unwrap_or(0),
        };
        let content = &buffer[..got.min((size - at) as usize)];
        if content.is_empty() {
            return Ok(false);
        }
        hasher.update(content);
        staged.write(content, capabilities)?;
        at += content.len() as u64;
    }
    let matches = hasher.digest() == *digest;
    staged.finish(capabilities).map(|()| matches)
}
