//! Tests of the driver with a model of two chips, which follows their data sheet.

use core::ops::Range;
use std::vec;
use std::vec::Vec;

use embassy_futures::block_on;

use super::*;

const BLOCKS: usize = 4;
const SIZE: usize = BLOCKS * BLOCK;

/// The state of both chips, which get the same commands.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Array,
    Query,
    Status,
    /// The second write of an operation is due.
    Erase,
    Program,
}

/// Two chips side by side.
struct Chips {
    cells: Vec<u8>,
    state: State,
    /// The status of each chip.
    status: [u16; CHIPS],
    /// The errors that the next operation reports, for each chip.
    errors: [u16; CHIPS],
    /// How many times the status of each chip says that it is busy after an operation.
    busy: [u32; CHIPS],
    busy_left: [u32; CHIPS],
    /// The answer to the query for one word, if it is not the right one.
    query: Option<(usize, u32)>,
    /// The number of operations until the power is cut. The last one is done in part.
    operations: usize,
    /// The words that were programmed.
    programmed: Vec<usize>,
}

impl Chips {
    /// Chips full of zeros: never erased, as they may come from the factory.
    fn new() -> Self {
        Self {
            cells: vec![0; SIZE],
            state: State::Array,
            status: [READY; CHIPS],
            errors: [0; CHIPS],
            busy: [0; CHIPS],
            busy_left: [0; CHIPS],
            query: None,
            operations: usize::MAX,
            programmed: Vec::new(),
        }
    }

    fn answer(&self, word: usize) -> u32 {
        let known = match word {
            0x10 => b'Q',
            0x11 => b'R',
            0x12 => b'Y',
            0x13 => 1,
            0x27 => (SIZE / CHIPS).ilog2() as u8,
            0x2C => 1,
            0x2D => BLOCKS as u8 - 1,
            0x30 => ((BLOCK / CHIPS / 256) >> 8) as u8,
            _ => 0,
        };
        match self.query {
            Some((changed, answer)) if changed == word => answer,
            _ => both(known.into()),
        }
    }

    fn has_power(&self) -> bool {
        self.operations > 0
    }

    fn finish(&mut self) {
        for chip in 0..CHIPS {
            self.status[chip] |= READY | core::mem::take(&mut self.errors[chip]);
        }
        self.busy_left = self.busy;
        self.state = State::Status;
    }

    fn erase(&mut self, word: usize) {
        self.operations -= 1;
        let block = word * WORD / BLOCK * BLOCK;
        // What a cut leaves of a block: some of its bits are set.
        let end = if self.operations == 0 { block + BLOCK / 2 } else { block + BLOCK };
        if self.errors == [0; CHIPS] {
            self.cells[block..end].fill(0xFF);
        }
        self.finish();
    }

    fn program(&mut self, word: usize, value: u32) {
        self.operations -= 1;
        self.programmed.push(word);
        let value = if self.operations == 0 { value | 0xFF00_0000 } else { value };
        if self.errors == [0; CHIPS] {
            let cells = &mut self.cells[word * WORD..][..WORD];
            cells.iter_mut().zip(value.to_le_bytes()).for_each(|(cell, byte)| *cell &= byte);
        }
        self.finish();
    }
}

impl Bus for Chips {
    const SIZE: usize = SIZE;

    fn read(&mut self, word: usize) -> u32 {
        match self.state {
            State::Array => panic!("the driver reads content as bytes"),
            State::Query => self.answer(word),
            State::Status | State::Erase | State::Program => {
                let mut status = self.status;
                for (status, left) in status.iter_mut().zip(&mut self.busy_left) {
                    if *left > 0 {
                        *left -= 1;
                        *status &= !READY;
                    }
                }
                u32::from(status[1]) << 16 | u32::from(status[0])
            }
        }
    }

    fn write(&mut self, word: usize, value: u32) {
        if !self.has_power() {
            self.finish();
            return;
        }
        match (self.state, value) {
            (State::Program, value) => self.program(word, value),
            (State::Erase, 0x00D0_00D0) => self.erase(word),
            (State::Erase, _) => panic!("an erase was not confirmed"),
            (_, 0x0098_0098) => self.state = State::Query,
            (_, 0x0050_0050) => self.status = [READY; CHIPS],
            (_, 0x0020_0020) => self.state = State::Erase,
            (_, 0x0040_0040) => self.state = State::Program,
            (_, 0x00FF_00FF) => self.state = State::Array,
            (_, command) => panic!("{command:#x} is no command"),
        }
    }

