//! The identity of a board that was never provisioned. The board derives it from one secret, which it draws at its first
//! start and stores in its [`settings`](crate::settings).
//!
//! ```text
//! secret ──HKDF──► TLS key, HPKE key, secret for the seed ──► certificate, by a deterministic signature ──► name
//! ```
//!
//! So only 32 bytes are stored, and each start computes the same certificate from them. It has the form of all
//! certificates of waft (PROTOCOL.md, section 3): the subject `CN=waft`, dates that are always valid, and the HPKE key in
//! an extension. RFC 5280 defines the fields:
//!
//! ```text
//! SEQUENCE
//!     SEQUENCE                    what is signed: 4 fixed parts, and between them
//!         serial number           20 bytes of the SHA-256 of the public key
//!         public key              the point of the TLS key
//!         extension               the point of the HPKE key
//!     ecdsa-with-SHA256
//!     BIT STRING                  the signature, in DER
//! ```

use heapless::Vec;
use hkdf::Hkdf;
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer as _;
use sha2::{Digest, Sha256};
use waft_core::certificate::CertificateHash;

use super::{
    Address, CERTIFICATE_MAX, HpkeSecret, Identity, KeyPolicy, NAME_MAX, Network, POINT, Policy, String, TrustedSenders,
};
use crate::seed::Secret;
use crate::tls::signature::encode;

const TLS: &[u8] = b"waft/1 own identity: TLS";
const HPKE: &[u8] = b"waft/1 own identity: HPKE";
const SEED: &[u8] = b"waft/1 own identity: seed";

/// What a board that made its identity itself requires of senders, until a user changes it at the board.
const POLICY: Policy = Policy { code: true, key: KeyPolicy::Typed, allow_older: false, announce: true };

/// The name begins with this. Characters of the fingerprint follow.
const NAME: &str = "board-";
/// The number of these characters.
const NAME_CHARACTERS: usize = 4;

/// Bytes of a serial number.
const SERIAL: usize = 20;
/// What is signed, up to the serial number: the outer length, and version 3.
const BEFORE_SERIAL: [u8; 11] = [0x30, 0x82, 0x01, 0x1B, 0xA0, 0x03, 0x02, 0x01, 0x02, 0x02, SERIAL as u8];
/// ecdsa-with-SHA256.
const ALGORITHM: [u8; 12] = [0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02];
/// `CN=waft`, as issuer and as subject.
const COMMON_NAME: [u8; 17] =
    [0x30, 0x0F, 0x31, 0x0D, 0x30, 0x0B, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0C, 0x04, b'w', b'a', b'f', b't'];
/// From 1970 to 9999.
const VALIDITY: &[u8; 34] = b"\x30\x20\x17\x0D700101000000Z\x18\x0F99991231000000Z";
/// The key is a point of P-256. RFC 5480, section 2.
const KEY: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE,
    0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// The extension with the HPKE key.
const EXTENSION: [u8; 20] = [
    0xA3,
    0x53,
    0x30,
    0x51,
    0x30,
    0x4F,
    0x06,
    0x0A,
    0x69,
    0xC9,
    0xD9,
    0x9A,
    0xDD,
    0xBD,
    0x8D,
    0x88,
    0x96,
    0x59,
    0x04,
    POINT as u8,
];
/// The length of what is signed.
const SIGNED: usize = BEFORE_SERIAL.len()
    + SERIAL
    + ALGORITHM.len()
    + 2 * COMMON_NAME.len()
    + VALIDITY.len()
    + KEY.len()
    + POINT
    + EXTENSION.len()
    + POINT;

// The length in `BEFORE_SERIAL` is that of the rest.
const _: () = assert!(SIGNED - 4 == 0x11B);

type Certificate = Vec<u8, CERTIFICATE_MAX>;

impl Identity {
    /// Derives the identity of a board that was never provisioned, into `place`. It trusts nobody. The same secret always
    /// gives the same identity.
    pub fn own<'p>(secret: &Secret, place: &'p mut Option<Self>) -> &'p mut Self {
        let mut certificate = Vec::new();
        let seed = derive(secret, SEED, 0);
        let (name, senders) = (String::new(), TrustedSenders::new());
        let network = Network { hostname: String::new(), address: Address::Dhcp, wifi: None };
        let (tls, hpke) = private_keys(secret);
        write_certificate(&mut certificate, &tls, &hpke.public());
        let identity = place.insert(Self { name, tls, hpke, seed, policy: POLICY, certificate, senders, network });
        identity.name = name_of(&identity.certificate_hash());
        identity.network.hostname = identity.name.clone();
        identity
    }
}

