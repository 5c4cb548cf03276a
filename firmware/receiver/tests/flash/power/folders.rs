//! Power cuts during transfers, FORGET and REVERT, and during the boots after them.

use embassy_sync::mutex::Mutex;

use super::change::{Change, Cut, HISTORIES, History, Observer};
use super::damage::Damage;
use super::table::Tally;
use crate::nor::{Failing, Nor, Operation, Random, Reads, TEARS};

/// A random later cut occurs within this number of operations, which covers a rotation and a little more. One in four
/// may occur within `LATE` operations.
const REACH: u64 = 14;
const LATE: u64 = 60;

/// The changes that are tried with one cut.
fn changes(erase: usize) -> Vec<Change> {
    let transfers = HISTORIES.map(|history| Change::transfer(erase, history, 2));
    let forgets = [History::Folder, History::SameBoot].map(|history| Change::forget(erase, history));
    let reverts = [History::Folder, History::SameBoot].map(|history| Change::revert(erase, history));
    let second = [History::Folder, History::SameBoot].map(|history| Change::second_transfer(erase, history));
    let updates = [History::Folder, History::BrokenOff].map(|history| Change::update(erase, history));
    transfers.into_iter().chain(updates).chain(forgets).chain(reverts).chain(second).collect()
}

/// The changes that are tried with several cuts.
fn small_changes(erase: usize) -> [Change; 7] {
    [
        Change::transfer(erase, History::Folder, 2),
        Change::transfer(erase, History::BrokenOff, 2),
        Change::transfer(erase, History::Blank, 1),
        Change::update(erase, History::Folder),
        Change::forget(erase, History::Folder),
        Change::revert(erase, History::Folder),
        Change::second_transfer(erase, History::Folder),
    ]
}

/// Performs the change with the first cut. Returns the flash afterwards, and the observer of the following boots.
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

/// One cut, at every operation of each change. Runs one in `stride` of all trials.
pub(crate) fn one_cut<const W: usize, const E: usize>(damage: Damage, stride: usize) -> Tally {
    each_cut::<W, E>(damage, stride, &changes(E))
}

/// The same for a transfer during which the journal moves to its other block.
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

/// One cut at every operation of small changes, and another one at every operation of the following boot. Runs one in
/// `stride` of all trials.
pub(crate) fn two_cuts<const W: usize, const E: usize>(damage: Damage, stride: usize) -> Tally {
    two_cuts_where::<W, E>(damage, |turn, _, _| turn.is_multiple_of(stride))
}

/// The same, only with these operations of the change and of the following boot.
pub(crate) fn two_cuts_at<const W: usize, const E: usize>(damage: Damage, first: u64, second: u64) -> Tally {
    two_cuts_where::<W, E>(damage, |_, (one, _), (other, _)| (one, other) == (first, second))
}

fn two_cuts_where<const W: usize, const E: usize>(
    damage: Damage,
    is_wanted: impl Fn(usize, Cut, Cut) -> bool,
) -> Tally {
    let (mut tally, mut turn) = (Tally::default(), 0_usize);
    for change in &small_changes(E) {
        let before = change.before::<W, E>(damage);
        for first in cuts(change.operations(&before)) {
            let (left, observer) = cut(change, &before, first, turn as u64);
            for reads in damage.reads() {
                for second in cuts(observer.operations(&left, reads[0])) {
                    turn += 1;
                    if is_wanted(turn, first, second) {
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

/// Random cuts in small changes, between `least` and `most` in each round.
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

/// One cut at every operation of small changes, and then a boot in which some reads fail, or all reads of a block. Runs
/// one in `stride` of all trials.
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
