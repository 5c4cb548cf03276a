//! A simulated flash of two sectors with power cuts, failures and stuck bytes.

use core::ops::Range;

use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

use super::{PROVISIONED, Ratchet, provisioned};

pub(crate) const SECTOR: usize = 512;

/// Two sectors. Power fails after `budget` bytes were written or erased; the erasure after the next `failing` ones
/// fails. Writes to bytes in `stuck` have no effect and report no error.
#[derive(Clone)]
pub(crate) struct Flash {
    pub(crate) bytes: [u8; 2 * SECTOR],
    pub(crate) budget: usize,
    pub(crate) failing: usize,
    pub(crate) stuck: Range<usize>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Failed;

impl NorFlashError for Failed {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl ErrorType for Flash {
    type Error = Failed;
}

impl Flash {
    /// The flash of a provisioned board.
    pub(crate) fn new() -> Self {
        let mut flash = Self::blank();
        let provisioned = provisioned(&[3; 32].into());
        flash.bytes[..PROVISIONED].copy_from_slice(&*provisioned);
        flash
    }

    pub(crate) fn blank() -> Self {
        Self { bytes: [0xFF; 2 * SECTOR], budget: usize::MAX, failing: usize::MAX, stuck: 0..0 }
    }

    fn set(&mut self, at: usize, byte: u8) -> Result<(), Failed> {
        self.budget = self.budget.checked_sub(1).ok_or(Failed)?;
        if !self.stuck.contains(&at) {
            assert!(byte == 0xFF || byte == 0 || self.bytes[at] == 0xFF, "written without an erase");
            self.bytes[at] = byte;
        }
        Ok(())
    }
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Failed> {
        bytes.copy_from_slice(&self.bytes[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 16;
    const ERASE_SIZE: usize = SECTOR;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Failed> {
        assert_eq!((from as usize % SECTOR, to - from), (0, SECTOR as u32));
        let fails = self.failing == 0;
        self.failing = self.failing.wrapping_sub(1);
        if fails {
            return Err(Failed);
        }
        (from as usize..to as usize).try_for_each(|at| self.set(at, 0xFF))
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Failed> {
        assert_eq!(bytes.len() % 16, 0);
        bytes.iter().zip(offset as usize..).try_for_each(|(byte, at)| self.set(at, *byte))
    }
}

/// The seed on this flash.
pub(crate) fn ratchet(flash: &mut Flash) -> Ratchet<'_, Flash> {
    Ratchet::new(flash, [0, SECTOR as u32])
}

/// A flash with a damaged seed.
pub(crate) fn damaged() -> Flash {
    let mut flash = Flash::new();
    flash.bytes[20] ^= 1;
    flash
}
