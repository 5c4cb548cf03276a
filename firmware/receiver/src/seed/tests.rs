//! The ratchet on a flash that tears: cut at every byte of every operation.

use std::collections::BTreeSet;
use std::vec::Vec;

use embassy_futures::block_on;

use super::testing::{Flash, SECTOR, ratchet};
use super::*;

fn boot(flash: &mut Flash, fresh: Option<&[u8; 32]>) -> Result<Secret, SeedError> {
    let outcome = block_on(ratchet(flash).advance(&[7; 32], fresh));
    flash.budget = usize::MAX;
    outcome
}

/// A flash with this many boots behind it, and its seed in that sector.
fn holding(boots: u32, sector: usize) -> Flash {
    let mut flash = Flash::new();
    flash.bytes[sector * SECTOR..][..RECORD].copy_from_slice(&*encode(boots, &Secret::default()));
    flash
}

/// The same, when the power went before that seed was erased: the next one stands beside it.
fn between_two_seeds(boots: u32, sector: usize) -> Flash {
    let mut flash = Flash { budget: SECTOR + RECORD, ..holding(boots, sector) };
    boot(&mut flash, None).unwrap_err();
    flash
}

#[test]
fn every_boot_has_its_own_secret_and_leaves_no_old_seed() {
    let (mut flash, mut seen) = (Flash::new(), BTreeSet::new());
    for _ in 0..20 {
        assert!(seen.insert(*boot(&mut flash, None).unwrap()));
        let blank = flash.bytes.chunks(SECTOR).filter(|sector| sector.iter().all(|byte| *byte == 0xFF)).count();
        assert_eq!(blank, 1, "the old seed is erased");
        assert!(seen.iter().all(|used| !flash.bytes.windows(32).any(|window| window == used)));
    }
    let mut other = Flash::new();
    assert!(seen.contains(&*boot(&mut other, None).unwrap()), "it depends on nothing else");
    assert!(seen.insert(*boot(&mut other, Some(&[1; 32])).unwrap()), "what is fresh goes in");
    assert!(seen.insert(*boot(&mut other, None).unwrap()), "and into the next seed too");
}

/// After some boots, the power goes in the middle of one; the boots after that use no secret twice.
#[test]
fn a_power_cut_at_any_instant_repeats_nothing() {
    for boots in 1..4 {
        for budget in 0.. {
            let (mut flash, mut used) = (Flash::new(), Vec::new());
            used.extend((0..boots).map(|_| *boot(&mut flash, None).unwrap()));
            flash.budget = budget;
            let whole = boot(&mut flash, None);
            used.extend(whole.iter().map(|secret| **secret));
            used.extend((0..3).map(|_| *boot(&mut flash, None).unwrap()));
            assert_eq!(BTreeSet::from_iter(&used).len(), used.len(), "cut after {budget}");
            if whole.is_ok() {
                break;
            }
        }
    }
}

/// Where nothing is known of the boots before, only something fresh can begin anew.
#[test]
fn a_damaged_seed_is_lost() {
    let mut flash = Flash::new();
    boot(&mut flash, None).unwrap();
    for byte in [0, 5, 8, 39, 41] {
        let mut damaged = flash.clone();
        damaged.bytes[byte] ^= 1;
        assert_eq!(boot(&mut damaged, None), Err(SeedError::Lost));
        let anew = boot(&mut damaged, Some(&[9; 32])).unwrap();
        assert_ne!(anew, boot(&mut damaged, None).unwrap());
    }
}

#[test]
fn what_does_not_read_back_is_not_used() {
    for stuck in [0, 8, 39, 43] {
        let mut flash = Flash { stuck: stuck..stuck + 1, ..Flash::new() };
        assert_eq!(boot(&mut flash, None), Err(SeedError::Verify), "{stuck}");
    }
    // Another record stands where it should, and does not go.
    let mut flash = between_two_seeds(1, 0);
    flash.stuck = 0..2 * SECTOR;
    assert_eq!(boot(&mut flash, None), Err(SeedError::Verify));
}

#[test]
fn what_cannot_be_written_or_erased_is_not_used() {
    for failing in 0..2 {
        let mut flash = Flash { failing, ..Flash::new() };
        assert_eq!(boot(&mut flash, None), Err(SeedError::Flash), "{failing}");
    }
    let mut flash = Flash { budget: SECTOR + 40, ..Flash::new() };
    assert_eq!(boot(&mut flash, None), Err(SeedError::Flash));
}

/// The new seed counts beside the old one, whichever sector has it, also where the number of boots begins anew.
#[test]
fn the_newer_of_two_seeds_counts() {
    for boots in [1, u32::MAX] {
        for sector in 0..2 {
            let mut flash = holding(boots, sector);
            boot(&mut flash, None).unwrap();
            let next = boot(&mut flash, None);
            assert_eq!(boot(&mut between_two_seeds(boots, sector), None), next, "{boots}, {sector}");
        }
    }
}
