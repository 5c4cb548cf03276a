//! Moves a staged tree into a target that holds other files, file by file, so that an interruption at any point can be
//! repaired.
//!
//! First everything is checked (see [`preflight`]). Then `intent` is written, and from then on there is no way back:
//! after an interruption, the next process moves the remaining files. A file is replaced by one rename, so at any
//! moment each file is the old or the new one. The folder as a whole changes step by step.
//!
//! ```text
//! intent = "waft intent 1\n\0\0" | manifest length (u32 big-endian) | manifest digest (32) | BLAKE3 of all that (32)
//! ```

use std::fs::File;
use std::io::{self, BufReader, Read as _, Write as _};

use cap_std::fs::{Dir, Metadata};
use waft_core::archive::Kind;
use waft_core::digest::Digest;
use waft_core::session::StoreError;

use crate::error::Cause;
use crate::folder::entries::{Descent, Entries, Item};
use crate::platform;
use crate::store::capabilities::Capabilities;
use crate::store::compare::manifest_digest;
use crate::store::error::{Failure, Result, check_wanted};
use crate::store::place::{Found, Place};
use crate::store::staging::{INTENT, MANIFEST, Staging, TREE, read_write};
use crate::store::stays::Stays;
use crate::store::tree::finish_dir;

const MAGIC: &[u8; 16] = b"waft intent 1\n\0\0";
const LENGTH: usize = MAGIC.len() + 4 + 32 + 32;

/// The planned move: everything that the staged manifest with this length and digest names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Intent {
    pub(super) manifest: u32,
    pub(super) digest: Digest,
}

/// Called before every change in the target. Tests return an error from it to simulate a crash.
pub(super) type Step<'a> = &'a mut dyn FnMut() -> io::Result<()>;

/// Writes the intent durably.
pub(super) fn intend(staging: &Staging, intent: Intent) -> io::Result<()> {
    let mut file = staging.dir.open_with(INTENT, read_write().create(true).truncate(true))?.into_std();
    file.write_all(&intent.encode())?;
    file.sync_all()?;
    platform::sync_names(&staging.dir)
}

/// Reads the intent that an interrupted process left. `None` if there is none, or if it is incomplete.
pub(super) fn intent(staging: &Staging) -> io::Result<Option<Intent>> {
    let mut found = Vec::with_capacity(LENGTH + 1);
    match staging.dir.open_with(INTENT, &read_write()) {
        Ok(file) => file.into_std().take(LENGTH as u64 + 1).read_to_end(&mut found)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Intent::decode(&found))
}

/// Moves the remaining files but those that stay, then removes the intent. Can be called again after an interruption at
/// any point; then it is not known which files stay, and they are not there to be moved.
pub(super) fn forward(
    place: &Place,
    staging: &Staging,
    target: Dir,
    intent: Intent,
    capabilities: Capabilities,
    stays: &Stays,
    step: Step<'_>,
) -> Result<()> {
    let at_staging = |path: &str, error: io::Error| Failure::Io(place.at_staging(path, error));
    let mut manifest = staging.manifest().map_err(|error| at_staging(MANIFEST, error))?;
    if !intent.is_for(&mut manifest).map_err(|error| at_staging(MANIFEST, error))? {
        let torn = io::Error::from(io::ErrorKind::InvalidData);
        return Err(Failure::At(StoreError::Verify, place.at_staging(MANIFEST, torn)));
    }
    let mut entries = entries(place, manifest, intent.manifest)?;
    let whole = target.try_clone().map_err(|error| place.at_target("", error))?;
    if let Some(tree) = staged(staging).map_err(|error| at_staging(TREE, error))? {
        let mut moving = Moving { place, from: Descent::new(tree), to: Descent::new(target), capabilities };
        while let Some(item) = next(place, &mut entries)? {
            check_wanted()?;
            if stays.contains(item.index) {
                continue;
            }
            moving.entry(&item, &entries, step)?;
        }
        moving.leave(1, step)?;
    }
    platform::sync_dir(&whole)
        .and_then(|()| platform::sync_all(&whole))
        .map_err(|error| unfinished(place, "", error))?;
    let taken_back = step().and_then(|()| staging.dir.remove_file(INTENT));
    taken_back.and_then(|()| platform::sync_names(&staging.dir)).map_err(|error| at_staging(INTENT, error))
}

