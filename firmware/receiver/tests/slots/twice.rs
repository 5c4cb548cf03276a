//! Power goes in a transfer, and again in the boot behind it: while it mounts, or while it takes the transfer up. In these boots, what
//! is torn reads in different ways.

use embassy_sync::mutex::Mutex;
use waft_core::session::Store;

use crate::archive::{archive, tree};
use crate::bench::{begin, boot, shown};
use crate::nor::{LEVELS, Level, Nor, Reads, TEARS, Tear};
use crate::sweep::{Flash, Shown, Sweep};

/// The second cut comes within so many operations of its boot: a rotation, and the first block of the transfer.
const REACH: u64 = 12;

/// Where power went, and what torn units read in the boots behind the first and the second cut.
#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "for people, when a sweep fails")]
struct Cuts {
    level: Level,
    first: (u64, Tear),
    second: (u64, Tear),
    reads: [Reads; 2],
    chance: u64,
}

/// Says where a sweep was when it failed.
struct Reporter(Cuts);

impl Drop for Reporter {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:?}", self.0);
        }
    }
}

/// The boot behind the first cut shows no less than `last`. Gives what it shows, unless power goes first.
fn boot_between<const W: usize, const E: usize>(sweep: &Sweep, flash: &Flash<W, E>, last: Shown) -> Option<Shown> {
    boot(flash, async |slots, store| {
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
fn cut_again<const W: usize, const E: usize>(sweep: &Sweep, left: &Nor<W, E>, cuts: Cuts, last: Shown) {
    let _reporter = Reporter(cuts);
    let mut nor = left.clone();
    nor.revive();
    (nor.reads, nor.chance) = (cuts.reads[0], cuts.chance);
    nor.cut = Some((nor.operations + cuts.second.0, cuts.second.1));
    let mut flash = Mutex::new(nor);
    let shown = boot_between(sweep, &flash, last);
    sweep.recover_from(&mut flash, last.max(shown.unwrap_or(last)), cuts.reads[1]);
}

/// What may come behind a first cut. Of the tears that hit one place each operation gets some, by turns; of the scattered
/// ones, several.
fn seconds(level: Level, first: (u64, Tear)) -> Vec<Cuts> {
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
        reads.iter().map(move |reads| Cuts { level, first, second, reads: *reads, chance: turn << 32 })
    };
    turns.flat_map(cuts).collect()
}

fn run<const W: usize, const E: usize>(with_old: bool) {
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
            for cuts in seconds(level, (at, tear)) {
                cut_again(&sweep, &left, cuts, last);
                points += 1;
            }
        }
    }
    eprintln!("write unit {W}, erase block {E}: {points} times two cuts survived");
}

#[test]
fn two_cuts_leave_old_or_new_4_2k() {
    run::<4, 2048>(true);
}

#[test]
fn two_cuts_leave_old_or_new_32_2k() {
    run::<32, 2048>(true);
}

#[test]
fn two_cuts_leave_nothing_or_new_32_2k() {
    run::<32, 2048>(false);
}
