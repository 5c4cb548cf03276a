//! ECDSA signatures of P-256 in DER, as `CertificateVerify` messages contain them. RFC 3279, section 2.2.3.
//!
//! ```text
//! 0x30 | length of the rest | 0x02 | length of r | r | 0x02 | length of s | s
//! ```
//!
//! The integers are big-endian and signed, in their shortest form: 1 to 33 bytes. So every length takes one byte. The
//! general parser of the crate `der` would take 7 KiB of flash.

use heapless::Vec;
use p256::ecdsa::Signature;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
/// Bytes of `r` and of `s`.
const SCALAR: usize = 32;
/// The longest encoding, in bytes.
const DER_MAX: usize = 2 + 2 * (2 + 1 + SCALAR);

/// An encoded signature.
pub(crate) struct DerSignature(Vec<u8, DER_MAX>);

impl AsRef<[u8]> for DerSignature {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Encodes a signature.
pub(crate) fn encode(signature: &Signature) -> DerSignature {
    let mut der = Vec::new();
    let mut push = |bytes: &[u8]| der.extend_from_slice(bytes).expect("`DER_MAX` is the longest encoding");
    // The length is entered below.
    push(&[SEQUENCE, 0]);
    for scalar in signature.to_bytes().chunks(SCALAR) {
        let zeros = scalar.iter().take_while(|byte| **byte == 0).count();
        let digits = &scalar[zeros..];
        // A zero goes before a first bit of 1, which would make the integer negative.
        let sign = usize::from(digits.first().is_some_and(|digit| *digit >= 0x80));
        push(&[INTEGER, (sign + digits.len()) as u8, 0][..2 + sign]);
        push(digits);
    }
    der[1] = (der.len() - 2) as u8;
    DerSignature(der)
}

/// Parses a signature. Returns `None` unless `der` is the only valid encoding of two scalars.
pub(super) fn decode(der: &[u8]) -> Option<Signature> {
    let [SEQUENCE, length, content @ ..] = der else { return None };
    if usize::from(*length) != content.len() {
        return None;
    }
    let (r, content) = take_integer(content)?;
    let (s, content) = take_integer(content)?;
    // Fails unless both are from 1 to the order of the curve.
    if content.is_empty() { Signature::from_scalars(r, s).ok() } else { None }
}

/// Returns the scalar at the front of `content`, and what follows it.
fn take_integer(content: &[u8]) -> Option<([u8; SCALAR], &[u8])> {
    let [INTEGER, length, content @ ..] = content else { return None };
    let (integer, content) = content.split_at_checked(usize::from(*length))?;
    let digits = match integer {
        [0, digits @ ..] if digits.first()? >= &0x80 => digits,
        [1..0x80, ..] => integer,
        _ => return None,
    };
    let mut scalar = [0; SCALAR];
    scalar[SCALAR.checked_sub(digits.len())?..].copy_from_slice(digits);
    Some((scalar, content))
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use p256::ecdsa;

    use super::*;

    /// Signatures with scalars of every length, and with their first bit set and not set.
    fn signatures() -> Vec<Signature> {
        let scalar = |length: usize, first: u8| {
            let mut scalar = [0; SCALAR];
            scalar[SCALAR - length..].fill(0x5A);
            scalar[SCALAR - length] = first;
            scalar
        };
        let scalars = |first| (1..=SCALAR).map(move |length| scalar(length, first));
        let all: Vec<_> = scalars(1).chain(scalars(0x7F)).chain(scalars(0x80)).chain(scalars(0xFE)).collect();
        all.iter().zip(all.iter().rev()).map(|(r, s)| Signature::from_scalars(*r, *s).unwrap()).collect()
    }

    /// What the crates `ecdsa` and `der` make of these bytes.
    fn reference(der: &[u8]) -> Option<Signature> {
        let parsed = ecdsa::DerSignature::try_from(der).ok()?;
        Signature::try_from(parsed).ok()
    }

    #[test]
    fn signatures_are_encoded_as_by_der() {
        for signature in signatures() {
            let der = encode(&signature);
            assert_eq!(der.as_ref(), signature.to_der().as_bytes());
            assert_eq!(decode(der.as_ref()), Some(signature));
        }
    }

    #[test]
    fn wrong_encodings_are_refused_as_by_der() {
        for signature in signatures() {
            let valid = encode(&signature).as_ref().to_vec();
            for at in 0..valid.len() {
                assert_eq!(decode(&valid[..at]), None);
                for value in [0, 1, 2, 3, 0x20, 0x21, 0x22, 0x30, 0x7F, 0x80, 0x81, 0xFF] {
                    let mut changed = valid.clone();
                    changed[at] = value;
                    assert_eq!(decode(&changed), reference(&changed), "{changed:x?}");
                    let inserted = [&valid[..at], &[value], &valid[at..]].concat();
                    assert_eq!(decode(&inserted), reference(&inserted), "{inserted:x?}");
                    let mut longer = inserted;
                    longer[1] = longer[1].wrapping_add(1);
                    assert_eq!(decode(&longer), reference(&longer), "{longer:x?}");
                }
            }
            assert_eq!(decode(&[&valid[..], &[0]].concat()), None);
        }
    }
}
