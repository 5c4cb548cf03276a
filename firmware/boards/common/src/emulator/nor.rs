//! The rules of NOR flash, which the emulated flashes enforce: an erase sets all bits of a block, and a write only clears
//! bits.
//!
//! What stands for flash in the emulator would accept every write: plain memory, a file, and QEMU's flash chip too. The
//! drivers return an error for each operation that a real flash does not support, so that firmware that runs on an emulated
//! board also runs on a real one.

use embedded_storage_async::nor_flash::{NorFlashError, NorFlashErrorKind};

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NorError {
    /// The caller's range ends past the flash.
    OutOfBounds,
    /// The caller's range is not aligned to words, or for an erase to blocks.
    Unaligned,
    /// The caller's write would set a cleared bit. Nothing was written.
    NotErased,
    /// The device that stands for the flash failed.
    Device,
}

impl NorFlashError for NorError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            Self::Unaligned => NorFlashErrorKind::NotAligned,
            Self::NotErased | Self::Device => NorFlashErrorKind::Other,
        }
    }
}

/// Checks a range of `length` bytes in a flash of `capacity` bytes. Both ends have to be multiples of `unit`.
pub fn check_range(offset: u32, length: usize, unit: usize, capacity: usize) -> Result<(), NorError> {
    let offset = offset as usize;
    let end = offset.checked_add(length).ok_or(NorError::OutOfBounds)?;
    match end {
        _ if !offset.is_multiple_of(unit) || !length.is_multiple_of(unit) => Err(NorError::Unaligned),
        _ if end > capacity => Err(NorError::OutOfBounds),
        _ => Ok(()),
    }
}

/// Checks that writing `new` over `old`, which has the same length, only clears bits.
pub fn check_write(old: &[u8], new: &[u8]) -> Result<(), NorError> {
    let ((old, old_rest), (new, new_rest)) = (old.as_chunks(), new.as_chunks());
    let sets = |(old, new): (&[u8; 16], &[u8; 16])| u128::from_ne_bytes(*new) & !u128::from_ne_bytes(*old) != 0;
    match old.iter().zip(new).any(sets) || old_rest.iter().zip(new_rest).any(|(old, new)| new & !old != 0) {
        true => Err(NorError::NotErased),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_aligned_and_within_the_flash() {
        let check = |offset, length, unit| check_range(offset, length, unit, 8192);
        assert_eq!(check(4096, 4096, 4096), Ok(()));
        assert_eq!(check(8192, 0, 4), Ok(()));
        assert_eq!(check(0, 100, 4096), Err(NorError::Unaligned));
        assert_eq!(check(2, 4, 4), Err(NorError::Unaligned));
        assert_eq!(check(8192, 4, 4), Err(NorError::OutOfBounds));
        assert_eq!(check_range(u32::MAX, usize::MAX, 1, usize::MAX), Err(NorError::OutOfBounds));
    }

    #[test]
    fn a_write_that_sets_a_bit_is_rejected_at_every_place() {
        for length in [1, 4, 15, 16, 17, 64] {
            let old = std::vec![0xF0; length];
            assert_eq!(check_write(&old, &old), Ok(()));
            assert_eq!(check_write(&old, &std::vec![0x30; length]), Ok(()));
            for at in 0..length {
                let mut new = old.clone();
                new[at] = 0xF1;
                assert_eq!(check_write(&old, &new), Err(NorError::NotErased), "{at} of {length}");
            }
        }
    }
}
