//! The key schedule: derives all keys of one connection or one sealed file from one secret.
//!
//! ```text
//! Secret -HKDF(info = label, Transcript)-> Schedule: chunk key, nonce prefix, commitment, manifest tag key, accept key,
//!                                                    base key, name key
//! ```
//!
//! The [`Transcript`] of a connection contains the random bytes of `Hello` and `Greeting`, so that every connection has
//! fresh keys.
//!
//! The sender sends [`Schedule::commitment`], [`Schedule::manifest_tag`] and the name of the folder, sealed with
//! [`Schedule::take_name_key`], in `Offer`; a sealed file contains only the commitment. The receiver answers with
//! [`Schedule::accept_mac`] in `Accept`. Then [`Schedule::into_stream`] returns
//! the keys for the [`Sealer`](super::stream::Sealer) or the [`Opener`](super::stream::Opener).
//!
//! PROTOCOL.md, section 7.3.

use core::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::name::NameKey;
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
    /// The key of an AEAD: the one that encrypts the chunks (label: `waft/1 chunk key`), or the one that encrypts the
    /// name of the folder ([`NameKey`]).
    AeadKey
}

impl AeadKey {
    /// The bytes of the key, from which a [`Cipher`](super::cipher::Cipher) is created.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    #[cfg(test)]
    pub(super) fn from_bytes(key: [u8; 32]) -> Self {
        Self(key)
    }
}

key! {
    /// A value that proves to the peer, or to the reader of a sealed file, that the sender derived the same keys. It
    /// reveals nothing about the other keys. Label: `waft/1 commitment`.
    Commitment
}

key! {
    /// The HMAC key of `Offer.manifest_tag`. Label: `waft/1 manifest tag`.
    ManifestKey
}

impl ManifestKey {
    /// Computes the manifest tag for a manifest with this digest.
    fn tag(&self, manifest: &Digest) -> [u8; 32] {
        self.hmac(manifest).finalize().into_bytes().into()
    }

    /// Whether `tag` is the manifest tag for this digest. Compares in constant time.
    #[inline(never)] // Several steps of a session call this. Inlined, it would be in a firmware image several times.
    pub fn verify(&self, manifest: &Digest, tag: &[u8; 32]) -> bool {
        self.hmac(manifest).verify(tag.into()).is_ok()
    }

    fn hmac(&self, manifest: &Digest) -> Hmac<Sha256> {
        hmac(&self.0).chain_update(manifest.0)
    }
}

key! {
    /// The HMAC key of `Accept.mac`. Label: `waft/1 accept`.
    AcceptKey
}

key! {
    /// The HMAC key of `BaseEnd.mac`. Label: `waft/1 base`.
    BaseKey
}

impl BaseKey {
    /// Begins the MAC of a list of files that a receiver's base has.
    pub(crate) fn list(&self) -> BaseListMac {
        BaseListMac(hmac(&self.0))
    }
}

/// The MAC of a list of files, which are added one by one.
pub(crate) struct BaseListMac(Hmac<Sha256>);

impl BaseListMac {
    /// Adds the file with this index among the manifest's files.
    pub(crate) fn add(&mut self, file: u32, digest: &Digest) {
        self.0.update(&file.to_be_bytes());
        self.0.update(&digest.0);
    }

    /// The MAC of the whole list.
    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into_bytes().into()
    }

    /// Whether `mac` is the MAC of the whole list. Compares in constant time.
    pub(crate) fn verify(self, mac: &[u8; 32]) -> bool {
        self.0.verify(mac.into()).is_ok()
    }
}

/// The first bytes of the nonce of every chunk of a stream. The prefix is not secret, but only one stream uses it.
/// Label: `waft/1 chunk nonce`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoncePrefix([u8; 7]);

impl NoncePrefix {
    /// The bytes of the prefix.
    pub fn as_bytes(&self) -> &[u8; 7] {
        &self.0
    }
}

/// The chunk key and the nonce prefix of one stream. A [`Sealer`](super::stream::Sealer) or an
/// [`Opener`](super::stream::Opener) takes them by value, so that no second stream can use the same key and nonces.
#[derive(Debug)]
pub struct StreamKeys {
    chunk_key: AeadKey,
    nonce_prefix: NoncePrefix,
}

impl StreamKeys {
    /// The key of the AEAD that encrypts the chunks.
    pub fn chunk_key(&self) -> &AeadKey {
        &self.chunk_key
    }

