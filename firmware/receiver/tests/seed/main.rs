//! The seed on a flash that keeps the rules of NOR flash: power goes at every operation of every boot, once, twice, and
//! again and again; reads fail; and the flash wears out. No secret is given twice, and the seed is never lost.

#[path = "../slots/nor.rs"]
#[allow(dead_code)]
mod nor;

use std::collections::BTreeSet;

use embassy_futures::block_on;
use embedded_storage_async::nor_flash::NorFlash;
use waft_receiver::seed::{Ratchet, SeedError, provisioned};

use nor::{Failing, LEVELS, Level, Nor, Operation, Reads, TEARS, Tear};

/// Orders in which the boots behind cuts read what is torn.
const READS: [[Reads; 3]; 4] = [
    [Reads::Anew, Reads::Anew, Reads::Anew],
    [Reads::Meant, Reads::Before, Reads::Anew],
    [Reads::Before, Reads::Meant, Reads::Before],
    [Reads::Meant, Reads::Meant, Reads::Before],
];

/// Erase blocks for the sweeps over much: three marks.
const SMALL: usize = 320;

/// A board without a generator of random numbers.
#[derive(Clone)]
struct Board<const W: usize, const E: usize> {
    flash: Nor<W, E>,
    seen: BTreeSet<[u8; 32]>,
    boots: u32,
}

impl<const W: usize, const E: usize> Board<W, E> {
    /// A provisioned one. In the second sector is what somebody left there.
    fn new(level: Level) -> Self {
        let mut flash = Nor::new(2, level);
        block_on(async {
            flash.erase(0, E as u32).await.unwrap();
            flash.write(0, &*provisioned(&[3; 32].into())).await.unwrap();
        });
        flash.completes_zeros = true;
        Self { flash, seen: BTreeSet::new(), boots: 0 }
    }

    /// One boot, in which power goes or not.
    fn boot(&mut self, reads: Reads, cut: Option<(u64, Tear)>) -> Result<(), SeedError> {
        self.flash.revive();
        self.flash.reads = reads;
        self.flash.cut = cut.map(|(at, tear)| (self.flash.operations + at, tear));
        let secret = block_on(Ratchet::new(&mut self.flash, [0, E as u32]).advance(&[7; 32], None))?;
        assert!(self.seen.insert(*secret), "a secret is given twice");
        self.boots += 1;
        Ok(())
    }

    fn works(&mut self, reads: Reads) {
        assert_eq!(self.boot(reads, None), Ok(()));
    }

    /// Boards with more and more boots behind them, until each sector was left once.
    fn histories(level: Level) -> Vec<Self> {
        let mut board = Self::new(level);
        let boots = 2 * marks(E) + 2;
        let mut histories = vec![board.clone()];
        for _ in 0..boots {
            board.works(Reads::Anew);
            histories.push(board.clone());
        }
        histories
    }
}

fn marks(erase: usize) -> usize {
    ((erase - 64) / 32 - 5).min(256)
}

/// Says where a sweep was when it failed.
struct Point<'a>(&'a dyn Fn() -> String);

impl Drop for Point<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", (self.0)());
        }
    }
}

/// Power goes once, at every operation of every boot.
fn one_cut<const W: usize, const E: usize>() {
    let mut points = 0;
    for (level, tear) in LEVELS.into_iter().flat_map(|level| TEARS.map(|tear| (level, tear))) {
        for (history, before) in Board::<W, E>::histories(level).into_iter().enumerate() {
            for (at, reads) in (0..).flat_map(|at| READS.map(|reads| (at, reads))) {
                let _point = Point(&|| format!("{level:?}, {tear:?}, boot {history}, operation {at}, {reads:?}"));
                let mut board = before.clone();
                let _ = board.boot(Reads::Anew, Some((at, tear)));
                let cut = board.flash.dead;
                reads.into_iter().for_each(|reads| board.works(reads));
                if !cut {
                    break;
                }
                points += 1;
            }
        }
    }
    eprintln!("write unit {W}, erase block {E}: {points} cuts survived");
}

#[test]
fn a_cut_anywhere_costs_nothing_and_repeats_nothing_1() {
    one_cut::<1, 512>();
}

#[test]
fn a_cut_anywhere_costs_nothing_and_repeats_nothing_16() {
    one_cut::<16, 512>();
}

#[test]
fn a_cut_anywhere_costs_nothing_and_repeats_nothing_32() {
    one_cut::<32, 512>();
}

/// Power goes at every operation of every boot, and at every operation of the boot behind it.
#[test]
fn two_cuts_anywhere_cost_nothing_and_repeat_nothing() {
    let mut points = 0;
    for (level, tear) in LEVELS.into_iter().flat_map(|level| TEARS.map(|tear| (level, tear))) {
        for (history, before) in Board::<16, SMALL>::histories(level).into_iter().enumerate() {
            for first in 0.. {
                let mut left = before.clone();
                let _ = left.boot(Reads::Anew, Some((first, tear)));
                if !left.flash.dead {
                    break;
                }
                for (again, reads) in TEARS.into_iter().flat_map(|tear| READS.map(|reads| (tear, reads))) {
                    for second in 0.. {
                        let _point = Point(&|| {
                            format!("{level:?}, boot {history}: {tear:?} at {first}, {again:?} at {second}, {reads:?}")
                        });
                        let mut board = left.clone();
                        let _ = board.boot(reads[0], Some((second, again)));
                        let cut = board.flash.dead;
                        [reads[1], reads[2], Reads::Anew].into_iter().for_each(|reads| board.works(reads));
                        points += 1;
                        if !cut {
                            break;
                        }
                    }
                }
            }
        }
    }
    eprintln!("write unit 16, erase block {SMALL}: {points} times two cuts survived");
}

