//! The flash on a chip made of memory, which tears words and interrupts as the real one does.

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

/// Bank 2 begins behind bank 1.
const AT: u32 = 0x10_0000;
const END: u32 = AT + 4 * ERASE as u32;
/// The last sector may be read, but not written.
const WRITABLE: u32 = END - ERASE as u32;

/// A bank of flash. Reads of torn words give garbage, and a note.
struct Memory {
    bytes: Vec<u8>,
    torn: BTreeSet<u32>,
    record: &'static Record,
    refuses: bool,
}

impl Memory {
    fn place(&mut self, at: u32, length: usize) -> &mut [u8] {
        &mut self.bytes[(at - AT) as usize..][..length]
    }

    /// The register, and what the interrupt's handler makes of it.
    fn interrupt(&self, unit: u32) {
        let register = (1 << 31) | (1 << 22) | ((unit - AT) / UNIT);
        let Some(Detected::Storage { at }) = Detected::decode(register, AT) else { panic!("{register:X}") };
        self.record.note(at);
    }
}

impl Chip for Memory {
    fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), Refused> {
        bytes.copy_from_slice(self.place(at, bytes.len()));
        for unit in self.torn.range(at / UNIT * UNIT..at + bytes.len() as u32) {
            self.interrupt(*unit);
        }
        if self.refuses { Err(Refused) } else { Ok(()) }
    }

    fn write(&mut self, at: u32, unit: &[u8; WRITE]) -> Result<(), Refused> {
        let place = self.place(at, WRITE);
        if place.iter().any(|byte| *byte != 0xFF) {
            return Err(Refused);
        }
        place.copy_from_slice(unit);
        Ok(())
    }

    fn erase(&mut self, at: u32) -> Result<(), Refused> {
        self.torn.retain(|unit| !(at..at + ERASE as u32).contains(unit));
        self.place(at, ERASE).fill(0xFF);
        if self.refuses { Err(Refused) } else { Ok(()) }
    }
}

fn flash() -> Flash<Memory> {
    let record = Box::leak(Box::new(Record::new()));
    let bytes = vec![0xA5; (END - AT) as usize];
    Flash::new(Memory { bytes, torn: BTreeSet::new(), record, refuses: false }, record, AT..END, AT..WRITABLE)
}

/// How often the work let others run.
fn turns<T>(work: impl Future<Output = T>) -> (T, usize) {
    let mut work = pin!(work);
    let mut context = Context::from_waker(Waker::noop());
    let mut turns = 0;
    loop {
        match work.as_mut().poll(&mut context) {
            Poll::Ready(value) => return (value, turns),
            Poll::Pending => turns += 1,
        }
    }
}

#[test]
fn what_is_written_reads_back() {
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
fn a_torn_word_is_an_error_and_its_neighbours_are_not() {
    let mut flash = flash();
    flash.chip.torn.insert(AT + 64);
    let mut word = [0; 4];
    for (at, expected) in [(60, Ok(())), (64, Err(FlashError::Torn)), (76, Err(FlashError::Torn)), (80, Ok(()))] {
        assert_eq!(expected, block_on(flash.read(AT + at, &mut word)), "{at}");
        assert_eq!(expected, flash.read_now(AT + at, &mut word), "{at}");
    }
    let mut all = vec![0; 2 * ERASE];
    assert_eq!(Err(FlashError::Torn), block_on(flash.read(AT, &mut all)));
}

#[test]
fn a_torn_word_in_a_later_piece_is_not_missed() {
    for piece in 0..4 {
        let mut flash = flash();
        flash.chip.torn.insert(AT + piece * TURN as u32);
        assert_eq!(Err(FlashError::Torn), block_on(flash.read(AT, &mut vec![0; 4 * TURN])), "{piece}");
    }
}

#[test]
fn erasing_mends() {
    let mut flash = flash();
    flash.chip.torn.insert(AT + 64);
    block_on(flash.erase(AT, AT + ERASE as u32)).unwrap();
    let mut word = [0; 4];
    block_on(flash.read(AT + 64, &mut word)).unwrap();
    assert_eq!([0xFF; 4], word);
}

#[test]
fn nothing_happens_out_of_bounds() {
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
fn parts_of_units_are_refused() {
    let mut flash = flash();
    let mut buffer = [0; 32];
    assert_eq!(Err(FlashError::NotAligned), block_on(flash.read(AT + 1, &mut buffer)));
    assert_eq!(Err(FlashError::NotAligned), block_on(flash.read(AT, &mut buffer[..3])));
    assert_eq!(Err(FlashError::NotAligned), block_on(flash.write(AT + 8, &buffer)));
    assert_eq!(Err(FlashError::NotAligned), block_on(flash.write(AT, &buffer[..8])));
    assert_eq!(Err(FlashError::NotAligned), block_on(flash.erase(AT, AT + 16)));
}

#[test]
fn the_chips_own_errors_come_through() {
    let mut flash = flash();
    assert_eq!(Err(FlashError::Refused), block_on(flash.write(AT, &[0; 16])), "not erased");
    flash.chip.refuses = true;
    assert_eq!(Err(FlashError::Refused), block_on(flash.erase(AT, AT + ERASE as u32)));
    assert_eq!(Err(FlashError::Refused), block_on(flash.read(AT, &mut [0; 4])));
}

#[test]
fn others_run_between_sectors_and_between_pieces() {
    let mut flash = flash();
    assert_eq!((Ok(()), 3), turns(flash.erase(AT, WRITABLE)));
    assert_eq!((Ok(()), 4), turns(flash.write(AT, &[0; 4 * TURN])));
    assert_eq!((Ok(()), 3), turns(flash.read(AT, &mut [0; 4 * TURN])));
    assert_eq!((Ok(()), 0), turns(flash.read(AT, &mut [0; TURN])), "short reads do not wait");
}
