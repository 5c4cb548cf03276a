//! The secret that both sides share, and its derivation from a typed key. PROTOCOL.md, section 7.1. The
//! [`keys`](super::keys) are derived from it.
//!
//! ```text
//! transfer key -PBKDF2-> Secret
//! HPKE export  --------> Secret
//! ```

use core::fmt;

use sha2::digest::generic_array::GenericArray;
use sha2::{Digest as _, Sha256, compress256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::code::TransferKey;

/// The shared secret of both sides: PBKDF2's output (mode *typed*) or HPKE's exported secret (mode *sealed*). The
/// receiver may keep it after a connection, so that a retry derives new keys from it.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Derives the secret from a typed key with `iterations` of PBKDF2-HMAC-SHA256. This may block for seconds;
    /// [`Stretch`] does the same in short steps.
    pub fn typed(key: &TransferKey, salt: &[u8; 32], iterations: u32) -> Self {
        let mut stretch = Stretch::new(key, salt, iterations);
        while !stretch.step(u32::MAX) {}
        let mut secret = Self::empty();
        stretch.finish(&mut secret);
        secret
    }

    /// An empty secret, which [`Stretch::finish`] fills in place. Returning a secret by value may leave copies of it on
    /// the stack.
    pub const fn empty() -> Self {
        Self([0; 32])
    }

    /// Replaces this secret by a copy of another, in place.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.0 = other.0;
    }

    /// The secret that HPKE exported: see [`hpke`](super::hpke).
    pub(super) fn exported(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// PBKDF2-HMAC-SHA256 (RFC 8018, section 5.2) of a typed key, in steps, so that a board can do other work between them.
///
/// It computes one block of output, which has 32 bytes.
#[derive(ZeroizeOnDrop)]
pub struct Stretch {
    /// The states of HMAC's inner and outer hash after their keys.
    inner: KeyedState,
    outer: KeyedState,
    /// `U_i`, the result of the latest iteration.
    last: [u8; HASH],
    /// The exclusive or of all results so far.
    sum: [u8; HASH],
    /// The number of iterations that still have to be done.
    left: u32,
}

impl Stretch {
    /// Starts the derivation of a secret with this number of iterations, at least 1.
    pub fn new(key: &TransferKey, salt: &[u8; 32], iterations: u32) -> Self {
        Self::begin(key.canonical(), salt, iterations)
    }

    fn begin(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let (inner, outer) = (KeyedState::empty(), KeyedState::empty());
        let mut stretch = Self { inner, outer, last: [0; HASH], sum: [0; HASH], left: iterations.saturating_sub(1) };
        stretch.inner.set_key(password, INNER);
        stretch.outer.set_key(password, OUTER);
        stretch.last = stretch.outer.hash(&[&stretch.inner.hash(&[salt, &1u32.to_be_bytes()])]);
        stretch.sum = stretch.last;
        stretch
    }

    /// Does at most `iterations` more iterations. Returns `true` once all are done.
    pub fn step(&mut self, iterations: u32) -> bool {
        let count = self.left.min(iterations);
        for _ in 0..count {
            self.last = self.outer.hash(&[&self.inner.hash(&[&self.last])]);
            self.sum.iter_mut().zip(self.last).for_each(|(sum, byte)| *sum ^= byte);
        }
        self.left -= count;
        self.left == 0
    }

    /// Writes the result into `secret`, once all iterations are done.
    pub fn finish(&self, secret: &mut Secret) {
        secret.0 = self.sum;
    }
}

/// The length of a hash, and of a block of input (FIPS 180-4).
const HASH: usize = 32;
const BLOCK: usize = 64;
/// The padding of the keys of HMAC's inner and outer hash (RFC 2104, section 2).
const INNER: u8 = 0x36;
const OUTER: u8 = 0x5C;
/// The initial state of SHA-256 (FIPS 180-4, section 5.3.3).
const INITIAL: [u32; 8] =
    [0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19];

/// The state of SHA-256 after a block with an HMAC key. It serves as well as the key. The hasher of `sha2` cannot wipe
/// its state, so this uses only the compression function.
#[derive(Zeroize, ZeroizeOnDrop)]
struct KeyedState([u32; 8]);

impl KeyedState {
    /// Moved only while it is empty, so that no copy of the state is left behind.
    const fn empty() -> Self {
        Self([0; 8])
    }

    fn set_key(&mut self, key: &[u8], padding: u8) {
        let mut block = Zeroizing::new([0; BLOCK]);
        match block.get_mut(..key.len()) {
            Some(part) => part.copy_from_slice(key),
            None => block[..HASH].copy_from_slice(&Sha256::digest(key)),
        }
        block.iter_mut().for_each(|byte| *byte ^= padding);
        self.0 = INITIAL;
        compress256(&mut self.0, core::slice::from_ref(GenericArray::from_slice(&*block)));
    }

    /// The hash of the key's block and this message.
    fn hash(&self, message: &[&[u8]]) -> [u8; HASH] {
        // The compression function replaces this copy by its result.
        let mut state = self.0;
        let (mut block, mut filled) = ([0; BLOCK], 0);
        let mut compress = |block: &[u8; BLOCK]| {
            compress256(&mut state, core::slice::from_ref(GenericArray::from_slice(block)));
        };
        for mut rest in message.iter().copied() {
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(BLOCK - filled));
                block[filled..filled + now.len()].copy_from_slice(now);
                (filled, rest) = (filled + now.len(), later);
                if filled == BLOCK {
                    compress(&block);
                    filled = 0;
                }
            }
        }
        let length = BLOCK + message.iter().map(|part| part.len()).sum::<usize>();
        block[filled] = 0x80;
        block[filled + 1..].fill(0);
        if filled + 1 > BLOCK - 8 {
            compress(&block);
            block.fill(0);
        }
        block[BLOCK - 8..].copy_from_slice(&(8 * length as u64).to_be_bytes());
        compress(&block);
        let mut hash = [0; HASH];
        hash.chunks_exact_mut(4).zip(state).for_each(|(hash, word)| hash.copy_from_slice(&word.to_be_bytes()));
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealed::vectors::vectors;

    #[test]
    fn pbkdf2_passes_wycheproof() {
        for vector in vectors(include_str!("../../tests/vectors/wycheproof/pbkdf2_sha256.txt")) {
            let iterations = vector.number("iterations") as u32;
            // All iterations in one step, and in steps of several lengths.
            for piece in [u32::MAX, 1, 7, 256] {
                let mut stretch = Stretch::begin(&vector.bytes("password"), &vector.bytes("salt"), iterations);
                let mut steps = 1;
                while !stretch.step(piece) {
                    steps += 1;
                }
                assert!(steps <= iterations.div_ceil(piece).max(1));
                let mut secret = Secret::empty();
                stretch.finish(&mut secret);
                assert_eq!(vector.array("secret"), secret.0, "id {}", vector.text("id"));
            }
        }
    }

    #[test]
    fn a_typed_key_gives_the_frozen_secret() {
        let vector = vectors(include_str!("../../tests/vectors/sealed/schedule.txt")).remove(0);
        let key = TransferKey::parse(vector.text("key")).unwrap();
        let secret = Secret::typed(&key, &vector.array("salt"), vector.number("iterations") as u32);
        assert_eq!(vector.array("secret"), secret.0);
    }
}
