//! Reads a slot back: the prefix from which a transfer resumes, and the whole archive before it is committed.
//!
//! PROTOCOL.md, section 8.

use embassy_futures::yield_now;
use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_storage_async::nor_flash::NorFlash;
use waft_core::archive::{ArchiveError, Content, ContentReader, ENTRY_PREFIX, Entry, KIND_MAX, Kind, Summary};
use waft_core::digest::Digest;
use waft_core::limits::ENTRY_MAX;
use waft_core::session::StoreError;

use super::area::{Area, Slot};
use super::record::Sizes;
use super::transfer::Transfer;
use crate::flash::Fault;

/// The number of bytes after which a reader of a slot yields: reading and hashing them takes less than 200,000
/// instructions.
const YIELD_AFTER: u32 = 8 << 10;

/// Reads a slot up to `end` in pieces of the buffer's length, and yields every [`YIELD_AFTER`] bytes.
pub(super) struct Pieces<'b> {
    slot: Slot,
    at: u32,
    end: u32,
    buffer: &'b mut [u8],
}

impl<'b> Pieces<'b> {
    pub(super) fn new(slot: Slot, from: u32, end: u32, buffer: &'b mut [u8]) -> Self {
        Self { slot, at: from, end, buffer }
    }

    pub(super) async fn next<M: RawMutex, F: NorFlash>(
        &mut self,
        area: &Area<'_, M, F>,
    ) -> Result<Option<&[u8]>, Fault> {
        let length = self.buffer.len().min((self.end - self.at) as usize);
        if length == 0 {
            return Ok(None);
        }
        let piece = &mut self.buffer[..length];
        area.read(area.layout().byte(self.slot, self.at), piece).await?;
        let steps = self.at / YIELD_AFTER;
        self.at += length as u32;
        if self.at / YIELD_AFTER > steps {
            yield_now().await;
        }
        Ok(Some(piece))
    }
}

/// The digest of the first `end` bytes of a slot.
pub(super) async fn digest<M: RawMutex, F: NorFlash>(
    area: &Area<'_, M, F>,
    slot: Slot,
    end: u32,
    memory: &mut Transfer,
    buffer: &mut [u8],
) -> Result<Digest, Fault> {
    let [hasher, _] = memory.hashers();
    hasher.reset();
    let mut pieces = Pieces::new(slot, 0, end, buffer);
    while let Some(piece) = pieces.next(area).await? {
        hasher.update(piece);
    }
    Ok(hasher.digest())
}

/// Reads a whole archive back, checks all rules and digests, and returns its summary and its root.
pub(super) async fn whole<M: RawMutex, F: NorFlash>(
    area: &Area<'_, M, F>,
    slot: Slot,
    sizes: &Sizes,
    memory: &mut Transfer,
    buffer: &mut [u8],
) -> Result<(Summary, Digest), StoreError> {
    let summary = manifest(area, slot, sizes, memory, buffer).await?;
    let root = contents(area, slot, &summary, memory, buffer).await?;
    Ok((summary, root))
}

async fn manifest<M: RawMutex, F: NorFlash>(
    area: &Area<'_, M, F>,
    slot: Slot,
    sizes: &Sizes,
    memory: &mut Transfer,
    buffer: &mut [u8],
) -> Result<Summary, StoreError> {
    let reader = memory.manifest();
    reader.restart(sizes.manifest);
    let mut pieces = Pieces::new(slot, 0, sizes.manifest, buffer);
    while let Some(mut piece) = pieces.next(area).await? {
        while reader.next(&mut piece).map_err(StoreError::Archive)?.is_some() {}
    }
    let summary = reader.finish().map_err(StoreError::Archive)?;
    summary.check(&sizes.shape()).map_err(StoreError::Archive)?;
    Ok(summary)
}

