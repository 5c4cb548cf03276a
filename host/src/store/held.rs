//! Reads back what is staged of an archive: the prefix that need not be sent again.
//!
//! Everything is read and digested, and the sender compares the digest with its own. Any inconsistency of what is staged
//! means that the archive starts over. PROTOCOL.md, section 6, steps 6 and 7.
//!
//! Files that stay in the target (see `stays`) count as staged before a file that is. The others need not be read now,
//! while the sender waits: it leaves them out, and they are read when their turn comes. Once the base is lost, it leaves
//! nothing out, so all of them are read now, up to one that has changed.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt as _, OpenOptionsSyncExt as _};
use cap_std::fs::{Dir, OpenOptions};
use waft_core::archive::{Kind, ManifestReader, Summary};
use waft_core::digest::{Digest, Hasher};
use waft_core::session::{Held, Offered};

use super::base::{Base, StayingFile};
use super::blocking::StagedManifest;
use super::capabilities::Capabilities;
use super::merge;
use super::place::Place;
use super::staged_file::StagedFile;
use super::staging::{Staging, count, remove_where};
use super::tree::{Level, Names, Tree};
use crate::folder::entries::{Descent, Item, system_time};
use crate::platform;
use crate::worker::is_given_up;

/// Number of bytes per read.
const PIECE: usize = 1 << 20;

/// Returns the staged prefix of the offered archive, and the tree in the state to continue from there. `None` if
/// nothing is staged, or if anything is inconsistent. If the folder is merged into a target that is its `base`, files
/// that stay there count as staged, if a file follows that is, or with `reads_all`.
pub(super) fn read_back(
    place: &Place,
    staging: &Staging,
    offered: &Offered,
    is_it: &dyn Fn(&Digest) -> bool,
    capabilities: Capabilities,
    base: Option<&mut Base>,
    reads_all: bool,
) -> Option<(Held, Tree)> {
    let (prefix, buffer) = (Hasher::new(), vec![0; PIECE]);
    let mut reading = Reading { prefix, offset: 0, buffer, top: 0, base, last_staged: None };
    let summary = reading.manifest(staging, offered)?;
    if !is_it(&summary.digest) {
        return None;
    }
    if let Some(base) = &mut reading.base {
        let (file, length) = (staging.manifest().ok()?, offered.shape.manifest);
        base.list(StagedManifest { file, length, capabilities, is_merged: true }, 0);
        reading.last_staged = match reads_all {
            true => Some(u32::MAX),
            false => last_staged(place, staging, offered.shape.manifest)?,
        };
    }
    let mut tree = Tree::begin(place, staging, summary, capabilities).ok()?;
    reading.content(&mut tree)?;
    reading.prune(&tree)?;
    Some((Held { offset: reading.offset, digest: reading.prefix.digest() }, tree))
}

struct Reading<'b> {
    prefix: Hasher,
    offset: u64,
    buffer: Vec<u8>,
    /// Number of entries found in the root of the tree.
    top: usize,
    /// The target, if files may stay there.
    base: Option<&'b mut Base>,
    /// The index of the last entry before which files that stay are read: of the last one that has staged content, or
    /// `u32::MAX`. Found only if files may stay.
    last_staged: Option<u32>,
}

/// How much of an entry is staged.
enum Found {
    Whole,
    Part,
    Nothing,
}

