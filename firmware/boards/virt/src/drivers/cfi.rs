//! NOR flash with the common flash interface (CFI) and the command set of Intel, as two chips of 16 bits side by side in a
//! bank of 32 bits.
//!
//! ```text
//! query      98                    word 10, 11, 12: 'Q' 'R' 'Y'   13: command set   27: size   2D: blocks   2F: block size
//! erase      20 at the block, D0   status until ready, FF
//! program    40, data at the word  status until ready, FF
//! status     7 ready   5 erase failed   4 program failed   3 voltage low   1 block locked
//! ```
//!
//! Each command and each bit is in both halves of a word, one for each chip. JEDEC JESD68.01 (CFI) and JEP137 (the numbers
//! of command sets); the commands are those of Intel's StrataFlash J3, data sheet 290667.
//!
//! A chip only clears bits when it programs, but QEMU's sets them, too. So this driver reads what it is about to overwrite
//! first, and rejects a write that would set a bit. It waits for the chip without yielding, so that no operation can be
//! dropped halfway: QEMU's chip is ready at once.

use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use waft_board::emulator::nor::{NorError, check_range, check_write};

/// Bytes of a block of the bank, the unit of an erase.
pub const BLOCK: usize = 256 << 10;
/// Bytes of a word of the bank, the unit of a write.
pub const WORD: usize = 4;

/// The number of chips in the bank.
const CHIPS: usize = 2;
/// Bytes that are compared at a time. They are on the stack.
const PIECE: usize = 256;
/// How many times the status is read before an operation counts as failed.
const ATTEMPTS: u32 = 10_000_000;

/// Commands, for one chip.
const READ_ARRAY: u16 = 0xFF;
const QUERY: u16 = 0x98;
const CLEAR_STATUS: u16 = 0x50;
const ERASE: u16 = 0x20;
const CONFIRM: u16 = 0xD0;
const PROGRAM: u16 = 0x40;

/// The word to which the query is addressed.
const QUERY_WORD: usize = 0x55;
/// The command set of Intel, with extensions.
const INTEL: u32 = 1;

/// Bits of the status.
const READY: u16 = 1 << 7;
const ERASE_FAILED: u16 = 1 << 5;
const PROGRAM_FAILED: u16 = 1 << 4;
const VOLTAGE_LOW: u16 = 1 << 3;
const LOCKED: u16 = 1 << 1;

/// The bus to a bank of flash.
pub trait Bus {
    /// The number of bytes at the addresses of the bank.
    const SIZE: usize;

    /// Reads a word, at an offset in words.
    fn read(&mut self, word: usize) -> u32;

    /// Writes a word, at an offset in words.
    fn write(&mut self, word: usize, value: u32);

    /// Reads bytes, at an offset in bytes, while the chips return their content.
    fn read_bytes(&mut self, offset: usize, bytes: &mut [u8]);
}

/// A bank of flash.
#[derive(Debug)]
pub struct Cfi<B>(B);

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CfiError {
    /// The caller's range or data is not what a flash accepts. Nothing was changed.
    Nor(NorError),
    /// There is no bank of flash with the geometry that this driver expects.
    Unknown,
    /// A chip could not erase the block.
    Erase,
    /// A chip could not program a word.
    Program,
    /// A chip has too low a voltage for the operation.
    VoltageLow,
    /// The block is locked.
    Locked,
    /// A chip did not become ready.
    TimedOut,
}

impl NorFlashError for CfiError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Nor(error) => error.kind(),
            _ => NorFlashErrorKind::Other,
        }
    }
}

impl From<NorError> for CfiError {
    fn from(error: NorError) -> Self {
        Self::Nor(error)
    }
}

impl<B: Bus> Cfi<B> {
    /// Opens the bank. An error means that it does not consist of two chips with the command set of Intel, with the size of
    /// the bus and erase blocks of [`BLOCK`] bytes.
    pub fn new(bus: B) -> Result<Self, CfiError> {
        let mut bank = Self(bus);
        bank.command(QUERY_WORD, QUERY);
        let is_known = bank.query();
        bank.command(0, CLEAR_STATUS);
        bank.command(0, READ_ARRAY);
        if is_known { Ok(bank) } else { Err(CfiError::Unknown) }
    }

