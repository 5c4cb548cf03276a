//! The flash region of the slots: its layout, and reads, writes and erasures in it.
//!
//! The other modules address bytes relative to the start of a journal block or a slot. This module converts them to
//! flash addresses.

use core::ops::Range;

use embassy_sync::blocking_mutex::raw::RawMutex;
use embassy_sync::mutex::{Mutex, MutexGuard};
use embedded_storage_async::nor_flash::NorFlash;
use waft_core::session::StoreError;

use super::record::CELL;
use crate::flash::{self, Fault, UNIT_MAX};

/// The largest supported erase block, in bytes.
pub const ERASE_MAX: usize = 256 << 10;
/// The smallest supported erase block, in bytes. It holds a snapshot of the journal, and as much again.
pub const ERASE_MIN: usize = 2 << 10;

/// Written bytes are read back and compared in pieces of this length.
const COMPARE: usize = 256;

/// One of the two slots for a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Slot {
    /// The first slot.
    A,
    /// The second slot.
    B,
}

impl Slot {
    /// The other slot.
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// Why a flash region cannot hold slots. It is an error in the firmware's memory map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LayoutError {
    /// The region does not begin and end at boundaries of erase blocks.
    Unaligned,
    /// The region extends past the end of the flash.
    PastEnd,
    /// The region has fewer than four erase blocks.
    TooSmall,
}

impl From<Fault> for StoreError {
    fn from(_: Fault) -> Self {
        Self::Io
    }
}

/// The layout of the region: `[journal 0][journal 1][slot A][slot B]`, and perhaps one unused erase block.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    start: u32,
    block: u32,
    slot: u32,
    /// The number of bytes that one operation erases, at multiples of it in the flash: whole blocks.
    unit: u32,
}

impl Layout {
    pub(super) fn new(region: Range<u32>, block: u32, capacity: usize) -> Result<Self, LayoutError> {
        if !region.start.is_multiple_of(block) || !region.end.is_multiple_of(block) {
            return Err(LayoutError::Unaligned);
        }
        if region.end as usize > capacity {
            return Err(LayoutError::PastEnd);
        }
        match region.end.checked_sub(region.start).map(|length| length / block) {
            None | Some(0..4) => Err(LayoutError::TooSmall),
            Some(blocks) => Ok(Self { start: region.start, block, slot: (blocks - 2) / 2 * block, unit: block }),
        }
    }

    /// The length of an erase block, and thus of a journal block.
    pub(super) fn block(&self) -> u32 {
        self.block
    }

    /// The end of the blocks that are erased with the one at `from` of a slot, if bytes up to `end` are needed.
    pub(super) fn erase_end(&self, slot: Slot, from: u32, end: u32) -> u32 {
        let first = self.byte(slot, 0);
        let unit_end = ((first + from) / self.unit + 1) * self.unit - first;
        unit_end.min(end.next_multiple_of(self.block))
    }

    /// The length of a slot, in bytes: a number of whole erase blocks.
    pub(super) fn slot(&self) -> u32 {
        self.slot
    }

    /// The addresses of all erase blocks.
    pub(super) fn blocks(&self) -> impl Iterator<Item = u32> {
        (self.start..self.byte(Slot::B, self.slot)).step_by(self.block as usize)
    }

    /// The address of a cell in a journal block.
    pub(super) fn cell(&self, journal: u8, cell: u32) -> u32 {
        self.start + u32::from(journal) * self.block + cell * CELL as u32
    }

    /// The address of a byte in a slot.
    pub(super) fn byte(&self, slot: Slot, at: u32) -> u32 {
        let first = self.start + 2 * self.block;
        match slot {
            Slot::A => first + at,
            Slot::B => first + self.slot + at,
        }
    }
}

/// The flash, which is shared with the application, and the layout of this region.
pub(super) struct Area<'f, M: RawMutex, F> {
    flash: &'f Mutex<M, F>,
    layout: Layout,
}

impl<'f, M: RawMutex, F: NorFlash> Area<'f, M, F> {
    const GEOMETRY: () = {
        assert!(F::WRITE_SIZE.is_power_of_two() && F::WRITE_SIZE <= CELL, "write units of 1 to 32 bytes");
        assert!(F::READ_SIZE.is_power_of_two() && F::READ_SIZE <= UNIT_MAX, "read units of 1 to 32 bytes");
        assert!(F::ERASE_SIZE.is_multiple_of(CELL), "whole cells in an erase block");
        assert!(F::ERASE_SIZE >= ERASE_MIN && F::ERASE_SIZE <= ERASE_MAX, "erase blocks of 2 to 256 KiB");
    };

    pub(super) fn new(flash: &'f Mutex<M, F>, region: Range<u32>, capacity: usize) -> Result<Self, LayoutError> {
        let () = Self::GEOMETRY;
        Ok(Self { flash, layout: Layout::new(region, F::ERASE_SIZE as u32, capacity)? })
    }

    /// Erases up to this many bytes with one operation, whole blocks and at least one.
    pub(super) fn set_erase_unit(&mut self, bytes: u32) {
        let Layout { block, unit, .. } = &mut self.layout;
        *unit = (bytes / *block).max(1) * *block;
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Reads any range, regardless of the flash's read unit.
    pub(super) async fn read(&self, at: u32, bytes: &mut [u8]) -> Result<(), Fault> {
        self.lock().await.read(at, bytes).await
    }

    /// Locks the flash for several operations. Until the value is dropped, whatever else uses this flash waits: once the slots
    /// are mounted, for the erasure, the bytes and the records of one chunk at most.
    pub(super) async fn lock(&self) -> Locked<'_, M, F> {
        Locked { flash: self.flash.lock().await, layout: self.layout }
    }
}

/// The flash, while it is locked.
pub(super) struct Locked<'a, M: RawMutex, F> {
    flash: MutexGuard<'a, M, F>,
    layout: Layout,
}

impl<M: RawMutex, F: NorFlash> Locked<'_, M, F> {
    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Reads any range, regardless of the flash's read unit.
    pub(super) fn read(&mut self, at: u32, bytes: &mut [u8]) -> impl Future<Output = Result<(), Fault>> {
        flash::read(&mut *self.flash, at, bytes)
    }

    /// Writes whole write units to erased flash, and verifies that they read back.
    pub(super) async fn program(&mut self, at: u32, bytes: &[u8]) -> Result<(), Fault> {
        flash::program(&mut *self.flash, at, bytes, &mut [0xFF; COMPARE]).await
    }

    /// Erases a block even if it reads as blank: after an interrupted erasure, a block may read as blank without being
    /// erased.
    pub(super) fn erase(&mut self, at: u32) -> impl Future<Output = Result<(), Fault>> {
        self.erase_range(at..at + self.layout.block)
    }

    /// Erases whole blocks, as [`erase`](Self::erase) does.
    pub(super) fn erase_range(&mut self, range: Range<u32>) -> impl Future<Output = Result<(), Fault>> {
        flash::erase(&mut *self.flash, range)
    }
}
