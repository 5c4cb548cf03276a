//! Tests of the health tests and of both entropy sources.

use std::collections::BTreeSet;
use std::vec::Vec;

use embassy_futures::block_on;

use super::*;
use crate::board::{Startup, StartupError};
use crate::identity::IdentityError;
use crate::seed::testing::{Flash, damaged, ratchet};

/// A generator whose bytes are a function of their index, and whether it reports success.
struct Fake(fn(usize) -> u8, bool);

impl Trng for Fake {
    async fn fill(&mut self, bytes: &mut [u8]) -> bool {
        bytes.iter_mut().enumerate().for_each(|(at, byte)| *byte = (self.0)(at));
        self.1
    }
}

/// Distributes its values evenly.
fn good(at: usize) -> u8 {
    ((at as u32).wrapping_mul(0x9E37_79B9) >> 24) as u8
}

fn test_result(trng: fn(usize) -> u8) -> Result<(), TrngFault> {
    block_on(draw_tested(&mut Fake(trng, true))).map(drop)
}

#[test]
fn the_health_tests_fail_exactly_at_their_cutoffs() {
    assert_eq!(test_result(good), Ok(()));
    assert_eq!(test_result(|_| 0), Err(TrngFault::Repetition));
    assert_eq!(test_result(|at| if (700..708).contains(&at) { 1 } else { good(at) | 2 }), Ok(()));
    assert_eq!(test_result(|at| if (700..709).contains(&at) { 1 } else { good(at) | 2 }), Err(TrngFault::Repetition));
    assert_eq!(test_result(|at| if at % 7 == 0 { 1 } else { good(at) | 2 }), Err(TrngFault::Proportion));
    // The value occurs 70 times in the second window, then 71 times.
    assert_eq!(test_result(|at| if (512..652).contains(&at) && at % 2 == 0 { 1 } else { good(at) | 2 }), Ok(()));
    assert_eq!(
        test_result(|at| if (512..654).contains(&at) && at % 2 == 0 { 1 } else { good(at) | 2 }),
        Err(TrngFault::Proportion)
    );
    assert_eq!(block_on(draw_tested(&mut Fake(good, false))).map(drop), Err(TrngFault::Broken));
}

fn numbers(trng: Fake, flash: &mut Flash) -> Result<([u8; 32], Sources), Sources> {
    let mut trng = trng;
    let (mut random, sources) = block_on(gather(&mut trng, &mut ratchet(flash), &[7; 32]))?;
    let mut numbers = [0; 32];
    random.fill_bytes(&mut numbers);
    Ok((numbers, sources))
}

#[test]
fn either_source_is_enough() {
    let mut seen = BTreeSet::new();
    let mut flash = Flash::new();
    for _ in 0..3 {
        let (both, sources) = numbers(Fake(good, true), &mut flash).unwrap();
        assert_eq!(sources, Sources { trng: Ok(()), seed: Ok(()) });
        let (seed_only, sources) = numbers(Fake(good, false), &mut flash).unwrap();
        assert_eq!(sources, Sources { trng: Err(TrngFault::Broken), seed: Ok(()) });
        assert!(seen.insert(both) && seen.insert(seed_only), "every boot has different numbers");
    }
    let mut worn = damaged();
    assert_eq!(
        numbers(Fake(good, false), &mut worn).unwrap_err(),
        Sources { trng: Err(TrngFault::Broken), seed: Err(SeedError::Lost) }
    );
    let (trng_only, sources) = numbers(Fake(|at| good(at + 1), true), &mut worn).unwrap();
    assert_eq!(sources, Sources { trng: Ok(()), seed: Ok(()) }, "a good generator starts a new seed");
    assert!(seen.insert(trng_only));
}

#[test]
fn without_an_identity_the_seed_is_unchanged() {
    let mut flash = Flash::new();
    let startup =
        block_on(Startup::prepare(Err(IdentityError::Missing.into()), &mut Fake(good, true), &mut ratchet(&mut flash)));
    assert_eq!(startup.unwrap_err(), StartupError::Identity(IdentityError::Missing));
    assert_eq!(flash.bytes, Flash::new().bytes);
}

#[test]
fn numbers_do_not_repeat_and_the_key_is_replaced() {
    let mut random = Random { key: [5; 32] };
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for length in [8, 16, 32, 64, 100] {
        let mut numbers = std::vec![0xAA; length];
        random.fill_bytes(&mut numbers);
        all.extend(numbers.iter().copied());
        assert!(seen.insert(random.key), "each step replaces the key");
        assert!(!all.windows(32).any(|window| window == random.key));
    }
    assert_eq!(BTreeSet::from_iter(all.chunks(4)).len(), all.len() / 4);
    assert_ne!(random.next_u64(), random.next_u64());
}
