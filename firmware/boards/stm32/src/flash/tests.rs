//! Tests of the flash on a simulated chip that tears words and raises interrupts as the real chip does.

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::boxed::Box;
use std::collections::BTreeSet;
use std::vec;
use std::vec::Vec;

use embassy_futures::block_on;

use super::*;
use crate::ecc::Detected;

/// The start of bank 2.
const AT: u32 = 0x10_0000;
const END: u32 = AT + 4 * ERASE as u32;
/// The last sector is readable but not writable.
const WRITABLE: u32 = END - ERASE as u32;

/// A bank of flash in memory. A read of a torn word is recorded.
struct Memory {
    bytes: Vec<u8>,
    torn: BTreeSet<u32>,
    record: &'static Record,
    fails: bool,
}

impl Memory {
    fn range(&mut self, at: u32, length: usize) -> &mut [u8] {
        &mut self.bytes[(at - AT) as usize..][..length]
    }

    /// Sets the register for a torn word and runs the interrupt handler's logic.
    fn interrupt(&self, unit: u32) {
        let register = (1 << 31) | (1 << 22) | ((unit - AT) / UNIT);
        let Some(Detected::Storage { at }) = Detected::decode(register, AT) else { panic!("{register:X}") };
        self.record.add(at);
    }
}

impl Chip for Memory {
    fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), Refused> {
        bytes.copy_from_slice(self.range(at, bytes.len()));
        for unit in self.torn.range(at / UNIT * UNIT..at + bytes.len() as u32) {
            self.interrupt(*unit);
        }
        if self.fails { Err(Refused) } else { Ok(()) }
    }

    fn write(&mut self, at: u32, unit: &[u8; WRITE]) -> Result<(), Refused> {
        let target = self.range(at, WRITE);
        if target.iter().any(|byte| *byte != 0xFF) {
            return Err(Refused);
        }
        target.copy_from_slice(unit);
        Ok(())
    }

    fn erase(&mut self, at: u32) -> Result<(), Refused> {
        self.torn.retain(|unit| !(at..at + ERASE as u32).contains(unit));
        self.range(at, ERASE).fill(0xFF);
        if self.fails { Err(Refused) } else { Ok(()) }
    }
}

fn flash() -> Flash<Memory> {
    let record = Box::leak(Box::new(Record::new()));
    let bytes = vec![0xA5; (END - AT) as usize];
    Flash::new(Memory { bytes, torn: BTreeSet::new(), record, fails: false }, record, AT..END, AT..WRITABLE)
}

/// Polls a future to its end. Returns its output and how many times it yielded.
fn count_yields<T>(work: impl Future<Output = T>) -> (T, usize) {
    let mut work = pin!(work);
    let mut context = Context::from_waker(Waker::noop());
    let mut count_yields = 0;
    loop {
        match work.as_mut().poll(&mut context) {
            Poll::Ready(value) => return (value, count_yields),
            Poll::Pending => count_yields += 1,
        }
    }
}

#[test]
fn written_bytes_are_read_back() {
    let mut flash = flash();
    let written: Vec<u8> = (0..1024).map(|byte| byte as u8).collect();
    block_on(flash.erase(AT, AT + ERASE as u32)).unwrap();
    block_on(flash.write(AT + 32, &written)).unwrap();
    let mut read = vec![0; 1024];
    block_on(flash.read(AT + 32, &mut read)).unwrap();
    assert_eq!(written, read);
    block_on(flash.read(AT + 28, &mut read[..8])).unwrap();
    assert_eq!([0xFF, 0xFF, 0xFF, 0xFF, 0, 1, 2, 3], read[..8]);
}