/// The private keys of the identity.
#[inline(never)]
fn private_keys(secret: &Secret) -> (SigningKey, HpkeSecret) {
    (
        first_valid(secret, TLS, |key| SigningKey::from_slice(key).ok()),
        first_valid(secret, HPKE, |key| HpkeSecret::from_bytes(key).ok()),
    )
}

/// The first key derived with this label that is a scalar of P-256. One of 2^32 is not.
fn first_valid<T>(secret: &Secret, label: &[u8], parse: impl Fn(&[u8; 32]) -> Option<T>) -> T {
    let mut keys = (0..=u8::MAX).filter_map(|number| parse(&derive(secret, label, number)));
    keys.next().expect("one of 256 hashes is less than the order of the curve")
}

/// HKDF with SHA-256, without a salt. RFC 5869.
fn derive(secret: &Secret, label: &[u8], number: u8) -> Secret {
    let mut key = Secret::default();
    let expanded = Hkdf::<Sha256>::new(None, &**secret).expand_multi_info(&[label, &[number]], &mut *key);
    expanded.expect("32 bytes are within HKDF's 255 blocks");
    key
}

/// Writes the certificate of these keys. The signature is deterministic: RFC 6979.
#[inline(never)]
fn write_certificate(certificate: &mut Certificate, tls: &SigningKey, hpke: &[u8; POINT]) {
    let point = tls.verifying_key().to_encoded_point(false);
    let mut serial = Sha256::digest(point.as_bytes());
    // Positive, and without a leading zero, so that all serial numbers have the same length.
    serial[0] = serial[0] & 0x3F | 0x40;
    let mut signed = Vec::<u8, SIGNED>::new();
    let parts: [&[u8]; 10] = [
        &BEFORE_SERIAL,
        &serial[..SERIAL],
        &ALGORITHM,
        &COMMON_NAME,
        VALIDITY,
        &COMMON_NAME,
        &KEY,
        point.as_bytes(),
        &EXTENSION,
        hpke,
    ];
    parts.into_iter().for_each(|part| signed.extend_from_slice(part).expect("the parts have this length"));
    let signature = encode(&tls.sign(&signed));
    let signature = signature.as_ref();
    let [high, low] = ((signed.len() + ALGORITHM.len() + 3 + signature.len()) as u16).to_be_bytes();
    let bits = [0x03, signature.len() as u8 + 1, 0];
    for part in [&[0x30, 0x82, high, low], &signed[..], &ALGORITHM, &bits, signature] {
        certificate.extend_from_slice(part).expect("it is shorter than the longest certificate");
    }
}

/// The name of a board with this certificate: the beginning of its fingerprint, in small letters.
fn name_of(certificate: &CertificateHash) -> String<NAME_MAX> {
    let mut name = String::new();
    let _ = core::fmt::write(&mut name, format_args!("{NAME}{certificate}"));
    name.truncate(NAME.len() + NAME_CHARACTERS);
    name.make_ascii_lowercase();
    name
}

#[cfg(test)]
mod tests {
    use super::super::der::public_point;
    use super::*;

    fn own(secret: u8) -> Identity {
        let mut place = None;
        Identity::own(&[secret; 32].into(), &mut place);
        place.unwrap()
    }

    #[test]
    fn the_same_secret_gives_the_same_identity() {
        let [one, same, other] = [1, 1, 2].map(own);
        assert_eq!((&one.certificate, &one.name, &one.seed), (&same.certificate, &same.name, &same.seed));
        assert_eq!((&one.tls, one.hpke.public()), (&same.tls, same.hpke.public()));
        assert!(one.tls != other.tls && one.hpke.public() != other.hpke.public() && one.seed != other.seed);
        assert_ne!(one.certificate_hash(), other.certificate_hash());
    }

    #[test]
    fn an_own_identity_passes_the_checks_except_that_it_trusts_nobody() {
        for secret in 0..20 {
            let identity = own(secret);
            let public = identity.tls.verifying_key().to_encoded_point(false);
            assert_eq!(public_point(&identity.certificate).unwrap()[..], *public.as_bytes());
            assert_eq!(identity.check(), Err(super::super::IdentityError::Senders));
        }
    }

    /// Boards in use have stored such secrets, and senders trust the certificates. If this test fails, do not change the
    /// test. The values were computed by another program, and OpenSSL accepts the signature.
    #[test]
    fn the_identity_of_a_secret_is_frozen() {
        let identity = own(7);
        assert_eq!(identity.name, "board-nyss");
        assert_eq!(std::format!("{}", identity.certificate_hash()), "NYSS-JHGM-42VX-9FGF-R884");
        assert_eq!(identity.seed[..8], [0x9A, 0xB7, 0x44, 0x4F, 0x74, 0x1D, 0x60, 0x84]);
    }
}
