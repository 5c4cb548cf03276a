//! Random numbers: the chip's generator, tested when the board starts, mixed with the [`seed`](crate::seed).
//!
//! Either is enough; where neither is good the board refuses to listen. The tests are the two of NIST SP 800-90B,
//! section 4.4, over [`STARTUP`] bytes.

#[cfg(test)]
mod tests;

use embedded_storage_async::nor_flash::NorFlash;
use hkdf::Hkdf;
use rand_core::{CryptoRng, Error, RngCore, impls};
use sha2::{Digest, Sha256};
use waft_chacha::KeyStream;
use zeroize::{Zeroize, Zeroizing};

use crate::seed::{Ratchet, Secret, SeedError};

/// Bytes that a generator has to give and to pass the tests with: SP 800-90B asks for 1024 samples.
pub const STARTUP: usize = 2 * WINDOW;

/// The adaptive proportion test's window for samples of more than one bit.
const WINDOW: usize = 512;
// We ask for 4 bits of entropy in a byte, half of what a good generator gives, and accept one false alarm in 2^30.
/// The repetition count test's cutoff: 1 + 30 / 4, rounded up.
const REPETITIONS: usize = 9;
/// The adaptive proportion test's cutoff: 1 + critbinom(512, 2^-4, 1 - 2^-30).
const PROPORTION: usize = 71;

/// The chip's true random number generator.
pub trait Trng {
    /// Fills `bytes`; `false`: the chip itself says that its generator is broken.
    async fn fill(&mut self, bytes: &mut [u8]) -> bool;
}

/// What is wrong with a generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum TrngFault {
    /// The chip says so.
    Broken,
    /// It repeats one value.
    Repetition,
    /// One value comes too often.
    Proportion,
}

/// Where the random numbers of this boot come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sources {
    /// The chip's generator.
    pub trng: Result<(), TrngFault>,
    /// The seed.
    pub seed: Result<(), SeedError>,
}

/// Gathers entropy for this boot. `Err`: neither source is good, and the board must not listen.
pub(crate) async fn gather(
    trng: &mut impl Trng,
    ratchet: &mut Ratchet<impl NorFlash>,
    factory: &[u8; 32],
) -> Result<(Random, Sources), Sources> {
    let fresh = tested(trng).await;
    let seed = ratchet.advance(factory, fresh.as_deref().ok()).await;
    let sources =
        Sources { trng: fresh.as_ref().map(drop).map_err(|e| *e), seed: seed.as_ref().map(drop).map_err(|e| *e) };
    match (&fresh, &seed) {
        (Err(_), Err(_)) => Err(sources),
        _ => Ok((Random::mixed(&fresh.unwrap_or_default(), &seed.unwrap_or_default()), sources)),
    }
}

/// The hash of [`STARTUP`] bytes that pass the tests.
async fn tested(trng: &mut impl Trng) -> Result<Secret, TrngFault> {
    let mut samples = Zeroizing::new([0; STARTUP]);
    if !trng.fill(&mut *samples).await {
        return Err(TrngFault::Broken);
    }
    if repeats(&*samples) {
        return Err(TrngFault::Repetition);
    }
    if samples.chunks(WINDOW).any(is_dominated) {
        return Err(TrngFault::Proportion);
    }
    Ok(Zeroizing::new(Sha256::digest(*samples).into()))
}

/// Section 4.4.1: some value comes [`REPETITIONS`] times in a row.
fn repeats(samples: &[u8]) -> bool {
    samples.windows(REPETITIONS).any(|window| window.iter().all(|sample| *sample == window[0]))
}

/// Section 4.4.2: a window's first value comes in it [`PROPORTION`] times.
fn is_dominated(window: &[u8]) -> bool {
    window.iter().filter(|sample| **sample == window[0]).count() >= PROPORTION
}

/// A generator of random numbers by ChaCha20, which replaces its key at every step: what it gave cannot be
/// found out from what it is.
pub struct Random {
    key: [u8; 32],
}

impl Random {
    fn mixed(fresh: &Secret, seed: &Secret) -> Self {
        let mut random = Self { key: [0; 32] };
        Hkdf::<Sha256>::new(Some(&**seed), &**fresh)
            .expand(b"waft/1 random", &mut random.key)
            .expect("32 bytes are within HKDF's 255 blocks");
        random
    }
}

impl Drop for Random {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl RngCore for Random {
    fn next_u32(&mut self) -> u32 {
        impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        let mut stream = KeyStream::new(&self.key);
        stream.fill(&mut self.key);
        stream.fill(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Random {}

impl core::fmt::Debug for Random {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Random(..)")
    }
}
