//! The flash under the slots: where its parts lie, and reads, writes and erasures of them.
//!
//! Everything above counts in bytes from the start of a journal block or a slot; addresses on the flash are made here.

use core::ops::Range;

use embassy_sync::blocking_mutex::raw::RawMutex;
use embassy_sync::mutex::Mutex;
use embedded_storage_async::nor_flash::NorFlash;
use waft_core::session::StoreError;

use super::record::CELL;

/// Largest erase block, in bytes.
pub const ERASE_MAX: usize = 256 << 10;
/// Smallest erase block, in bytes: a journal's snapshot, and as much again, fit into it.
pub const ERASE_MIN: usize = 2 << 10;

/// A read that fails is tried so often.
const TRIES: usize = 3;
/// Written bytes are compared with what was meant in pieces of this length.
const COMPARE: usize = 64;

/// One of the two places for a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

impl Slot {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// Why a range of a flash cannot hold slots: the firmware's map is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LayoutError {
    /// It does not begin and end at bounds of erase blocks.
    Unaligned,
    /// It goes past the end of the flash.
    PastEnd,
    /// It has fewer than four erase blocks.
    TooSmall,
}

/// The flash failed, or did not keep what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault;

impl From<Fault> for StoreError {
    fn from(_: Fault) -> Self {
        Self::Io
    }
}

/// Where the parts lie: `[journal 0][journal 1][slot A][slot B]`, and perhaps an erase block that stays unused.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    start: u32,
    block: u32,
    slot: u32,
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
            Some(blocks) => Ok(Self { start: region.start, block, slot: (blocks - 2) / 2 * block }),
        }
    }

    /// Length of an erase block, and of a journal block.
    pub(super) fn block(&self) -> u32 {
        self.block
    }

    /// Length of a slot: whole erase blocks.
    pub(super) fn slot(&self) -> u32 {
        self.slot
    }

    /// Address of that cell of a journal block.
    pub(super) fn cell(&self, journal: u8, cell: u32) -> u32 {
        self.start + u32::from(journal) * self.block + cell * CELL as u32
    }

    /// Address of that byte of a slot.
    pub(super) fn byte(&self, slot: Slot, at: u32) -> u32 {
        let first = self.start + 2 * self.block;
        match slot {
            Slot::A => first + at,
            Slot::B => first + self.slot + at,
        }
    }
}

/// The flash, shared with the application, and the layout of this part of it.
pub(super) struct Area<'f, M: RawMutex, F> {
    flash: &'f Mutex<M, F>,
    layout: Layout,
}

impl<'f, M: RawMutex, F: NorFlash> Area<'f, M, F> {
    const GEOMETRY: () = {
        assert!(F::WRITE_SIZE.is_power_of_two() && F::WRITE_SIZE <= CELL, "write units of 1 to 32 bytes");
        assert!(F::READ_SIZE.is_power_of_two() && F::READ_SIZE <= CELL, "read units of 1 to 32 bytes");
        assert!(F::ERASE_SIZE.is_multiple_of(CELL), "whole cells in an erase block");
        assert!(F::ERASE_SIZE >= ERASE_MIN && F::ERASE_SIZE <= ERASE_MAX, "erase blocks of 2 to 256 KiB");
    };

    pub(super) fn new(flash: &'f Mutex<M, F>, region: Range<u32>, capacity: usize) -> Result<Self, LayoutError> {
        let () = Self::GEOMETRY;
        Ok(Self { flash, layout: Layout::new(region, F::ERASE_SIZE as u32, capacity)? })
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Reads any bytes, whatever the flash's read unit. An error may pass: it is tried again.
    pub(super) async fn read(&self, mut at: u32, mut bytes: &mut [u8]) -> Result<(), Fault> {
        let mut flash = self.flash.lock().await;
        let unit = F::READ_SIZE;
        let mut tries = TRIES;
        while !bytes.is_empty() {
            let skip = at as usize % unit;
            let whole = if skip == 0 { bytes.len() / unit * unit } else { 0 };
            let mut window = [0; CELL];
            let units = if whole > 0 { &mut bytes[..whole] } else { &mut window[..unit] };
            if flash.read(at - skip as u32, units).await.is_err() {
                tries -= 1;
                if tries == 0 {
                    return Err(Fault);
                }
                continue;
            }
            let taken = if whole > 0 { whole } else { bytes.len().min(unit - skip) };
            if whole == 0 {
                bytes[..taken].copy_from_slice(&window[skip..][..taken]);
            }
            at += taken as u32;
            bytes = &mut bytes[taken..];
        }
        Ok(())
    }

    /// Writes whole write units to erased flash, and sees that they read back.
    pub(super) async fn program(&self, at: u32, bytes: &[u8]) -> Result<(), Fault> {
        self.flash.lock().await.write(at, bytes).await.map_err(|_| Fault)?;
        let mut back = [0; COMPARE];
        for (index, piece) in bytes.chunks(COMPARE).enumerate() {
            let back = &mut back[..piece.len()];
            self.read(at + (index * COMPARE) as u32, back).await?;
            if back != piece {
                return Err(Fault);
            }
        }
        Ok(())
    }

    /// Erases one block, whatever it seems to hold: one that an interrupted erasure left reads blank, and is not.
    pub(super) async fn erase(&self, at: u32) -> Result<(), Fault> {
        self.flash.lock().await.erase(at, at + self.layout.block).await.map_err(|_| Fault)
    }
}
