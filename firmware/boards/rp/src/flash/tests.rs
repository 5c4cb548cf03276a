//! Tests of the flash on a simulated chip.

use std::vec;
use std::vec::Vec;

use embassy_futures::{block_on, poll_once};
use waft_receiver::seed::{self, Ratchet};
use zeroize::Zeroizing;

use super::*;

const SIZE: usize = 16 * ERASE;
/// Where data may be in this flash.
const DATA: Range<u32> = 4 * ERASE as u32..SIZE as u32;
const START: u32 = DATA.start;

/// NOR flash that writes only whole pages, and counts what it does.
struct Sim {
    cells: Vec<u8>,
    programs: usize,
    erases: Vec<u32>,
    /// The chip does nothing, and does not say so.
    is_protected: bool,
    /// The chip refuses everything.
    is_broken: bool,
}

impl Sim {
    /// A chip whose first sectors hold a program, and whose others hold old data.
    fn new() -> Self {
        Self { cells: vec![0xA5; SIZE], programs: 0, erases: vec![], is_protected: false, is_broken: false }
    }
}

impl Chip for Sim {
    fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), Refused> {
        bytes.copy_from_slice(&self.cells[at as usize..][..bytes.len()]);
        if self.is_broken { Err(Refused) } else { Ok(()) }
    }

    fn program(&mut self, at: u32, page: &[u8; PAGE]) -> Result<(), Refused> {
        assert!((at as usize).is_multiple_of(PAGE), "{at:X} is not the start of a page");
        self.programs += 1;
        if !self.is_protected {
            self.cells[at as usize..][..PAGE].iter_mut().zip(page).for_each(|(cell, byte)| *cell &= byte);
        }
        Ok(())
    }

    fn erase(&mut self, at: u32) -> Result<(), Refused> {
        assert!((at as usize).is_multiple_of(ERASE), "{at:X} is not the start of a sector");
        self.erases.push(at);
        if !self.is_protected {
            self.cells[at as usize..][..ERASE].fill(0xFF);
        }
        Ok(())
    }
}

fn flash() -> Flash<Sim> {
    Flash::new(Sim::new(), DATA, START..DATA.end - ERASE as u32)
}

/// A flash whose sectors for data are erased.
fn blank() -> Flash<Sim> {
    let mut flash = flash();
    flash.chip.cells[START as usize..].fill(0xFF);
    flash
}

#[test]
fn writes_may_begin_and_end_anywhere() {
    let page = PAGE as u32;
    for (at, length, pages) in [
        (0, 0, 0),
        (0, 1, 1),
        (0, PAGE, 1),
        (0, PAGE + 1, 2),
        (1, PAGE - 1, 1),
        (1, PAGE, 2),
        (page - 1, 1, 1),
        (page - 1, 2, 2),
        (page - 1, PAGE + 2, 3),
        (page, 3 * PAGE, 3),
        (7, ERASE, 17),
    ] {
        let mut flash = blank();
        let bytes: Vec<u8> = (0..length).map(|index| (index * 7 + index / 256) as u8).collect();
        block_on(flash.write(START + at, &bytes)).unwrap();
        let mut expected = Sim::new().cells;
        expected[START as usize..].fill(0xFF);
        expected[(START + at) as usize..][..length].copy_from_slice(&bytes);
        assert!(flash.chip.cells == expected, "{length} bytes at {at}");
        assert_eq!(pages, flash.chip.programs);
        let mut back = vec![0; length];
        block_on(flash.read(START + at, &mut back)).unwrap();
        assert_eq!(bytes, back);
    }
}

#[test]
fn neighbours_in_a_page_are_kept() {
    let mut flash = blank();
    for (at, byte) in [(3, 0x11), (0, 0x22), (255, 0x33), (4, 0x44), (3, 0x10)] {
        block_on(flash.write(START + at, &[byte])).unwrap();
    }
    assert_eq!([0x22, 0xFF, 0xFF, 0x10, 0x44, 0xFF], flash.chip.cells[START as usize..][..6]);
    assert_eq!(0x33, flash.chip.cells[START as usize + 255]);
}

#[test]
fn other_tasks_run_between_two_operations() {
    let mut flash = blank();
    assert!(poll_once(flash.write(START, &[0; 2 * PAGE])).is_pending());
    assert_eq!(1, flash.chip.programs);
    assert!(poll_once(flash.erase(START, START + 2 * ERASE as u32)).is_pending());
    assert_eq!([START], *flash.chip.erases);
    assert!(poll_once(flash.read(START, &mut [0; PIECE + 1])).is_pending());
    assert!(poll_once(flash.read(START, &mut [0; PIECE])).is_ready());
}

