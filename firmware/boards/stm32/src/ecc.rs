//! Detection of reads that return wrong data.
//!
//! The STM32H5 stores an error correcting code with every 16 bytes of its flash. A write or an erase that is torn by a
//! power cut leaves words with a wrong code. Reading such a word returns garbage *and*, a little later, raises a
//! non-maskable interrupt. The interrupt handler records it in a [`Record`], and [`Record::watch`] checks for it.
//!
//! ```text
//! FLASH_ECCDETR   31    a double error was detected; writing 1 here clears the register
//!                 24    in the one-time programmable area
//!                 23    in the system memory
//!                 22    in bank 2
//!                 21    in the high-cycle data area
//!                 20    in the option byte keys
//!                 15:0  the index of the word of 16 bytes, within its bank
//! ```
//!
//! RM0481, FLASH_ECCDETR; names and bits are those of the package stm32-metapac.

use core::sync::atomic::{AtomicU32, Ordering};

/// Bytes that share one error correcting code: the unit of a write.
pub const UNIT: u32 = 16;

const DETECTED: u32 = 1 << 31;
const BANK_2: u32 = 1 << 22;
/// One-time programmable area, system memory, high-cycle data area, option byte keys.
const ELSEWHERE: u32 = 1 << 24 | 1 << 23 | 1 << 21 | 1 << 20;
const WORD: u32 = 0xFFFF;

/// The location of a detected double error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detected {
    /// In bank 1, which holds the program. The code that runs may be wrong.
    Program {
        /// Offset in the flash.
        at: u32,
    },
    /// In bank 2, which holds the storage. Only the read is wrong.
    Storage {
        /// Offset in the flash.
        at: u32,
    },
    /// In a part of the flash that this firmware never reads.
    Elsewhere,
}

impl Detected {
    /// Decodes FLASH_ECCDETR of a chip with banks of `bank` bytes. Returns `None` if no error was detected.
    pub const fn decode(register: u32, bank: u32) -> Option<Self> {
        let at = (register & WORD) * UNIT;
        match register {
            _ if register & DETECTED == 0 => None,
            _ if register & ELSEWHERE != 0 => Some(Self::Elsewhere),
            _ if register & BANK_2 != 0 => Some(Self::Storage { at: bank + at }),
            _ => Some(Self::Program { at }),
        }
    }
}

/// The error of a read that returned torn words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Torn {
    /// Offset in the flash.
    pub at: u32,
}

/// A record of torn words. The interrupt handler writes it, and reads check it.
#[derive(Debug)]
pub struct Record {
    count: AtomicU32,
    last: AtomicU32,
}

impl Record {
    /// Creates an empty record.
    pub const fn new() -> Self {
        Self { count: AtomicU32::new(0), last: AtomicU32::new(0) }
    }

    /// Records a torn word of the storage at this offset. The interrupt handler calls this.
    pub fn add(&self, at: u32) {
        self.last.store(at, Ordering::Relaxed);
        // No handler interrupts another one, so a load and a store count correctly without an atomic addition.
        self.count.store(self.count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }

    /// Calls `read`, which must return only after all its interrupts have been served. Fails if a torn word was
    /// recorded meanwhile.
    pub fn watch<T>(&self, read: impl FnOnce() -> T) -> Result<T, Torn> {
        let before = self.count.load(Ordering::Acquire);
        let value = read();
        match self.count.load(Ordering::Acquire) == before {
            true => Ok(value),
            false => Err(Torn { at: self.last.load(Ordering::Relaxed) }),
        }
    }
}

impl Default for Record {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detection_is_decoded_to_its_location() {
        let decode = |register| Detected::decode(register, 1 << 20);
        assert_eq!(None, decode(0));
        assert_eq!(None, decode(BANK_2 | 0x1234), "an address alone is no detection");
        assert_eq!(Some(Detected::Program { at: 0x10 }), decode(DETECTED | 1));
        assert_eq!(Some(Detected::Storage { at: 0x10_0000 }), decode(DETECTED | BANK_2));
        assert_eq!(Some(Detected::Storage { at: 0x1F_FFF0 }), decode(DETECTED | BANK_2 | 0xFFFF));
        assert_eq!(Some(Detected::Storage { at: 0x1_0010 }), Detected::decode(DETECTED | BANK_2 | 1, 1 << 16));
        // Values reported from real chips: a word of the high-cycle data area that was never written, and a word of the
        // one-time programmable area.
        assert_eq!(Some(Detected::Elsewhere), decode(0x8020_F800));
        assert_eq!(Some(Detected::Elsewhere), decode(0x8100_0600));
    }

    #[test]
    fn a_read_fails_only_for_torn_words_that_are_recorded_during_it() {
        let record = Record::new();
        record.add(0x10);
        assert_eq!(Ok(7), record.watch(|| 7));
        assert_eq!(Err(Torn { at: 0x20 }), record.watch(|| record.add(0x20)));
        assert_eq!(Ok(8), record.watch(|| 8));
    }

    #[test]
    fn the_count_may_wrap() {
        let record = Record { count: AtomicU32::new(u32::MAX), last: AtomicU32::new(0) };
        assert_eq!(Err(Torn { at: 0x30 }), record.watch(|| record.add(0x30)));
    }
}