impl Reading<'_> {
    fn manifest(&mut self, staging: &Staging, offered: &Offered) -> Option<Summary> {
        let mut file = staging.manifest().ok()?;
        let (mut reader, mut names) = (ManifestReader::new(offered.shape.manifest), Names::default());
        loop {
            let got = file.read(&mut self.buffer).ok()?;
            if got == 0 {
                break;
            }
            let mut rest = &self.buffer[..got];
            while let Some(entry) = reader.next(&mut rest).ok()? {
                names.check(entry.path).ok()?;
            }
            if !rest.is_empty() {
                return None;
            }
            self.count_bytes(got)?;
        }
        let summary = reader.finish().ok()?;
        summary.check(&offered.shape).ok().map(|()| summary)
    }

    /// Reads the staged entries in the manifest's order, up to the first that is missing or incomplete.
    fn content(&mut self, tree: &mut Tree) -> Option<()> {
        while let Some(item) = tree.entries.next().ok()? {
            (!is_given_up()).then_some(())?;
            while let Some((dir, level)) = tree.open.leave(item.depth) {
                ended(tree, &dir, &level)?;
            }
            let found = match item.kind {
                Kind::Directory => self.directory(tree, item)?,
                Kind::File { size } => self.file(tree, item, size)?,
            };
            match found {
                Found::Whole => {}
                Found::Part => return Some(()),
                Found::Nothing => {
                    tree.pending = Some(item);
                    return Some(());
                }
            }
        }
        Some(())
    }

    fn directory(&mut self, tree: &mut Tree, item: Item) -> Option<Found> {
        let Some(dir) = present(platform::open_dir(tree.open.here(), tree.entries.name()))? else {
            return Some(Found::Nothing);
        };
        self.count(tree);
        tree.open.enter(dir, Level { item, children: 0 });
        Some(Found::Whole)
    }

    fn file(&mut self, tree: &mut Tree, item: Item, size: u64) -> Option<Found> {
        let mut options = OpenOptions::new();
        platform::changeable(&mut options).read(true).follow(FollowSymlinks::No).nonblock(true);
        let opened = tree.open.here().open_with(tree.entries.name(), &options);
        let Some(file) = present(opened)? else { return self.read_staying(tree, item, size) };
        self.count(tree);
        let file = file.into_std();
        let found = file.metadata().ok()?;
        if !found.is_file() || found.len() > size {
            return None;
        }
        tree.reader.begin_file(size).ok()?;
        self.bytes(tree, &file, found.len())?;
        if found.len() < size {
            tree.file = Some(StagedFile::append(tree.open.here(), tree.entries.name(), item, found.len())?);
            return Some(Found::Part);
        }
        let digest = tree.reader.end_held_file().ok()?;
        self.add_digest(tree, digest);
        // The process may have been interrupted before it set the mode and time of a whole file, or before the file was
        // durable.
        if platform::file_mode(&found) != item.mode || found.modified().ok() != system_time(item.modified) {
            tree.finish_file(&file, &item).ok()?;
        } else {
            platform::sync_file(&file).ok()?;
        }
        Some(Found::Whole)
    }

    /// Reads a file that is not staged because it stays in the target. If it cannot stay, the prefix ends before it.
    fn read_staying(&mut self, tree: &mut Tree, item: Item, size: u64) -> Option<Found> {
        if self.last_staged.is_none_or(|last| last < item.index) {
            return Some(Found::Nothing);
        }
        let staying = self.base.as_mut().and_then(|base| base.open_staying(item.index));
        let Some(StayingFile { file, found, digest, unchanged }) = staying else { return Some(Found::Nothing) };
        let mut prefix = self.prefix.clone();
        let matches = add_verified(&mut prefix, file.take(size), &digest, &mut self.buffer);
        // What was given up in the middle says nothing about the file.
        (!is_given_up()).then_some(())?;
        if !matches {
            return Some(Found::Nothing);
        }
        tree.reader.skip_held_file(size, &digest).ok()?;
        tree.stays.add(item.index, &found, unchanged);
        (self.prefix, self.offset) = (prefix, self.offset + size);
        self.add_digest(tree, digest);
        Some(Found::Whole)
    }

    /// Adds the digest of a whole file to the prefix.
    fn add_digest(&mut self, tree: &mut Tree, digest: Digest) {
        tree.digests.push(digest);
        self.prefix.update(&digest.0);
        self.offset += digest.0.len() as u64;
    }

    /// Reads the next `length` bytes of a file.
    fn bytes(&mut self, tree: &mut Tree, mut file: &File, length: u64) -> Option<()> {
        let mut left = length;
        while left > 0 {
            let most = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let got = file.read(&mut self.buffer[..most]).ok().filter(|got| *got > 0)?;
            let mut rest = &self.buffer[..got];
            while !rest.is_empty() {
                tree.reader.next(&mut rest).ok()?;
            }
            left -= got as u64;
            self.count_bytes(got)?;
        }
        Some(())
    }

    /// Adds the first `got` bytes of the buffer to the prefix.
    fn count_bytes(&mut self, got: usize) -> Option<()> {
        self.prefix.update(&self.buffer[..got]);
        self.offset += got as u64;
        (!is_given_up()).then_some(())
    }

    fn count(&mut self, tree: &mut Tree) {
        *tree.open.kept().map_or(&mut self.top, |level| &mut level.children) += 1;
    }

    /// Removes what lies beyond the prefix: everything that sorts after the current entry in one of the open
    /// directories. Fails if anything else is there besides the counted entries.
    fn prune(&self, tree: &Tree) -> Option<()> {
        let ended = tree.pending.is_none() && tree.file.is_none();
        let mut components = tree.entries.path().split('/');
        for (dir, level) in tree.open.all() {
            let current = components.next();
            if let Some(level) = level.filter(|_| !ended) {
                // A directory that was complete has its final mode, which may forbid to change it. It gets that mode again
                // once it is complete. If this fails, the next step decides.
                let _ = platform::set_dir_mode(dir, level.item.mode | platform::PRIVATE_DIR);
            }
            let is_beyond = |name: &OsStr| !ended && current.is_some_and(|current| OsStr::new(current) < name);
            let left = remove_where(dir, is_beyond).ok()?;
            if left != level.map_or(self.top, |level| level.children) {
                return None;
            }
        }
        Some(())
    }
}

