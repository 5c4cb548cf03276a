//! Power cuts during boots that use the seed, on a board without a random number generator. No secret repeats, and the
//! seed is never lost.

use std::collections::BTreeSet;

use embassy_futures::block_on;
use embedded_storage_async::nor_flash::NorFlash;
use waft_receiver::seed::{Ratchet, provisioned};

use super::change::Cut;
use super::damage::{Damage, STEADY};
use super::table::{Harm, Tally};
use crate::nor::{Failing, Level, Nor, Operation, Random, Reads, TEARS};

/// The operations of a boot that leaves a sector, and one more.
const REACH: u64 = 7;

/// A board without a random number generator.
#[derive(Clone)]
pub(crate) struct Board<const W: usize, const E: usize> {
    pub(crate) flash: Nor<W, E>,
    seen: BTreeSet<[u8; 32]>,
}

impl<const W: usize, const E: usize> Board<W, E> {
    /// A provisioned board. Its second sector contains leftovers of an earlier use of the flash.
    pub(crate) fn new(level: Level) -> Self {
        let mut flash = Nor::new(2, level);
        block_on(async {
            flash.erase(0, E as u32).await.unwrap();
            flash.write(0, &*provisioned(&[3; 32].into())).await.unwrap();
        });
        flash.completes_zeros = true;
        flash.erased.fill(0);
        Self { flash, seen: BTreeSet::new() }
    }

    /// Runs a boot, with or without a power cut.
    fn boot(&mut self, reads: Reads, cut: Option<Cut>) -> Result<(), Harm> {
        self.flash.revive();
        self.flash.reads = reads;
        self.flash.cut = cut.map(|(at, tear)| (self.flash.operations + at, tear));
        let secret = block_on(Ratchet::new(&mut self.flash, [0, E as u32]).advance(&[7; 32], None));
        match secret {
            Err(_) => Err(Harm::Lost),
            Ok(secret) => {
                if self.seen.insert(*secret) {
                    Ok(())
                } else {
                    Err(Harm::Wrong)
                }
            }
        }
    }

    /// Runs a boot that may fail to get a secret, because of a cut or failing reads. It must not repeat a secret.
    fn boot_in_vain(&mut self, reads: Reads, cut: Option<Cut>) -> Result<(), Harm> {
        match self.boot(reads, cut) {
            Err(Harm::Lost) => Ok(()),
            other => other,
        }
    }

    /// Runs boots that must get a secret.
    fn boots(&mut self, reads: impl IntoIterator<Item = Reads>) -> Result<(), Harm> {
        reads.into_iter().try_for_each(|reads| self.boot(reads, None))
    }

    pub(crate) fn works(&mut self) {
        assert_eq!(self.boot(Reads::PerRead, None), Ok(()));
    }

    /// The number of operations in the next boot.
    fn operations(&self, reads: Reads) -> u64 {
        let mut board = self.clone();
        let before = board.flash.operations;
        // The result is ignored here: the trials with a cut check it.
        let _ = board.boot(reads, None);
        board.flash.operations - before
    }

    /// Calls `trial` with the board before each of its boots, until each sector was left once. For large sectors, only
    /// tries the boots around the change from one sector to the other.
    fn each_history(damage: Damage, mut trial: impl FnMut(&Self)) {
        let mut board = Self::new(damage.level());
        for boot in 0..2 * marks(E) + 3 {
            let in_sector = boot % marks(E);
            if in_sector < 5 || in_sector + 4 > marks(E) {
                trial(&board);
            }
            board.works();
        }
    }
}

/// The number of marks in a sector, one for each boot.
pub(crate) fn marks(erase: usize) -> usize {
    ((erase - 64) / 32 - 5).min(256)
}

fn cuts(operations: u64) -> impl Iterator<Item = Cut> {
    (0..operations).flat_map(|at| TEARS.map(|tear| (at, tear)))
}

/// One cut, at every operation of each boot.
pub(crate) fn one_cut<const W: usize, const E: usize>(damage: Damage) -> Tally {
    let mut tally = Tally::default();
    Board::<W, E>::each_history(damage, |before| {
        for cut in cuts(before.operations(Reads::PerRead)) {
            for reads in damage.reads() {
                let mut board = before.clone();
                let first = board.boot_in_vain(Reads::PerRead, Some(cut));
                tally.count(first.and_then(|()| board.boots(*reads)), &(cut, reads));
            }
        }
    });
    tally
}

