//! The receiver's flash on top of the chip's: it checks bounds, writes page by page, checks each write and each erase, and
//! lets other tasks run.
//!
//! ```text
//! receiver ──► Flash ──► Chip        functions of the boot ROM; blocks while it works
//! ```
//!
//! The program runs from the same flash, so it stops while the chip writes a page (0.4 ms) or erases a sector (45 ms,
//! and 400 ms at most). Other tasks run in between. The functions of the boot ROM report no failure, so the result is read
//! back: a flash that is protected or worn out is noticed at once.

use core::ops::Range;

use embassy_futures::yield_now;
use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

/// The address at which the flash is mapped.
pub const FLASH: u32 = 0x1000_0000;
/// Bytes of a page, the unit that the chip writes.
pub const PAGE: usize = 256;
/// Bytes of a sector, the unit of an erase.
pub const ERASE: usize = 4 << 10;

/// Bytes that are read before other tasks run.
const PIECE: usize = 2 << 10;

/// The flash of the chip. Offsets are relative to the start of the flash.
pub trait Chip {
    /// Reads from any offset.
    fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), Refused>;
    /// Clears the bits that are 0 in `page`, which begins at the start of a page. `page` must not be in the flash.
    fn program(&mut self, at: u32, page: &[u8; PAGE]) -> Result<(), Refused>;
    /// Erases the sector at this offset.
    fn erase(&mut self, at: u32) -> Result<(), Refused>;
}

/// The error of an operation that the chip did not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// The part of the flash that the receiver may use.
#[derive(Debug)]
pub struct Flash<C> {
    chip: C,
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
    /// The chip did not do the operation.
    Refused,
    /// The flash does not hold what was written, or is not blank after an erase.
    Verify,
}

impl<C: Chip> Flash<C> {
    /// Creates a flash that may only be read and written in these ranges.
    pub fn new(chip: C, readable: Range<u32>, writable: Range<u32>) -> Self {
        Self { chip, readable, writable }
    }

    /// Reads at once, without letting other tasks run.
    pub fn read_blocking(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        check(&self.readable, at, bytes.len())?;
        Ok(self.chip.read(at, bytes)?)
    }

    /// Writes bytes that are within one page, and compares.
    fn write_in_page(&mut self, at: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let within = at as usize % PAGE..at as usize % PAGE + bytes.len();
        // Writing ones changes nothing. The copy is in RAM, because the flash cannot be read meanwhile.
        let mut page = [0xFF; PAGE];
        page[within.clone()].copy_from_slice(bytes);
        self.chip.program(at - within.start as u32, &page)?;
        let mut back = [0; PAGE];
        let back = &mut back[..bytes.len()];
        self.chip.read(at, back)?;
        // Bits that were 0 before remain 0.
        match back.iter().zip(bytes).all(|(back, byte)| back & !byte == 0) {
            true => Ok(()),
            false => Err(FlashError::Verify),
        }
    }

    /// Erases the sector at this offset, and checks that it is blank.
    fn erase_sector(&mut self, sector: u32) -> Result<(), FlashError> {
        self.chip.erase(sector)?;
        let mut back = [0; PAGE];
        for at in (sector..sector + ERASE as u32).step_by(PAGE) {
            self.chip.read(at, &mut back)?;
            if back.iter().any(|byte| *byte != 0xFF) {
                return Err(FlashError::Verify);
            }
        }
        Ok(())
    }
}

impl<C> ErrorType for Flash<C> {
    type Error = FlashError;
}

impl<C: Chip> ReadNorFlash for Flash<C> {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, mut at: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        check(&self.readable, at, bytes.len())?;
        for (index, piece) in bytes.chunks_mut(PIECE).enumerate() {
            if index > 0 {
                yield_now().await;
            }
            self.chip.read(at, piece)?;
            at += piece.len() as u32;
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.readable.end as usize
    }
}

impl<C: Chip> NorFlash for Flash<C> {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = ERASE;

    async fn write(&mut self, mut at: u32, mut bytes: &[u8]) -> Result<(), FlashError> {
        check(&self.writable, at, bytes.len())?;
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(bytes.len().min(PAGE - at as usize % PAGE));
            self.write_in_page(at, piece)?;
            (at, bytes) = (at + piece.len() as u32, rest);
            yield_now().await;
        }
        Ok(())
    }

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        let length = to.checked_sub(from).ok_or(FlashError::OutOfBounds)?;
        check(&self.writable, from, length as usize)?;
        if !from.is_multiple_of(ERASE as u32) || !length.is_multiple_of(ERASE as u32) {
            return Err(FlashError::NotAligned);
        }
        for sector in (from..to).step_by(ERASE) {
            self.erase_sector(sector)?;
            yield_now().await;
        }
        Ok(())
    }
}

/// Checks that `length` bytes at `at` are within `range`.
fn check(range: &Range<u32>, at: u32, length: usize) -> Result<(), FlashError> {
    let end = u32::try_from(length).ok().and_then(|length| at.checked_add(length));
    match at < range.start || end.is_none_or(|end| end > range.end) {
        true => Err(FlashError::OutOfBounds),
        false => Ok(()),
    }
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            Self::NotAligned => NorFlashErrorKind::NotAligned,
            Self::Refused | Self::Verify => NorFlashErrorKind::Other,
        }
    }
}

impl From<Refused> for FlashError {
    fn from(_: Refused) -> Self {
        Self::Refused
    }
}

#[cfg(test)]
mod tests;
