//! The key schedule: derives all keys of one connection or one sealed file from one secret.
//!
//! ```text
//! transfer key -PBKDF2-> Secret --+
//! HPKE encapsulation  -> Secret --+-HKDF(info = label, Transcript)-> Schedule: chunk key, nonce prefix,
//!                                                                    commitment, manifest tag key, accept key
//! ```
//!
//! The [`Transcript`] covers both sides' nonces, so that every connection has fresh keys. PROTOCOL.md, sections 7.1 and
//! 7.3.

use core::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::file::MAGIC;
use crate::certificate::CertificateHash;
use crate::code::TransferKey;
use crate::digest::Digest;

/// Defines a type for a key of 32 bytes. It is wiped when dropped, cannot be cloned, and has a redacted `Debug`.
macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; 32]);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

key! {
    /// The shared secret of both sides: PBKDF2's output (mode *typed*) or HPKE's exported secret (mode *sealed*). The
    /// receiver may keep it after a connection, so that a retry derives new keys from it.
    Secret
}

impl Secret {
    /// The secret of a typed key, by `iterations` of PBKDF2-HMAC-SHA256. This may block for seconds; [`Stretch`] does
    /// the same in short steps.
    pub fn typed(key: &TransferKey, salt: &[u8; 32], iterations: u32) -> Self {
        let mut stretch = Stretch::new(key, salt, iterations);
        while !stretch.step(u32::MAX) {}
        let mut secret = Self::empty();
        stretch.finish(&mut secret);
        secret
    }

    /// An empty secret, to be filled in place. Returning a secret by value would leave copies of it on the stack.
    pub const fn empty() -> Self {
        Self([0; 32])
    }

    /// Replaces this secret by a copy of another, in place.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.0 = other.0;
    }

    /// The secret that HPKE exported.
    pub(super) fn exported(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    #[cfg(test)]
    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
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
    /// Iterations that are left.
    left: u32,
}

impl Stretch {
    /// Begins with a number of `iterations`, at least 1.
    pub fn new(key: &TransferKey, salt: &[u8; 32], iterations: u32) -> Self {
        Self::begin(key.canonical(), salt, iterations)
    }

    fn begin(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let password: Hmac<Sha256> = Hmac::new_from_slice(password).expect("HMAC takes a key of any length");
        let last: [u8; 32] =
            password.clone().chain_update(salt).chain_update(1u32.to_be_bytes()).finalize().into_bytes().into();
        Self { password, last, sum: last, left: iterations.saturating_sub(1) }
    }

    /// Does at most `iterations` further iterations. Returns whether all are done.
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

/// SHA-256 of everything that the two sides exchanged before they derive keys. The keys are bound to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transcript([u8; 32]);

impl Transcript {
    /// The transcript of a session. `hello` and `greeting` are the payloads of those frames as they were sent,
    /// `offer_body` is the payload of `Offer` without its tags, and `sender` and `receiver` are the certificates. No
    /// payload is longer than a message.
    pub fn session(
        hello: &[u8],
        greeting: &[u8],
        offer_body: &[u8],
        sender: &CertificateHash,
        receiver: &CertificateHash,
    ) -> Self {
        let hash = Sha256::new_with_prefix(b"waft/1 session");
        let hash = [hello, greeting, offer_body].into_iter().fold(hash, part);
        Self(hash.chain_update(sender.0).chain_update(receiver.0).finalize().into())
    }

    /// The transcript of a sealed file. `header` is its header in postcard, without magic and length.
    pub fn file(header: &[u8]) -> Self {
        Self(part(Sha256::new_with_prefix(b"waft/1 file").chain_update(MAGIC), header).finalize().into())
    }
}

/// Adds `part(message)` of the specification: the message's length and the message.
fn part(hash: Sha256, message: &[u8]) -> Sha256 {
    let length = u16::try_from(message.len()).expect("a message or header has at most MESSAGE_MAX bytes");
    hash.chain_update(length.to_be_bytes()).chain_update(message)
}

key! {
    /// Key of the chunks' AEAD. Label: `waft/1 chunk key`.
    ChunkKey
}

impl ChunkKey {
    /// The key, for a [`Cipher`](super::cipher::Cipher) to set up.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    #[cfg(test)]
    pub(super) fn from_bytes(key: [u8; 32]) -> Self {
        Self(key)
    }
}

key! {
    /// Proves to the peer that this side has the same keys, and reveals nothing else. Label: `waft/1 commitment`.
    Commitment
}

key! {
    /// HMAC key of the manifest's tag. Label: `waft/1 manifest tag`.
    ManifestKey
}

key! {
    /// HMAC key of `Accept.mac`. Label: `waft/1 accept`.
    AcceptKey
}

/// The prefix of every nonce of a stream. It is not secret, but belongs to one stream only. Label:
/// `waft/1 chunk nonce`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoncePrefix(pub(super) [u8; 7]);

/// All keys of one connection or one sealed file.
#[derive(Debug)]
pub struct Schedule {
    chunk_key: ChunkKey,
    nonce_prefix: NoncePrefix,
    commitment: Commitment,
    manifest: ManifestKey,
    accept: AcceptKey,
}

impl Schedule {
    /// Derives all keys.
    pub fn new(secret: &Secret, transcript: &Transcript) -> Self {
        let mut keys = Self::empty();
        keys.derive(secret, transcript);
        keys
    }

