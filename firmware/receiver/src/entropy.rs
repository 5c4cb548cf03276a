//! The random number generator of a boot. It is seeded from two sources: the chip's generator, which is tested at the
//! start of the board, and the [`seed`](crate::seed) in flash.
//!
//! One of the two sources is enough. If both fail, the board refuses to listen. The tests are the two health tests of
//! NIST SP 800-90B, section 4.4, over [`STARTUP`] bytes.

#[cfg(test)]
mod tests;

use embedded_storage_async::nor_flash::NorFlash;
use hkdf::Hkdf;
use rand_core::{CryptoRng, Error, RngCore, impls};
use sha2::{Digest, Sha256};
use waft_chacha::KeyStream;
use zeroize::{Zeroize, Zeroizing};

use crate::seed::{Ratchet, Secret, SeedError};

/// The number of bytes that the chip's generator is tested with: SP 800-90B requires at least 1024 samples.
pub const STARTUP: usize = 2 * WINDOW;

/// The window of the adaptive proportion test, for samples of more than one bit.
const WINDOW: usize = 512;
// The cutoffs assume 4 bits of entropy per byte, half of what a good generator has, and one false alarm in 2^30.
/// The cutoff of the repetition count test: 1 + 30 / 4, rounded up.
const REPETITION_CUTOFF: usize = 9;
/// The cutoff of the adaptive proportion test: 1 + critbinom(512, 2^-4, 1 - 2^-30).
const PROPORTION_CUTOFF: usize = 71;

/// The chip's true random number generator.
pub trait Trng {
    /// Fills `bytes`. Returns `false` if the chip reports that its generator failed.
    async fn fill(&mut self, bytes: &mut [u8]) -> bool;
}

/// Why a generator failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum TrngFault {
    /// The chip reports a failure.
    Broken,
    /// One value was repeated too often in a row: the repetition count test failed.
    Repetition,
    /// One value was too frequent: the adaptive proportion test failed.
    Proportion,
}

/// The entropy sources of this boot, and why one failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sources {
    /// The chip's generator.
    pub trng: Result<(), TrngFault>,
    /// The seed in flash.
    pub seed: Result<(), SeedError>,
}

/// Gathers entropy for this boot, and seeds its random number generator. `factory` is the secret in
/// [`Identity::seed`](crate::identity::Identity::seed). Fails if both sources failed; then the board must not listen.
pub(crate) async fn gather(
    trng: &mut impl Trng,
    ratchet: &mut Ratchet<'_, impl NorFlash>,
    factory: &[u8; 32],
) -> Result<(Random, Sources), Sources> {
    let drawn = draw_tested(trng).await;
    let seed = ratchet.advance(factory, drawn.as_deref().ok()).await;
    let sources =
        Sources { trng: drawn.as_ref().map(drop).map_err(|e| *e), seed: seed.as_ref().map(drop).map_err(|e| *e) };
    match (&drawn, &seed) {
        (Err(_), Err(_)) => Err(sources),
        _ => Ok((Random::from_sources(&drawn.unwrap_or_default(), &seed.unwrap_or_default()), sources)),
    }
}

/// A hash over [`STARTUP`] bytes of the generator, if they pass the tests.
pub(crate) async fn draw_tested(trng: &mut impl Trng) -> Result<Secret, TrngFault> {
    let mut samples = Zeroizing::new([0; STARTUP]);
    if !trng.fill(&mut *samples).await {
        return Err(TrngFault::Broken);
    }
    if fails_repetition_count(&*samples) {
        return Err(TrngFault::Repetition);
    }
    if samples.chunks(WINDOW).any(fails_adaptive_proportion) {
        return Err(TrngFault::Proportion);
    }
    Ok(Zeroizing::new(Sha256::digest(&samples[..]).into()))
}

/// The repetition count test, section 4.4.1: whether a value occurs [`REPETITION_CUTOFF`] times in a row.
fn fails_repetition_count(samples: &[u8]) -> bool {
    samples.windows(REPETITION_CUTOFF).any(|window| window.iter().all(|sample| *sample == window[0]))
}

/// The adaptive proportion test, section 4.4.2: whether the first value of a window occurs [`PROPORTION_CUTOFF`] times
/// in it.
fn fails_adaptive_proportion(window: &[u8]) -> bool {
    window.iter().filter(|sample| **sample == window[0]).count() >= PROPORTION_CUTOFF
}

/// A random number generator based on ChaCha20. It replaces its key at every step, so that earlier output cannot be
/// computed from its state.
pub struct Random {
    key: [u8; 32],
}

impl Random {
    fn from_sources(drawn: &Secret, seed: &Secret) -> Self {
        let mut random = Self { key: [0; 32] };
        Hkdf::<Sha256>::new(Some(&**seed), &**drawn)
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
