//! The base of a transfer: the committed folder in the other slot, if the same sender sent it. Files of the new manifest
//! that the base has with the same path and length are listed to the sender, and those that it leaves out are copied
//! from there. PROTOCOL.md, section 6, step 8, "Only what changed".
//!
//! ```text
//! base slot   | manifest | a | BLAKE3 | b | BLAKE3 | c | BLAKE3 | root |
//!                           |                         |
//! free slot   | manifest | a | BLAKE3 | b, as sent   | c | BLAKE3 | root |
//! ```
//!
//! The copies are not hashed here: the whole slot is read back and verified before it is committed, as always.

use core::cmp::Ordering;
use core::mem;
use core::pin::pin;

use embassy_futures::yield_now;
use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_storage_async::nor_flash::NorFlash;
use waft_core::archive::{DIGEST, ENTRY_PREFIX, Entry, Kind, START_MAX};
use waft_core::digest::Digest;
use waft_core::session::StoreError;
use waft_core::session::own_frame::own_frame;
use waft_core::wire::message::{BaseFile, BaseFiles};

use super::area::{Area, Slot};
use super::record::Committed;

/// After as many comparisons of two entries, the search for matches yields to other tasks.
const YIELD_AFTER: u32 = 256;
/// Paths are compared in pieces of this length.
const PIECE: usize = 32;

/// The base of a transfer, and what was listed and taken from it so far.
pub(super) struct Base {
    pub(super) slot: Slot,
    /// For the list, and then from the start again for what is taken.
    matches: Matches,
    /// The number of files of the manifest up to the last one that was listed.
    listed: u32,
    /// The match in which the next byte lies, or a later one.
    next: Option<Match>,
    /// Whether anything was taken from the base.
    pub(super) is_used: bool,
}

/// A file that both manifests have with the same path and length.
#[derive(Clone, Copy)]
pub(super) struct Match {
    /// The index of the file in the new manifest, among the files.
    file: u32,
    /// The offset of its content in the new archive, and in the base.
    new: u32,
    base: u32,
    /// The length of its content and its digest.
    length: u32,
}

/// Reads both archives. The last bytes of the new one may not be on the flash yet.
pub(super) struct Archives<'a, 'f, M: RawMutex, F> {
    pub(super) area: &'a Area<'f, M, F>,
    pub(super) new: Slot,
    /// The bytes of the new archive from offset `flushed` on.
    pub(super) tail: &'a [u8],
    pub(super) flushed: u32,
}

impl<M: RawMutex, F: NorFlash> Archives<'_, '_, M, F> {
    /// Reads bytes of the archive in a slot.
    async fn read(&self, slot: Slot, at: u32, bytes: &mut [u8]) -> Result<(), StoreError> {
        let stored = match slot == self.new {
            true => bytes.len().min(self.flushed.saturating_sub(at) as usize),
            false => bytes.len(),
        };
        let (stored, tail) = bytes.split_at_mut(stored);
        if !tail.is_empty() {
            let from = at.saturating_sub(self.flushed) as usize;
            tail.copy_from_slice(self.tail.get(from..from + tail.len()).ok_or(StoreError::BaseLost)?);
        }
        self.area.read(self.area.layout().byte(slot, at), stored).await.map_err(|_| StoreError::BaseLost)
    }
}

/// A part of the base that is the next part of the new archive.
pub(super) struct Part {
    /// The offset in the base's slot.
    pub(super) at: u32,
    pub(super) length: u32,
}

impl Base {
    /// The base of a transfer into `slot`, whose manifest is complete and has this length.
    pub(super) fn new(slot: Slot, manifest: u32, committed: &Committed) -> Self {
        let walk = |slot, manifest| Walk { slot, at: 0, end: manifest, content: manifest };
        let (new, base) = (walk(slot, manifest), walk(committed.slot, committed.sizes.manifest));
        let matches = Matches { new, base, file: 0, compared: 0 };
        Self { slot: committed.slot, matches, listed: 0, next: None, is_used: false }
    }

    /// Lists the next files that do not end before `position`. The list ends early if the flash no longer has a valid
    /// manifest.
    pub(super) async fn list<M: RawMutex, F: NorFlash>(
        &mut self,
        archives: &Archives<'_, '_, M, F>,
        position: u32,
        files: &mut BaseFiles,
    ) {
        while !files.is_full()
            && let Ok(Some(found)) = own_frame(pin!(self.matches.next(archives))).await
        {
            let mut digest = Digest([0; DIGEST]);
            let at = found.base + found.length - DIGEST as u32;
            if found.new + found.length > position && archives.read(self.slot, at, &mut digest.0).await.is_ok() {
                // There is room, because the list is not full.
                let _ = files.push(BaseFile { skipped: found.file - self.listed, digest });
                self.listed = found.file + 1;
            }
        }
    }

