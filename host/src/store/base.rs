//! The folder in the target as the base of a transfer: files that its sender sent before need not be sent again.
//!
//! The record of the folder (see `committed`) has its manifest and the digests of its files. A file of the new manifest is
//! listed if the record has it with the same path and length, and the target's file still has the length and the
//! modification time that it was given. **The digests are the sender's own**, so that they reveal nothing about local
//! changes. What the sender then leaves out is read from the target and takes the way of received content, which is
//! hashed: a file that was changed all the same is noticed, and then everything is sent. Some of these files need not even
//! be staged (see `stays`). PROTOCOL.md, section 6, step 8, "Only what changed".

use std::cmp::Ordering;
use std::fs::File;
use std::io::{BufReader, Seek as _, SeekFrom};

use cap_std::fs::{Dir, Metadata};
use waft_core::archive::{DIGEST, Kind};
use waft_core::digest::Digest;
use waft_core::session::StoreError;
use waft_core::wire::message::BaseFile;

use super::blocking::{BlockingStore, StagedManifest};
use super::capabilities::Capabilities;
use super::committed::Record;
use super::error::{Failure, Result, check_wanted};
use super::open_files::{OpenFile, OpenFiles};
use super::small_files::SmallFiles;
use super::stays::{Stays, Unchanged};
use crate::folder::entries::{Entries, Item};
use crate::platform;

/// Number of bytes that are read from the target before they are handed on.
pub(super) const PIECE: usize = 256 << 10;
/// A file of at least this length shares its content with the target's file, if it can. Less is copied as fast.
pub(super) const SHARED_MIN: u64 = 64 << 10;

/// The folder in the target, and which of its files may be used.
pub(super) struct Base {
    target: OpenFiles,
    record: Record,
    /// Recognises files that stay in the target, if any may.
    unchanged: Option<Unchanged>,
    /// Whether files may share content on the disk, as far as is known.
    shares: bool,
    /// The files that were listed, in the order of the archive.
    listed: Vec<Listed>,
}

/// A file of the new archive that the target has.
struct Listed {
    path: String,
    item: Item,
    digest: Digest,
    /// Offset of its content in the archive.
    start: u64,
    size: u64,
}

impl Listed {
    /// Offset after its digest in the archive.
    fn end(&self) -> u64 {
        self.start + self.size + DIGEST as u64
    }
}

impl Base {
    pub(super) fn new(target: Dir, record: Record) -> Self {
        Self { target: OpenFiles::new(target), record, unchanged: None, shares: true, listed: Vec::new() }
    }

    /// Lists the files of the new manifest that the target has, without those that end before `position`. If something
    /// cannot be read, the list is shorter. If the folder is merged into the target, files may stay there.
    pub(super) fn list(&mut self, manifest: StagedManifest, position: u64) -> Vec<BaseFile> {
        let StagedManifest { file, length, capabilities, is_merged } = manifest;
        let written = file.metadata().ok().filter(|_| is_merged).map(Metadata::from_just_metadata);
        self.unchanged = written.and_then(|written| Unchanged::since(&written, capabilities.files));
        if self.unchanged.is_some() && platform::sync_all(self.target.root()).is_err() {
            self.unchanged = None;
        }
        let mut files = Vec::new();
        let mut next = 0;
        let _ = self.match_files(file, length, capabilities, |file, listed| {
            if listed.end() <= position {
                return None;
            }
            files.push(BaseFile { skipped: file - next, digest: listed.digest });
            next = file + 1;
            Some(listed)
        });
        files
    }

    /// Opens the file of an entry that is not staged, so that it stayed in the target. Its content need not be the same any
    /// more. If just its attributes are not, the commit stages it.
    pub(super) fn open_staying(&mut self, entry: u32) -> Option<StayingFile> {
        let unchanged = self.unchanged?;
        let found = self.listed.binary_search_by_key(&entry, |listed| listed.item.index).ok()?;
        let listed = &self.listed[found];
        let OpenFile { file, found } = self.target.open(&listed.path, listed.size)?;
        platform::sync_file(&file).ok()?;
        Some(StayingFile { file, found, digest: listed.digest, unchanged })
    }

    /// Goes through both manifests, which are in the same order. `None` if one of them cannot be read.
    fn match_files(
        &mut self,
        mut manifest: File,
        length: u32,
        capabilities: Capabilities,
        mut list: impl FnMut(u32, Listed) -> Option<Listed>,
    ) -> Option<()> {
        manifest.rewind().ok()?;
        let mut new = Cursor::new(Entries::new(BufReader::new(manifest), length), length.into())?;
        let mut file = &self.record.file;
        file.seek(SeekFrom::Start(self.record.manifest_start)).ok()?;
        let length = self.record.manifest_length;
        let mut old = Cursor::new(Entries::new(BufReader::new(file), length), length.into())?;
        self.listed.clear();
        while let (Some(new_item), Some(old_item)) = (new.item, old.item) {
            check_wanted().ok()?;
            match compare(new.entries.path(), old.entries.path()) {
                Ordering::Less => new.next()?,
                Ordering::Greater => old.next()?,
                Ordering::Equal => {
                    let (path, number) = (new.entries.path(), new.files);
                    if let (Kind::File { size }, true) = (new_item.kind, new_item.kind == old_item.kind)
                        && size > 0
                        && self.target.has(path, size, &old_item, capabilities)
                    {
                        let digest = *self.record.digests.get(old.files as usize)?;
                        let listed = Listed { path: path.to_owned(), item: new_item, digest, start: new.content, size };
                        self.listed.extend(list(number, listed));
                    }
                    new.next()?;
                    old.next()?;
                }
            }
        }
        Some(())
    }