    /// An empty schedule, to be filled in place. Returning keys by value would leave copies of them on the stack.
    pub const fn empty() -> Self {
        Self {
            chunk_key: ChunkKey([0; 32]),
            nonce_prefix: NoncePrefix([0; 7]),
            commitment: Commitment([0; 32]),
            manifest: ManifestKey([0; 32]),
            accept: AcceptKey([0; 32]),
        }
    }

    /// Derives all keys in place.
    pub(crate) fn derive(&mut self, secret: &Secret, transcript: &Transcript) {
        let hkdf = Hkdf::new(None, &secret.0);
        let okm = |label, out: &mut [u8]| okm(&hkdf, label, transcript, out);
        okm("waft/1 chunk key", &mut self.chunk_key.0);
        okm("waft/1 chunk nonce", &mut self.nonce_prefix.0);
        okm("waft/1 commitment", &mut self.commitment.0);
        okm("waft/1 manifest tag", &mut self.manifest.0);
        okm("waft/1 accept", &mut self.accept.0);
    }

    /// Key of the chunks. Use it for one stream only: two [`Sealer`](super::stream::Sealer)s would use the same nonces.
    pub fn chunk_key(&self) -> &ChunkKey {
        &self.chunk_key
    }

    /// The prefix of the chunks' nonces.
    pub fn nonce_prefix(&self) -> NoncePrefix {
        self.nonce_prefix
    }

    /// The commitment to these keys: it proves to the peer that this side has them, and reveals nothing else.
    pub fn commitment(&self) -> [u8; 32] {
        self.commitment.0
    }

    /// Whether the peer's commitment is to these keys, compared in constant time.
    pub fn commits_to(&self, commitment: &[u8; 32]) -> bool {
        self.commitment.0.ct_eq(commitment).into()
    }

    /// The tag of a manifest's digest.
    pub fn manifest_tag(&self, manifest: &Digest) -> [u8; 32] {
        self.manifest_hmac(manifest).finalize().into_bytes().into()
    }

    /// Whether `tag` is the tag of this manifest digest, compared in constant time.
    pub fn verify_manifest_tag(&self, manifest: &Digest, tag: &[u8; 32]) -> bool {
        self.manifest_hmac(manifest).verify(tag.into()).is_ok()
    }

    /// The MAC of `Accept` over the held prefix, which proves that the receiver has the keys.
    pub fn accept_mac(&self, offset: u64, prefix: &Digest) -> [u8; 32] {
        self.accept_hmac(offset, prefix).finalize().into_bytes().into()
    }

    /// Whether `mac` is the MAC of `Accept` over this prefix, compared in constant time.
    pub fn verify_accept_mac(&self, offset: u64, prefix: &Digest, mac: &[u8; 32]) -> bool {
        self.accept_hmac(offset, prefix).verify(mac.into()).is_ok()
    }

    fn manifest_hmac(&self, manifest: &Digest) -> Hmac<Sha256> {
        hmac(&self.manifest.0).chain_update(manifest.0)
    }