/// One cut at every operation of each boot, and another one at every operation of the following boot. Runs one in
/// `stride` of all trials.
pub(crate) fn two_cuts<const W: usize, const E: usize>(damage: Damage, stride: usize) -> Tally {
    let (mut tally, mut turn) = (Tally::default(), 0_usize);
    Board::<W, E>::each_history(damage, |before| {
        for first in cuts(before.operations(Reads::PerRead)) {
            let mut left = before.clone();
            assert_eq!(left.boot_in_vain(Reads::PerRead, Some(first)), Ok(()));
            for reads in damage.reads() {
                for second in cuts(left.operations(reads[0])) {
                    turn += 1;
                    if turn.is_multiple_of(stride) {
                        let mut board = left.clone();
                        board.flash.chance = Random(turn as u64);
                        let outcome = board.boot_in_vain(reads[0], Some(second));
                        let is_met = board.flash.is_off;
                        let outcome = outcome.and_then(|()| board.boots(reads[1..].iter().copied()));
                        tally.count_if_met((is_met, outcome), &(first, second, reads));
                    }
                }
            }
        }
    });
    tally
}

/// Four series of random cuts in each board's life. Each series has between 1 and `most` cuts in a row.
pub(crate) fn random_cuts<const W: usize, const E: usize>(damage: Damage, rounds: u64, most: u64) -> Tally {
    let (mut tally, mut random) = (Tally::default(), Random(most));
    for _ in 0..rounds {
        let mut board = Board::<W, E>::new(damage.level());
        board.flash.chance = Random(random.next());
        for _ in 0..4 {
            let cuts = 1 + random.below(most);
            tally.count(storm(&mut board, damage, cuts, &mut random), &cuts);
        }
    }
    tally
}

fn storm<const W: usize, const E: usize>(
    board: &mut Board<W, E>,
    damage: Damage,
    cuts: u64,
    random: &mut Random,
) -> Result<(), Harm> {
    for _ in 0..cuts {
        let cut = (random.below(REACH), random.one_of(&TEARS));
        board.boot_in_vain(random.one_of(damage.choice()), Some(cut))?;
    }
    let boots: Vec<Reads> = (0..=random.below(8)).map(|_| random.one_of(damage.choice())).collect();
    board.boots(boots)
}

/// One cut, and then a boot in which some reads fail, or all reads of one sector. That boot may fail to get a secret.
pub(crate) fn one_cut_and_failing_reads<const W: usize, const E: usize>(damage: Damage) -> Tally {
    let end = E as u32;
    let counted = [3, 6, 9, 40].map(|times| (0..2 * end, times));
    let sectors = [0..end, end..2 * end].map(|sector| (sector, Failing::ALWAYS));
    let parts: Vec<_> = counted.into_iter().chain(sectors).collect();
    let mut tally = Tally::default();
    Board::<W, E>::each_history(damage, |before| {
        for first in cuts(before.operations(Reads::PerRead)) {
            let mut left = before.clone();
            assert_eq!(left.boot_in_vain(Reads::PerRead, Some(first)), Ok(()));
            for (range, times) in &parts {
                for (after, reads) in [0, 1, 4, 7, 10]
                    .into_iter()
                    .flat_map(|after| damage.reads().iter().map(move |reads| (after, reads)))
                {
                    let mut board = left.clone();
                    let what = Operation::Read;
                    let failing = Failing { what, range: range.clone(), after, times: *times };
                    board.flash.failing = Some(failing.clone());
                    let outcome = board.boot_in_vain(reads[0], None);
                    board.flash.failing = None;
                    let outcome = outcome.and_then(|()| board.boots(reads[1..].iter().copied()));
                    tally.count(outcome, &(first, failing, reads));
                }
            }
        }
    });
    tally
}

/// The number of boots until a sector was erased `erasures` times.
pub(crate) fn boots_of_a_life<const W: usize, const E: usize>(erasures: u32) -> u64 {
    let mut board = Board::<W, E>::new(Level::Bits);
    for boots in 0.. {
        if *board.flash.erased.iter().max().expect("there are two") >= erasures {
            return boots;
        }
        board.seen.clear();
        board.works();
    }
    unreachable!("every flash wears out")
}

/// Cuts boards at the same operation of `cuts` starts in a row. Afterwards they must work again.
pub(crate) fn loops_of_cuts<const W: usize, const E: usize>(cuts: u32) {
    for damage in STEADY {
        Board::<W, E>::each_history(damage, |before| {
            for (at, tear) in self::cuts(6) {
                let mut board = before.clone();
                board.flash.erased.fill(0);
                for _ in 0..cuts {
                    assert_eq!(board.boot_in_vain(damage.choice()[0], Some((at, tear))), Ok(()));
                }
                let worst = *board.flash.erased.iter().max().expect("there are two");
                assert!(worst <= cuts + 1, "{damage:?}, {tear:?} at {at}: {worst} erasures");
                board.flash.revive();
                let works = (0..4).filter(|_| board.boot(damage.choice()[0], None).is_ok()).count();
                assert!(works >= 3, "{damage:?}, {tear:?} at {at}: it works in {works} of 4 starts");
            }
        });
    }
}