/// If a process was interrupted while it moved files into the target, moves the remaining files. Returns whether there
/// was such a process.
pub(super) fn recover(place: &Place) -> Result<bool> {
    let Some(mut staging) = Staging::existing(place)? else { return Ok(false) };
    let Some(intent) = intent(&staging).map_err(|error| place.at_staging(INTENT, error))? else { return Ok(false) };
    let forgotten = staging.manifest().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    let target = match place.inspect()? {
        Found::Filled(target) => Some(target),
        Found::Empty(target) => place.in_place.is_some().then_some(target),
        Found::Nothing => None,
    };
    match target {
        Some(target) if !forgotten => {
            let capabilities = Capabilities::measure(&staging.dir).map_err(|error| place.at_staging("", error))?;
            forward(place, &staging, target, intent, capabilities, &Stays::default(), &mut || Ok(()))?;
            // The folder is in place. If the staging area cannot be removed, the next process removes it.
            let _ = staging.remove(place);
            Ok(true)
        }
        // Clearing the staging area was itself interrupted, or the target was removed meanwhile.
        _ => staging.clear().map_err(|error| place.at_staging("", error)).map(|()| false).map_err(Failure::Io),
    }
}

/// The position of the move, in the staged tree and in the target.
struct Moving<'a> {
    place: &'a Place,
    from: Descent<()>,
    to: Descent<Level>,
    capabilities: Capabilities,
}

/// A directory of the target into which entries are being moved.
struct Level {
    item: Item,
    path: String,
}

impl Moving<'_> {
    fn entry(&mut self, item: &Item, entries: &Entries<BufReader<File>>, step: Step<'_>) -> Result<()> {
        self.leave(item.depth, step)?;
        let (name, path) = (entries.name(), entries.path());
        let moved = match item.kind {
            Kind::File { .. } => self.file(name, step),
            Kind::Directory => self.directory(item, name, path, step),
        };
        moved.map_err(|error| unfinished(self.place, path, error))
    }

    /// Closes the open directories that do not contain an entry of depth `depth`.
    fn leave(&mut self, depth: usize, step: Step<'_>) -> Result<()> {
        while let Some((dir, Level { item, path })) = self.to.leave(depth) {
            self.from.leave(depth);
            let ended = step().and_then(|()| self.end(&dir, &item));
            ended.map_err(|error| unfinished(self.place, &path, error))?;
        }
        Ok(())
    }

    /// Gives a directory its mode and time, unless it already existed and belongs to another user.
    fn end(&self, dir: &Dir, item: &Item) -> io::Result<()> {
        match platform::is_ours(&dir.dir_metadata()?) {
            true => finish_dir(self.capabilities.directories, dir, item),
            false => platform::sync_dir(dir),
        }
    }

    fn file(&mut self, name: &str, step: Step<'_>) -> io::Result<()> {
        step()?;
        match self.from.here().rename(name, self.to.here(), name) {
            // The file was moved before the interruption.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            moved => moved,
        }
    }

    fn directory(&mut self, item: &Item, name: &str, path: &str, step: Step<'_>) -> io::Result<()> {
        step()?;
        match platform::create_private_dir(self.to.here(), name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
        let (from, to) = (open_writable(self.from.here(), name)?, open_writable(self.to.here(), name)?);
        self.from.enter(from, ());
        self.to.enter(to, Level { item: *item, path: path.to_owned() });
        Ok(())
    }
}

/// Describes a failure that leaves a part of the folder in the target.
fn unfinished(place: &Place, path: &str, error: io::Error) -> Failure {
    Failure::Io(place.at_target(path, Cause::Unfinished(error)))
}

/// Opens a directory and makes it writable for its owner. Its final mode is set when it is left.
pub(super) fn open_writable(parent: &Dir, name: &str) -> io::Result<Dir> {
    let found = parent.symlink_metadata(name)?;
    if platform::is_ours(&found) && found.is_dir() && platform::mode(&found) & 0o700 != 0o700 {
        platform::unlock_dir(parent, name.as_ref())?;
    }
    platform::open_dir(parent, name)
}

