//! CPace over P-256: a short code becomes a key that cannot be computed without the code (draft-irtf-cfrg-cpace, suite
//! `CPACE-P256_XMD:SHA-256_SSWU_NU_-SHA256`, with an initiator and a responder).
//!
//! ```text
//! generator = encode_to_curve(code, CI, sid)     the same on both sides if they have the same code
//! share     = scalar * generator                 crosses the network; reveals nothing of the code
//! K         = scalar * share of the peer         x-coordinate
//! ISK       = SHA-256(sid, K, both shares with the roles)
//! ```
//!
//! Names are those of the draft: PRS is the code, CI the protocol, sid the session, AD the role of a side. PROTOCOL.md,
//! section 13.3.

use p256::ecdh::{SharedSecret, diffie_hellman};
use p256::elliptic_curve::hash2curve::{ExpandMsgXmd, GroupDigest};
use p256::{NistP256, ProjectivePoint, PublicKey, SecretKey};
use rand_core::CryptoRngCore;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::pairing::code::PairingCode;
use crate::sealed::hpke::{POINT, decode_point, encode_point};

/// The protocol in which the code is used.
const CI: &[u8] = b"waft/1 pairing";
/// `G.DSI`: names the suite.
const DSI: &[u8] = b"CPaceP256_XMD:SHA-256_SSWU_NU_";
/// `G.DST`: the domain of `encode_to_curve`.
const DST: &[u8] = b"CPaceP256_XMD:SHA-256_SSWU_NU__DST";
/// `G.DSI_ISK`: the domain of the session key.
const DSI_ISK: &[u8] = b"CPaceP256_XMD:SHA-256_SSWU_NU__ISK";
/// `H.s_in_bytes`: length of a block of SHA-256.
const HASH_BLOCK: usize = 64;
/// The padding is taken from the front of these.
const PADDING: [u8; HASH_BLOCK] = [0; HASH_BLOCK];

/// A share of the peer is not an uncompressed point of P-256, or it is our own share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadShare;

/// Which of the two sides computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The initiator of the draft, A.
    Dialer,
    /// The responder of the draft, B.
    Listener,
}

/// The session key of the draft, ISK. Other keys are derived from it.
pub(super) type SessionKey = Zeroizing<[u8; 32]>;

/// The secret scalar of one side for one session, with its share.
pub(super) struct Ephemeral {
    scalar: SecretKey,
    share: [u8; POINT],
}

impl Ephemeral {
    /// Consumes the code, and makes a fresh scalar and share. Takes a board some 6 million instructions.
    #[inline(never)] // The points take space on the stack only while they are computed.
    pub(super) fn random(code: PairingCode, sid: &[u8], rng: &mut impl CryptoRngCore) -> Self {
        let mut generator = generator(code.digits(), CI, sid);
        let ephemeral = Self::new(&generator, SecretKey::random(rng));
        generator.zeroize();
        ephemeral
    }

    /// This side's share, an uncompressed point.
    pub(super) fn share(&self) -> &[u8; POINT] {
        &self.share
    }

    /// Consumes the scalar, and computes the session key with the peer's share. Takes a board some 6 million
    /// instructions.
    #[inline(never)]
    pub(super) fn session_key(self, role: Role, sid: &[u8], peer: &[u8; POINT]) -> Result<SessionKey, BadShare> {
        if *peer == self.share {
            return Err(BadShare);
        }
        let (dialer, listener) = match role {
            Role::Dialer => (&self.share, peer),
            Role::Listener => (peer, &self.share),
        };
        let secret = self.shared_secret(peer)?;
        Ok(session_key(sid, &secret, (dialer, b"dialer"), (listener, b"listener")))
    }

    fn new(generator: &ProjectivePoint, scalar: SecretKey) -> Self {
        let point = generator * &*scalar.to_nonzero_scalar();
        let share = PublicKey::from_affine(point.to_affine()).expect("neither the generator nor the scalar is zero");
        Self { scalar, share: encode_point(&share) }
    }

    /// `scalar_mult_vfy`: K, for a valid share. The group has a prime order, so that K is not the neutral element.
    fn shared_secret(&self, peer: &[u8]) -> Result<SharedSecret, BadShare> {
        let peer = decode_point(peer).map_err(|_| BadShare)?;
        Ok(diffie_hellman(self.scalar.to_nonzero_scalar(), peer.as_affine()))
    }
}

/// `calculate_generator`: the point that stands for the code in this session.
fn generator(prs: &[u8], ci: &[u8], sid: &[u8]) -> ProjectivePoint {
    let string = generator_string(prs, ci, sid);
    NistP256::encode_from_bytes::<ExpandMsgXmd<Sha256>>(&string, &[DST])
        .expect("the domain is neither empty nor too long")
}

/// `generator_string`, in parts. Zeros fill the hash's first block, so that it ends after the code.
fn generator_string<'a>(prs: &'a [u8], ci: &'a [u8], sid: &'a [u8]) -> [&'a [u8]; 10] {
    let used = 1 + (1 + prs.len()) + (1 + DSI.len());
    let padding = &PADDING[..HASH_BLOCK.saturating_sub(used)];
    let [[a, b], [c, d], [e, f], [g, h], [i, j]] = [DSI, prs, padding, ci, sid].map(with_length);
    [a, b, c, d, e, f, g, h, i, j]
}

/// `ISK` for an initiator A and a responder B, each with its share and its associated data.
fn session_key(sid: &[u8], secret: &SharedSecret, a: (&[u8; POINT], &[u8]), b: (&[u8; POINT], &[u8])) -> SessionKey {
    let mut hash = Sha256::new();
    for part in [DSI_ISK, sid, secret.raw_secret_bytes(), a.0, a.1, b.0, b.1] {
        with_length(part).iter().for_each(|bytes| hash.update(bytes));
    }
    Zeroizing::new(hash.finalize().into())
}

