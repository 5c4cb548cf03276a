//! What starts and cut transfers cost a flash: erasures of the worst block, counted.

use embassy_sync::mutex::Mutex;

use super::change::{Change, Cut, History};
use super::damage::Damage;
use super::seed::boots_of_a_life;
use super::table::grouped;
use crate::nor::{Nor, TEARS};

/// Erasures that a block stands.
const LIFE: u32 = 10_000;
/// Cuts in a row at the same point.
const CUTS: u32 = 200;

/// Erasures of the worst block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wear {
    journal: u32,
    slots: u32,
}

impl Wear {
    fn of(erased: &[u32]) -> Self {
        let (journal, slots) = erased.split_at(2);
        let most = |blocks: &[u32]| blocks.iter().copied().max().unwrap_or_default();
        Self { journal: most(journal), slots: most(slots) }
    }

    fn or_worse(self, other: Self) -> Self {
        Self { journal: self.journal.max(other.journal), slots: self.slots.max(other.slots) }
    }
}

/// A transfer that is cut at the same operation of each of so many boots, unless it gets to its end.
fn cut_again_and_again<const W: usize, const E: usize>(change: &Change, before: &Nor<W, E>, cut: Cut) -> Wear {
    let mut flash = Mutex::new(before.clone());
    flash.get_mut().erased.fill(0);
    for _ in 0..CUTS {
        let nor = flash.get_mut();
        nor.revive();
        change.first_boot(&flash, Some(cut));
        if !flash.get_mut().dead {
            break;
        }
    }
    Wear::of(&flash.get_mut().erased)
}

/// The worst of all points of a transfer.
fn worst_loop<const W: usize, const E: usize>() -> Wear {
    let mut worst = Wear::default();
    for damage in [Damage::Old, Damage::New, Damage::Garbage, Damage::Error] {
        for history in [History::Blank, History::Folder, History::BrokenOff] {
            let change = Change::transfer(E, history, 2);
            let before = change.before::<W, E>(damage);
            for (at, tear) in (0..change.operations(&before)).flat_map(|at| TEARS.map(|tear| (at, tear))) {
                worst = worst.or_worse(cut_again_and_again(&change, &before, (at, tear)));
            }
        }
    }
    worst
}

/// Prints what the command prints below its table.
pub(crate) fn print() {
    let loops = [("4", "4 K", worst_loop::<4, 4096>()), ("32", "2 K", worst_loop::<32, 2048>())];
    println!("\n| write unit | erase block | erasures of a journal block | of a block of the slot |");
    println!("|--:|--:|--:|--:|");
    for (unit, block, Wear { journal, slots }) in loops {
        println!("| {unit} | {block} | {journal} | {slots} |");
    }
    println!(
        "\n| write unit | erase block | starts until a sector of the seed was erased {} times |",
        grouped(LIFE.into())
    );
    println!("|--:|--:|--:|");
    let lives = [
        ("32", "2 K", boots_of_a_life::<32, 2048>(LIFE)),
        ("4", "4 K", boots_of_a_life::<4, 4096>(LIFE)),
        ("16", "8 K", boots_of_a_life::<16, 8192>(LIFE)),
    ];
    for (unit, block, starts) in lives {
        println!("| {unit} | {block} | {} |", grouped(starts));
    }
}

/// A transfer that is cut at the same point again and again wears the same blocks: each at most once for each cut.
#[test]
fn a_cut_transfer_costs_each_block_one_erasure() {
    let worst = worst_loop::<32, 2048>();
    assert!(worst.journal <= CUTS + 1 && worst.slots <= CUTS + 1, "{worst:?}");
    assert!(worst.journal >= CUTS && worst.slots >= CUTS, "a loop was simulated: {worst:?}");
}

#[test]
fn a_million_starts_wear_no_flash_out() {
    let starts = boots_of_a_life::<32, 2048>(LIFE);
    assert!(starts >= 1_000_000, "{starts}");
}

/// Two hundred cuts in a row at the same operation of a start erase each sector of the seed once for each cut at most.
#[test]
fn a_cut_start_costs_each_sector_of_the_seed_one_erasure() {
    super::seed::loops_of_cuts::<16, 512>(CUTS);
}