/// Opens the staged tree. `None` if it is already removed.
fn staged(staging: &Staging) -> io::Result<Option<Dir>> {
    match staging.tree() {
        Ok(tree) => Ok(Some(tree)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads the entries of the staged manifest from its start.
pub(super) fn entries(place: &Place, mut manifest: File, length: u32) -> Result<Entries<BufReader<File>>> {
    let file_error = |error| Failure::Io(place.at_staging(MANIFEST, error));
    io::Seek::rewind(&mut manifest).map_err(file_error)?;
    Ok(Entries::new(BufReader::with_capacity(32 << 10, manifest), length))
}

/// Returns the next entry of the staged manifest.
pub(super) fn next(place: &Place, entries: &mut Entries<BufReader<File>>) -> Result<Option<Item>> {
    entries.next().map_err(|error| Failure::manifest(error, &place.staging))
}

impl Intent {
    fn encode(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..16].copy_from_slice(MAGIC);
        bytes[16..20].copy_from_slice(&self.manifest.to_be_bytes());
        bytes[20..52].copy_from_slice(&self.digest.0);
        let seal = Digest::of(&bytes[..52]);
        bytes[52..].copy_from_slice(&seal.0);
        bytes
    }

    /// `None` if the file is incomplete: then writing it was interrupted, and nothing has been moved yet.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let intent = Self {
            manifest: u32::from_be_bytes(bytes.get(16..20)?.try_into().ok()?),
            digest: Digest(bytes.get(20..52)?.try_into().ok()?),
        };
        (bytes == intent.encode()).then_some(intent)
    }

    fn is_for(&self, manifest: &mut File) -> io::Result<bool> {
        let digest = manifest_digest(manifest, self.manifest)?;
        Ok(digest == Some(self.digest) && manifest.read(&mut [0])? == 0)
    }
}

/// The permissions by which the owner of a directory reads and enters it.
const READABLE: u16 = 0o500;

/// Checks that every entry can be moved into `target`, which holds other files.
///
/// Once moving has begun there is no way back, so everything that could stop it is looked for first: an entry of the
/// other kind in the way, a mount point, a directory or file that this user may not change. Nothing is changed, except
/// that a directory of this user whose mode forbids to look into it is opened to its owner meanwhile.
///
/// Returns the entries of `stays` whose files cannot stay, ascending, because they have changed, or because another
/// entry has the same file. About files that have changed nothing is checked.
pub(super) fn preflight(
    place: &Place,
    target: Dir,
    entries: Entries<BufReader<File>>,
    stays: &Stays,
) -> Result<Vec<u32>> {
    let own = target.dir_metadata().map_err(|error| Failure::Io(place.at_target("", error)))?;
    // The mode of the target itself is not changed, so it must be writable already.
    platform::may_write(&target).map_err(|error| Failure::Io(place.at_target("", error)))?;
    let device = platform::device(&own);
    let (staging, open, here, absent) = (place.staging_within(), Descent::new(target), vec![own], usize::MAX);
    let inodes = stays.inodes();
    let changed = Vec::new();
    Preflight { place, device, staging, open, here, absent, stays, inodes, changed }.run(entries)
}

struct Preflight<'a> {
    place: &'a Place,
    device: u64,
    /// The staging area, if it is inside of the target.
    staging: Option<Metadata>,
    /// The open directories, and the mode to restore of those that were closed to their owner.
    open: Descent<Option<u16>>,
    /// Metadata of the open directories, the target first.
    here: Vec<Metadata>,
    /// Depth of a directory that does not exist in the target. Entries below it need no check.
    absent: usize,
    /// The files that stay in the target.
    stays: &'a Stays,
    /// Their inodes, ascending, each with the entry of the file.
    inodes: Vec<(u64, u32)>,
    /// The entries among them whose files cannot stay.
    changed: Vec<u32>,
}