/// Up to twelve cuts in a row, anywhere.
#[test]
fn storms_of_cuts_cost_nothing_and_repeat_nothing() {
    let mut seed = 1_u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    for round in 0..3_000 {
        let mut board = Board::<4, 512>::new(LEVELS[random() as usize % LEVELS.len()]);
        board.flash.chance = round;
        for _ in 0..4 {
            for _ in 0..random() % 12 {
                let reads = READS[random() as usize % READS.len()][0];
                let cut = (random() % 6, TEARS[random() as usize % TEARS.len()]);
                let _ = board.boot(reads, Some(cut));
            }
            for _ in 0..random() % 8 + 1 {
                board.works(READS[random() as usize % READS.len()][1]);
            }
        }
    }
}

/// A board that dies at the same operation of its boot, two hundred times in a row, and works again then. The flash is
/// erased once a boot at most.
#[test]
fn a_loop_of_cuts_at_one_operation_costs_nothing() {
    for (level, tear) in LEVELS.into_iter().flat_map(|level| TEARS.map(|tear| (level, tear))) {
        for before in Board::<16, 512>::histories(level).into_iter().step_by(3) {
            for at in 0..6 {
                let _point = Point(&|| format!("{level:?}, {tear:?}, after {} boots, operation {at}", before.boots));
                let mut board = before.clone();
                let erased: u32 = before.flash.erased.iter().sum();
                for _ in 0..200 {
                    let _ = board.boot(Reads::Anew, Some((at, tear)));
                }
                let erased = board.flash.erased.iter().sum::<u32>() - erased;
                assert!(erased <= 401, "{erased} erasures");
                board.flash.revive();
                let works = (0..4).filter(|_| board.boot(Reads::Anew, None).is_ok()).count();
                assert!(works >= 3, "it works in {works} of 4 boots");
            }
        }
    }
}

/// A cut, then a boot whose first reads fail, or some later ones, or all of one sector: such a boot may have no seed.
#[test]
fn reads_that_fail_behind_a_cut_cost_nothing_and_repeat_nothing() {
    type Small = Board<16, SMALL>;
    let parts =
        [(0..640, 3), (0..640, 6), (0..640, 9), (0..640, 40), (0..320, Failing::ALWAYS), (320..640, Failing::ALWAYS)];
    let mut points = 0;
    for (level, tear) in LEVELS.into_iter().flat_map(|level| TEARS.map(|tear| (level, tear))) {
        for (history, before) in Small::histories(level).into_iter().enumerate() {
            for (at, (range, times)) in (0..).flat_map(|at| parts.clone().map(|part| (at, part))) {
                let mut left = before.clone();
                let _ = left.boot(Reads::Anew, Some((at, tear)));
                for after in [0, 1, 4, 7, 10] {
                    let _point = Point(&|| {
                        format!("{level:?}, {tear:?} at {at}, boot {history}, {range:?}, {times} reads after {after}")
                    });
                    let mut board = left.clone();
                    let what = Operation::Read;
                    board.flash.failing = Some(Failing { what, range: range.clone(), after, times });
                    let _ = board.boot(Reads::Anew, None);
                    board.flash.failing = None;
                    (0..6).for_each(|_| board.works(Reads::Anew));
                    points += 1;
                }
                if !left.flash.dead {
                    break;
                }
            }
        }
    }
    eprintln!("{points} times reads failed behind a cut");
}

/// How many boots a flash stands whose blocks can be erased 10,000 times.
fn boots_of_a_life<const W: usize, const E: usize>() -> u64 {
    let mut board = Board::<W, E>::new(Level::Bits);
    board.flash.erased.fill(0);
    for _ in 0..60 * marks(E) {
        board.works(Reads::Anew);
    }
    let worst = *board.flash.erased.iter().max().unwrap();
    let boots = u64::from(board.boots) * 10_000 / u64::from(worst);
    println!("write unit {W:>2}, erase block {E:>6}: {boots:>8} boots at 10,000 erasures of a block");
    boots
}

#[test]
fn a_million_boots_wear_no_flash_out() {
    for boots in [
        boots_of_a_life::<1, 2048>(),
        boots_of_a_life::<16, 2048>(),
        boots_of_a_life::<32, 2048>(),
        boots_of_a_life::<1, 4096>(),
        boots_of_a_life::<4, 4096>(),
        boots_of_a_life::<16, 8192>(),
        boots_of_a_life::<32, 131_072>(),
    ] {
        assert!(boots >= 1_000_000, "{boots}");
    }
}
