//! A flash of two sectors that tears.

use embassy_futures::block_on;
use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

use super::Ratchet;

pub(crate) const SECTOR: usize = 128;

/// Two sectors; after `budget` bytes written or erased the power is gone. The byte at `stuck` keeps ones.
#[derive(Clone)]
pub(crate) struct Flash {
    pub(crate) bytes: [u8; 2 * SECTOR],
    pub(crate) budget: usize,
    pub(crate) stuck: Option<usize>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct PowerCut;

impl NorFlashError for PowerCut {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl ErrorType for Flash {
    type Error = PowerCut;
}

impl Flash {
    pub(crate) fn new() -> Self {
        Self { bytes: [0xFF; 2 * SECTOR], budget: usize::MAX, stuck: None }
    }

    fn spend(&mut self) -> Result<(), PowerCut> {
        self.budget = self.budget.checked_sub(1).ok_or(PowerCut)?;
        Ok(())
    }
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), PowerCut> {
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

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), PowerCut> {
        assert_eq!((from as usize % SECTOR, to - from), (0, SECTOR as u32));
        for at in from as usize..to as usize {
            self.spend()?;
            self.bytes[at] = 0xFF;
        }
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), PowerCut> {
        assert_eq!(bytes.len() % 16, 0);
        for (at, byte) in bytes.iter().enumerate() {
            self.spend()?;
            let at = offset as usize + at;
            assert_eq!(self.bytes[at], 0xFF, "written without an erase");
            self.bytes[at] = if self.stuck == Some(at) { 0xFF } else { *byte };
        }
        Ok(())
    }
}

/// The seed on this flash.
pub(crate) fn ratchet(flash: &mut Flash) -> Ratchet<&mut Flash> {
    Ratchet::new(flash, [0, SECTOR as u32])
}

/// A flash whose seed cannot be read.
pub(crate) fn damaged() -> Flash {
    let mut flash = Flash::new();
    block_on(ratchet(&mut flash).advance(&[7; 32], None)).unwrap();
    flash.bytes[20] ^= 1;
    flash
}
