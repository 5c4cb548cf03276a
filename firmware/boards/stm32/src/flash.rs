//! The chip's flash as the receiver's flash: bounded, honest about torn words, and never long away.
//!
//! ```text
//! receiver ──► Flash ──► Chip        registers; blocks while it works
//!                └────► Record       what the interrupt noted meanwhile
//! ```
//!
//! The chip blocks for a sector or a few words; in between, other tasks run. It works on one bank while the program
//! runs from the other, so that interrupts are served even then.

use core::ops::Range;

use embassy_futures::yield_now;
use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

use crate::ecc::{Record, Torn, UNIT};

/// Bytes that are read at once: interrupts have to wait so long.
pub const READ: usize = 4;
/// Bytes that are written at once.
pub const WRITE: usize = UNIT as usize;
/// Bytes that are erased at once.
pub const ERASE: usize = 8 << 10;

/// Bytes that are read or written before other tasks get their turn.
const TURN: usize = 512;

/// The flash controller. Offsets count from the start of the flash.
pub trait Chip {
    /// Reads whole words of [`READ`] bytes, and waits for the interrupts that this raised.
    fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), Refused>;
    /// Writes one erased unit.
    fn write(&mut self, at: u32, unit: &[u8; WRITE]) -> Result<(), Refused>;
    /// Erases the sector that begins there.
    fn erase(&mut self, at: u32) -> Result<(), Refused>;
}

/// The chip reported an error of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// The flash, as far as the receiver may use it.
#[derive(Debug)]
pub struct Flash<C> {
    chip: C,
    record: &'static Record,
    readable: Range<u32>,
    writable: Range<u32>,
}

/// Why the flash does not do what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashError {
    /// The caller has no business there.
    OutOfBounds,
    /// The caller asks for a part of what can be read, written or erased at once.
    NotAligned,
    /// A power cut tore what stands there, or it decayed.
    Torn,
    /// The chip refused.
    Refused,
}

impl<C: Chip> Flash<C> {
    /// A flash that may be read and written in these ranges alone. `record` is what the interrupt's handler writes to.
    pub fn new(chip: C, record: &'static Record, readable: Range<u32>, writable: Range<u32>) -> Self {
        Self { chip, record, readable, writable }
    }

    /// Reads without letting other tasks run.
    pub fn read_now(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
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
        for (turn, piece) in bytes.chunks_mut(TURN).enumerate() {
            if turn > 0 {
                yield_now().await;
            }
            self.read_now(at, piece)?;
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
        for turn in units.chunks(TURN / WRITE) {
            for unit in turn {
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

/// Whether that many bytes lie in a range, and begin and end at bounds of units.
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
