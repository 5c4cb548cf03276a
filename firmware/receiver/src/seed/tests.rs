//! Tests of single cases of the seed. Power cuts, torn cells and wear are tested in `tests/flash`.

use std::collections::BTreeSet;
use std::vec::Vec;

use embassy_futures::block_on;

use super::testing::{Flash, SECTOR, ratchet};
use super::*;

fn boot(flash: &mut Flash, fresh: Option<&[u8; 32]>) -> Result<Secret, SeedError> {
    block_on(ratchet(flash).advance(&[7; 32], fresh))
}

fn base_at(flash: &mut Flash, sector: usize, base: &Base) {
    flash.bytes[sector * SECTOR..][..BASE].copy_from_slice(&*base.encode());
}

#[test]
fn every_boot_has_its_own_secret_and_old_bases_go() {
    let (mut flash, mut seen, mut bases) = (Flash::new(), BTreeSet::new(), BTreeSet::new());
    for _ in 0..42 {
        assert!(seen.insert(*boot(&mut flash, None).unwrap()));
        let sectors = flash.bytes.chunks(SECTOR).filter(|sector| sector[..BASE] != [0xFF; BASE]);
        let [sector] = sectors.collect::<Vec<_>>()[..] else { panic!("there is one base") };
        bases.insert(sector[..BASE].to_vec());
        assert!(seen.iter().all(|used| !flash.bytes.windows(32).any(|window| window == used)));
    }
    assert_eq!(bases.len(), 5, "seven boots of the first, eight of the second, and nine of each other");
    let mut other = Flash::new();
    assert!(seen.contains(&*boot(&mut other, None).unwrap()), "it depends on nothing else");
    assert!(seen.insert(*boot(&mut other, Some(&[1; 32])).unwrap()), "what is fresh goes in");
    for _ in 0..12 {
        boot(&mut other, Some(&[1; 32])).unwrap();
    }
    assert!(seen.insert(*boot(&mut other, None).unwrap()), "and into the next base too");
}

/// If nothing is known of earlier boots, only fresh randomness can start a new seed. A blank flash is not proof of a
/// new board.
#[test]
fn a_seed_that_is_not_there_is_lost() {
    let mut whole = Flash::new();
    boot(&mut whole, None).unwrap();
    for byte in [0, 5, 12, 16, 20, 51, 60] {
        let mut damaged = whole.clone();
        damaged.bytes[byte] ^= 1;
        lost(damaged);
    }
    lost(Flash::blank());
    let mut unmarked = Flash::blank();
    base_at(&mut unmarked, 1, &Base::new(1, Secret::default()));
    lost(unmarked);
}

fn lost(mut flash: Flash) {
    let before = flash.bytes;
    assert_eq!(boot(&mut flash, None), Err(SeedError::Lost));
    assert_eq!(flash.bytes, before, "nothing is written");
    let new_seed = boot(&mut flash, Some(&[9; 32])).unwrap();
    assert_ne!(new_seed, boot(&mut flash, None).unwrap());
}

#[test]
fn what_another_version_wrote_stays_as_it_is() {
    let mut flash = Flash::new();
    flash.bytes[SECTOR..][..9].copy_from_slice(b"WAFTSEED\x03");
    flash.bytes[SECTOR + 9..][..3].fill(0x55);
    let crc = crate::crc::crc32(&flash.bytes[SECTOR..][..12]);
    flash.bytes[SECTOR + 12..][..4].copy_from_slice(&crc.to_be_bytes());
    let before = flash.bytes;
    for fresh in [None, Some(&[9; 32])] {
        assert_eq!(boot(&mut flash, fresh), Err(SeedError::OtherVersion));
        assert_eq!(flash.bytes, before);
    }
}

/// Writes a record of the first version, with its number of boots.
fn of_the_first_version(flash: &mut Flash, sector: usize, boots: u32) {
    let record = &mut flash.bytes[sector * SECTOR..][..44];
    record[..4].copy_from_slice(b"WFSD");
    record[4..8].copy_from_slice(&boots.to_be_bytes());
    record[8..40].fill(boots as u8);
    let crc = crate::crc::crc32(&record[..40]);
    record[40..].copy_from_slice(&crc.to_be_bytes());
}