/// `prepend_len`: the length of a part, then the part. Every part is shorter than 128 bytes, so that its length is one
/// byte.
fn with_length(part: &[u8]) -> [&[u8]; 2] {
    const LENGTHS: [u8; 128] = {
        let mut lengths = [0; 128];
        let mut at = 0;
        while at < lengths.len() {
            lengths[at] = at as u8;
            at += 1;
        }
        lengths
    };
    [&LENGTHS[part.len()..=part.len()], part]
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::sealed::vectors::{Vector, vectors};

    fn vector() -> Vector {
        vectors(include_str!("../../tests/vectors/cpace/p256.txt")).remove(0)
    }

    fn scalar(vector: &Vector, name: &str) -> SecretKey {
        SecretKey::from_slice(&vector.bytes(name)).unwrap()
    }

    #[test]
    fn the_generator_passes_the_draft() {
        let vector = vector();
        let (prs, ci, sid) = (vector.bytes("PRS"), vector.bytes("CI"), vector.bytes("sid"));
        assert_eq!(generator_string(&prs, &ci, &sid).concat(), vector.bytes("generator_string"));
        let generator = PublicKey::from_affine(generator(&prs, &ci, &sid).to_affine()).unwrap();
        assert_eq!(encode_point(&generator), vector.array("g"));
    }

    #[test]
    fn shares_and_session_keys_of_both_sides_pass_the_draft() {
        let vector = vector();
        let sid = vector.bytes("sid");
        let generator = generator(&vector.bytes("PRS"), &vector.bytes("CI"), &sid);
        let sides = ["ya", "yb"].map(|name| Ephemeral::new(&generator, scalar(&vector, name)));
        assert_eq!(sides.each_ref().map(|side| *side.share()), ["Ya", "Yb"].map(|name| vector.array(name)));
        let (ad_a, ad_b) = (vector.bytes("ADa"), vector.bytes("ADb"));
        for (side, peer) in [(&sides[0], &sides[1]), (&sides[1], &sides[0])] {
            let secret = side.shared_secret(peer.share()).unwrap();
            assert_eq!(secret.raw_secret_bytes()[..], vector.bytes("K"));
            let key = session_key(&sid, &secret, (sides[0].share(), &ad_a), (sides[1].share(), &ad_b));
            assert_eq!(*key, vector.array("ISK_IR"));
        }
    }

    #[test]
    fn products_and_invalid_points_pass_the_draft() {
        let vector = vectors(include_str!("../../tests/vectors/cpace/p256_points.txt")).remove(0);
        let side = Ephemeral { scalar: scalar(&vector, "s"), share: [0; POINT] };
        let product = side.shared_secret(&vector.bytes("X")).unwrap();
        assert_eq!(product.raw_secret_bytes()[..], vector.bytes("product"));
        for name in ["Y1", "Y2"] {
            assert_eq!(side.shared_secret(&vector.bytes(name)).err(), Some(BadShare), "{name}");
        }
    }

    fn side(code: &str, sid: &[u8], seed: u8) -> Ephemeral {
        let code = PairingCode::parse(code).unwrap();
        Ephemeral::new(&generator(code.digits(), CI, sid), SecretKey::from_slice(&[seed; 32]).unwrap())
    }

    #[test]
    fn both_sides_get_the_same_key_only_with_the_same_code_session_and_roles() {
        let key = |(code, sid): (&str, &[u8]), role, seed, peer: &Ephemeral| {
            side(code, sid, seed).session_key(role, sid, peer.share()).unwrap()
        };
        let right = ("123456", &b"sid"[..]);
        let (dialer, listener) = (side(right.0, right.1, 1), side(right.0, right.1, 2));
        let expected = key(right, Role::Dialer, 1, &listener);
        assert_eq!(key(right, Role::Listener, 2, &dialer), expected);
        assert_ne!(key(right, Role::Dialer, 2, &dialer), expected, "two dialers");
        for other in [("123457", &b"sid"[..]), ("1234560", b"sid"), ("123456", b"side")] {
            assert_ne!(key(other, Role::Listener, 2, &dialer), expected, "{other:?}");
        }
    }

    #[test]
    fn a_share_that_is_no_uncompressed_point_or_our_own_is_refused() {
        let good = *side("123456", b"sid", 1).share();
        let refused = |share: [u8; POINT]| {
            side("123456", b"sid", 2).session_key(Role::Listener, b"sid", &share).err() == Some(BadShare)
        };
        assert!(!refused(good));
        assert!(refused(*side("123456", b"sid", 2).share()), "our own share");
        let mut bad: Vec<[u8; POINT]> = vec![[0; POINT], [4; POINT]];
        // Another tag: compressed, hybrid, compact, none. The prime of the field as x. Off the curve.
        bad.extend([0, 2, 3, 5, 6, 7].map(|tag| change(good, 0, tag)));
        let mut large = good;
        large[1..33].fill(0xff);
        bad.extend([large, change(good, 64, good[64] ^ 1)]);
        assert!(bad.into_iter().all(refused));
        // Shorter encodings do not fit the message, but the decoder refuses them as well.
        let compressed = [&[2 + (good[64] & 1)], &good[1..33]].concat();
        for share in [&compressed[..], &[0], &[]] {
            assert_eq!(side("123456", b"sid", 2).shared_secret(share).err(), Some(BadShare));
        }
    }

    fn change(mut share: [u8; POINT], at: usize, to: u8) -> [u8; POINT] {
        share[at] = to;
        share
    }
}
