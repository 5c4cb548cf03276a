//! NOR flash over plain memory: erasing sets the bits of a whole block, programming only clears bits.
//!
//! The memory itself would allow everything. What a real flash does not do is an error here, so that firmware that
//! runs on the emulated board does not fail on a real one.

use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

/// Bytes of a block, which is erased as a whole.
pub const BLOCK: usize = 4096;
/// Bytes of a word, which is programmed as a whole.
pub const WORD: usize = 4;

/// A flash whose content is this memory.
#[derive(Debug)]
pub struct Nor {
    memory: &'static mut [u8],
}

/// What a flash does not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NorError {
    /// The caller goes past the end.
    OutOfBounds,
    /// The caller's range does not begin and end at a word, or at a block to be erased.
    Unaligned,
    /// The caller programs a bit to 1 that is 0: nothing was written.
    NotErased,
}

impl Nor {
    /// A flash over `memory`: whole blocks.
    pub fn new(memory: &'static mut [u8]) -> Self {
        assert!(memory.len().is_multiple_of(BLOCK), "a flash has whole blocks");
        Self { memory }
    }

    /// The place of `length` bytes at `offset`, both multiples of `unit`.
    fn place(&mut self, offset: u32, length: usize, unit: usize) -> Result<&mut [u8], NorError> {
        let offset = offset as usize;
        let end = offset.checked_add(length).ok_or(NorError::OutOfBounds)?;
        if !offset.is_multiple_of(unit) || !length.is_multiple_of(unit) {
            return Err(NorError::Unaligned);
        }
        self.memory.get_mut(offset..end).ok_or(NorError::OutOfBounds)
    }
}

impl NorFlashError for NorError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            Self::Unaligned => NorFlashErrorKind::NotAligned,
            Self::NotErased => NorFlashErrorKind::Other,
        }
    }
}

impl ErrorType for Nor {
    type Error = NorError;
}

impl ReadNorFlash for Nor {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorError> {
        bytes.copy_from_slice(self.place(offset, bytes.len(), Self::READ_SIZE)?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.memory.len()
    }
}

impl NorFlash for Nor {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = BLOCK;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorError> {
        let length = to.checked_sub(from).ok_or(NorError::OutOfBounds)?;
        self.place(from, length as usize, BLOCK)?.fill(0xFF);
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorError> {
        let place = self.place(offset, bytes.len(), WORD)?;
        let mut words = place.as_chunks().0.iter().zip(bytes.as_chunks().0);
        if words.any(|(old, new)| u32::from_ne_bytes(*new) & !u32::from_ne_bytes(*old) != 0) {
            return Err(NorError::NotErased);
        }
        place.copy_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use embassy_futures::block_on;

    use super::*;

    /// As it comes from a factory that does not care: full of zeros.
    fn flash(blocks: usize) -> Nor {
        Nor::new(vec![0; blocks * BLOCK].leak())
    }

    fn read<const N: usize>(flash: &mut Nor, at: u32) -> [u8; N] {
        let mut bytes = [0; N];
        block_on(flash.read(at, &mut bytes)).unwrap();
        bytes
    }

    #[test]
    fn a_program_only_clears_bits() {
        let mut flash = flash(2);
        block_on(flash.erase(0, BLOCK as u32)).unwrap();
        block_on(flash.write(4, &[0xF0; 4])).unwrap();
        block_on(flash.write(4, &[0x30; 4])).unwrap();
        assert_eq!(
            block_on(flash.write(0, &[0xFF, 0xFF, 0xFF, 0xFF, 0x31, 0x30, 0x30, 0x30])),
            Err(NorError::NotErased)
        );
        assert_eq!(read(&mut flash, 3), [0xFF, 0x30, 0x30, 0x30, 0x30, 0xFF], "a refused program changes nothing");
    }

    #[test]
    fn erasing_sets_the_bits_of_whole_blocks_and_no_others() {
        let mut flash = flash(3);
        block_on(flash.erase(BLOCK as u32, 2 * BLOCK as u32)).unwrap();
        assert_eq!(read(&mut flash, BLOCK as u32 - 1), [0, 0xFF]);
        assert_eq!(read(&mut flash, 2 * BLOCK as u32 - 1), [0xFF, 0]);
    }

    #[test]
    fn ranges_that_no_flash_takes_are_errors() {
        let mut flash = flash(2);
        assert_eq!(block_on(flash.erase(0, 100)), Err(NorError::Unaligned));
        assert_eq!(block_on(flash.erase(BLOCK as u32, 0)), Err(NorError::OutOfBounds));
        assert_eq!(block_on(flash.erase(0, 3 * BLOCK as u32)), Err(NorError::OutOfBounds));
        assert_eq!(block_on(flash.write(2, &[0; 4])), Err(NorError::Unaligned));
        assert_eq!(block_on(flash.write(0, &[0; 3])), Err(NorError::Unaligned));
        assert_eq!(block_on(flash.write(2 * BLOCK as u32, &[0; 4])), Err(NorError::OutOfBounds));
        assert_eq!(block_on(flash.read(u32::MAX, &mut [0; 2])), Err(NorError::OutOfBounds));
    }
}
