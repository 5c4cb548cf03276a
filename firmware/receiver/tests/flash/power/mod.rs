//! A simulator of power cuts. It runs the slot store, the seed and the settings, with the same code as on a board, on a simulated NOR
//! flash. Power fails at any operation, once or several times in a row, and torn cells read in every way that is known
//! of real ones.
//!
//! `cargo power-cuts` runs all trials, which takes some minutes, and prints a table. A part of them runs with the other
//! tests.

mod change;
mod damage;
mod folders;
mod refused;
mod reset;
mod seed;
pub(crate) mod settings;
mod table;
mod versions;
mod wear;

use std::collections::BTreeSet;

use embedded_storage_async::nor_flash::{NorFlash, ReadNorFlash};

use crate::nor::{Level, Nor, Reads, Tear};
use damage::{DAMAGES, Damage, STEADY};
use settings::{HISTORIES, NETWORKS};
use table::{Job, Tally};

/// The number of random trials for each kind of damage.
const ROUNDS: u64 = 50_000;

/// One job, and thus one row of the table, for each kind of damage.
fn jobs(
    subject: &'static str,
    geometry: (usize, usize),
    cuts: &'static str,
    run: impl Fn(Damage) -> Tally + Copy + Send + Sync + 'static,
) -> impl Iterator<Item = Job> {
    DAMAGES.into_iter().map(move |damage| Job { subject, geometry, cuts, damage, run: Box::new(run) })
}

fn folder_jobs<const W: usize, const E: usize>() -> impl Iterator<Item = Job> {
    jobs("folder", (W, E), "1", |damage| folders::one_cut::<W, E>(damage, 1))
}

fn settings_jobs<const W: usize, const E: usize>() -> impl Iterator<Item = Job> {
    jobs("settings", (W, E), "1", |damage| settings::one_cut::<W, E>(HISTORIES, damage))
}

fn network_jobs<const W: usize, const E: usize>() -> impl Iterator<Item = Job> {
    jobs("network", (W, E), "1", |damage| settings::one_cut::<W, E>(NETWORKS, damage))
}

fn reset_jobs<const W: usize, const E: usize>() -> impl Iterator<Item = Job> {
    jobs("reset", (W, E), "1", reset::one_cut::<W, E>)
}

fn seed_jobs<const W: usize, const E: usize>() -> impl Iterator<Item = Job> {
    jobs("seed", (W, E), "1", seed::one_cut::<W, E>)
}

/// The jobs for all rows of the table.
fn all() -> Vec<Job> {
    let one_cut = folder_jobs::<1, 2048>()
        .chain(folder_jobs::<4, 4096>())
        .chain(folder_jobs::<8, 2048>())
        .chain(folder_jobs::<16, 8192>())
        .chain(folder_jobs::<32, 131_072>())
        .chain(folder_jobs::<2, 262_144>())
        .chain(jobs("folder, long", (32, 2048), "1", |damage| {
            folders::one_cut_in_a_long_transfer::<32, 2048>(damage, 1)
        }));
    let more = jobs("folder", (16, 4096), "1, then failing reads", |damage| {
        folders::one_cut_and_failing_reads::<16, 4096>(damage, 1)
    })
    .chain(jobs("folder", (32, 2048), "2", |damage| folders::two_cuts::<32, 2048>(damage, 1)))
    .chain(jobs("folder", (4, 4096), "2, at random", |damage| folders::random_cuts::<4, 4096>(damage, ROUNDS, 2, 2)))
    .chain(jobs("folder", (32, 2048), "3, at random", |damage| folders::random_cuts::<32, 2048>(damage, ROUNDS, 3, 3)))
    .chain(jobs("folder", (4, 4096), "3, at random", |damage| folders::random_cuts::<4, 4096>(damage, ROUNDS, 3, 3)))
    .chain(jobs("folder", (32, 2048), "4 to 12, at random", |damage| {
        folders::random_cuts::<32, 2048>(damage, ROUNDS, 4, 12)
    }));
    let seed = seed_jobs::<1, 2048>()
        .chain(seed_jobs::<4, 4096>())
        .chain(seed_jobs::<32, 2048>())
        .chain(seed_jobs::<16, 262_144>())
        .chain(jobs("seed", (16, 320), "1, then failing reads", seed::one_cut_and_failing_reads::<16, 320>))
        .chain(jobs("seed", (16, 320), "2", |damage| seed::two_cuts::<16, 320>(damage, 1)))
        .chain(jobs("seed", (4, 512), "1 to 5, at random", |damage| seed::random_cuts::<4, 512>(damage, ROUNDS, 5)));
    let settings = settings_jobs::<1, 2048>()
        .chain(settings_jobs::<4, 4096>())
        .chain(settings_jobs::<32, 2048>())
        .chain(settings_jobs::<16, 8192>())
        .chain(jobs("settings", (16, 8192), "2", |damage| settings::two_cuts::<16, 8192>(HISTORIES, damage, 1)))
        .chain(jobs("settings", (4, 4096), "2", |damage| settings::two_cuts::<4, 4096>(HISTORIES, damage, 1)))
        .chain(jobs("settings", (4, 4096), "1 to 5, at random", |damage| {
            settings::random_cuts::<4, 4096>(HISTORIES, damage, ROUNDS / 10, 5)
        }));
    let reset = reset_jobs::<1, 2048>()
        .chain(reset_jobs::<4, 4096>())
        .chain(reset_jobs::<32, 2048>())
        .chain(reset_jobs::<16, 8192>())
        .chain(jobs("reset", (16, 2048), "2", |damage| reset::two_cuts::<16, 2048>(damage, 1)))
        .chain(jobs("reset", (4, 2048), "1 to 5, at random", |damage| {
            reset::random_cuts::<4, 2048>(damage, ROUNDS / 10, 5)
        }));
    one_cut.chain(more).chain(seed).chain(settings).chain(networks()).chain(reset).collect()
}