#[test]
fn sectors_are_erased_one_by_one_and_no_other_changes() {
    let mut flash = flash();
    let (from, to) = (START + ERASE as u32, START + 4 * ERASE as u32);
    block_on(flash.erase(from, to)).unwrap();
    assert_eq!([1, 2, 3].map(|sector| START + sector * ERASE as u32), *flash.chip.erases);
    for (at, cell) in flash.chip.cells.iter().enumerate() {
        assert_eq!(if (from as usize..to as usize).contains(&at) { 0xFF } else { 0xA5 }, *cell, "{at:X}");
    }
}

#[test]
fn the_program_and_the_identity_are_out_of_reach() {
    let mut flash = flash();
    let end = DATA.end - ERASE as u32;
    assert_eq!(Err(FlashError::OutOfBounds), block_on(flash.write(START - 1, &[0])));
    assert_eq!(Err(FlashError::OutOfBounds), block_on(flash.write(end, &[0])));
    assert_eq!(Err(FlashError::OutOfBounds), block_on(flash.write(end - 1, &[0; 2])));
    assert_eq!(Err(FlashError::OutOfBounds), block_on(flash.write(u32::MAX, &[0; 2])));
    assert_eq!(Err(FlashError::OutOfBounds), block_on(flash.erase(0, START + ERASE as u32)));
    assert_eq!(Err(FlashError::OutOfBounds), block_on(flash.erase(end, DATA.end)));
    assert_eq!(Err(FlashError::OutOfBounds), block_on(flash.erase(end, end - ERASE as u32)));
    assert_eq!(Err(FlashError::OutOfBounds), block_on(flash.read(START - 1, &mut [0])));
    assert_eq!(Err(FlashError::OutOfBounds), block_on(flash.read(DATA.end, &mut [0])));
    assert_eq!(Err(FlashError::OutOfBounds), flash.read_blocking(DATA.end - 1, &mut [0; 2]));
    assert_eq!(Ok(()), flash.read_blocking(end, &mut [0; ERASE]));
    assert_eq!(Err(FlashError::NotAligned), block_on(flash.erase(START + 1, START + 1 + ERASE as u32)));
    assert_eq!(Err(FlashError::NotAligned), block_on(flash.erase(START, START + 1)));
    assert_eq!((0, 0), (flash.chip.programs, flash.chip.erases.len()));
}

#[test]
fn what_the_chip_did_not_do_is_an_error() {
    let mut flash = blank();
    flash.chip.is_protected = true;
    assert_eq!(Err(FlashError::Verify), block_on(flash.write(START + 5, &[0xFF, 0xFE])));
    assert_eq!(Ok(()), block_on(flash.write(START, &[0xFF; 3])));
    assert_eq!(Ok(()), block_on(flash.erase(START, START + ERASE as u32)));
    // One bit of the last page of the second sector is left.
    flash.chip.cells[START as usize + 2 * ERASE - 1] = 0x7F;
    assert_eq!(Err(FlashError::Verify), block_on(flash.erase(START, START + 2 * ERASE as u32)));
    flash.chip.is_broken = true;
    assert_eq!(Err(FlashError::Refused), block_on(flash.read(START, &mut [0])));
    assert_eq!(Err(FlashError::Refused), flash.read_blocking(START, &mut [0]));
}

/// picotool fills the rest of a sector with zeros, which look like used marks. The seed moves on to its other sector.
#[test]
fn a_seed_that_picotool_flashed_is_used() {
    let secret = Zeroizing::new([7; 32]);
    let sectors = [START, START + ERASE as u32];
    for fresh in [None, Some(&[8; 32])] {
        let mut flash = blank();
        flash.chip.cells[START as usize..][..ERASE].fill(0);
        flash.chip.cells[START as usize..][..seed::PROVISIONED].copy_from_slice(&*seed::provisioned(&secret));
        let mut secrets: Vec<_> = (0..4)
            .map(|_| *block_on(Ratchet::new(&mut flash, sectors).advance(&[0; 32], fresh)).expect("the seed is good"))
            .collect();
        secrets.sort_unstable();
        secrets.dedup();
        assert_eq!(4, secrets.len(), "each start gets another secret");
        assert_eq!(0xFF, flash.chip.cells[START as usize], "the first sector was left");
    }
}