#[test]
fn a_torn_word_is_an_error_but_its_neighbours_are_not() {
    let mut flash = flash();
    flash.chip.torn.insert(AT + 64);
    let mut word = [0; 4];
    for (at, expected) in [(60, Ok(())), (64, Err(FlashError::Torn)), (76, Err(FlashError::Torn)), (80, Ok(()))] {
        assert_eq!(expected, block_on(flash.read(AT + at, &mut word)), "{at}");
        assert_eq!(expected, flash.read_blocking(AT + at, &mut word), "{at}");
    }
    let mut all = vec![0; 2 * ERASE];
    assert_eq!(Err(FlashError::Torn), block_on(flash.read(AT, &mut all)));
}

#[test]
fn a_torn_word_in_a_later_piece_is_not_missed() {
    for piece in 0..4 {
        let mut flash = flash();
        flash.chip.torn.insert(AT + piece * PIECE as u32);
        assert_eq!(Err(FlashError::Torn), block_on(flash.read(AT, &mut vec![0; 4 * PIECE])), "{piece}");
    }
}

#[test]
fn an_erase_repairs_torn_words() {
    let mut flash = flash();
    flash.chip.torn.insert(AT + 64);
    block_on(flash.erase(AT, AT + ERASE as u32)).unwrap();
    let mut word = [0; 4];
    block_on(flash.read(AT + 64, &mut word)).unwrap();
    assert_eq!([0xFF; 4], word);
}

#[test]
fn operations_out_of_bounds_change_nothing() {
    let mut flash = flash();
    let mut buffer = [0; 32];
    for at in [0, AT - 32, END - 16, END, u32::MAX - 15] {
        assert_eq!(Err(FlashError::OutOfBounds), block_on(flash.read(at, &mut buffer)), "{at:X}");
    }
    for at in [0, AT - 16, WRITABLE, WRITABLE - 16, u32::MAX - 15] {
        assert_eq!(Err(FlashError::OutOfBounds), block_on(flash.write(at, &buffer)), "{at:X}");
    }
    let sector = ERASE as u32;
    for (from, to) in [(0, sector), (AT, END), (WRITABLE, END), (AT + sector, AT)] {
        assert_eq!(Err(FlashError::OutOfBounds), block_on(flash.erase(from, to)), "{from:X}");
    }
    assert!(flash.chip.bytes.iter().all(|byte| *byte == 0xA5));
}

#[test]
fn operations_on_parts_of_units_are_rejected() {
    let mut flash = flash();
    let mut buffer = [0; 32];
    assert_eq!(Err(FlashError::NotAligned), block_on(flash.read(AT + 1, &mut buffer)));
    assert_eq!(Err(FlashError::NotAligned), block_on(flash.read(AT, &mut buffer[..3])));
    assert_eq!(Err(FlashError::NotAligned), block_on(flash.write(AT + 8, &buffer)));
    assert_eq!(Err(FlashError::NotAligned), block_on(flash.write(AT, &buffer[..8])));
    assert_eq!(Err(FlashError::NotAligned), block_on(flash.erase(AT, AT + 16)));
}

#[test]
fn errors_of_the_chip_are_returned() {
    let mut flash = flash();
    assert_eq!(Err(FlashError::Refused), block_on(flash.write(AT, &[0; 16])), "not erased");
    flash.chip.fails = true;
    assert_eq!(Err(FlashError::Refused), block_on(flash.erase(AT, AT + ERASE as u32)));
    assert_eq!(Err(FlashError::Refused), block_on(flash.read(AT, &mut [0; 4])));
}

#[test]
fn other_tasks_run_between_sectors_and_between_pieces() {
    let mut flash = flash();
    assert_eq!((Ok(()), 3), count_yields(flash.erase(AT, WRITABLE)));
    assert_eq!((Ok(()), 4), count_yields(flash.write(AT, &[0; 4 * PIECE])));
    assert_eq!((Ok(()), 3), count_yields(flash.read(AT, &mut [0; 4 * PIECE])));
    assert_eq!((Ok(()), 0), count_yields(flash.read(AT, &mut [0; PIECE])), "short reads do not yield");
}
