//! The receiver's flash on top of the chip's driver: it checks bounds, aligns buffers, and lets other tasks run.
//!
//! ```text
//! receiver ──► Flash ──► the driver      blocks while it works, with interrupts disabled
//! ```
//!
//! The chip runs its program from the same flash. While a block is erased or written, neither tasks nor interrupts run. So
//! each operation is short, and other tasks run between two of them.

use core::ops::Range;

use embassy_futures::yield_now;
use embedded_storage::nor_flash::NorFlash as Chip;
use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

/// Bytes of a unit of a read or write.
pub const WORD: usize = 4;
/// Bytes of a block, the unit of an erase.
pub const ERASE: usize = 4 << 10;

/// Bytes of a page: what the chip writes at once, in less than a millisecond.
const PAGE: usize = 256;

/// The part of the flash that the receiver may use.
#[derive(Debug)]
pub struct Flash<C> {
    chip: C,
    readable: Range<u32>,
    writable: Range<u32>,
}

/// A buffer that is aligned to a word, as the chip's driver needs it. For any other buffer, the driver takes 4 KiB of stack.
#[repr(align(4))]
struct Page([u8; PAGE]);

impl<C: Chip> Flash<C> {
    /// Creates a flash that may only be read and written in these ranges.
    pub fn new(chip: C, readable: Range<u32>, writable: Range<u32>) -> Self {
        const {
            assert!(C::READ_SIZE <= WORD && C::WRITE_SIZE == WORD && C::ERASE_SIZE == ERASE);
        }
        Self { chip, readable, writable }
    }

    /// Reads at once, without letting other tasks run.
    pub fn read_blocking(&mut self, mut at: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        check(&self.readable, WORD, at, bytes.len())?;
        let mut page = Page([0; PAGE]);
        for piece in bytes.chunks_mut(PAGE) {
            let page = &mut page.0[..piece.len()];
            self.chip.read(at, page).map_err(reported)?;
            piece.copy_from_slice(page);
            at += piece.len() as u32;
        }
        Ok(())
    }
}

impl<C> ErrorType for Flash<C> {
    type Error = FlashError;
}

impl<C: Chip> ReadNorFlash for Flash<C> {
    const READ_SIZE: usize = WORD;

    async fn read(&mut self, mut at: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        check(&self.readable, WORD, at, bytes.len())?;
        for (index, piece) in bytes.chunks_mut(2 * PAGE).enumerate() {
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
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = ERASE;

    async fn write(&mut self, mut at: u32, mut bytes: &[u8]) -> Result<(), FlashError> {
        check(&self.writable, WORD, at, bytes.len())?;
        let mut page = Page([0; PAGE]);
        while !bytes.is_empty() {
            // A write that crosses the end of a page takes as long as two.
            let piece = bytes.len().min(PAGE - at as usize % PAGE);
            page.0[..piece].copy_from_slice(&bytes[..piece]);
            self.chip.write(at, &page.0[..piece]).map_err(reported)?;
            (at, bytes) = (at + piece as u32, &bytes[piece..]);
            yield_now().await;
        }
        Ok(())
    }

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        let length = to.checked_sub(from).ok_or(FlashError::OutOfBounds)?;
        check(&self.writable, ERASE, from, length as usize)?;
        for block in (from..to).step_by(ERASE) {
            self.chip.erase(block, block + ERASE as u32).map_err(reported)?;
            yield_now().await;
        }
        Ok(())
    }
}

/// Why an operation on the flash failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashError {
    /// The caller's range is not within the allowed range.
    OutOfBounds,
    /// The caller's range is not aligned to the unit of the operation.
    NotAligned,
    /// The chip's driver reported this error.
    Chip(NorFlashErrorKind),
}

