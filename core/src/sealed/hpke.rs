//! Keys sealed to the receiver: HPKE (RFC 9180), base mode, DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, export-only.
//!
//! The receiver's certificate carries its public key. The sender makes a [`Secret`] and its encapsulation `enc` with
//! [`encapsulate`], and sends `enc` in the offer; [`HpkeSecret::decapsulate`] gives the receiver the same secret.
//! PROTOCOL.md, section 7.2.

use core::fmt;

use hkdf::{Hkdf, HkdfExtract};
use p256::ecdh::diffie_hellman;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::{PublicKey, SecretKey};
use rand_core::CryptoRngCore;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::multiplication::Multiplication;
use super::secret::Secret;

/// Length of a public key or an encapsulation: an uncompressed point of P-256.
pub const POINT: usize = 65;

const INFO: &[u8] = b"waft/1 hpke";
const CONTEXT: &[u8] = b"waft/1 secret";

const VERSION: &[u8] = b"HPKE-v1";
const KEM: [u8; 5] = *b"KEM\x00\x10";
const SUITE: Suite = Suite::with_aead(0xFFFF);
const MODE_BASE: u8 = 0;

/// 32 bytes that are wiped when dropped.
type Key = Zeroizing<[u8; 32]>;

/// Why a key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum HpkeError {
    /// The peer's public key or encapsulation is not an uncompressed point of P-256.
    Point,
    /// Our own private key is 0, or not below the order of P-256.
    Scalar,
}

impl fmt::Display for HpkeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Point => "the peer's HPKE key is not a point of P-256",
            Self::Scalar => "the private HPKE key is out of range",
        })
    }
}

impl core::error::Error for HpkeError {}

/// A receiver's private HPKE key, with its public key.
pub struct HpkeSecret {
    scalar: SecretKey,
    public: [u8; POINT],
}

impl HpkeSecret {
    /// A new random key.
    pub fn random(rng: &mut impl CryptoRngCore) -> Self {
        Self::with(SecretKey::random(rng))
    }

    /// A key from its stored form, a big-endian scalar.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, HpkeError> {
        SecretKey::from_bytes(bytes.into()).map(Self::with).map_err(|_| HpkeError::Scalar)
    }

    /// The form for storing: a big-endian scalar.
    pub fn to_bytes(&self) -> Key {
        Zeroizing::new(self.scalar.to_bytes().into())
    }

    /// The public key, as an uncompressed point.
    pub fn public(&self) -> [u8; POINT] {
        self.public
    }

    /// The secret that `enc` encapsulates to this key. An `enc` from an attacker gives an error, or a secret that the
    /// attacker knows. [`Decapsulation`] does the same in short steps.
    pub fn decapsulate(&self, enc: &[u8]) -> Result<Secret, HpkeError> {
        let mut decapsulation = Decapsulation::new();
        decapsulation.begin(self, enc)?;
        while !decapsulation.step() {}
        decapsulation.finish(self, enc)
    }

    fn with(scalar: SecretKey) -> Self {
        let public = encode_point(&scalar.public_key());
        Self { scalar, public }
    }
}

impl fmt::Debug for HpkeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HpkeSecret(..)")
    }
}

/// The computation of a secret from its encapsulation in steps, so that a board can do other work between them. It takes
/// almost 2 KiB, so avoid moving it.
pub struct Decapsulation(Multiplication);

impl Decapsulation {
    /// A computation that has not begun.
    #[inline(always)]
    #[expect(clippy::new_without_default, reason = "it would be moved")]
    pub fn new() -> Self {
        Self(Multiplication::empty())
    }

    /// Begins to compute the secret that `enc` encapsulates to the key of `receiver`.
    #[inline(never)]
    pub fn begin(&mut self, receiver: &HpkeSecret, enc: &[u8]) -> Result<(), HpkeError> {
        let peer = decode_point(enc)?;
        self.0.begin(&receiver.scalar, &peer.to_projective());
        Ok(())
    }

    /// Does the next step. Returns `true` once all are done.
    pub fn step(&mut self) -> bool {
        self.0.step()
    }

    /// The secret, once all steps are done. The arguments are those of [`begin`](Self::begin).
    pub fn finish(&self, receiver: &HpkeSecret, enc: &[u8]) -> Result<Secret, HpkeError> {
        let dh = self.0.x().ok_or(HpkeError::Point)?;
        Ok(export(&extract_and_expand(&*dh, enc, &receiver.public)))
    }
}

impl fmt::Debug for Decapsulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decapsulation(..)")
    }
}

/// Makes a fresh secret, which only the receiver with this public key can decapsulate. Returns its encapsulation and
/// the secret.
pub fn encapsulate(public: &[u8; POINT], rng: &mut impl CryptoRngCore) -> Result<([u8; POINT], Secret), HpkeError> {
    let (enc, shared) = encapsulate_with(&HpkeSecret::random(rng), public)?;
    Ok((enc, export(&shared)))
}