/// The jobs for changes of the Wi-Fi network.
fn networks() -> impl Iterator<Item = Job> {
    network_jobs::<1, 2048>()
        .chain(network_jobs::<32, 2048>())
        .chain(network_jobs::<16, 8192>())
        .chain(jobs("network", (4, 4096), "2", |damage| settings::two_cuts::<4, 4096>(NETWORKS, damage, 1)))
        .chain(jobs("network", (4, 4096), "1 to 5, at random", |damage| {
            settings::random_cuts::<4, 4096>(NETWORKS, damage, ROUNDS / 10, 5)
        }))
}

/// If torn cells read differently from boot to boot, three cuts or more may lose a folder, and one cut may lose a
/// folder or the seed if the flash fails afterwards as well.
fn may_do_harm(job: &Job) -> bool {
    let (many, fails) = (job.cuts.starts_with(['3', '4']), job.cuts.contains("failing"));
    job.damage == Damage::Flickering && (fails || many && job.subject == "folder")
}

/// With `WAFT_POWER_CUTS`, only the rows of these subjects: `WAFT_POWER_CUTS=seed,settings cargo power-cuts`.
#[test]
#[ignore = "tries everything, which takes minutes: cargo power-cuts"]
fn everything() {
    let subjects = std::env::var("WAFT_POWER_CUTS").unwrap_or_default();
    let is_wanted = |job: &Job| subjects.is_empty() || subjects.split(',').any(|subject| subject == job.subject);
    let harmful = table::run(all().into_iter().filter(is_wanted).collect());
    wear::print();
    let unexpected: Vec<_> = harmful.into_iter().filter(|job| !may_do_harm(job)).collect();
    assert!(unexpected.is_empty(), "unexpected harm: {unexpected:#?}");
}

/// Checks a part of the trials, for the tests that run normally.
fn is_harmless(run: impl Fn(Damage) -> Tally) {
    are_harmless(&DAMAGES, run);
}

fn are_harmless(damages: &[Damage], run: impl Fn(Damage) -> Tally) {
    for damage in damages.iter().copied() {
        let tally = run(damage);
        assert!(tally.tried > 0 && tally.is_harmless(), "{damage:?}: {tally:?}");
    }
}

#[test]
fn a_cut_costs_no_folder_1_2k() {
    is_harmless(|damage| folders::one_cut::<1, 2048>(damage, 5));
}

#[test]
fn a_cut_costs_no_folder_4_4k() {
    is_harmless(|damage| folders::one_cut::<4, 4096>(damage, 11));
}

#[test]
fn a_cut_costs_no_folder_16_8k() {
    is_harmless(|damage| folders::one_cut::<16, 8192>(damage, 11));
}

#[test]
fn a_cut_costs_no_folder_2_256k() {
    is_harmless(|damage| folders::one_cut::<2, 262_144>(damage, 101));
}

#[test]
fn a_cut_costs_no_folder_while_the_journal_is_full() {
    is_harmless(|damage| folders::one_cut_in_a_long_transfer::<32, 2048>(damage, 11));
}

#[test]
fn a_cut_and_failing_reads_cost_no_folder() {
    are_harmless(&STEADY, |damage| folders::one_cut_and_failing_reads::<16, 4096>(damage, 31));
}