fn reported(error: impl NorFlashError) -> FlashError {
    FlashError::Chip(error.kind())
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
            Self::Chip(kind) => *kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use core::future::Future;
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};
    use std::vec;
    use std::vec::Vec;

    use embassy_futures::block_on;
    use embedded_storage::nor_flash as blocking;

    use super::*;

    const START: u32 = 0x20_0000;
    const END: u32 = START + 4 * ERASE as u32;
    /// The last block is readable but not writable.
    const WRITABLE: u32 = END - ERASE as u32;

    /// The chip's driver, on memory. It takes only aligned buffers, and no write across the end of a page.
    struct Memory {
        bytes: Vec<u8>,
        fails: bool,
    }

    impl Memory {
        fn range(&mut self, at: u32, length: usize) -> Result<&mut [u8], NorFlashErrorKind> {
            if self.fails {
                Err(NorFlashErrorKind::Other)
            } else {
                Ok(&mut self.bytes[(at - START) as usize..][..length])
            }
        }
    }

    impl blocking::ErrorType for Memory {
        type Error = NorFlashErrorKind;
    }

    impl blocking::ReadNorFlash for Memory {
        const READ_SIZE: usize = WORD;

        fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
            assert!(bytes.as_ptr().addr().is_multiple_of(WORD) && bytes.len().is_multiple_of(WORD));
            bytes.copy_from_slice(self.range(at, bytes.len())?);
            Ok(())
        }

        fn capacity(&self) -> usize {
            END as usize
        }
    }

    impl blocking::NorFlash for Memory {
        const WRITE_SIZE: usize = WORD;
        const ERASE_SIZE: usize = ERASE;

        fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
            assert_eq!(to - from, ERASE as u32, "one block at a time");
            self.range(from, ERASE)?.fill(0xFF);
            Ok(())
        }

        fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
            assert!(bytes.as_ptr().addr().is_multiple_of(WORD) && bytes.len().is_multiple_of(WORD));
            assert!(at as usize % PAGE + bytes.len() <= PAGE, "{at:#x}: the write crosses the end of a page");
            self.range(at, bytes.len())?.iter_mut().zip(bytes).for_each(|(cell, byte)| *cell &= byte);
            Ok(())
        }
    }

    fn flash() -> Flash<Memory> {
        Flash::new(Memory { bytes: vec![0xA5; (END - START) as usize], fails: false }, START..END, START..WRITABLE)
    }

    /// Polls a future to its end. Returns its output and how many times it yielded.
    fn count_yields<T>(work: impl Future<Output = T>) -> (T, usize) {
        let mut work = pin!(work);
        let mut context = Context::from_waker(Waker::noop());
        let mut yields = 0;
        loop {
            match work.as_mut().poll(&mut context) {
                Poll::Ready(output) => return (output, yields),
                Poll::Pending => yields += 1,
            }
        }
    }

    #[test]
    fn what_was_written_is_read_at_any_buffer_address() {
        let mut flash = flash();
        assert_eq!(count_yields(flash.erase(START, WRITABLE)), (Ok(()), 3));
        let content: Vec<u8> = (0..2000u32).map(|number| (number % 251) as u8).collect();
        for shift in 0..4 {
            let at = START + ERASE as u32 + 260 * shift as u32;
            block_on(flash.erase(START, WRITABLE)).unwrap();
            let source = [&vec![0; shift][..], &content].concat();
            let (written, yields) = count_yields(flash.write(at, &source[shift..]));
            assert!(written.is_ok() && yields >= content.len() / PAGE);
            let mut read = vec![0; content.len() + shift];
            let (result, yields) = count_yields(flash.read(at, &mut read[shift..]));
            assert!(result.is_ok() && yields == content.len() / (2 * PAGE));
            assert_eq!(read[shift..], content);
        }
    }

    #[test]
    fn ranges_outside_are_refused() {
        let mut flash = flash();
        let mut word = [0; WORD];
        for at in [0, START - 4, END, u32::MAX - 3] {
            assert_eq!(block_on(flash.read(at, &mut word)), Err(FlashError::OutOfBounds), "{at:#x}");
            assert_eq!(block_on(flash.write(at, &word)), Err(FlashError::OutOfBounds), "{at:#x}");
        }
        let block = ERASE as u32;
        assert_eq!(block_on(flash.write(WRITABLE, &word)), Err(FlashError::OutOfBounds));
        assert_eq!(block_on(flash.erase(WRITABLE, END)), Err(FlashError::OutOfBounds));
        assert_eq!(block_on(flash.erase(START - block, START)), Err(FlashError::OutOfBounds));
        assert_eq!(block_on(flash.erase(START + block, START)), Err(FlashError::OutOfBounds));
        assert_eq!(block_on(flash.read(START + 2, &mut word)), Err(FlashError::NotAligned));
        assert_eq!(block_on(flash.write(START, &word[..3])), Err(FlashError::NotAligned));
        assert_eq!(block_on(flash.erase(START, START + 2)), Err(FlashError::NotAligned));
        assert!(flash.chip.bytes.iter().all(|byte| *byte == 0xA5));
    }

    #[test]
    fn a_failure_of_the_chip_is_reported() {
        let mut flash = flash();
        flash.chip.fails = true;
        let expected = Err(FlashError::Chip(NorFlashErrorKind::Other));
        assert_eq!(block_on(flash.read(START, &mut [0; WORD])), expected);
        assert_eq!(block_on(flash.write(START, &[0; WORD])), expected);
        assert_eq!(block_on(flash.erase(START, START + ERASE as u32)), expected);
    }
}