/// RFC 9180, section 4.1, `Encap`, with a given ephemeral key.
fn encapsulate_with(ephemeral: &HpkeSecret, public: &[u8; POINT]) -> Result<([u8; POINT], Key), HpkeError> {
    let enc = ephemeral.public();
    let shared = shared_secret(&ephemeral.scalar, &decode_point(public)?, &enc, public);
    Ok((enc, shared))
}

/// Section 4.1, `ExtractAndExpand` of the Diffie-Hellman value of `ours` and `theirs`.
fn shared_secret(ours: &SecretKey, theirs: &PublicKey, enc: &[u8], receiver: &[u8; POINT]) -> Key {
    let dh = diffie_hellman(ours.to_nonzero_scalar(), theirs.as_affine());
    extract_and_expand(dh.raw_secret_bytes(), enc, receiver)
}

/// Section 4.1, `ExtractAndExpand`.
fn extract_and_expand(dh: &[u8], enc: &[u8], receiver: &[u8; POINT]) -> Key {
    let prk = extract(&KEM, b"", b"eae_prk", dh);
    expand(&KEM, &prk, b"shared_secret", &[enc, receiver])
}

/// Sections 5.1 and 5.3: sets up the context, and exports the only secret that we take from it.
fn export(shared: &Key) -> Secret {
    let exporter = SUITE.exporter_secret(shared, INFO);
    Secret::exported(*SUITE.export(&exporter, CONTEXT))
}

/// `suite_id` of the key schedule.
struct Suite([u8; 10]);

impl Suite {
    const fn with_aead(aead: u16) -> Self {
        let [high, low] = aead.to_be_bytes();
        Self([b'H', b'P', b'K', b'E', 0x00, 0x10, 0x00, 0x01, high, low])
    }

    /// Section 5.1, `KeySchedule`, in base mode.
    fn exporter_secret(&self, shared: &Key, info: &[u8]) -> Key {
        let psk_id_hash = extract(&self.0, b"", b"psk_id_hash", b"");
        let info_hash = extract(&self.0, b"", b"info_hash", info);
        let secret = extract(&self.0, &**shared, b"secret", b"");
        expand(&self.0, &secret, b"exp", &[&[MODE_BASE], &*psk_id_hash, &*info_hash])
    }

    /// Section 5.3, `Context.Export` of 32 bytes.
    fn export(&self, exporter: &Key, context: &[u8]) -> Key {
        expand(&self.0, exporter, b"sec", &[context])
    }
}

/// Section 4, `LabeledExtract`.
fn extract(suite: &[u8], salt: &[u8], label: &[u8], ikm: &[u8]) -> Key {
    let mut hkdf = HkdfExtract::<Sha256>::new(Some(salt));
    [VERSION, suite, label, ikm].into_iter().for_each(|part| hkdf.input_ikm(part));
    Zeroizing::new(hkdf.finalize().0.into())
}

/// Section 4, `LabeledExpand` to 32 bytes; the info is the concatenation of at most three parts.
fn expand(suite: &[u8], prk: &Key, label: &[u8], info: &[&[u8]]) -> Key {
    let part = |index| info.get(index).copied().unwrap_or_default();
    let info = [&32u16.to_be_bytes(), VERSION, suite, label, part(0), part(1), part(2)];
    let mut out = Key::default();
    Hkdf::<Sha256>::from_prk(&**prk)
        .expect("a PRK of SHA-256 has 32 bytes")
        .expand_multi_info(&info, &mut *out)
        .expect("32 bytes are within HKDF's 255 blocks");
    out
}

/// Decodes an uncompressed point, which must be on the curve and not be the identity.
pub(crate) fn decode_point(bytes: &[u8]) -> Result<PublicKey, HpkeError> {
    if bytes.len() != POINT {
        return Err(HpkeError::Point);
    }
    PublicKey::from_sec1_bytes(bytes).map_err(|_| HpkeError::Point)
}

