//! Multiplication of a point of P-256 by a secret scalar in steps, so that a board can do other work between them.
//!
//! It takes 4 bits of the scalar at once, from the highest ones on: 4 doublings, and the addition of a multiple from a
//! table (algorithm 14.82 of the Handbook of Applied Cryptography). The sequence of operations and of memory accesses does
//! not depend on the scalar. [`hpke`](super::hpke) uses it. The crate `p256` does the same, but all at once.

use p256::elliptic_curve::point::Double;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::{ProjectivePoint, SecretKey};
use subtle::{ConditionallySelectable, ConstantTimeEq};
use zeroize::{Zeroize, Zeroizing};

/// Bits of the scalar that are handled at once.
const WINDOW: usize = 4;
/// The number of multiples in the table.
const MULTIPLES: usize = 1 << WINDOW;
/// Bytes of the scalar.
const SCALAR: usize = 32;
/// Bytes of the scalar in one step, which takes about 1.3 million instructions on a Cortex-M4.
const STEP: usize = 8;

/// A multiplication in progress. Wipes the scalar and the sum when it is dropped.
pub(super) struct Multiplication {
    /// The multiples of the point, from 0 times the point on.
    multiples: [ProjectivePoint; MULTIPLES],
    scalar: Zeroizing<[u8; SCALAR]>,
    /// The product of the point and the bytes of the scalar that were handled.
    sum: ProjectivePoint,
    /// The number of bytes that were handled.
    handled: usize,
}

impl Multiplication {
    /// The multiplication of the point at infinity by 0. [`begin`](Self::begin) replaces it in place: a multiplication that
    /// was returned by value would be on the stack, too.
    #[inline(always)]
    pub(super) fn empty() -> Self {
        let identity = ProjectivePoint::IDENTITY;
        Self { multiples: [identity; MULTIPLES], scalar: Zeroizing::new([0; SCALAR]), sum: identity, handled: 0 }
    }

    /// Begins to multiply `point` by `scalar`.
    #[inline(never)]
    pub(super) fn begin(&mut self, scalar: &SecretKey, point: &ProjectivePoint) {
        for at in 1..MULTIPLES {
            self.multiples[at] = self.multiples[at - 1] + point;
        }
        *self.scalar = scalar.to_bytes().into();
        (self.sum, self.handled) = (ProjectivePoint::IDENTITY, 0);
    }

    /// Does the next step. Returns `true` once all are done.
    #[inline(never)]
    pub(super) fn step(&mut self) -> bool {
        let end = SCALAR.min(self.handled + STEP);
        for at in self.handled..end {
            let byte = self.scalar[at];
            self.append(byte >> WINDOW);
            self.append(byte & (MULTIPLES - 1) as u8);
        }
        self.handled = end;
        end == SCALAR
    }

    /// Appends 4 bits to the part of the scalar that was handled.
    #[inline(never)]
    fn append(&mut self, digit: u8) {
        for _ in 0..WINDOW {
            self.sum = self.sum.double();
        }
        // Reads the whole table, so that the addresses do not depend on the scalar.
        let mut multiple = ProjectivePoint::IDENTITY;
        for (at, candidate) in self.multiples.iter().enumerate() {
            multiple.conditional_assign(candidate, (at as u8).ct_eq(&digit));
        }
        self.sum += multiple;
    }

    /// The x-coordinate of the product, once all steps are done: the result of a Diffie-Hellman key exchange (RFC 9180,
    /// section 4.1). `None` if the product is the point at infinity.
    #[inline(never)]
    pub(super) fn x(&self) -> Option<Zeroizing<[u8; SCALAR]>> {
        let mut product = self.sum.to_affine();
        let x = product.to_encoded_point(false).x().map(|x| Zeroizing::new((*x).into()));
        product.zeroize();
        x
    }
}

impl Drop for Multiplication {
    fn drop(&mut self) {
        self.sum.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use p256::PublicKey;
    use p256::ecdh::diffie_hellman;
    use p256::elliptic_curve::bigint::Encoding;
    use p256::{NistP256, Scalar};

    use super::*;

    fn multiply(scalar: &SecretKey, point: &PublicKey) -> [u8; SCALAR] {
        let mut multiplication = Multiplication::empty();
        multiplication.begin(scalar, &point.to_projective());
        let mut steps = 1;
        while !multiplication.step() {
            steps += 1;
        }
        assert_eq!(steps, SCALAR / STEP);
        *multiplication.x().unwrap()
    }

    #[test]
    fn the_product_is_that_of_the_crate() {
        let secret = |scalar: Scalar| SecretKey::from_bytes(&scalar.to_bytes()).unwrap();
        let order = <NistP256 as p256::elliptic_curve::Curve>::ORDER.to_be_bytes();
        assert_eq!(order[..4], [0xFF; 4]);
        let small = (1..40u64).map(Scalar::from);
        let large = (1..40u64).map(|number| -Scalar::from(number));
        // Digits of every kind: 0x00, 0x0F, 0xF0 and 0xFF beside each other.
        let spread =
            (1..40u64).map(|number| Scalar::from(number << 58 | number).square() * Scalar::from(0xFF00_F00Fu64));
        let scalars: std::vec::Vec<_> = small.chain(large).chain(spread).collect();
        for (scalar, other) in scalars.iter().zip(scalars.iter().rev()) {
            let (ours, theirs) = (secret(*scalar), secret(*other).public_key());
            let expected = diffie_hellman(ours.to_nonzero_scalar(), theirs.as_affine());
            assert_eq!(multiply(&ours, &theirs), **expected.raw_secret_bytes(), "{scalar:?} {other:?}");
        }
    }
}