async fn contents<M: RawMutex, F: NorFlash>(
    area: &Area<'_, M, F>,
    slot: Slot,
    summary: &Summary,
    memory: &mut Transfer,
    buffer: &mut [u8],
) -> Result<Digest, StoreError> {
    let mut reader = ContentReader::borrowing(memory.hashers(), summary);
    let mut sizes = FileSizes { slot, at: 0, end: summary.shape.manifest };
    // The length was checked against the sizes in the journal, which have 32 bits.
    let mut pieces = Pieces::new(slot, summary.shape.manifest, summary.shape.total as u32, buffer);
    while let Some(mut piece) = pieces.next(area).await? {
        while let Some(content) = reader.next(&mut piece).map_err(StoreError::Archive)? {
            match content {
                Content::NeedFile => {
                    let size = sizes.next(area).await?;
                    reader.begin_file(size).map_err(|_| StoreError::Verify)?;
                }
                Content::End { root } => return Ok(root),
                Content::Data(_) | Content::FileEnd { .. } => {}
            }
        }
    }
    Err(StoreError::Archive(ArchiveError::Truncated))
}

/// Iterates over the sizes of the files in a manifest that was checked before. It reads no paths, which take 1 KiB. If the
/// flash returns other bytes now, the contents do not match their digests.
struct FileSizes {
    slot: Slot,
    /// The offset of the next entry.
    at: u32,
    /// The end of the manifest.
    end: u32,
}

impl FileSizes {
    async fn next<M: RawMutex, F: NorFlash>(&mut self, area: &Area<'_, M, F>) -> Result<u64, StoreError> {
        let mut locked = area.lock().await;
        while self.at < self.end {
            let mut head = [0; ENTRY_PREFIX + KIND_MAX];
            let length = head.len().min((self.end - self.at) as usize);
            let at = area.layout().byte(self.slot, self.at);
            locked.read(at, &mut head[..length]).await.map_err(WalkError::from)?;
            let [high, low, kind @ ..] = head;
            self.at += ENTRY_PREFIX as u32 + u32::from(u16::from_be_bytes([high, low]));
            match Entry::decode_kind(&kind) {
                Ok(Kind::File { size }) => return Ok(size),
                Ok(Kind::Directory) => {}
                Err(_) => return Err(StoreError::Verify),
            }
        }
        Err(StoreError::Verify)
    }
}

/// Iterates over a manifest that was checked before, and computes where the content of each file lies. Takes about 1
/// KiB, for one entry.
pub(super) struct Cursor {
    slot: Slot,
    /// The offset of the next entry.
    at: u32,
    /// The end of the manifest.
    end: u32,
    /// The offset of the next file's content.
    content: u64,
    entry: [u8; ENTRY_MAX],
}

/// Why the iteration stopped.
pub(super) enum WalkError {
    /// The flash failed.
    Flash,
    /// The bytes are not a valid manifest.
    Damaged,
}

impl From<WalkError> for StoreError {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::Flash => Self::Io,
            WalkError::Damaged => Self::Verify,
        }
    }
}

impl From<Fault> for WalkError {
    fn from(_: Fault) -> Self {
        Self::Flash
    }
}

impl Cursor {
    pub(super) fn new(slot: Slot, manifest: u32) -> Self {
        Self { slot, at: 0, end: manifest, content: manifest.into(), entry: [0; ENTRY_MAX] }
    }

    /// Returns the next entry and, for a file, the offset of its content in the slot, or `None` after the last entry.
    pub(super) async fn next<M: RawMutex, F: NorFlash>(
        &mut self,
        area: &Area<'_, M, F>,
    ) -> Result<Option<(Entry<'_>, u64)>, WalkError> {
        if self.at == self.end {
            return Ok(None);
        }
        let mut prefix = [0; ENTRY_PREFIX];
        let at = area.layout().byte(self.slot, self.at);
        let mut locked = area.lock().await;
        locked.read(at, &mut prefix).await?;
        let length = usize::from(u16::from_be_bytes(prefix));
        let next = u64::from(self.at) + (ENTRY_PREFIX + length) as u64;
        if length > ENTRY_MAX || next > self.end.into() {
            return Err(WalkError::Damaged);
        }
        let bytes = &mut self.entry[..length];
        locked.read(at + ENTRY_PREFIX as u32, bytes).await?;
        let entry = Entry::decode(bytes).map_err(|_| WalkError::Damaged)?;
        let content = self.content;
        if let Some(size) = entry.size() {
            let end = content.checked_add(size).and_then(|end| end.checked_add(waft_core::archive::DIGEST as u64));
            self.content = end.ok_or(WalkError::Damaged)?;
        }
        self.at = next as u32;
        Ok(Some((entry, content)))
    }
}