pub(crate) fn encode_point(public: &PublicKey) -> [u8; POINT] {
    let point = public.to_encoded_point(false);
    point.as_bytes().try_into().expect("an uncompressed point of P-256 has 65 bytes")
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::sealed::vectors::{Vector, vectors};

    fn secret(vector: &Vector, name: &str) -> HpkeSecret {
        HpkeSecret::from_bytes(&vector.array(name)).unwrap()
    }

    #[test]
    fn the_kem_passes_rfc_9180() {
        for vector in rfc_9180() {
            let (receiver, ephemeral) = (secret(&vector, "skRm"), secret(&vector, "skEm"));
            assert_eq!(vector.array("pkRm"), receiver.public());
            let (enc, shared) = encapsulate_with(&ephemeral, &receiver.public()).unwrap();
            assert_eq!(vector.array("enc"), enc);
            assert_eq!(vector.array("shared_secret"), *shared);
            let decapsulated = shared_secret(&receiver.scalar, &decode_point(&enc).unwrap(), &enc, &receiver.public);
            assert_eq!(vector.array("shared_secret"), *decapsulated);
        }
    }

    #[test]
    fn the_key_schedule_passes_rfc_9180() {
        for vector in rfc_9180() {
            let suite = Suite::with_aead(vector.number("aead") as u16);
            let shared = Zeroizing::new(vector.array("shared_secret"));
            let exporter = suite.exporter_secret(&shared, &vector.bytes("info"));
            assert_eq!(vector.array("exporter_secret"), *exporter);
            for (name, context) in [("exported_0", &b""[..]), ("exported_1", b"\0"), ("exported_2", b"TestContext")] {
                assert_eq!(vector.array(name), *suite.export(&exporter, context), "{name}");
            }
        }
    }

    fn rfc_9180() -> Vec<Vector> {
        let vectors = vectors(include_str!("../../tests/vectors/rfc9180/p256_base.txt"));
        assert_eq!(["1", "2", "3", "65535"], *vectors.iter().map(|v| v.text("aead")).collect::<Vec<_>>());
        vectors
    }

    #[test]
    fn a_sealed_key_has_the_frozen_secret() {
        let vector = vectors(include_str!("../../tests/vectors/sealed/sealed_key.txt")).remove(0);
        let (receiver, ephemeral) = (secret(&vector, "skRm"), secret(&vector, "skEm"));
        let (enc, shared) = encapsulate_with(&ephemeral, &receiver.public()).unwrap();
        assert_eq!(vector.array("secret"), *export(&shared).as_bytes());
        assert_eq!(vector.array("secret"), *receiver.decapsulate(&enc).unwrap().as_bytes());
    }

    #[test]
    fn both_sides_get_the_same_secret_and_no_other_key_does() {
        let mut rng = Counter(0);
        let (receiver, other) = (HpkeSecret::random(&mut rng), HpkeSecret::random(&mut rng));
        let (enc, sent) = encapsulate(&receiver.public(), &mut rng).unwrap();
        let (again, sent_again) = encapsulate(&receiver.public(), &mut rng).unwrap();
        assert_eq!(sent.as_bytes(), receiver.decapsulate(&enc).unwrap().as_bytes());
        assert_ne!(sent.as_bytes(), other.decapsulate(&enc).unwrap().as_bytes());
        assert_ne!(enc, again);
        assert_ne!(sent.as_bytes(), sent_again.as_bytes());
    }

    #[test]
    fn a_stored_key_is_the_same_key() {
        let key = HpkeSecret::random(&mut Counter(7));
        assert_eq!(key.public(), HpkeSecret::from_bytes(&key.to_bytes()).unwrap().public());
    }

    #[test]
    fn malformed_points_are_refused() {
        let key = HpkeSecret::random(&mut Counter(1));
        let good = key.public();
        let mut bad =
            std::vec![Vec::new(), good[..64].to_vec(), [&good[..], &[0]].concat(), std::vec![0], std::vec![0; 65]];
        // Compressed, hybrid, another tag, off the curve, x not below the field's prime.
        bad.push([&[2 + (good[64] & 1)], &good[1..33]].concat());
        bad.extend([0, 2, 5, 6, 7].map(|tag| [&[tag], &good[1..]].concat()));
        bad.push([&good[..64], &[good[64] ^ 1]].concat());
        bad.push([&[4][..], &[0xFF; 32], &good[33..]].concat());
        for enc in bad {
            assert_eq!(Some(HpkeError::Point), key.decapsulate(&enc).err(), "{enc:?}");
            if let Ok(public) = <&[u8; POINT]>::try_from(&enc[..]) {
                assert_eq!(Some(HpkeError::Point), encapsulate(public, &mut Counter(2)).err());
            }
        }
    }

    #[test]
    fn scalars_out_of_range_are_refused() {
        let order = p256::elliptic_curve::bigint::Encoding::to_be_bytes(
            &<p256::NistP256 as p256::elliptic_curve::Curve>::ORDER,
        );
        for bytes in [[0; 32], [0xFF; 32], order] {
            assert_eq!(Some(HpkeError::Scalar), HpkeSecret::from_bytes(&bytes).err());
        }
    }

    /// A predictable generator.
    struct Counter(u64);

    impl rand_core::RngCore for Counter {
        fn next_u32(&mut self) -> u32 {
            self.next_u64() as u32
        }

        fn next_u64(&mut self) -> u64 {
            self.0 += 1;
            self.0.wrapping_mul(0x9E37_79B9_7F4A_7C15)
        }

        fn fill_bytes(&mut self, dest: &mut [u8]) {
            rand_core::impls::fill_bytes_via_next(self, dest);
        }

        fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
            self.fill_bytes(dest);
            Ok(())
        }
    }

    impl rand_core::CryptoRng for Counter {}
}