    fn accept_hmac(&self, offset: u64, prefix: &Digest) -> Hmac<Sha256> {
        hmac(&self.accept.0).chain_update(offset.to_be_bytes()).chain_update(prefix.0)
    }
}

/// `OKM(label, n)` of the specification, where n is the length of `out`.
fn okm(hkdf: &Hkdf<Sha256>, label: &str, transcript: &Transcript, out: &mut [u8]) {
    hkdf.expand_multi_info(&[label.as_bytes(), &transcript.0], out).expect("32 bytes are within HKDF's 255 blocks");
}

fn hmac(key: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::vec;

    use super::*;
    use crate::sealed::vectors::{Vector, vectors};

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
    fn hkdf_passes_wycheproof() {
        for vector in vectors(include_str!("../../tests/vectors/wycheproof/hkdf_sha256.txt")) {
            let expected = vector.bytes("okm");
            let mut okm = vec![0; expected.len()];
            Hkdf::<Sha256>::new(None, &vector.bytes("ikm")).expand(&vector.bytes("info"), &mut okm).unwrap();
            assert_eq!(expected, okm, "id {}", vector.text("id"));
        }
    }

    fn session() -> (Vector, Schedule) {
        let vector = vectors(include_str!("../../tests/vectors/sealed/schedule.txt")).remove(0);
        let schedule = Schedule::new(&Secret(vector.array("secret")), &Transcript(vector.array("transcript")));
        (vector, schedule)
    }

    #[test]
    fn a_typed_key_gives_the_frozen_secret() {
        let (vector, _) = session();
        let key = TransferKey::parse(vector.text("key")).unwrap();
        let secret = Secret::typed(&key, &vector.array("salt"), vector.number("iterations") as u32);
        assert_eq!(vector.array("secret"), secret.0);
    }

    #[test]
    fn a_session_has_the_frozen_transcript() {
        let (vector, _) = session();
        let payloads = ["hello", "greeting", "offer_body"].map(|name| vector.bytes(name));
        let [hello, greeting, offer_body] = &payloads;
        let [sender, receiver] = ["sender", "receiver"].map(|name| CertificateHash(vector.array(name)));
        let transcript = Transcript::session(hello, greeting, offer_body, &sender, &receiver);
        assert_eq!(vector.array("transcript"), transcript.0);
    }

    #[test]
    fn a_session_has_the_frozen_keys() {
        let (vector, schedule) = session();
        check_keys(&vector, &schedule);
        let manifest = Digest(vector.array("manifest"));
        assert_eq!(vector.array("manifest_tag"), schedule.manifest_tag(&manifest));
        let prefix = Digest(vector.array("prefix"));
        assert_eq!(vector.array("accept_mac"), schedule.accept_mac(vector.number("offset"), &prefix));
    }

    #[test]
    fn a_file_has_the_frozen_keys() {
        let vector = vectors(include_str!("../../tests/vectors/sealed/file.txt")).remove(0);
        let transcript = Transcript::file(&vector.bytes("start")[super::super::file::START..]);
        assert_eq!(vector.array("transcript"), transcript.0);
        check_keys(&vector, &Schedule::new(&Secret(vector.array("secret")), &transcript));
    }

    fn check_keys(vector: &Vector, schedule: &Schedule) {
        assert_eq!(vector.array("chunk_key"), *schedule.chunk_key().as_bytes());
        assert_eq!(vector.array("nonce_prefix"), schedule.nonce_prefix().0);
        assert_eq!(vector.array("commitment"), schedule.commitment());
        assert_eq!(vector.array("manifest_key"), schedule.manifest.0);
        assert_eq!(vector.array("accept_key"), schedule.accept.0);
    }

    #[test]
    fn tags_verify_for_their_own_input_only() {
        let (_, schedule) = session();
        let (digest, other) = (Digest([1; 32]), Digest([2; 32]));
        assert!(schedule.commits_to(&schedule.commitment()));
        assert!(!schedule.commits_to(&flip(schedule.commitment())));
        assert!(schedule.verify_manifest_tag(&digest, &schedule.manifest_tag(&digest)));
        assert!(!schedule.verify_manifest_tag(&digest, &flip(schedule.manifest_tag(&digest))));
        assert!(!schedule.verify_manifest_tag(&other, &schedule.manifest_tag(&digest)));
        assert!(schedule.verify_accept_mac(7, &digest, &schedule.accept_mac(7, &digest)));
        assert!(!schedule.verify_accept_mac(7, &digest, &flip(schedule.accept_mac(7, &digest))));
        assert!(!schedule.verify_accept_mac(8, &digest, &schedule.accept_mac(7, &digest)));
        assert!(!schedule.verify_accept_mac(7, &other, &schedule.accept_mac(7, &digest)));
    }

    fn flip(mut tag: [u8; 32]) -> [u8; 32] {
        tag[31] ^= 1;
        tag
    }

    #[test]
    fn a_transcript_binds_every_part_and_its_length() {
        let of = |hello: &[u8], greeting: &[u8], offer: &[u8], sender: u8, receiver: u8| {
            let [sender, receiver] = [sender, receiver].map(|byte| CertificateHash([byte; 32]));
            Transcript::session(hello, greeting, offer, &sender, &receiver)
        };
        let one = of(b"ab", b"cd", b"ef", 1, 2);
        for other in [
            of(b"xb", b"cd", b"ef", 1, 2),
            of(b"ab", b"xd", b"ef", 1, 2),
            of(b"ab", b"cd", b"xf", 1, 2),
            of(b"a", b"bcd", b"ef", 1, 2),
            of(b"ab", b"c", b"def", 1, 2),
            of(b"ab", b"cd", b"ef", 3, 2),
            of(b"ab", b"cd", b"ef", 1, 3),
            of(b"ab", b"cd", b"ef", 2, 1),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn debug_shows_no_keys() {
        let (_, schedule) = session();
        let shown = format!("{:?} {schedule:?}", Secret([0xAB; 32]));
        assert!(shown.starts_with("Secret(..) Schedule"), "{shown}");
        assert!(shown.contains("ChunkKey(..)") && shown.contains("Commitment(..)"), "{shown}");
        assert!(!shown.contains("171"), "{shown}");
    }
}