    /// The prefix of the chunks' nonces.
    pub fn nonce_prefix(&self) -> NoncePrefix {
        self.nonce_prefix
    }

    #[cfg(test)]
    pub(super) fn from_bytes(chunk_key: [u8; 32], nonce_prefix: [u8; 7]) -> Self {
        Self { chunk_key: AeadKey(chunk_key), nonce_prefix: NoncePrefix(nonce_prefix) }
    }
}

/// All keys of one connection or one sealed file.
///
/// Both sides derive the same schedule. They first prove this to each other: the sender with the
/// [`commitment`](Self::commitment), the receiver with the [`accept_mac`](Self::accept_mac). Then
/// [`into_stream`](Self::into_stream) consumes the schedule. Two streams with the keys of one schedule would encrypt
/// different data with the same nonces, so code that creates a second stream does not compile:
///
/// ```compile_fail,E0382
/// # use waft_core::code::TransferKey;
/// # use waft_core::sealed::{Schedule, Secret, Transcript};
/// # let key = TransferKey::parse("0123-4567-89AB-CDEF").unwrap();
/// let schedule = Schedule::new(&Secret::typed(&key, &[0; 32], 1_000), &Transcript::file(b"header"));
/// let (first, ..) = schedule.into_stream();
/// let (second, ..) = schedule.into_stream();
/// ```
///
/// Code that creates a second sealer with the same keys does not compile either:
///
/// ```compile_fail,E0382
/// # use waft_core::code::TransferKey;
/// # use waft_core::sealed::{Aead, ChunkSize, Codec, Schedule, Sealer, Secret, SoftCipher, Span, Suite, Transcript};
/// # let key = TransferKey::parse("0123-4567-89AB-CDEF").unwrap();
/// # let schedule = Schedule::new(&Secret::typed(&key, &[0; 32], 1_000), &Transcript::file(b"header"));
/// # let suite = Suite { aead: Aead::ChaCha20Poly1305, codec: Codec::None, chunk: ChunkSize::MIN };
/// # let span = Span::new(0, 100).unwrap();
/// let (keys, ..) = schedule.into_stream();
/// let first = Sealer::<SoftCipher>::new(keys, &suite, span);
/// let second = Sealer::<SoftCipher>::new(keys, &suite, span);
/// ```
#[derive(Debug)]
pub struct Schedule {
    stream: StreamKeys,
    commitment: Commitment,
    manifest: ManifestKey,
    accept: AcceptKey,
    base: BaseKey,
    /// `None` once it was taken.
    name: Option<NameKey>,
}

impl Schedule {
    /// Derives all keys, and returns them by value. This may leave copies of them on the stack.
    pub fn new(secret: &Secret, transcript: &Transcript) -> Self {
        let mut keys = Self::empty();
        keys.derive(secret, transcript);
        keys.derive_name_key(secret, transcript);
        keys
    }

    /// An empty schedule, which the session of a receiver fills in place, so that no copies of the keys are left on the
    /// stack of a board.
    pub const fn empty() -> Self {
        Self {
            stream: StreamKeys { chunk_key: AeadKey([0; 32]), nonce_prefix: NoncePrefix([0; 7]) },
            commitment: Commitment([0; 32]),
            manifest: ManifestKey([0; 32]),
            accept: AcceptKey([0; 32]),
            base: BaseKey([0; 32]),
            name: None,
        }
    }

    /// Derives all keys but that of the name, and writes them into this schedule.
    pub(crate) fn derive(&mut self, secret: &Secret, transcript: &Transcript) {
        let hkdf = Hkdf::new(None, secret.as_bytes());
        let fill = |label, out: &mut [u8]| okm(&hkdf, label, transcript, out);
        fill("waft/1 chunk key", &mut self.stream.chunk_key.0);
        fill("waft/1 chunk nonce", &mut self.stream.nonce_prefix.0);
        fill("waft/1 commitment", &mut self.commitment.0);
        fill("waft/1 manifest tag", &mut self.manifest.0);
        fill("waft/1 accept", &mut self.accept.0);
        fill("waft/1 base", &mut self.base.0);
    }

    /// Derives the key of the folder's name as well. Separate, because a board does not need it.
    pub(crate) fn derive_name_key(&mut self, secret: &Secret, transcript: &Transcript) {
        let key = &mut self.name.insert(NameKey(AeadKey([0; 32]))).0.0;
        okm(&Hkdf::new(None, secret.as_bytes()), "waft/1 name", transcript, key);
    }

