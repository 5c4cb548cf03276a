//! NOR flash over plain memory: an erase sets all bits of a block, and a write only clears bits.
//!
//! Plain memory would allow every write. This type returns an error for each operation that a real flash does not
//! support, so that firmware that runs on the emulated board also runs on a real one.

use core::ptr::NonNull;

use embedded_storage_async::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use waft_board::emulator::nor::{NorError, check_range, check_write};

/// Bytes of a block, the unit of an erase.
pub const BLOCK: usize = 4096;
/// Bytes of a word, the unit of a write.
pub const WORD: usize = 4;

/// A flash over plain memory.
///
/// It keeps a pointer, not a slice: readers that hold a lease may read their part of the memory as a slice while this
/// type changes another part. Each operation makes a slice of its own bytes only.
#[derive(Debug)]
pub struct Nor {
    memory: NonNull<u8>,
    length: usize,
}

impl Nor {
    /// Creates a flash over `memory`, which has to consist of whole blocks.
    pub fn new(memory: &'static mut [u8]) -> Self {
        let length = memory.len();
        assert!(length.is_multiple_of(BLOCK), "a flash has whole blocks");
        Self { memory: NonNull::from(memory).cast(), length }
    }

    /// The `length` bytes at `offset`; both have to be multiples of `unit`.
    fn bytes(&mut self, offset: u32, length: usize, unit: usize) -> Result<&mut [u8], NorError> {
        check_range(offset, length, unit, self.length)?;
        // SAFETY: `new` got this memory for good, and these bytes are within it. `&mut self` excludes other operations,
        // and no reader has a slice of bytes that are being changed: see `memory::mapped`.
        Ok(unsafe { core::slice::from_raw_parts_mut(self.memory.as_ptr().add(offset as usize), length) })
    }
}

impl ErrorType for Nor {
    type Error = NorError;
}

impl ReadNorFlash for Nor {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorError> {
        bytes.copy_from_slice(self.bytes(offset, bytes.len(), Self::READ_SIZE)?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.length
    }
}

impl NorFlash for Nor {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = BLOCK;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorError> {
        let length = to.checked_sub(from).ok_or(NorError::OutOfBounds)?;
        self.bytes(from, length as usize, BLOCK)?.fill(0xFF);
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorError> {
        let target = self.bytes(offset, bytes.len(), WORD)?;
        check_write(target, bytes)?;
        target.copy_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use embassy_futures::block_on;

    use super::*;

    /// A flash full of zeros: never erased, as it may come from the factory.
    fn flash(blocks: usize) -> Nor {
        Nor::new(vec![0; blocks * BLOCK].leak())
    }

    fn read<const N: usize>(flash: &mut Nor, at: u32) -> [u8; N] {
        let mut bytes = [0; N];
        block_on(flash.read(at, &mut bytes)).unwrap();
        bytes
    }

    #[test]
    fn a_write_only_clears_bits() {
        let mut flash = flash(2);
        block_on(flash.erase(0, BLOCK as u32)).unwrap();
        block_on(flash.write(4, &[0xF0; 4])).unwrap();
        block_on(flash.write(4, &[0x30; 4])).unwrap();
        assert_eq!(
            block_on(flash.write(0, &[0xFF, 0xFF, 0xFF, 0xFF, 0x31, 0x30, 0x30, 0x30])),
            Err(NorError::NotErased)
        );
        assert_eq!(read(&mut flash, 3), [0xFF, 0x30, 0x30, 0x30, 0x30, 0xFF], "a refused write changes nothing");
    }

    #[test]
    fn an_erase_sets_the_bits_of_its_blocks_only() {
        let mut flash = flash(3);
        block_on(flash.erase(BLOCK as u32, 2 * BLOCK as u32)).unwrap();
        assert_eq!(read(&mut flash, BLOCK as u32 - 1), [0, 0xFF]);
        assert_eq!(read(&mut flash, 2 * BLOCK as u32 - 1), [0xFF, 0]);
    }

    #[test]
    fn unaligned_ranges_and_ranges_out_of_bounds_are_errors() {
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