    fn read_bytes(&mut self, offset: usize, bytes: &mut [u8]) {
        assert!(self.state == State::Array || !self.has_power(), "the chips return no content in this state");
        bytes.copy_from_slice(&self.cells[offset..][..bytes.len()]);
    }
}

fn bank() -> Cfi<Chips> {
    Cfi::new(Chips::new()).unwrap()
}

fn erased() -> Cfi<Chips> {
    let mut bank = bank();
    erase(&mut bank, 0..SIZE).unwrap();
    bank
}

fn erase(bank: &mut Cfi<Chips>, range: Range<usize>) -> Result<(), CfiError> {
    block_on(bank.erase(range.start as u32, range.end as u32))
}

fn write(bank: &mut Cfi<Chips>, at: usize, bytes: &[u8]) -> Result<(), CfiError> {
    block_on(bank.write(at as u32, bytes))
}

fn read<const N: usize>(bank: &mut Cfi<Chips>, at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    block_on(bank.read(at as u32, &mut bytes)).unwrap();
    bytes
}

#[test]
fn only_two_chips_of_the_known_kind_and_size_are_opened() {
    bank();
    for word in [0x10, 0x11, 0x12, 0x13, 0x14, 0x27, 0x2C, 0x2D, 0x2E, 0x2F, 0x30] {
        let right = Chips::new().answer(word);
        // The answer of one chip, and of both.
        for wrong in [right ^ 1, right ^ 0x0001_0000, right ^ 0x0001_0001] {
            let opened = Cfi::new(Chips { query: Some((word, wrong)), ..Chips::new() });
            assert_eq!(opened.err(), Some(CfiError::Unknown), "{word:#x}");
        }
    }
}

#[test]
fn a_write_only_clears_bits() {
    let mut bank = erased();
    write(&mut bank, 4, &[0xF0; 4]).unwrap();
    write(&mut bank, 4, &[0x30; 4]).unwrap();
    let sets = [0xFF, 0xFF, 0xFF, 0xFF, 0x31, 0x30, 0x30, 0x30];
    assert_eq!(write(&mut bank, 0, &sets), Err(CfiError::Nor(NorError::NotErased)));
    let mut long = [0; 3 * PIECE];
    write(&mut bank, 0x1000, &long).unwrap();
    long[3 * PIECE - 1] = 1;
    bank.0.programmed.clear();
    assert_eq!(write(&mut bank, 0x1000, &long), Err(CfiError::Nor(NorError::NotErased)));
    assert_eq!(bank.0.programmed, [0; 0], "a refused write changes nothing");
    assert_eq!(read(&mut bank, 3), [0xFF, 0x30, 0x30, 0x30, 0x30, 0xFF]);
}

#[test]
fn content_is_stored_in_the_order_of_its_bytes() {
    let mut bank = erased();
    let content: Vec<u8> = (0..2 * PIECE as u32 + 8).map(|number| (number * 7) as u8).collect();
    write(&mut bank, BLOCK - 8, &content).unwrap();
    assert_eq!(read::<{ 2 * PIECE + 8 }>(&mut bank, BLOCK - 8)[..], content);
    assert_eq!(read(&mut bank, BLOCK - 12), [0xFF; 4]);
    assert_eq!(read(&mut bank, BLOCK + 2 * PIECE), [0xFF; 4]);
}

#[test]
fn words_that_do_not_change_are_not_programmed() {
    let mut bank = erased();
    write(&mut bank, 0, &[0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4]).unwrap();
    write(&mut bank, 4, &[1, 2, 3, 4]).unwrap();
    assert_eq!(bank.0.programmed, [1]);
}

#[test]
fn an_erase_sets_the_bits_of_its_blocks_only() {
    let mut bank = bank();
    erase(&mut bank, BLOCK..3 * BLOCK).unwrap();
    assert_eq!(read(&mut bank, BLOCK - 1), [0, 0xFF]);
    assert_eq!(read(&mut bank, 3 * BLOCK - 1), [0xFF, 0]);
}