    /// The next bytes of the archive from offset `position` on, as far as they belong to whole listed files before `end`:
    /// about as many as a piece has. Adds the files among them that stay to `stays`. Reads nothing if a large file begins
    /// there that does not stay, and returns that file: the staged one can perhaps share its content.
    fn read(&mut self, position: u64, end: u64, bytes: &mut Vec<u8>, stays: &mut Stays) -> Result<Option<File>> {
        bytes.clear();
        let mut next = self.listed.partition_point(|listed| listed.end() <= position);
        while bytes.len() < PIECE && position + (bytes.len() as u64) < end {
            let at = position + bytes.len() as u64;
            let listed = self.listed.get(next).filter(|listed| listed.start <= at && listed.end() <= end);
            let listed = listed.ok_or(StoreError::NotListed)?;
            let most = (PIECE - bytes.len()) as u64;
            let from = (at - listed.start).min(listed.size);
            let content = (listed.size - from).min(most);
            if content > 0 {
                let unchanged = self.unchanged.filter(|_| from == 0);
                let file = self.target.open(&listed.path, listed.size).ok_or(StoreError::BaseLost)?;
                match unchanged.filter(|unchanged| file.may_stay(*unchanged, listed.size, &listed.item)) {
                    Some(unchanged) => stays.add(listed.item.index, &file.found, unchanged),
                    None if from > 0 || listed.size < SHARED_MIN || !self.shares => {}
                    None if bytes.is_empty() => return Ok(Some(file.file)),
                    None => break,
                }
                file.read(from, content, bytes).ok_or(StoreError::BaseLost)?;
            }
            if from + content == listed.size {
                let given = (at - listed.start).saturating_sub(listed.size) as usize;
                bytes.extend_from_slice(&listed.digest.0[given..]);
                next += 1;
            }
        }
        Ok(None)
    }
}

impl BlockingStore {
    /// Whether the target is a base for the offered archive.
    pub(super) fn has_base(&self) -> bool {
        self.base.is_some()
    }

    /// Lists the files that need not be sent.
    pub(super) fn list_base(&mut self) -> Vec<BaseFile> {
        let position = self.durable();
        let Some(manifest) = self.staged_manifest() else { return Vec::new() };
        self.base.as_mut().map_or(Vec::new(), |base| base.list(manifest, position))
    }

    /// Takes the next `length` bytes of the archive from the target.
    pub(super) fn take_from_base(&mut self, length: u64, mut small: Option<&mut SmallFiles<'_, '_>>) -> Result<()> {
        let end = self.durable() + length;
        let mut bytes = Vec::with_capacity(PIECE + DIGEST);
        while self.durable() < end {
            check_wanted()?;
            let position = self.durable();
            let (base, stays) = self.base_and_stays().ok_or(StoreError::NotListed)?;
            match base.read(position, end, &mut bytes, stays)? {
                Some(source) => self.share(&source, &mut bytes)?,
                None => self.take_read(&bytes, small.as_deref_mut())?,
            }
        }
        Ok(())
    }

    /// Consumes bytes that were read from the target.
    fn take_read(&mut self, bytes: &[u8], small: Option<&mut SmallFiles<'_, '_>>) -> Result<()> {
        self.take(bytes, small).map_err(|failure| match failure {
            // Its content does not match the digest that the sender agreed to.
            Failure::Refused(StoreError::Archive(_)) => StoreError::BaseLost.into(),
            failure => failure,
        })
    }

    /// Lets the next file share the content of `source`, if the file system can do that. What is read to be verified is the
    /// staged file itself, since the other one may change.
    fn share(&mut self, source: &File, bytes: &mut Vec<u8>) -> Result<()> {
        let Some(shared) = self.share_next(source)? else {
            self.base.as_mut().ok_or(StoreError::NotListed)?.shares = false;
            return Ok(());
        };
        let mut at = 0;
        loop {
            check_wanted()?;
            bytes.resize(PIECE, 0);
            let got = platform::read_at(&shared, bytes, at).map_err(|_| StoreError::BaseLost)?;
            if got == 0 {
                return Ok(());
            }
            at += got as u64;
            self.take_read(&bytes[..got], None)?;
        }
    }
}

/// A position in a manifest.
struct Cursor<R> {
    entries: Entries<R>,
    /// The current entry; `None` after the last one.
    item: Option<Item>,
    /// Number of files before it.
    files: u32,
    /// Offset of its content in the archive, if it is a file.
    content: u64,
}

impl<R: std::io::BufRead> Cursor<R> {
    fn new(mut entries: Entries<R>, content: u64) -> Option<Self> {
        let item = entries.next().ok()?;
        Some(Self { entries, item, files: 0, content })
    }

    fn next(&mut self) -> Option<()> {
        if let Some(Item { kind: Kind::File { size }, .. }) = self.item {
            self.files += 1;
            self.content += size + DIGEST as u64;
        }
        self.item = self.entries.next().ok()?;
        Some(())
    }
}

/// The order of a manifest: component by component.
fn compare(one: &str, other: &str) -> Ordering {
    one.split('/').cmp(other.split('/'))
}

/// A file that stayed in the target.
pub(super) struct StayingFile {
    pub(super) file: File,
    pub(super) found: Metadata,
    /// The digest that its content has to have.
    pub(super) digest: Digest,
    pub(super) unchanged: Unchanged,
}
