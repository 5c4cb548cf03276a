//! Compares the target with a manifest, entry by entry, and computes the digests of the archive that the target holds.
//!
//! Names, sizes and times do not prove content: reproducible builds give the same ones to every version. The digests
//! are therefore computed from the bytes in the target. Modes and times are compared as far as the file system keeps
//! them. PROTOCOL.md, sections 6 (step 6) and 8.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::time::SystemTime;

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt as _, OpenOptionsSyncExt as _};
use cap_std::fs::{Dir, OpenOptions};
use waft_core::archive::{ContentHasher, Kind, Shape};
use waft_core::digest::{Digest, Hasher};

use super::capabilities::{Capabilities, Kept, Times};
use super::committed::Record;
use super::file_managers;
use super::place::Place;
use super::staging::count;
use crate::folder::entries::{Descent, Entries, Item};
use crate::platform;
use crate::worker::is_given_up;

/// Number of bytes per read.
const PIECE: usize = 1 << 20;

/// Digests of the archive that a target holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    /// BLAKE3 of all its bytes.
    pub(crate) archive: Digest,
    /// The root digest.
    pub(crate) root: Digest,
}

/// The rules of a comparison.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    /// The attributes that the target's file system keeps.
    pub(super) capabilities: Capabilities,
    /// What the target may hold besides.
    pub(super) others: Others,
    /// The target's place, which says which names in its top directory do not count.
    pub(super) place: &'a Place,
}

/// What a target may hold besides the entries of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    /// Nothing.
    Nothing,
    /// What file managers put there. The modification times of directories do not count then, since they change with it.
    /// They are no content, and every name in a directory is compared.
    FileManagers,
    /// Anything.
    Anything,
}

/// Compares the target with the manifest that begins at offset `start` of `manifest`. If the target has the manifest's
/// entries, with their sizes, modes and times, returns the digests of the archive made from the target's content.
/// `None` if anything differs or cannot be read. A manifest says nothing about content, so the caller compares the
/// digests.
pub(super) fn compare(
    target: Dir,
    manifest: impl Read + Seek,
    start: u64,
    shape: &Shape,
    rules: Rules<'_>,
) -> Option<Whole> {
    let (whole, length) = Comparison::run(target, manifest, start, shape.manifest, rules, true)?;
    (length == shape.total).then_some(whole)
}

/// Whether [`compare`] would return digests, so far as that can be known without reading content.
pub(super) fn resembles(target: Dir, manifest: impl Read + Seek, start: u64, shape: &Shape, rules: Rules<'_>) -> bool {
    let compared = Comparison::run(target, manifest, start, shape.manifest, rules, false);
    compared.is_some_and(|(_, length)| length == shape.total)
}

/// The root of the archive made from the target's content, if the target has the entries of the record's manifest, with
/// their sizes, modes and times. If the content is not read, the root has no meaning.
pub(super) fn root_of(target: Dir, record: &Record, rules: Rules<'_>, reads: bool) -> Option<Digest> {
    let (start, length) = (record.manifest_start, record.manifest_length);
    let compared = Comparison::run(target, &record.file, start, length, rules, reads);
    compared.map(|(whole, _)| whole.root)
}

struct Comparison<'a> {
    rules: Rules<'a>,
    /// Whether content is read. If not, the digests have no meaning.
    reads: bool,
    open: Descent<Level>,
    /// The entries in the top directory so far.
    top: Names,
    content: ContentHasher,
    reading: Reading,
}

/// A directory of the target that is being compared.
struct Level {
    item: Item,
    /// The entries in it so far.
    children: Names,
}

/// The entries of a directory that are in the manifest.
#[derive(Default)]
struct Names {
    count: usize,
    /// Those that a file manager might have put there, in the order of their names.
    like_others: Vec<OsString>,
}

impl<'a> Comparison<'a> {
    fn run(
        target: Dir,
        mut manifest: impl Read + Seek,
        start: u64,
        length: u32,
        rules: Rules<'a>,
        reads: bool,
    ) -> Option<(Whole, u64)> {
        let mut reading = Reading { archive: Hasher::new(), length: 0, buffer: vec![0; PIECE] };
        manifest.seek(SeekFrom::Start(start)).ok()?;
        reading.bytes(&mut manifest, length.into(), |_| ())?;
        let content = ContentHasher::new(&reading.archive.digest());
        manifest.seek(SeekFrom::Start(start)).ok()?;
        let mut entries = Entries::new(BufReader::new(manifest), length);
        let mut comparison = Self { rules, reads, open: Descent::new(target), top: Names::default(), content, reading };
        while let Some(item) = entries.next().ok()? {
            (!is_given_up()).then_some(())?;
            comparison.leave(item.depth)?;
            match item.kind {
                Kind::Directory => comparison.directory(&item, entries.name())?,
                Kind::File { size } => comparison.file(&item, entries.name(), size)?,
            }
        }
        comparison.leave(1)?;
        comparison.end()
    }

