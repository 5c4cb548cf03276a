//! Writes an archive to the free slot: checks its manifest, and erases each block before its first byte. Whole cells are
//! written directly from the received chunk; the bytes after the last whole cell are collected in a buffer.

use core::pin::pin;

use embassy_futures::yield_now;
use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_storage_async::nor_flash::NorFlash;
use waft_core::archive::{ArchiveError, ManifestReader, Summary};
use waft_core::digest::Digest;
use waft_core::session::own_frame::own_frame;
use waft_core::session::{Held, Offered, StoreError};
use waft_core::wire::message::BaseFiles;

use super::area::{Area, Locked, Slot};
use super::base::{Archives, Base};
use super::check::Pieces;
use super::journal::Journal;
use super::record::{Begun, CELL, Committed, Record, Sizes};
use super::transfer::Transfer;

/// A transfer into a slot. It borrows its manifest reader, which takes 4 KiB and is restarted for each transfer.
pub(super) struct Stage {
    pub(super) offered: Offered,
    pub(super) sizes: Sizes,
    pub(super) slot: Slot,
    /// The base of the transfer, once its files were listed.
    pub(super) base: Option<Base>,
    /// The summary of the manifest, once it was received completely.
    pub(super) summary: Option<Summary>,
    /// The number of archive bytes that were received.
    position: u32,
    /// The number of archive bytes in the slot. The others are in the buffer. Whole cells, except at the end of the
    /// archive.
    flushed: u32,
    /// The number of archive bytes that the journal records as durable: whole erase blocks.
    durable: u32,
    /// The end of the erased blocks after `flushed`, as an offset in the slot.
    erased: u32,
    /// Whether the first record of this stage is in the journal.
    announced: bool,
}

impl Stage {
    /// A transfer from the first byte.
    pub(super) fn new(offered: Offered, sizes: Sizes, slot: Slot) -> Self {
        let (position, flushed, durable, erased, announced) = (0, 0, 0, 0, false);
        Self { offered, sizes, slot, base: None, summary: None, position, flushed, durable, erased, announced }
    }

    /// Reads back the first `durable` bytes of the slot, **whole erase blocks**, to resume after them. Returns `None`
    /// if they are unreadable or not the beginning of the offered archive. Then the stage must not be used further.
    pub(super) async fn resume<M: RawMutex, F: NorFlash>(
        &mut self,
        area: &Area<'_, M, F>,
        durable: u32,
        is_it: &dyn Fn(&Digest) -> bool,
        memory: &mut Transfer,
        buffer: &mut [u8],
    ) -> Option<Held> {
        if !durable.is_multiple_of(area.layout().block()) {
            return None;
        }
        let (manifest, hasher) = memory.manifest_and_hasher();
        hasher.reset();
        let mut pieces = Pieces::new(self.slot, 0, durable, buffer);
        while let Some(piece) = pieces.next(area).await.ok()? {
            hasher.update(piece);
            let known = self.summary.is_some();
            self.read_manifest(manifest, piece).ok()?;
            if !known && self.summary.is_some_and(|summary| !is_it(&summary.digest)) {
                return None;
            }
        }
        self.summary?;
        (self.position, self.flushed, self.durable, self.erased) = (durable, durable, durable, durable);
        Some(Held { offset: durable.into(), digest: hasher.digest() })
    }

    pub(super) fn durable(&self) -> u32 {
        self.durable
    }

    /// Whether the transfer in the journal is this one.
    pub(super) fn is_in_journal(&self) -> bool {
        self.announced || self.durable > 0
    }

    /// Receives the next bytes of the archive.
    pub(super) async fn write<M: RawMutex, F: NorFlash>(
        &mut self,
        area: &Area<'_, M, F>,
        journal: &mut Journal,
        manifest: &mut ManifestReader,
        mut bytes: &[u8],
        buffer: &mut [u8],
    ) -> Result<(), StoreError> {
        if bytes.len() > (self.sizes.total - self.position) as usize {
            return Err(StoreError::Archive(ArchiveError::Trailing));
        }
        self.read_manifest(manifest, bytes).map_err(StoreError::Archive)?;
        let mut locked = area.lock().await;
        self.announce(&mut locked, journal).await?;
        while !bytes.is_empty() {
            let filled = (self.position - self.flushed) as usize;
            let left = (area.layout().block() - self.flushed % area.layout().block()) as usize;
            let cells = bytes.len().min(left) / CELL * CELL;
            if filled == 0 && cells > 0 {
                let (now, later) = bytes.split_at(cells);
                self.program(&mut locked, journal, now, cells as u32).await?;
                bytes = later;
                continue;
            }
            let room = (buffer.len() / CELL * CELL).min(left);
            let (now, later) = bytes.split_at(bytes.len().min(room - filled));
            buffer[filled..][..now.len()].copy_from_slice(now);
            self.position += now.len() as u32;
            bytes = later;
            if filled + now.len() == room {
                own_frame(pin!(self.flush(&mut locked, journal, buffer))).await?;
            }
        }
        Ok(())
    }

    /// Adds the next files of the base to the list. `committed` is the base.
    pub(super) async fn list<M: RawMutex, F: NorFlash>(
        &mut self,
        area: &Area<'_, M, F>,
        committed: &Committed,
        files: &mut BaseFiles,
        buffer: &[u8],
    ) {
        let base = self.base.get_or_insert_with(|| Base::new(self.slot, self.sizes.manifest, committed));
        let (position, flushed) = (self.position, self.flushed);
        let archives = Archives { area, new: self.slot, tail: &buffer[..(position - flushed) as usize], flushed };
        base.list(&archives, position, files).await;
    }

