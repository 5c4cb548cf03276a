//! Power goes in a transfer, and again in the boots behind it, twice or three times in a row: while they mount, or
//! while they take the transfer up. In these boots, what is torn reads in different ways.

use embassy_sync::mutex::Mutex;
use waft_core::session::Store;

use crate::archive::{archive, tree};
use crate::bench::{begin, boot, shown};
use crate::nor::{LEVELS, Level, Nor, Reads, TEARS, Tear};
use crate::sweep::{Flash, Shown, Sweep};

/// A later cut comes within so many operations of its boot: a rotation, and the first block of the transfer.
const REACH: u64 = 12;

/// Where power went, and what torn units read in the boot behind each cut.
#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "for people, when a sweep fails")]
struct Cuts<const N: usize> {
    level: Level,
    cuts: [(u64, Tear); N],
    reads: [Reads; N],
    chance: u64,
}

/// Says where a sweep was when it failed.
struct Reporter<const N: usize>(Cuts<N>);

impl<const N: usize> Drop for Reporter<N> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:?}", self.0);
        }
    }
}

/// A boot behind a cut shows no less than `last`. Gives what it shows, unless power goes first.
fn boot_between<const W: usize, const E: usize>(sweep: &Sweep, flash: &Flash<W, E>, last: Shown) -> Option<Shown> {
    boot(flash, async |slots, store| {
        if flash.lock().await.dead {
            return last;
        }
        let shown = sweep.which(shown(slots).await);
        assert!(shown >= last, "the new folder is gone again");
        if let Ok(offset) = begin(store, &sweep.new).await
            && let Some(next) = sweep.new.bytes[offset..].chunks(E).next()
        {
            let _ = store.write(next).await;
        }
        shown
    })
}

/// From the flash as the first cut left it.
fn cut_again<const W: usize, const E: usize, const N: usize>(
    sweep: &Sweep,
    left: &Nor<W, E>,
    cuts: Cuts<N>,
    mut last: Shown,
) {
    let _reporter = Reporter(cuts);
    let mut flash = Mutex::new(left.clone());
    flash.get_mut().chance = cuts.chance;
    for (cut, reads) in cuts.cuts[1..].iter().zip(cuts.reads) {
        let nor = flash.get_mut();
        nor.revive();
        nor.reads = reads;
        nor.cut = Some((nor.operations + cut.0, cut.1));
        last = last.max(boot_between(sweep, &flash, last).unwrap_or(last));
    }
    sweep.recover_from(&mut flash, last, cuts.reads[N - 1]);
}

/// What may come behind a first cut. Of the tears that hit one place each operation gets some, by turns; of the
/// scattered ones, several.
fn seconds(level: Level, first: (u64, Tear)) -> Vec<Cuts<2>> {
    let reads: &[_] = match level {
        Level::Marginal => &[[Reads::Meant, Reads::Before], [Reads::Before, Reads::Meant], [Reads::Anew; 2]],
        _ => &[[Reads::Anew; 2]],
    };
    let tear = |turn: u64| match turn % 5 {
        0 | 1 => TEARS[(first.0 + turn) as usize % TEARS.len()],
        _ => Tear::Scattered,
    };
    let turns = (0..5 * REACH).map(|turn| (turn, (turn / 5, tear(turn))));
    let cuts = |(turn, second)| {
        reads.iter().map(move |reads| Cuts { level, cuts: [first, second], reads: *reads, chance: turn << 32 })
    };
    turns.flat_map(cuts).collect()
}

/// What may come behind a first cut when two more follow; of all that, a part by turns. What a boot read of a torn
/// record, the next one reads too: when it does not, three cuts can be too much for two blocks, see `journal`.
fn thirds(level: Level, first: (u64, Tear)) -> Vec<Cuts<3>> {
    use Reads::{Anew, Before, Meant};
    let reads: &[_] = match level {
        Level::Marginal => &[
            [Before; 3],
            [Meant; 3],
            [Before, Meant, Meant],
            [Before, Before, Meant],
            [Before, Meant, Before],
            [Meant, Meant, Before],
        ],
        _ => &[[Anew; 3]],
    };
    let cuts = |turn: u64| {
        let tear = |by: u64| TEARS[(turn / by + first.0) as usize % TEARS.len()];
        let cuts = [first, (turn / REACH % REACH, tear(1)), (turn % REACH, tear(REACH))];
        reads.iter().map(move |reads| Cuts { level, cuts, reads: *reads, chance: turn << 32 })
    };
    (first.0 % 3..REACH * REACH).step_by(3).flat_map(cuts).collect()
}

fn run<const W: usize, const E: usize, const N: usize>(
    with_old: bool,
    more: impl Fn(Level, (u64, Tear)) -> Vec<Cuts<N>>,
) {
    let new = archive(tree(9, &[33, E, 500]), 20);
    let sweep = Sweep { new, ..Sweep::new(E, with_old, false) };
    let mut points = 0;
    for (level, tear) in LEVELS.into_iter().flat_map(|level| TEARS.map(|tear| (level, tear))) {
        let before = sweep.before::<W, E>(level);
        for at in 0.. {
            let flash = Mutex::new(before.clone());
            let last = Shown::of(sweep.transfer(&flash, Some((at, tear))));
            let left = flash.into_inner();
            if !left.dead {
                break;
            }
            for cuts in more(level, (at, tear)) {
                cut_again(&sweep, &left, cuts, last);
                points += 1;
            }
        }
    }
    eprintln!("write unit {W}, erase block {E}: {points} times {N} cuts survived");
}

#[test]
fn two_cuts_leave_old_or_new_4_2k() {
    run::<4, 2048, 2>(true, seconds);
}

#[test]
fn two_cuts_leave_old_or_new_32_2k() {
    run::<32, 2048, 2>(true, seconds);
}

#[test]
fn two_cuts_leave_nothing_or_new_32_2k() {
    run::<32, 2048, 2>(false, seconds);
}

#[test]
fn three_cuts_leave_old_or_new_32_2k() {
    run::<32, 2048, 3>(true, thirds);
}