#[test]
fn two_cuts_cost_no_folder() {
    is_harmless(|damage| folders::two_cuts::<32, 2048>(damage, 101));
    is_harmless(|damage| folders::random_cuts::<4, 4096>(damage, 500, 2, 2));
}

/// The first cut tears the record that makes a journal block live. A start that cannot read it erases that block, and is
/// cut so that some of its records survive.
#[test]
fn a_block_that_is_being_erased_is_not_live_once_its_last_record_reads_again() {
    are_harmless(&[Damage::Flickering], |damage| folders::two_cuts_at::<32, 2048>(damage, 6, 0));
}

/// The first cut tears COMMIT. A start that can read it moves to the other block, and is cut in its first record. The
/// next start can read neither.
#[test]
fn a_block_whose_first_record_is_unreadable_is_no_error() {
    are_harmless(&[Damage::Flickering], |damage| folders::two_cuts_at::<32, 2048>(damage, 15, 6));
}

/// Three cuts and more, if torn cells read the same in every boot.
#[test]
fn many_cuts_cost_no_folder_where_nothing_flickers() {
    are_harmless(&STEADY, |damage| folders::random_cuts::<32, 2048>(damage, 1000, 3, 12));
}

#[test]
fn a_cut_costs_no_seed_and_repeats_nothing() {
    is_harmless(seed::one_cut::<1, 512>);
    is_harmless(seed::one_cut::<16, 2048>);
    is_harmless(seed::one_cut::<32, 320>);
}

#[test]
fn two_cuts_cost_no_seed_and_repeat_nothing() {
    is_harmless(|damage| seed::two_cuts::<16, 320>(damage, 3));
}

#[test]
fn many_cuts_cost_no_seed_and_repeat_nothing() {
    is_harmless(|damage| seed::random_cuts::<4, 512>(damage, 500, 5));
}

#[test]
fn a_cut_and_failing_reads_cost_no_seed_and_repeat_nothing() {
    are_harmless(&STEADY, seed::one_cut_and_failing_reads::<16, 320>);
}

#[test]
fn a_cut_costs_no_settings() {
    is_harmless(|damage| settings::one_cut::<16, 2048>(HISTORIES, damage));
    is_harmless(|damage| settings::one_cut::<16, 2048>(NETWORKS, damage));
}

#[test]
fn two_cuts_cost_no_settings() {
    is_harmless(|damage| settings::two_cuts::<16, 2048>(HISTORIES, damage, 11));
    is_harmless(|damage| settings::two_cuts::<16, 2048>(NETWORKS, damage, 11));
}

#[test]
fn many_cuts_cost_no_settings() {
    is_harmless(|damage| settings::random_cuts::<4, 2048>(HISTORIES, damage, 200, 5));
    is_harmless(|damage| settings::random_cuts::<4, 2048>(NETWORKS, damage, 200, 5));
}

#[test]
fn a_cut_leaves_one_identity_and_no_half_reset() {
    is_harmless(reset::one_cut::<16, 2048>);
}

#[test]
fn two_cuts_leave_one_identity_and_no_half_reset() {
    is_harmless(|damage| reset::two_cuts::<16, 2048>(damage, 31));
}

#[test]
fn many_cuts_leave_one_identity_and_no_half_reset() {
    is_harmless(|damage| reset::random_cuts::<4, 2048>(damage, 200, 5));
}

#[test]
fn a_flash_that_fails_costs_no_settings() {
    settings::failing_flash::<4, 4096>(HISTORIES);
    settings::failing_flash::<4, 4096>(NETWORKS);
}

/// Tests the simulator: marginal units read as before, as intended, and in between.
#[test]
fn a_marginal_word_reads_differently_from_time_to_time() {
    embassy_futures::block_on(async {
        let mut nor = Nor::<4, 2048>::new(1, Level::Marginal);
        nor.erase(0, 2048).await.unwrap();
        nor.cut = Some((nor.operations, Tear::All));
        nor.write(0, &[1, 2, 3, 4]).await.unwrap_err();
        for reads in [Reads::PerRead, Reads::PerBoot] {
            let mut found = BTreeSet::new();
            for _ in 0..50 {
                nor.revive();
                nor.reads = reads;
                let [mut bytes, mut again] = [[0; 4]; 2];
                let read = nor.read(0, &mut bytes).await.is_ok();
                assert!(
                    reads == Reads::PerRead
                        || read == nor.read(0, &mut again).await.is_ok() && (!read || bytes == again)
                );
                found.insert(read.then_some(bytes));
            }
            assert!(found.contains(&Some([0xff; 4])) && found.contains(&Some([1, 2, 3, 4])) && found.len() > 3);
            assert_eq!(found.contains(&None), reads == Reads::PerBoot);
        }
    });
}