    /// Copies the next `length` bytes of the archive from the base, file by file. They go through the buffer, where the
    /// bytes after the last whole cell are collected.
    pub(super) async fn take<M: RawMutex, F: NorFlash>(
        &mut self,
        area: &Area<'_, M, F>,
        journal: &mut Journal,
        length: u32,
        buffer: &mut [u8],
    ) -> Result<(), StoreError> {
        self.announce(&mut area.lock().await, journal).await?;
        let end = self.position + length;
        while self.position < end {
            let base = self.base.as_mut().ok_or(StoreError::NotListed)?;
            let (position, flushed) = (self.position, self.flushed);
            let archives = Archives { area, new: self.slot, tail: &buffer[..(position - flushed) as usize], flushed };
            let (slot, part) = (base.slot, base.part(&archives, position, end).await?);
            let (mut at, to) = (part.at, self.position + part.length);
            while self.position < to {
                let filled = (self.position - self.flushed) as usize;
                let left = (area.layout().block() - self.flushed % area.layout().block()) as usize;
                let room = (buffer.len() / CELL * CELL).min(left);
                let piece = &mut buffer[filled..room.min(filled + (to - self.position) as usize)];
                let mut locked = area.lock().await;
                locked.read(area.layout().byte(slot, at), piece).await.map_err(|_| StoreError::BaseLost)?;
                at += piece.len() as u32;
                self.position += piece.len() as u32;
                if filled + piece.len() == room {
                    own_frame(pin!(self.flush(&mut locked, journal, buffer))).await?;
                }
                drop(locked);
                yield_now().await;
            }
        }
        Ok(())
    }

    /// Whether a part of the archive was taken from the base.
    pub(super) fn is_base_used(&self) -> bool {
        self.base.as_ref().is_some_and(|base| base.is_used)
    }

    /// Writes the rest of the buffer, padded to whole cells. Fails if the archive is incomplete.
    pub(super) async fn finish<M: RawMutex, F: NorFlash>(
        &mut self,
        area: &mut Locked<'_, M, F>,
        journal: &mut Journal,
        buffer: &mut [u8],
    ) -> Result<(), StoreError> {
        // Without a summary, the manifest is longer than the archive.
        if self.position < self.sizes.total || self.summary.is_none() {
            return Err(StoreError::Archive(ArchiveError::Truncated));
        }
        if self.flushed < self.position { own_frame(pin!(self.flush(area, journal, buffer))).await } else { Ok(()) }
    }

    /// Checks the part of `bytes` that belongs to the manifest.
    fn read_manifest(&mut self, manifest: &mut ManifestReader, bytes: &[u8]) -> Result<(), ArchiveError> {
        if self.summary.is_some() {
            return Ok(());
        }
        let mut input = bytes;
        while manifest.next(&mut input)?.is_some() {}
        if manifest.is_complete() {
            let summary = manifest.finish()?;
            summary.check(&self.sizes.shape())?;
            self.summary = Some(summary);
        }
        Ok(())
    }

    /// **Records in this boot's journal where the transfer begins or resumes, before anything is erased there**: a
    /// later PROGRESS that is unreadable now may become readable again.
    async fn announce<M: RawMutex, F: NorFlash>(
        &mut self,
        area: &mut Locked<'_, M, F>,
        journal: &mut Journal,
    ) -> Result<(), StoreError> {
        if self.announced {
            return Ok(());
        }
        let record = match self.durable {
            0 => Record::Begin(Begun { slot: self.slot, sizes: self.sizes, sender: self.offered.sender }),
            offset => Record::Progress { offset },
        };
        journal.append(area, &record).await?;
        self.announced = true;
        Ok(())
    }

    /// Erases the blocks after the erased ones.
    async fn erase_next<M: RawMutex, F: NorFlash>(&mut self, area: &mut Locked<'_, M, F>) -> Result<(), StoreError> {
        let layout = *area.layout();
        let end = layout.erase_end(self.slot, self.erased, self.sizes.total);
        area.erase_range(layout.byte(self.slot, self.erased)..layout.byte(self.slot, end)).await?;
        self.erased = end;
        Ok(())
    }

    /// Writes the collected bytes, padded to whole cells.
    async fn flush<M: RawMutex, F: NorFlash>(
        &mut self,
        area: &mut Locked<'_, M, F>,
        journal: &mut Journal,
        buffer: &mut [u8],
    ) -> Result<(), StoreError> {
        let filled = (self.position - self.flushed) as usize;
        let padded = filled.next_multiple_of(CELL);
        buffer[filled..padded].fill(0xff);
        self.program(area, journal, &buffer[..padded], filled as u32).await
    }

    /// Writes whole cells of one erase block. Their first `length` bytes are archive. **Erases every block before its
    /// first byte, without a blank check.** After the last byte of a block, PROGRESS makes the block durable.
    async fn program<M: RawMutex, F: NorFlash>(
        &mut self,
        area: &mut Locked<'_, M, F>,
        journal: &mut Journal,
        cells: &[u8],
        length: u32,
    ) -> Result<(), StoreError> {
        let block = area.layout().block();
        let at = area.layout().byte(self.slot, self.flushed);
        if self.flushed == self.erased {
            self.erase_next(area).await?;
        }
        area.program(at, cells).await?;
        self.flushed += length;
        self.position = self.flushed;
        if self.flushed.is_multiple_of(block) {
            journal.append(area, &Record::Progress { offset: self.flushed }).await?;
            self.durable = self.flushed;
        }
        Ok(())
    }
}
