//! Which reads of the flash are not to be believed.
//!
//! The STM32H5 keeps an error correcting code beside every 16 bytes of its flash. A write or an erasure that a power
//! cut tore leaves words whose code does not fit: reading one gives garbage *and*, a little later, a non-maskable
//! interrupt. Its handler leaves a note in the [`Record`]; who reads through [`Record::watch`] learns of it.
//!
//! ```text
//! FLASH_ECCDETR   31    two wrong bits were detected; a 1 written here clears all of it
//!                 24    in the one-time programmable area
//!                 23    in the system memory
//!                 22    in bank 2
//!                 21    in the area for often-changed data
//!                 20    in the area for keys
//!                 15:0  the word of 16 bytes, counted within its bank
//! ```
//!
//! RM0481, FLASH_ECCDETR; names and bits as in the package stm32-metapac.

use core::sync::atomic::{AtomicU32, Ordering};

/// Bytes under one code: what is written at once.
pub const UNIT: u32 = 16;

const DETECTED: u32 = 1 << 31;
const BANK_2: u32 = 1 << 22;
/// One-time programmable, system, often-changed data, keys.
const ELSEWHERE: u32 = 1 << 24 | 1 << 23 | 1 << 21 | 1 << 20;
const WORD: u32 = 0xFFFF;

/// Where two wrong bits were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detected {
    /// In bank 1, where the program is: nothing that runs can be believed any more.
    Program {
        /// Offset in the flash.
        at: u32,
    },
    /// In bank 2, where the receiver stores: the read is not to be believed, and all else goes on.
    Storage {
        /// Offset in the flash.
        at: u32,
    },
    /// In another part of the flash, which this firmware never reads.
    Elsewhere,
}

impl Detected {
    /// Decodes FLASH_ECCDETR of a chip with banks of `bank` bytes; `None`: nothing was detected.
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

/// A read gave something else than what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Torn {
    /// Offset in the flash.
    pub at: u32,
}

/// The notes that the interrupt's handler leaves for the readers.
#[derive(Debug)]
pub struct Record {
    count: AtomicU32,
    last: AtomicU32,
}

impl Record {
    /// Without notes.
    pub const fn new() -> Self {
        Self { count: AtomicU32::new(0), last: AtomicU32::new(0) }
    }

    /// Notes a torn word of the storage at this offset. Called by the interrupt's handler.
    pub fn note(&self, at: u32) {
        self.last.store(at, Ordering::Relaxed);
        // Handlers do not interrupt each other, so nothing is counted twice. The core of every STM32 with such a flash
        // has the instructions for more, but a load and a store is all that is needed.
        self.count.store(self.count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }

    /// Reads by `read`, which ends only when all its interrupts have come. `Err`: what it read is not to be believed.
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
    fn a_detection_is_placed() {
        let decode = |register| Detected::decode(register, 1 << 20);
        assert_eq!(None, decode(0));
        assert_eq!(None, decode(BANK_2 | 0x1234), "an address alone is no detection");
        assert_eq!(Some(Detected::Program { at: 0x10 }), decode(DETECTED | 1));
        assert_eq!(Some(Detected::Storage { at: 0x10_0000 }), decode(DETECTED | BANK_2));
        assert_eq!(Some(Detected::Storage { at: 0x1F_FFF0 }), decode(DETECTED | BANK_2 | 0xFFFF));
        assert_eq!(Some(Detected::Storage { at: 0x1_0010 }), Detected::decode(DETECTED | BANK_2 | 1, 1 << 16));
        // As people met them: a never written word of the data area, and one of the one-time programmable area.
        assert_eq!(Some(Detected::Elsewhere), decode(0x8020_F800));
        assert_eq!(Some(Detected::Elsewhere), decode(0x8100_0600));
    }

    #[test]
    fn a_read_learns_of_its_own_notes_only() {
        let record = Record::new();
        record.note(0x10);
        assert_eq!(Ok(7), record.watch(|| 7));
        assert_eq!(Err(Torn { at: 0x20 }), record.watch(|| record.note(0x20)));
        assert_eq!(Ok(8), record.watch(|| 8));
    }

    #[test]
    fn the_count_may_wrap() {
        let record = Record { count: AtomicU32::new(u32::MAX), last: AtomicU32::new(0) };
        assert_eq!(Err(Torn { at: 0x30 }), record.watch(|| record.note(0x30)));
    }
}
