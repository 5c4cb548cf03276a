//! The key schedule: derives all keys of one connection or one sealed file from one secret.
//!
//! ```text
//! Secret -HKDF(info = label, Transcript)-> Schedule: chunk key, nonce prefix, commitment, manifest tag key, accept key
//! ```
//!
//! The [`Transcript`] covers both sides' nonces, so that every connection has fresh keys. PROTOCOL.md, section 7.3.

use core::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::secret::Secret;
use super::transcript::Transcript;
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

impl ManifestKey {
    /// The tag of a manifest's digest.
    fn tag(&self, manifest: &Digest) -> [u8; 32] {
        self.hmac(manifest).finalize().into_bytes().into()
    }

    /// Whether `tag` is the tag of this manifest digest, compared in constant time.
    #[inline(never)] // Called in several steps of a session; an image needs it once.
    pub fn verify(&self, manifest: &Digest, tag: &[u8; 32]) -> bool {
        self.hmac(manifest).verify(tag.into()).is_ok()
    }

    fn hmac(&self, manifest: &Digest) -> Hmac<Sha256> {
        hmac(&self.0).chain_update(manifest.0)
    }
}

key! {
    /// HMAC key of `Accept.mac`. Label: `waft/1 accept`.
    AcceptKey
}

/// The prefix of every nonce of a stream. It is not secret, but belongs to one stream only. Label:
/// `waft/1 chunk nonce`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoncePrefix([u8; 7]);

impl NoncePrefix {
    /// The bytes with which every nonce begins.
    pub fn as_bytes(&self) -> &[u8; 7] {
        &self.0
    }
}

/// The keys of one stream. A [`Sealer`](super::stream::Sealer) or an [`Opener`](super::stream::Opener) takes them by
/// value, so that no second stream can use the same nonces.
#[derive(Debug)]
pub struct StreamKeys {
    chunk_key: ChunkKey,
    nonce_prefix: NoncePrefix,
}

impl StreamKeys {
    /// Key of the chunks.
    pub fn chunk_key(&self) -> &ChunkKey {
        &self.chunk_key
    }

    /// The prefix of the chunks' nonces.
    pub fn nonce_prefix(&self) -> NoncePrefix {
        self.nonce_prefix
    }

    #[cfg(test)]
    pub(super) fn from_bytes(chunk_key: [u8; 32], nonce_prefix: [u8; 7]) -> Self {
        Self { chunk_key: ChunkKey(chunk_key), nonce_prefix: NoncePrefix(nonce_prefix) }
    }
}

