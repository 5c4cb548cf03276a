//! The receiver's flash on top of the chip's: it checks bounds, detects torn words, and lets other tasks run.
//!
//! ```text
//! receiver ──► Flash ──► Chip        registers; blocks while it works
//!                └────► Record       torn words that the interrupt handler recorded
//! ```
//!
//! The chip blocks for a sector or a few words, and other tasks run in between. It erases or writes one bank while the
//! program runs from the other, so interrupts are served all the time.

use core::ops::Range;

use embassy_futures::yield_now;
use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

use crate::ecc::{Record, Torn, UNIT};

/// The address at which the flash is mapped.
pub const FLASH: u32 = 0x0800_0000;
/// Bytes of a word, the unit of a read. An interrupt waits for at most one such read.
pub const READ: usize = 4;
/// Bytes of a unit of a write.
pub const WRITE: usize = UNIT as usize;
/// Bytes of a sector, the unit of an erase.
pub const ERASE: usize = 8 << 10;

/// Bytes that are read or written before other tasks run.
const PIECE: usize = 512;

/// The flash controller. Offsets are relative to the start of the flash.
pub trait Chip {
    /// Reads whole words of [`READ`] bytes, and waits until the interrupts that this raised have been served.
    fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), Refused>;
    /// Writes one unit, which must be erased.
    fn write(&mut self, at: u32, unit: &[u8; WRITE]) -> Result<(), Refused>;
    /// Erases the sector at this offset.
    fn erase(&mut self, at: u32) -> Result<(), Refused>;
}

/// The error of an operation that the chip reports as failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// The part of the flash that the receiver may use.
#[derive(Debug)]
pub struct Flash<C> {
    chip: C,
    record: &'static Record,
    readable: Range<u32>,
    writable: Range<u32>,
}

/// Why an operation on the flash failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashError {
    /// The caller's range is not within the allowed range.
    OutOfBounds,
    /// The caller's range is not aligned to the unit of the operation.
    NotAligned,
    /// The range holds a word that was torn by a power cut, or that decayed.
    Torn,
    /// The chip reported an error.
    Refused,
}

impl<C: Chip> Flash<C> {
    /// Creates a flash that may only be read and written in these ranges. The interrupt handler writes to `record`.
    pub fn new(chip: C, record: &'static Record, readable: Range<u32>, writable: Range<u32>) -> Self {
        Self { chip, record, readable, writable }
    }

    /// Reads at once, without letting other tasks run.
    pub fn read_blocking(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        check(&self.readable, READ, at, bytes.len())?;
        self.record.watch(|| self.chip.read(at, bytes))??;
        Ok(())
    }
}

impl<C> ErrorType for Flash<C> {
    type Error = FlashError;
}

impl<C: Chip> ReadNorFlash for Flash<C> {
    const READ_SIZE: usize = READ;

    async fn read(&mut self, mut at: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        check(&self.readable, READ, at, bytes.len())?;
        for (index, piece) in bytes.chunks_mut(PIECE).enumerate() {
            if index > 0 {
                yield_now().await;
            }
            self.read_blocking(at, piece)?;
            at += piece.len() as u32;
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.readable.end as usize
    }
}

impl<C: Chip> NorFlash for Flash<C> {
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = ERASE;

    async fn write(&mut self, mut at: u32, bytes: &[u8]) -> Result<(), FlashError> {
        check(&self.writable, WRITE, at, bytes.len())?;
        let (units, _) = bytes.as_chunks::<WRITE>();
        for piece in units.chunks(PIECE / WRITE) {
            for unit in piece {
                self.chip.write(at, unit)?;
                at += UNIT;
            }
            yield_now().await;
        }
        Ok(())
    }

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        let length = to.checked_sub(from).ok_or(FlashError::OutOfBounds)?;
        check(&self.writable, ERASE, from, length as usize)?;
        for sector in (from..to).step_by(ERASE) {
            self.chip.erase(sector)?;
            yield_now().await;
        }
        Ok(())
    }
}

/// Checks that `length` bytes at `at` are within `range` and aligned to `unit`.
fn check(range: &Range<u32>, unit: usize, at: u32, length: usize) -> Result<(), FlashError> {
    let end = u32::try_from(length).ok().and_then(|length| at.checked_add(length));
    if at < range.start || end.is_none_or(|end| end > range.end) {
        return Err(FlashError::OutOfBounds);
    }
    match (at as usize).is_multiple_of(unit) && length.is_multiple_of(unit) {
        true => Ok(()),
        false => Err(FlashError::NotAligned),
    }
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            Self::NotAligned => NorFlashErrorKind::NotAligned,
            Self::Torn | Self::Refused => NorFlashErrorKind::Other,
        }
    }
}

impl From<Torn> for FlashError {
    fn from(_: Torn) -> Self {
        Self::Torn
    }
}

impl From<Refused> for FlashError {
    fn from(_: Refused) -> Self {
        Self::Refused
    }
}

#[cfg(test)]
mod tests;
