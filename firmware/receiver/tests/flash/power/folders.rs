//! Power cuts in transfers and in FORGET, and in the boots behind them.

use embassy_sync::mutex::Mutex;

use super::change::{Change, Cut, HISTORIES, History, Observer};
use super::damage::Damage;
use super::table::Tally;
use crate::nor::{Failing, Nor, Operation, Random, Reads, TEARS};

/// A later cut at random comes within so many operations of its boot, which is a rotation and a little more; one in four
/// comes later.
const REACH: u64 = 14;
const LATE: u64 = 60;

/// The changes in which one cut is tried.
fn changes(erase: usize) -> Vec<Change> {
    let transfers = HISTORIES.map(|history| Change::transfer(erase, history, 2));
    let forgets = [History::Folder, History::SameBoot].map(|history| Change::forget(erase, history));
    transfers.into_iter().chain(forgets).collect()
}

/// The changes in which more cuts are tried.
fn small_changes(erase: usize) -> [Change; 4] {
    [
        Change::transfer(erase, History::Folder, 2),
        Change::transfer(erase, History::BrokenOff, 2),
        Change::transfer(erase, History::Blank, 1),
        Change::forget(erase, History::Folder),
    ]
}

/// The flash as a first cut leaves it, and what the boots behind it may show.
fn cut<'c, const W: usize, const E: usize>(
    change: &'c Change,
    before: &Nor<W, E>,
    cut: Cut,
    chance: u64,
) -> (Nor<W, E>, Observer<'c>) {
    let mut flash = Mutex::new(before.clone());
    flash.get_mut().chance = Random(chance);
    let observer = change.first_boot(&flash, Some(cut));
    (flash.into_inner(), observer)
}

fn cuts(operations: u64) -> impl Iterator<Item = Cut> {
    (0..operations).flat_map(|at| TEARS.map(|tear| (at, tear)))
}

/// One cut, at every operation of each change; of all trials, one in `stride`.
pub(crate) fn one_cut<const W: usize, const E: usize>(damage: Damage, stride: usize) -> Tally {
    each_cut::<W, E>(damage, stride, &changes(E))
}

/// The same, where the journal moves to its other block in the middle of the transfer.
pub(crate) fn one_cut_in_a_long_transfer<const W: usize, const E: usize>(damage: Damage, stride: usize) -> Tally {
    each_cut::<W, E>(damage, stride, &[Change::long_transfer(E, History::Folder)])
}

fn each_cut<const W: usize, const E: usize>(damage: Damage, stride: usize, changes: &[Change]) -> Tally {
    let mut tally = Tally::default();
    for change in changes {
        let before = change.before::<W, E>(damage);
        let trials = cuts(change.operations(&before));
        let trials = trials.flat_map(|cut| damage.reads().iter().map(move |reads| (cut, reads)));
        for (turn, (first, reads)) in trials.enumerate().step_by(stride) {
            let (left, observer) = cut(change, &before, first, turn as u64);
            let (is_met, outcome) = observer.observe(left, &[], reads);
            assert!(is_met, "{:?}: power did not go at {first:?}", change.history);
            tally.count(outcome, &(change.history, damage, first, reads));
        }
    }
    tally
}

/// One cut at every operation of small changes, and another one at every operation of the boot behind it; of all
/// trials, one in `stride`.
pub(crate) fn two_cuts<const W: usize, const E: usize>(damage: Damage, stride: usize) -> Tally {
    let (mut tally, mut turn) = (Tally::default(), 0_usize);
    for change in &small_changes(E) {
        let before = change.before::<W, E>(damage);
        for first in cuts(change.operations(&before)) {
            let (left, observer) = cut(change, &before, first, turn as u64);
            for reads in damage.reads() {
                for second in cuts(observer.operations(&left, reads[0])) {
                    turn += 1;
                    if turn.is_multiple_of(stride) {
                        let mut left = left.clone();
                        left.chance = Random(turn as u64);
                        tally.count_if_met(
                            observer.observe(left, &[second], reads),
                            &(change.history, first, second, reads),
                        );
                    }
                }
            }
        }
    }
    tally
}

/// As many cuts at random as each round draws from `cuts`, in small changes.
pub(crate) fn random_cuts<const W: usize, const E: usize>(damage: Damage, rounds: u64, least: u64, most: u64) -> Tally {
    let (mut tally, mut random) = (Tally::default(), Random(least));
    let changes = small_changes(E).map(|change| {
        let before = change.before::<W, E>(damage);
        let operations = change.operations(&before);
        (change, before, operations)
    });
    while tally.tried < rounds {
        let (change, before, operations) = &changes[random.below(changes.len() as u64) as usize];
        let first = (random.below(*operations), random.one_of(&TEARS));
        let more: Vec<Cut> = (1..least + random.below(most - least + 1))
            .map(|_| {
                let reach = if random.below(4) == 0 { LATE } else { REACH };
                (random.below(reach), random.one_of(&TEARS))
            })
            .collect();
        let reads: Vec<Reads> = (0..=more.len()).map(|_| random.one_of(damage.choice())).collect();
        let (left, observer) = cut(change, before, first, random.next());
        tally.count_if_met(observer.observe(left, &more, &reads), &(change.history, first, &more, &reads));
    }
    tally
}

/// One cut at every operation of small changes, and then a boot in which reads fail: so many from one on, or all of a
/// block of the journal. Of all trials, one in `stride`.
pub(crate) fn one_cut_and_failing_reads<const W: usize, const E: usize>(damage: Damage, stride: usize) -> Tally {
    let (mut tally, mut turn) = (Tally::default(), 0_usize);
    let block = E as u32;
    let everywhere = 0..8 * block;
    let counted = [3, 6, 9, 40].map(|times| (everywhere.clone(), times));
    let blocks = [0, 1, 2, 5].map(|index| (index * block..(index + 1) * block, Failing::ALWAYS));
    let failing: Vec<_> = counted.into_iter().chain(blocks).collect();
    for change in &small_changes(E) {
        let before = change.before::<W, E>(damage);
        for first in cuts(change.operations(&before)) {
            let (left, observer) = cut(change, &before, first, turn as u64);
            for (range, times) in &failing {
                for (after, reads) in [0, 1, 4, 7, 10, 25]
                    .into_iter()
                    .flat_map(|after| damage.reads().iter().map(move |reads| (after, reads)))
                {
                    turn += 1;
                    if turn.is_multiple_of(stride) {
                        let failing = Failing { what: Operation::Read, range: range.clone(), after, times: *times };
                        let trial = (change.history, first, failing.clone(), reads);
                        tally.count(observer.observe_half_blind(left.clone(), failing, reads), &trial);
                    }
                }
            }
        }
    }
    tally
}