/// The index of the last entry that has staged content, if there is any. `None` if the manifest cannot be read.
fn last_staged(place: &Place, staging: &Staging, length: u32) -> Option<Option<u32>> {
    let mut entries = merge::entries(place, staging.manifest().ok()?, length).ok()?;
    let (mut open, mut last) = (Descent::new(staging.tree().ok()?), None);
    while let Some(item) = entries.next().ok()? {
        (!is_given_up()).then_some(())?;
        while open.leave(item.depth).is_some() {}
        match item.kind {
            Kind::Directory => match platform::open_dir(open.here(), entries.name()) {
                Ok(dir) => open.enter(dir, ()),
                // Directories are created in the order of the manifest.
                Err(_) => break,
            },
            Kind::File { .. } => {
                let found = open.here().symlink_metadata(entries.name());
                last = found.is_ok_and(|found| found.len() > 0).then_some(item.index).or(last);
            }
        }
    }
    Some(last)
}

/// Adds the bytes of a file to `prefix`. Returns whether they match `digest`.
fn add_verified(prefix: &mut Hasher, mut file: impl Read, digest: &Digest, buffer: &mut [u8]) -> bool {
    let mut content = Hasher::new();
    while !is_given_up() {
        match file.read(buffer) {
            Ok(0) => return content.digest() == *digest,
            Ok(got) => [&mut content, &mut *prefix].into_iter().for_each(|hasher| hasher.update(&buffer[..got])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
    false
}

/// Closes a directory. Fails if it does not hold exactly the counted entries.
fn ended(tree: &Tree, dir: &Dir, level: &Level) -> Option<()> {
    (count(dir, |_| false).ok()? == level.children).then_some(())?;
    tree.finish_dir(dir, &level.item).ok()
}

/// `Some(None)` if nothing exists there; `None` if that cannot be determined.
fn present<T>(opened: io::Result<T>) -> Option<Option<T>> {
    match opened {
        Ok(found) => Some(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(None),
        Err(_) => None,
    }
}