/// The seed continues from the newest record of the first version.
#[test]
fn the_first_versions_seed_is_taken_over() {
    for sector in 0..2 {
        for boots in [1, u32::MAX] {
            let mut alone = Flash::blank();
            of_the_first_version(&mut alone, sector, boots.wrapping_add(1));
            let mut both = alone.clone();
            of_the_first_version(&mut both, 1 - sector, boots);
            let mut older = Flash::blank();
            of_the_first_version(&mut older, 1 - sector, boots);
            let taken = boot(&mut alone, None).unwrap();
            assert_eq!(boot(&mut both, None), Ok(taken), "{sector}, {boots}");
            assert_ne!(boot(&mut older, None).unwrap(), boot(&mut both, None).unwrap());
            assert!(!both.bytes.windows(4).any(|window| window == b"WFSD"));
        }
    }
}

#[test]
fn the_bytes_stay() {
    let mut expected = [0; PROVISIONED];
    expected[..8].copy_from_slice(b"WAFTSEED");
    expected[8] = 2;
    expected[12..16].copy_from_slice(&PREFIX_CRC.to_be_bytes());
    expected[20..52].fill(3);
    expected[60..64].copy_from_slice(&BASE_CRC.to_be_bytes());
    assert_eq!(*provisioned(&[3; 32].into()), expected);
}

/// Computed by another implementation (zlib).
const PREFIX_CRC: u32 = 0x0D9F_D778;
const BASE_CRC: u32 = 0x7170_22A5;

#[test]
fn what_does_not_read_back_is_not_used() {
    let mut full = Flash::new();
    (0..7).for_each(|_| drop(boot(&mut full, None).unwrap()));
    for stuck in [0, 8, 20, 51, 63] {
        let mut flash = Flash { stuck: SECTOR + stuck..SECTOR + stuck + 1, ..full.clone() };
        assert_eq!(boot(&mut flash, None), Err(SeedError::Flash), "{stuck}");
    }
    // A cell that the flash does not keep is skipped.
    let mut flash = Flash { stuck: BASE + 2 * CELL + 5..BASE + 2 * CELL + 6, ..Flash::new() };
    assert_eq!(boot(&mut flash, None), Ok(second_of(Flash::new())));
    let mut flash = Flash { stuck: BASE + 2 * CELL..SECTOR, ..Flash::new() };
    assert_eq!(boot(&mut flash, None), Err(SeedError::Flash));
}

fn second_of(mut flash: Flash) -> Secret {
    boot(&mut flash, None).unwrap();
    boot(&mut flash, None).unwrap()
}

#[test]
fn what_cannot_be_erased_is_not_used() {
    let mut flash = Flash { failing: 0, ..Flash::new() };
    assert_eq!(boot(&mut flash, None), Err(SeedError::Flash));
    let mut flash = Flash { failing: 1, ..Flash::blank() };
    assert_eq!(boot(&mut flash, Some(&[1; 32])), Err(SeedError::Flash));
}

/// The newer of two bases is live, in either sector, and also when the sequence number wraps around.
#[test]
fn the_newer_of_two_bases_counts() {
    for sequence in [1, u32::MAX] {
        for sector in 0..2 {
            let mut alone = Flash::blank();
            base_at(&mut alone, sector, &Base::new(sequence.wrapping_add(1), Secret::default()));
            alone.bytes[sector * SECTOR + BASE] = 0;
            let mut both = alone.clone();
            base_at(&mut both, 1 - sector, &Base::new(sequence, Secret::default()));
            both.bytes[(1 - sector) * SECTOR + BASE] = 0;
            assert_eq!(boot(&mut alone, None).unwrap(), boot(&mut both, None).unwrap());
            assert_eq!(alone.bytes, both.bytes);
        }
    }
}