    /// The part of the base that is the new archive at `position`, up to the end of its file, which must not lie after
    /// `end`.
    pub(super) async fn part<M: RawMutex, F: NorFlash>(
        &mut self,
        archives: &Archives<'_, '_, M, F>,
        position: u32,
        end: u32,
    ) -> Result<Part, StoreError> {
        if !mem::replace(&mut self.is_used, true) {
            self.matches.restart();
        }
        let found = loop {
            match self.next.filter(|next| next.new + next.length > position) {
                Some(next) => break next,
                None => {
                    let next = own_frame(pin!(self.matches.next(archives))).await?;
                    self.next = Some(next.ok_or(StoreError::NotListed)?);
                }
            }
        };
        let skipped = position.checked_sub(found.new).ok_or(StoreError::NotListed)?;
        if found.new + found.length > end {
            return Err(StoreError::NotListed);
        }
        Ok(Part { at: found.base + skipped, length: found.length - skipped })
    }
}

/// Iterates over the files that two manifests have with the same path and length. Both are in the same order. It keeps
/// no paths, which take 1 KiB each: it compares them on the flash.
struct Matches {
    new: Walk,
    base: Walk,
    /// The index of the next file of the new manifest.
    file: u32,
    /// The number of comparisons of two entries.
    compared: u32,
}

impl Matches {
    fn restart(&mut self) {
        for walk in [&mut self.new, &mut self.base] {
            (walk.at, walk.content) = (0, walk.end);
        }
        self.file = 0;
    }

    async fn next<M: RawMutex, F: NorFlash>(
        &mut self,
        archives: &Archives<'_, '_, M, F>,
    ) -> Result<Option<Match>, StoreError> {
        while let Some(new) = self.new.entry(archives).await?
            && let Some(base) = self.base.entry(archives).await?
        {
            self.compared += 1;
            if self.compared.is_multiple_of(YIELD_AFTER) {
                yield_now().await;
            }
            let order = compare(archives, &new, &base).await?;
            let (file, from) = (self.file, (self.new.content, self.base.content));
            if order.is_le() {
                self.new.pass(&new)?;
                self.file += u32::from(new.length.is_some());
            }
            if order.is_ge() {
                self.base.pass(&base)?;
            }
            // An empty file is sent in the bytes that it takes to list it.
            if let (Ordering::Equal, Some(length)) = (order, new.length)
                && base.length == Some(length)
                && length > DIGEST as u32
            {
                return Ok(Some(Match { file, new: from.0, base: from.1, length }));
            }
        }
        Ok(None)
    }
}

/// A position in a manifest that was checked before.
struct Walk {
    slot: Slot,
    /// The offset of the next entry.
    at: u32,
    /// The end of the manifest.
    end: u32,
    /// The offset of the next file's content.
    content: u32,
}

/// The next entry of a manifest.
struct Next {
    slot: Slot,
    /// The offset of the path.
    path: u32,
    path_length: u16,
    /// The length of the file's content and digest; `None` for a directory.
    length: Option<u32>,
    /// The offset of the entry after it.
    end: u32,
}

impl Walk {
    async fn entry<M: RawMutex, F: NorFlash>(
        &self,
        archives: &Archives<'_, '_, M, F>,
    ) -> Result<Option<Next>, StoreError> {
        if self.at >= self.end {
            return Ok(None);
        }
        let mut start = [0; ENTRY_PREFIX + START_MAX];
        let length = start.len().min((self.end - self.at) as usize);
        archives.read(self.slot, self.at, &mut start[..length]).await?;
        let [high, low, start @ ..] = start;
        let (kind, path_length, path) = Entry::decode_start(&start).map_err(|_| StoreError::BaseLost)?;
        let length = match kind {
            Kind::Directory => None,
            Kind::File { size } => {
                let length = size.checked_add(DIGEST as u64).and_then(|length| u32::try_from(length).ok());
                Some(length.ok_or(StoreError::BaseLost)?)
            }
        };
        let entry = self.at + ENTRY_PREFIX as u32;
        let end = entry + u32::from(u16::from_be_bytes([high, low]));
        let path = entry + path as u32;
        if end > self.end || path + u32::from(path_length) > end {
            return Err(StoreError::BaseLost);
        }
        Ok(Some(Next { slot: self.slot, path, path_length, length, end }))
    }

    fn pass(&mut self, entry: &Next) -> Result<(), StoreError> {
        self.at = entry.end;
        let content = self.content.checked_add(entry.length.unwrap_or(0));
        self.content = content.ok_or(StoreError::BaseLost)?;
        Ok(())
    }
}

/// The order of two paths, component by component.
async fn compare<M: RawMutex, F: NorFlash>(
    archives: &Archives<'_, '_, M, F>,
    new: &Next,
    base: &Next,
) -> Result<Ordering, StoreError> {
    let common = new.path_length.min(base.path_length);
    let mut pieces = [[0; PIECE]; 2];
    let mut at = 0;
    while at < common {
        let length = PIECE.min((common - at).into());
        for (piece, entry) in pieces.iter_mut().zip([new, base]) {
            archives.read(entry.slot, entry.path + u32::from(at), &mut piece[..length]).await?;
        }
        // A separator comes before every other byte of a path.
        pieces.as_flattened_mut().iter_mut().filter(|byte| **byte == b'/').for_each(|byte| *byte = 0);
        match pieces[0][..length].cmp(&pieces[1][..length]) {
            Ordering::Equal => at += length as u16,
            order => return Ok(order),
        }
    }
    Ok(new.path_length.cmp(&base.path_length))
}