    /// Whether the answers to the query describe a bank that this driver supports.
    fn query(&mut self) -> bool {
        // Both chips have to give the same answer, of 8 bits.
        let mut byte = |word| {
            let [low, high] = halves(self.0.read(word));
            (low == high).then_some(u32::from(low & 0xFF))
        };
        let mut number =
            |words: &[usize]| words.iter().rev().try_fold(0, |number, word| byte(*word).map(|byte| number << 8 | byte));
        let signature = number(&[0x10, 0x11, 0x12]) == Some(u32::from_le_bytes(*b"QRY\0"));
        let commands = number(&[0x13, 0x14]) == Some(INTEL);
        let size = number(&[0x27]) == Some((B::SIZE / CHIPS).ilog2());
        let regions = number(&[0x2C]) == Some(1);
        let blocks = number(&[0x2D, 0x2E]) == Some((B::SIZE / BLOCK - 1) as u32);
        let block = number(&[0x2F, 0x30]) == Some((BLOCK / CHIPS / 256) as u32);
        signature && commands && size && regions && blocks && block
    }

    /// Writes a command to both chips.
    fn command(&mut self, word: usize, command: u16) {
        self.0.write(word, both(command));
    }

    /// Waits until both chips are ready, and returns an error if the operation failed in one of them: `failed` if no other
    /// reason is known.
    fn finish(&mut self, word: usize, failed: CfiError) -> Result<(), CfiError> {
        let ready = both(READY);
        let status = (0..ATTEMPTS).find_map(|_| {
            let status = self.0.read(word);
            (status & ready == ready).then_some(status)
        });
        let Some(status) = status else { return Err(CfiError::TimedOut) };
        let [low, high] = halves(status);
        let status = low | high;
        if status & (ERASE_FAILED | PROGRAM_FAILED | VOLTAGE_LOW | LOCKED) == 0 {
            return Ok(());
        }
        // The bits of errors stay set, and the next operation would seem to have failed.
        self.command(word, CLEAR_STATUS);
        Err(match status {
            _ if status & LOCKED != 0 => CfiError::Locked,
            _ if status & VOLTAGE_LOW != 0 => CfiError::VoltageLow,
            _ => failed,
        })
    }

    fn erase_block(&mut self, offset: usize) -> Result<(), CfiError> {
        let word = offset / WORD;
        self.command(word, ERASE);
        self.command(word, CONFIRM);
        self.finish(word, CfiError::Erase)
    }

    /// Programs the words of a piece that differ from the present ones.
    fn program(&mut self, offset: usize, old: &[u8], new: &[u8]) -> Result<(), CfiError> {
        let ((old, _), (new, _)) = (old.as_chunks(), new.as_chunks());
        for (index, (_, value)) in old.iter().zip(new).enumerate().filter(|(_, (old, new))| old != new) {
            let word = offset / WORD + index;
            self.command(word, PROGRAM);
            self.0.write(word, u32::from_le_bytes(*value));
            self.finish(word, CfiError::Program)?;
        }
        Ok(())
    }
}

/// A value in both halves of a word.
fn both(value: u16) -> u32 {
    u32::from(value) << 16 | u32::from(value)
}

/// The halves of a word: those of the chip with the lower bytes, and of the other one.
fn halves(word: u32) -> [u16; CHIPS] {
    [word as u16, (word >> 16) as u16]
}

impl<B> ErrorType for Cfi<B> {
    type Error = CfiError;
}

impl<B: Bus> ReadNorFlash for Cfi<B> {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), CfiError> {
        check_range(offset, bytes.len(), Self::READ_SIZE, B::SIZE)?;
        self.0.read_bytes(offset as usize, bytes);
        Ok(())
    }

    fn capacity(&self) -> usize {
        B::SIZE
    }
}

impl<B: Bus> NorFlash for Cfi<B> {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = BLOCK;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), CfiError> {
        let length = to.checked_sub(from).ok_or(NorError::OutOfBounds)?;
        check_range(from, length as usize, BLOCK, B::SIZE)?;
        let erased = (from as usize..to as usize).step_by(BLOCK).try_for_each(|block| self.erase_block(block));
        self.command(from as usize / WORD, READ_ARRAY);
        erased
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), CfiError> {
        check_range(offset, bytes.len(), WORD, B::SIZE)?;
        let offset = offset as usize;
        let mut old = [0; PIECE];
        let pieces = || bytes.chunks(PIECE).zip((offset..).step_by(PIECE));
        for (new, at) in pieces() {
            self.0.read_bytes(at, &mut old[..new.len()]);
            check_write(&old[..new.len()], new)?;
        }
        for (new, at) in pieces() {
            self.0.read_bytes(at, &mut old[..new.len()]);
            let programmed = self.program(at, &old[..new.len()], new);
            self.command(at / WORD, READ_ARRAY);
            programmed?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