    fn directory(&mut self, item: &Item, name: &str) -> Option<()> {
        let dir = platform::open_dir(self.open.here(), name).ok()?;
        self.count(name);
        self.open.enter(dir, Level { item: *item, children: Names::default() });
        Some(())
    }

    fn file(&mut self, item: &Item, name: &str, size: u64) -> Option<()> {
        let mut options = OpenOptions::new();
        // If a pipe has taken the file's place, do not block until it has a writer.
        options.read(true).follow(FollowSymlinks::No).nonblock(true);
        let mut file = self.open.here().open_with(name, &options).ok()?.into_std();
        let found = file.metadata().ok()?;
        if !found.is_file() || found.len() != size || !is_written(self.rules.capabilities.files, &found, item)? {
            return None;
        }
        self.count(name);
        let Self { content, reading, .. } = self;
        if self.reads {
            reading.bytes(&mut file, size, |bytes| content.update(bytes))?;
            // The file may have grown meanwhile.
            (file.read(&mut [0]).ok()? == 0).then_some(())?;
        } else {
            reading.length += size;
        }
        reading.add(&content.end_file());
        Some(())
    }

    /// Closes the open directories that do not contain an entry of depth `depth`.
    fn leave(&mut self, depth: usize) -> Option<()> {
        while let Some((dir, level)) = self.open.leave(depth) {
            self.holds_only(&dir, &level.children, |_| false)?;
            let found = dir.dir_metadata().ok()?;
            let shown = (platform::mode(&found), found.modified().ok()?.into_std());
            let Item { mode, modified, .. } = level.item;
            // A directory of another user keeps its own mode and time.
            let mut kept = self.rules.capabilities.directories;
            if self.rules.others == Others::FileManagers {
                kept.times = Times::Lost;
            }
            if platform::is_ours(&found) && !kept.is_written(shown, mode, modified) {
                return None;
            }
        }
        Some(())
    }

    /// Ends the comparison. Returns the digests, and the length of the archive.
    fn end(mut self) -> Option<(Whole, u64)> {
        self.holds_only(self.open.here(), &self.top, |name| self.rules.place.ignores(name))?;
        let root = self.content.root();
        self.reading.add(&root);
        Some((Whole { archive: self.reading.archive.digest(), root }, self.reading.length))
    }

    fn holds_only(&self, dir: &Dir, expected: &Names, ignored: impl Fn(&OsStr) -> bool) -> Option<()> {
        let is_others = |name: &OsStr| {
            let is_allowed = self.rules.others == Others::FileManagers && file_managers::has_put(dir, name);
            is_allowed && expected.like_others.binary_search_by(|expected| expected.as_os_str().cmp(name)).is_err()
        };
        let is_it = self.rules.others == Others::Anything
            || count(dir, |name| ignored(name) || is_others(name)).ok()? == expected.count;
        is_it.then_some(())
    }

    /// Counts an entry of the manifest.
    fn count(&mut self, name: &str) {
        let is_like_others =
            self.rules.others == Others::FileManagers && file_managers::has_put(self.open.here(), name.as_ref());
        let names = self.open.kept().map_or(&mut self.top, |level| &mut level.children);
        names.count += 1;
        names.like_others.extend(is_like_others.then(|| name.into()));
    }
}

/// Whether a file has the mode and time with which it was written. `None` if its time cannot be read.
fn is_written(kept: Kept, found: &std::fs::Metadata, item: &Item) -> Option<bool> {
    let shown: (u16, SystemTime) = (platform::file_mode(found), found.modified().ok()?);
    Some(kept.is_written(shown, item.mode, item.modified))
}

/// The archive as it is put together from the target.
struct Reading {
    archive: Hasher,
    length: u64,
    buffer: Vec<u8>,
}

impl Reading {
    /// Reads exactly `length` bytes, and passes them to `also` as well.
    fn bytes(&mut self, from: &mut impl Read, length: u64, mut also: impl FnMut(&[u8])) -> Option<()> {
        let mut left = length;
        while left > 0 {
            let most = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let got = match from.read(&mut self.buffer[..most]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                got => got.ok().filter(|got| *got > 0)?,
            };
            self.archive.update(&self.buffer[..got]);
            also(&self.buffer[..got]);
            left -= got as u64;
            self.length += got as u64;
            (!is_given_up()).then_some(())?;
        }
        Some(())
    }

    fn add(&mut self, digest: &Digest) {
        self.archive.update(&digest.0);
        self.length += digest.0.len() as u64;
    }
}

/// The digest of a manifest of `length` bytes, read from a file. `None` if the file is shorter.
pub(super) fn manifest_digest(file: &mut File, length: u32) -> io::Result<Option<Digest>> {
    let (mut hasher, mut left) = (Hasher::new(), u64::from(length));
    let mut buffer = vec![0; 64 << 10];
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match file.read(&mut buffer[..most])? {
            0 => return Ok(None),
            got => {
                hasher.update(&buffer[..got]);
                left -= got as u64;
            }
        }
    }
    Ok(Some(hasher.digest()))
}
