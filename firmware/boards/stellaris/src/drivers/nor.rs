//! NOR flash over any storage of bytes: an erase sets all bits of a block, and a write only clears bits.
//!
//! A file would accept every write. This type returns an error for each operation that a real flash does not support, so
//! that firmware that runs on the emulated board also runs on a real one.

use embedded_storage_async::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use waft_board::emulator::nor::{NorError, check_range, check_write};

/// Bytes of a block, the unit of an erase.
pub const BLOCK: usize = 4096;
/// Bytes of a word, the unit of a write.
pub const WORD: usize = 4;
/// Bytes that are compared or erased at a time. They are on the stack.
const PIECE: usize = 64;

/// A storage of bytes.
pub trait Bytes {
    /// The number of bytes.
    fn size(&self) -> usize;

    /// Reads bytes. Returns `false` if that fails.
    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> bool;

    /// Writes bytes. Returns `false` if that fails.
    fn write(&mut self, offset: u32, bytes: &[u8]) -> bool;
}

/// A flash over a storage of bytes.
#[derive(Debug)]
pub struct Nor<B>(B);

impl<B: Bytes> Nor<B> {
    /// Creates a flash over `bytes`. Only whole blocks are used.
    pub fn new(bytes: B) -> Self {
        Self(bytes)
    }

    fn check(&self, offset: u32, length: usize, unit: usize) -> Result<(), NorError> {
        check_range(offset, length, unit, self.capacity())
    }

    fn fill(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorError> {
        self.0.read(offset, bytes).then_some(()).ok_or(NorError::Device)
    }

    fn store(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorError> {
        self.0.write(offset, bytes).then_some(()).ok_or(NorError::Device)
    }
}

impl<B> ErrorType for Nor<B> {
    type Error = NorError;
}

impl<B: Bytes> ReadNorFlash for Nor<B> {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorError> {
        self.check(offset, bytes.len(), Self::READ_SIZE)?;
        self.fill(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.0.size() / BLOCK * BLOCK
    }
}

impl<B: Bytes> NorFlash for Nor<B> {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = BLOCK;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorError> {
        let length = to.checked_sub(from).ok_or(NorError::OutOfBounds)?;
        self.check(from, length as usize, BLOCK)?;
        (from..to).step_by(PIECE).try_for_each(|offset| self.store(offset, &[0xFF; PIECE]))
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorError> {
        self.check(offset, bytes.len(), WORD)?;
        let (mut at, mut old) = (offset, [0; PIECE]);
        for new in bytes.chunks(PIECE) {
            let old = &mut old[..new.len()];
            self.fill(at, old)?;
            check_write(old, new)?;
            at += new.len() as u32;
        }
        self.store(offset, bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use embassy_futures::block_on;

    use super::*;

    /// A storage in memory that fails at this offset.
    struct Memory(Vec<u8>, u32);

    impl Bytes for Memory {
        fn size(&self) -> usize {
            self.0.len()
        }

        fn read(&mut self, offset: u32, bytes: &mut [u8]) -> bool {
            bytes.copy_from_slice(&self.0[offset as usize..][..bytes.len()]);
            offset != self.1
        }

        fn write(&mut self, offset: u32, bytes: &[u8]) -> bool {
            self.0[offset as usize..][..bytes.len()].copy_from_slice(bytes);
            offset != self.1
        }
    }

    /// A flash full of zeros: never erased, as it may come from the factory.
    fn flash(blocks: usize) -> Nor<Memory> {
        Nor::new(Memory(vec![0; blocks * BLOCK], u32::MAX))
    }

    fn read<const N: usize>(flash: &mut Nor<Memory>, at: u32) -> [u8; N] {
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
        let mut long = [0; 2 * PIECE];
        long[..4].fill(0xFF);
        block_on(flash.write(0x100, &long)).unwrap();
        long[2 * PIECE - 1] = 1;
        assert_eq!(block_on(flash.write(0x100, &long)), Err(NorError::NotErased));
        let sets = [0xFF, 0xFF, 0xFF, 0xFF, 0x31, 0x30, 0x30, 0x30];
        assert_eq!(block_on(flash.write(0, &sets)), Err(NorError::NotErased));
        assert_eq!(read(&mut flash, 3), [0xFF, 0x30, 0x30, 0x30, 0x30, 0xFF], "a refused write changes nothing");
        assert_eq!(read(&mut flash, 0x100), [0xFF, 0xFF, 0xFF, 0xFF, 0]);
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
        flash.0.0.push(0);
        assert_eq!(flash.capacity(), 2 * BLOCK, "part of a block is not used");
        assert_eq!(block_on(flash.erase(0, 100)), Err(NorError::Unaligned));
        assert_eq!(block_on(flash.erase(BLOCK as u32, 0)), Err(NorError::OutOfBounds));
        assert_eq!(block_on(flash.erase(0, 3 * BLOCK as u32)), Err(NorError::OutOfBounds));
        assert_eq!(block_on(flash.write(2, &[0; 4])), Err(NorError::Unaligned));
        assert_eq!(block_on(flash.write(0, &[0; 3])), Err(NorError::Unaligned));
        assert_eq!(block_on(flash.write(2 * BLOCK as u32, &[0; 4])), Err(NorError::OutOfBounds));
        assert_eq!(block_on(flash.read(u32::MAX, &mut [0; 2])), Err(NorError::OutOfBounds));
    }

    #[test]
    fn a_storage_that_fails_is_an_error() {
        let mut flash = flash(2);
        flash.0.1 = BLOCK as u32 + PIECE as u32;
        assert_eq!(block_on(flash.erase(BLOCK as u32, 2 * BLOCK as u32)), Err(NorError::Device));
        assert_eq!(block_on(flash.read(flash.0.1, &mut [0; 4])), Err(NorError::Device));
        assert_eq!(block_on(flash.write(flash.0.1, &[0; 4])), Err(NorError::Device));
    }
}