impl Preflight<'_> {
    fn run(mut self, mut entries: Entries<BufReader<File>>) -> Result<Vec<u32>> {
        while let Some(item) = next(self.place, &mut entries)? {
            check_wanted()?;
            if item.depth > self.absent {
                self.changed.extend(self.stays.has_changed(&item, None).then_some(item.index));
                continue;
            }
            self.absent = usize::MAX;
            self.leave(item.depth);
            self.entry(&item, entries.name(), entries.path())?;
        }
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        Ok(changed)
    }

    /// Closes the open directories that do not contain an entry of depth `depth`.
    fn leave(&mut self, depth: usize) {
        while let Some((dir, closed)) = self.open.leave(depth) {
            self.here.pop();
            if let Some(mode) = closed {
                // Its owner, who is this user, has only gained access to it.
                let _ = platform::set_dir_mode(&dir, mode);
            }
        }
    }

    fn entry(&mut self, item: &Item, name: &str, path: &str) -> Result<()> {
        if self.place.is_staging_within(path) {
            return Err(self.names_staging_area(item, path));
        }
        let io = |error: io::Error| Failure::Io(self.place.at_target(path, error));
        let is_dir = item.kind == Kind::Directory;
        let found = match self.open.here().symlink_metadata(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            found => Some(found.map_err(io)?),
        };
        if self.stays.has_changed(item, found.as_ref()) {
            self.changed.push(item.index);
            return Ok(());
        }
        let Some(found) = found else {
            self.absent = if is_dir { item.depth } else { usize::MAX };
            return Ok(());
        };
        if self.stays.contains(item.index) && platform::device(&found) == self.device {
            return Ok(());
        }
        self.check_movable(item, name, path, &found)?;
        match is_dir {
            true => self.enter(name, found).map_err(io)?,
            false => self.give_up_stays_of(platform::inode(&found)),
        }
        Ok(())
    }

    /// The failure for an entry that would replace the staging area itself.
    fn names_staging_area(&self, item: &Item, path: &str) -> Failure {
        Failure::At(StoreError::Name { entry: item.index }, self.place.at_target(path, Cause::Staging))
    }

    /// Fails if the entry cannot take the place of what was `found` there.
    fn check_movable(&self, item: &Item, name: &str, path: &str, found: &Metadata) -> Result<()> {
        // Some file systems give a directory a second name: VFAT and NTFS a short one.
        if self.staging.as_ref().is_some_and(|staging| platform::is_same(staging, found)) {
            return Err(self.names_staging_area(item, path));
        }
        let parent = self.here.last().expect("the first element is the target, and is never removed");
        let lock = platform::lock_of(self.open.here(), name, parent, found);
        let lock = lock.map_err(|error| Failure::Io(self.place.at_target(path, error)))?;
        let cause = match (item.kind == Kind::Directory, found.is_dir()) {
            (false, true) => Some(Cause::FolderInTheWay),
            (true, false) => Some(Cause::FileInTheWay),
            _ if platform::device(found) != self.device => Some(Cause::MountPoint),
            _ => lock,
        };
        let in_the_way = |cause| Failure::At(StoreError::NotWritable, self.place.at_target(path, cause));
        cause.map_or(Ok(()), |cause| Err(in_the_way(cause)))
    }

    /// Lets no file stay that has this inode: an entry is moved onto another of its names.
    fn give_up_stays_of(&mut self, inode: u64) {
        let first = self.inodes.partition_point(|(other, _)| *other < inode);
        let same = self.inodes[first..].iter().take_while(|(other, _)| *other == inode);
        self.changed.extend(same.map(|(_, entry)| entry));
    }

    /// Enters a directory if entries in it can be changed. Its owner can make it accessible, so that is enough.
    fn enter(&mut self, name: &str, found: Metadata) -> io::Result<()> {
        let (is_ours, mode) = (platform::is_ours(&found), platform::mode(&found));
        let closed = (is_ours && mode & READABLE != READABLE).then_some(mode);
        if closed.is_some() {
            platform::unlock_dir(self.open.here(), name.as_ref())?;
        }
        let dir = platform::open_dir(self.open.here(), name)?;
        let written = platform::may_write(&dir);
        self.open.enter(dir, closed);
        self.here.push(found);
        match written {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && is_ours => Ok(()),
            written => written,
        }
    }
}

impl Drop for Preflight<'_> {
    fn drop(&mut self) {
        self.leave(1);
    }
}
