//! A NOR flash in memory, with the content that a target gives it. A read out of bounds fails, as on a board; a write or
//! an erasure out of bounds panics, because nothing may cause one.

use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};

/// A flash of [`BLOCKS`] erase blocks of [`BLOCK`] bytes each.
pub(crate) struct Flash(pub(crate) Vec<u8>);

/// Bytes of an erase block, the fewest that a board may have.
pub(crate) const BLOCK: usize = 2 << 10;
/// Erase blocks of the flash: two for a journal or a seed, and one for each slot.
pub(crate) const BLOCKS: usize = 4;

impl Flash {
    /// A blank flash.
    pub(crate) fn new() -> Self {
        Self(vec![0xff; BLOCKS * BLOCK])
    }
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let stored = self.0.get(offset as usize..).and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(stored.ok_or(NorFlashErrorKind::OutOfBounds)?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = BLOCK;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        self.0[from as usize..to as usize].fill(0xff);
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        let target = &mut self.0[offset as usize..][..bytes.len()];
        target.iter_mut().zip(bytes).for_each(|(old, new)| *old &= new);
        Ok(())
    }
}