#[test]
fn the_driver_waits_for_both_chips() {
    let mut bank = erased();
    for busy in [[3, 0], [0, 3], [3, 5]] {
        bank.0.busy = busy;
        erase(&mut bank, 0..BLOCK).unwrap();
        write(&mut bank, 0, &[1; 8]).unwrap();
        assert_eq!(read(&mut bank, 7), [1, 0xFF]);
    }
    bank.0.busy = [0, u32::MAX];
    assert_eq!(erase(&mut bank, 0..BLOCK), Err(CfiError::TimedOut));
    assert_eq!(write(&mut bank, BLOCK, &[0; 4]), Err(CfiError::TimedOut));
}

#[test]
fn the_error_of_either_chip_is_returned_once() {
    let mut bank = erased();
    for chip in 0..CHIPS {
        let errors = |bits| {
            let mut errors = [0; CHIPS];
            errors[chip] = bits;
            errors
        };
        for (bits, erases, programs) in [
            (ERASE_FAILED, CfiError::Erase, CfiError::Program),
            (PROGRAM_FAILED, CfiError::Erase, CfiError::Program),
            (LOCKED | ERASE_FAILED, CfiError::Locked, CfiError::Locked),
            (VOLTAGE_LOW | PROGRAM_FAILED, CfiError::VoltageLow, CfiError::VoltageLow),
        ] {
            bank.0.errors = errors(bits);
            assert_eq!(erase(&mut bank, 0..BLOCK), Err(erases));
            erase(&mut bank, 0..BLOCK).unwrap();
            bank.0.errors = errors(bits);
            assert_eq!(write(&mut bank, 0, &[0; 8]), Err(programs));
            assert_eq!(read(&mut bank, 0), [0xFF; 8], "nothing is programmed after the word that failed");
            write(&mut bank, 0, &[0; 8]).unwrap();
            erase(&mut bank, 0..BLOCK).unwrap();
        }
    }
}

/// After each cut the chips are opened again. A torn block or word is not taken for an erased one.
#[test]
fn a_cut_operation_can_be_repeated() {
    let mut bank = erased();
    write(&mut bank, 0, &[0; BLOCK]).unwrap();
    bank.0.operations = 1;
    let _ = erase(&mut bank, 0..BLOCK);
    let mut bank = Cfi::new(Chips { cells: bank.0.cells, ..Chips::new() }).unwrap();
    assert_eq!(read(&mut bank, BLOCK / 2 - 1), [0xFF, 0]);
    assert_eq!(write(&mut bank, BLOCK / 2 - 4, &[1; 8]), Err(CfiError::Nor(NorError::NotErased)));
    erase(&mut bank, 0..BLOCK).unwrap();
    bank.0.operations = 2;
    let _ = write(&mut bank, 0, &[1; 12]);
    let mut bank = Cfi::new(Chips { cells: bank.0.cells, ..Chips::new() }).unwrap();
    assert_eq!(read(&mut bank, 0), [1, 1, 1, 1, 1, 1, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
    write(&mut bank, 0, &[1; 12]).unwrap();
    assert_eq!(read(&mut bank, 0), [1; 12]);
}

#[test]
fn unaligned_ranges_and_ranges_out_of_bounds_are_errors() {
    let mut bank = bank();
    assert_eq!(erase(&mut bank, 0..4096), Err(CfiError::Nor(NorError::Unaligned)));
    assert_eq!(block_on(bank.erase(BLOCK as u32, 0)), Err(CfiError::Nor(NorError::OutOfBounds)));
    assert_eq!(erase(&mut bank, 0..SIZE + BLOCK), Err(CfiError::Nor(NorError::OutOfBounds)));
    assert_eq!(write(&mut bank, 2, &[0; 4]), Err(CfiError::Nor(NorError::Unaligned)));
    assert_eq!(write(&mut bank, 0, &[0; 3]), Err(CfiError::Nor(NorError::Unaligned)));
    assert_eq!(write(&mut bank, SIZE, &[0; 4]), Err(CfiError::Nor(NorError::OutOfBounds)));
    assert_eq!(block_on(bank.read(SIZE as u32 - 1, &mut [0; 2])), Err(CfiError::Nor(NorError::OutOfBounds)));
    assert_eq!(bank.0.programmed, [0; 0]);
}