    /// Consumes the schedule. Returns the keys of its only stream, the key with which the receiver checks the manifest
    /// of the archive in that stream, and the key of the list of files that the receiver's base has.
    pub fn into_stream(self) -> (StreamKeys, ManifestKey, BaseKey) {
        (self.stream, self.manifest, self.base)
    }

    /// The key of the folder's name, which seals one name only. `None` if it was taken before.
    pub fn take_name_key(&mut self) -> Option<NameKey> {
        self.name.take()
    }

    /// The commitment to these keys, for `Offer.commitment` or a sealed file. It proves that the sender derived the
    /// same keys, and reveals nothing about the other keys.
    pub fn commitment(&self) -> [u8; 32] {
        self.commitment.0
    }

    /// Whether `commitment` is the commitment to these keys, so that its sender has the same keys. Compares in constant
    /// time.
    pub fn commits_to(&self, commitment: &[u8; 32]) -> bool {
        self.commitment.0.ct_eq(commitment).into()
    }

    /// Computes `Offer.manifest_tag` for a manifest with this digest.
    pub fn manifest_tag(&self, manifest: &Digest) -> [u8; 32] {
        self.manifest.tag(manifest)
    }

    /// Whether `tag` is the manifest tag for this digest. Compares in constant time.
    pub fn verify_manifest_tag(&self, manifest: &Digest, tag: &[u8; 32]) -> bool {
        self.manifest.verify(manifest, tag)
    }

    /// Computes `Accept.mac`, which proves that the receiver has the keys. `offset` is the length, and `prefix` the
    /// digest, of the part of the archive that the receiver already holds; `base` says whether it has a base.
    pub fn accept_mac(&self, offset: u64, prefix: &Digest, base: bool) -> [u8; 32] {
        self.accept_hmac(offset, prefix, base).finalize().into_bytes().into()
    }

    /// Whether `mac` is `Accept.mac` for these values. Compares in constant time.
    pub fn verify_accept_mac(&self, offset: u64, prefix: &Digest, base: bool, mac: &[u8; 32]) -> bool {
        self.accept_hmac(offset, prefix, base).verify(mac.into()).is_ok()
    }

    fn accept_hmac(&self, offset: u64, prefix: &Digest, base: bool) -> Hmac<Sha256> {
        hmac(&self.accept.0).chain_update(offset.to_be_bytes()).chain_update(prefix.0).chain_update([base.into()])
    }
}

/// Fills `out` with output keying material: `OKM(label, n)` of PROTOCOL.md, section 7.3, where n is the length of
/// `out`.
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
        // The file contains only the vectors with an empty salt, because the key schedule uses none.
        for vector in vectors(include_str!("../../tests/vectors/wycheproof/hkdf_sha256.txt")) {
            let expected = vector.bytes("okm");
            let mut okm = vec![0; expected.len()];
            Hkdf::<Sha256>::new(None, &vector.bytes("ikm")).expand(&vector.bytes("info"), &mut okm).unwrap();
            assert_eq!(expected, okm, "id {}", vector.text("id"));
        }
    }

    /// The test vector of a session, and the schedule that is derived from its secret and transcript.
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
        assert_eq!(vector.array("accept_mac"), schedule.accept_mac(vector.number("offset"), &prefix, true));
        let mut list = schedule.base.list();
        list.add(0, &manifest);
        list.add(7, &prefix);
        assert_eq!(vector.array("base_mac"), list.finish());
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
        assert_eq!(vector.array("base_key"), schedule.base.0);
        assert_eq!(Some(vector.array("name_key")), schedule.name.as_ref().map(|key| *key.0.as_bytes()));
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
        let mac = schedule.accept_mac(7, &digest, true);
        assert!(schedule.verify_accept_mac(7, &digest, true, &mac));
        assert!(!schedule.verify_accept_mac(7, &digest, true, &flip(mac)));
        assert!(!schedule.verify_accept_mac(8, &digest, true, &mac));
        assert!(!schedule.verify_accept_mac(7, &other, true, &mac));
        assert!(!schedule.verify_accept_mac(7, &digest, false, &mac));
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
        assert!(shown.contains("AeadKey(..)") && shown.contains("Commitment(..)"), "{shown}");
        // A derived `Debug` would print each byte of the secret, 0xAB, in decimal.
        assert!(!shown.contains("171"), "{shown}");
    }
}
