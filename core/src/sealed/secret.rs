//! The secret that both sides share, and its derivation from a typed key. PROTOCOL.md, section 7.1. The
//! [`keys`](super::keys) are derived from it.
//!
//! ```text
//! transfer key -PBKDF2-> Secret
//! HPKE export  --------> Secret
//! ```

use core::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

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
    #[zeroize(skip)] // The type cannot wipe its state, which lasts as long as the stack frame or future around it.
    password: Hmac<Sha256>,
    /// `U_i`, the result of the latest iteration.
    last: [u8; 32],
    /// The exclusive or of all results so far.
    sum: [u8; 32],
    /// The number of iterations that still have to be done.
    left: u32,
}

impl Stretch {
    /// Starts the derivation of a secret with this number of iterations, at least 1.
    pub fn new(key: &TransferKey, salt: &[u8; 32], iterations: u32) -> Self {
        Self::begin(key.canonical(), salt, iterations)
    }

    fn begin(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let password: Hmac<Sha256> = Hmac::new_from_slice(password).expect("HMAC takes a key of any length");
        let last: [u8; 32] =
            password.clone().chain_update(salt).chain_update(1u32.to_be_bytes()).finalize().into_bytes().into();
        Self { password, last, sum: last, left: iterations.saturating_sub(1) }
    }

    /// Does at most `iterations` more iterations. Returns `true` once all are done.
    pub fn step(&mut self, iterations: u32) -> bool {
        let count = self.left.min(iterations);
        for _ in 0..count {
            self.last = self.password.clone().chain_update(self.last).finalize().into_bytes().into();
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