/// All keys of one connection or one sealed file.
///
/// Both sides derive the same schedule. They first prove to each other that they have it, and then end it with
/// [`into_stream`](Self::into_stream), which consumes it. Two streams under one schedule would encrypt different data
/// with the same nonces, so they do not compile:
///
/// ```compile_fail,E0382
/// # use waft_core::code::TransferKey;
/// # use waft_core::sealed::{Schedule, Secret, Transcript};
/// # let key = TransferKey::parse("0123-4567-89AB-CDEF").unwrap();
/// let schedule = Schedule::new(&Secret::typed(&key, &[0; 32], 1_000), &Transcript::file(b"header"));
/// let (first, _) = schedule.into_stream();
/// let (second, _) = schedule.into_stream();
/// ```
///
/// Nor do two sealers with the same keys:
///
/// ```compile_fail,E0382
/// # use waft_core::code::TransferKey;
/// # use waft_core::sealed::{Aead, ChunkSize, Codec, Schedule, Sealer, Secret, SoftCipher, Span, Suite, Transcript};
/// # let key = TransferKey::parse("0123-4567-89AB-CDEF").unwrap();
/// # let schedule = Schedule::new(&Secret::typed(&key, &[0; 32], 1_000), &Transcript::file(b"header"));
/// # let suite = Suite { aead: Aead::ChaCha20Poly1305, codec: Codec::None, chunk: ChunkSize::MIN };
/// # let span = Span::new(0, 100).unwrap();
/// let (keys, _) = schedule.into_stream();
/// let first = Sealer::<SoftCipher>::new(keys, &suite, span);
/// let second = Sealer::<SoftCipher>::new(keys, &suite, span);
/// ```
#[derive(Debug)]
pub struct Schedule {
    stream: StreamKeys,
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
            stream: StreamKeys { chunk_key: ChunkKey([0; 32]), nonce_prefix: NoncePrefix([0; 7]) },
            commitment: Commitment([0; 32]),
            manifest: ManifestKey([0; 32]),
            accept: AcceptKey([0; 32]),
        }
    }

    /// Derives all keys in place.
    pub(crate) fn derive(&mut self, secret: &Secret, transcript: &Transcript) {
        let hkdf = Hkdf::new(None, secret.as_bytes());
        let okm = |label, out: &mut [u8]| okm(&hkdf, label, transcript, out);
        okm("waft/1 chunk key", &mut self.stream.chunk_key.0);
        okm("waft/1 chunk nonce", &mut self.stream.nonce_prefix.0);
        okm("waft/1 commitment", &mut self.commitment.0);
        okm("waft/1 manifest tag", &mut self.manifest.0);
        okm("waft/1 accept", &mut self.accept.0);
    }

    /// Ends the schedule. Returns the keys of its only stream, and the key with which the manifest inside that stream
    /// is checked.
    pub fn into_stream(self) -> (StreamKeys, ManifestKey) {
        (self.stream, self.manifest)
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
        self.manifest.tag(manifest)
    }

    /// Whether `tag` is the tag of this manifest digest, compared in constant time.
    pub fn verify_manifest_tag(&self, manifest: &Digest, tag: &[u8; 32]) -> bool {
        self.manifest.verify(manifest, tag)
    }

    /// The MAC of `Accept` over the held prefix, which proves that the receiver has the keys.
    pub fn accept_mac(&self, offset: u64, prefix: &Digest) -> [u8; 32] {
        self.accept_hmac(offset, prefix).finalize().into_bytes().into()
    }

    /// Whether `mac` is the MAC of `Accept` over this prefix, compared in constant time.
    pub fn verify_accept_mac(&self, offset: u64, prefix: &Digest, mac: &[u8; 32]) -> bool {
        self.accept_hmac(offset, prefix).verify(mac.into()).is_ok()
    }

    fn accept_hmac(&self, offset: u64, prefix: &Digest) -> Hmac<Sha256> {
        hmac(&self.accept.0).chain_update(offset.to_be_bytes()).chain_update(prefix.0)
    }
}

/// `OKM(label, n)` of the specification, where n is the length of `out`.
fn okm(hkdf: &Hkdf<Sha256>, label: &str, transcript: &Transcript, out: &mut [u8]) {
    hkdf.expand_multi_info(&[label.as_bytes(), transcript.as_bytes()], out)
        .expect("32 bytes are within HKDF's 255 blocks");
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
        let schedule = Schedule::new(
            &Secret::exported(vector.array("secret")),
            &Transcript::from_bytes(vector.array("transcript")),
        );
        (vector, schedule)
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
        let transcript = Transcript::from_bytes(vector.array("transcript"));
        check_keys(&vector, &Schedule::new(&Secret::exported(vector.array("secret")), &transcript));
    }

    fn check_keys(vector: &Vector, schedule: &Schedule) {
        assert_eq!(vector.array("chunk_key"), *schedule.stream.chunk_key().as_bytes());
        assert_eq!(vector.array("nonce_prefix"), schedule.stream.nonce_prefix().0);
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
    fn debug_shows_no_keys() {
        let (_, schedule) = session();
        let shown = format!("{:?} {schedule:?}", Secret::exported([0xAB; 32]));
        assert!(shown.starts_with("Secret(..) Schedule"), "{shown}");
        assert!(shown.contains("ChunkKey(..)") && shown.contains("Commitment(..)"), "{shown}");
        assert!(!shown.contains("171"), "{shown}");
    }
}
