//! Measures the wear that starts and cut transfers cause: the erasures of the block that is erased most often.

use embassy_sync::mutex::Mutex;

use super::change::{Change, Cut, History};
use super::damage::Damage;
use super::seed::boots_of_a_life;
use super::table::grouped;
use crate::nor::{Nor, TEARS};

/// The erasures that a block endures.
const LIFE: u32 = 10_000;
/// The number of cuts in a row at the same operation.
const CUTS: u32 = 200;

/// The erasures of the block that is erased most often, in the journal and in the slots.
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

/// Cuts a transfer at the same operation in each of [`CUTS`] boots, unless it completes.
fn cut_again_and_again<const W: usize, const E: usize>(change: &Change, before: &Nor<W, E>, cut: Cut) -> Wear {
    let mut flash = Mutex::new(before.clone());
    flash.get_mut().erased.fill(0);
    for _ in 0..CUTS {
        let nor = flash.get_mut();
        nor.revive();
        change.first_boot(&flash, Some(cut));
        if !flash.get_mut().is_off {
            break;
        }
    }
    Wear::of(&flash.get_mut().erased)
}

/// The highest wear over all operations of a transfer.
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

/// Prints the tables that follow the table of trials.
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

/// A transfer that is cut at the same operation repeatedly erases each block at most once per cut.
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

/// Two hundred cuts in a row at the same operation of a start erase each sector of the seed at most once per cut.
#[test]
fn a_cut_start_costs_each_sector_of_the_seed_one_erasure() {
    super::seed::loops_of_cuts::<16, 512>(CUTS);
}
