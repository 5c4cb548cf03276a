//! The AEAD that encrypts chunks: the trait [`Cipher`], and its portable implementation [`SoftCipher`].
//!
//! [`stream`](super::stream) seals and opens chunks with a [`Cipher`]. A host implements the trait with its own crypto
//! library. PROTOCOL.md, section 7.4.

use core::fmt;

use aead::{AeadInPlace, KeyInit};
use aes_gcm::Aes256Gcm;
use waft_chacha::ChaCha20Poly1305;

use super::keys::AeadKey;
use super::suite::Aead;

/// Length of an AEAD's nonce, in bytes.
pub const NONCE: usize = 12;
/// Length of an AEAD's tag, in bytes.
pub const TAG: usize = 16;

/// An AEAD with its key set up. Chunks have no associated data.
///
/// This crate brings [`SoftCipher`] and [`ChaChaCipher`], in portable Rust. Implement the trait for the AES unit of a
/// chip or for another library, and name it in the `Environment` of a session or as the parameter of a
/// [`Sealer`](super::stream::Sealer). An implementation
///
/// - computes exactly the AEAD that it was set up for, with a tag of 16 bytes, so that the other side can open its
///   chunks with any other implementation;
/// - encrypts and decrypts in place, data of any length from 0 bytes to a chunk and its codec byte, and changes nothing
///   but `data`;
/// - compares tags in constant time, and reports every tag that differs;
/// - wipes its key when it is dropped, where it can.
///
/// Setting up a key is expensive (AES-256-GCM on a Cortex-M4: 9,450 instructions), so a stream keeps one object. It
/// uses each nonce once.
pub trait Cipher: Sized {
    /// The AEADs that [`new`](Self::new) supports, best first.
    const AEADS: &'static [Aead];

    /// Sets up `key`; `None` for an AEAD that is not in [`AEADS`](Self::AEADS).
    fn new(aead: Aead, key: &AeadKey) -> Option<Self>;

    /// Encrypts `data` in place and returns its tag. The caller never uses a `nonce` twice.
    fn seal(&self, nonce: &[u8; NONCE], data: &mut [u8]) -> [u8; TAG];

    /// Decrypts `data` in place if `tag` is right. After an error the contents of `data` are unspecified.
    fn open(&self, nonce: &[u8; NONCE], data: &mut [u8], tag: &[u8; TAG]) -> Result<(), Forged>;
}

/// Authentication failed: data, tag, nonce or key differ from those of the sealer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Forged;

impl fmt::Display for Forged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the chunk is not authentic")
    }
}

impl core::error::Error for Forged {}

/// Both AEADs in portable Rust.
// The variants differ in size, but a session has only one such object, and there is no allocator to box it with.
#[allow(clippy::large_enum_variant)]
pub enum SoftCipher {
    /// AES-256-GCM.
    Aes256Gcm(Aes256Gcm),
    /// ChaCha20-Poly1305.
    ChaCha20Poly1305(ChaChaCipher),
}

impl Cipher for SoftCipher {
    /// ChaCha20-Poly1305 first: without an AES unit it costs a sixth of the instructions.
    const AEADS: &'static [Aead] = &[Aead::ChaCha20Poly1305, Aead::Aes256Gcm];

    fn new(aead: Aead, key: &AeadKey) -> Option<Self> {
        let key = key.as_bytes().into();
        Some(match aead {
            Aead::Aes256Gcm => Self::Aes256Gcm(Aes256Gcm::new(key)),
            Aead::ChaCha20Poly1305 => Self::ChaCha20Poly1305(ChaChaCipher(ChaCha20Poly1305::new(key))),
        })
    }

    fn seal(&self, nonce: &[u8; NONCE], data: &mut [u8]) -> [u8; TAG] {
        let tag = match self {
            Self::Aes256Gcm(cipher) => cipher.encrypt_in_place_detached(nonce.into(), b"", data),
            Self::ChaCha20Poly1305(cipher) => return cipher.seal(nonce, data),
        };
        tag.expect("a chunk is far shorter than AES-GCM's limit of 64 GiB").into()
    }

    fn open(&self, nonce: &[u8; NONCE], data: &mut [u8], tag: &[u8; TAG]) -> Result<(), Forged> {
        match self {
            Self::Aes256Gcm(cipher) => {
                cipher.decrypt_in_place_detached(nonce.into(), b"", data, tag.into()).map_err(|_| Forged)
            }
            Self::ChaCha20Poly1305(cipher) => cipher.open(nonce, data, tag),
        }
    }
}

/// ChaCha20-Poly1305 alone. Chips without an AES unit use it instead of [`SoftCipher`], which would link AES into their
/// flash as well.
pub struct ChaChaCipher(ChaCha20Poly1305);

impl Cipher for ChaChaCipher {
    const AEADS: &'static [Aead] = &[Aead::ChaCha20Poly1305];

    fn new(aead: Aead, key: &AeadKey) -> Option<Self> {
        (aead == Aead::ChaCha20Poly1305).then(|| Self(ChaCha20Poly1305::new(key.as_bytes().into())))
    }

    fn seal(&self, nonce: &[u8; NONCE], data: &mut [u8]) -> [u8; TAG] {
        let tag = self.0.encrypt_in_place_detached(nonce.into(), b"", data);
        tag.expect("a chunk is far shorter than ChaCha20-Poly1305's limit of 256 GiB").into()
    }

    fn open(&self, nonce: &[u8; NONCE], data: &mut [u8], tag: &[u8; TAG]) -> Result<(), Forged> {
        self.0.decrypt_in_place_detached(nonce.into(), b"", data, tag.into()).map_err(|_| Forged)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::sealed::vectors::{Vector, vectors};

    #[test]
    fn aes_256_gcm_passes_wycheproof() {
        let vectors = vectors(include_str!("../../tests/vectors/wycheproof/aes_256_gcm.txt"));
        assert_eq!((48, 21), check_all(Aead::Aes256Gcm, &vectors));
    }

    #[test]
    fn chacha20_poly1305_passes_wycheproof() {
        let vectors = vectors(include_str!("../../tests/vectors/wycheproof/chacha20_poly1305.txt"));
        assert_eq!((45, 45), check_all(Aead::ChaCha20Poly1305, &vectors));
    }

    #[test]
    fn the_portable_cipher_supports_every_aead() {
        for aead in [Aead::Aes256Gcm, Aead::ChaCha20Poly1305] {
            assert!(SoftCipher::AEADS.contains(&aead));
            assert!(SoftCipher::new(aead, &AeadKey::from_bytes([0; 32])).is_some());
        }
    }

    /// Checks all vectors. Returns how many there are, and how many of them are valid.
    fn check_all(aead: Aead, vectors: &[Vector]) -> (usize, usize) {
        let valid = vectors.iter().filter(|vector| check(aead, vector)).count();
        (vectors.len(), valid)
    }

    fn check(aead: Aead, vector: &Vector) -> bool {
        let cipher = SoftCipher::new(aead, &AeadKey::from_bytes(vector.array("key"))).unwrap();
        let (nonce, tag) = (vector.array("nonce"), vector.array("tag"));
        let valid = vector.text("result") == "valid";
        let mut data = vector.bytes("cipher");
        assert_eq!(valid, cipher.open(&nonce, &mut data, &tag).is_ok(), "id {}", vector.text("id"));
        if valid {
            let plain: Vec<u8> = vector.bytes("plain");
            assert_eq!(plain, data, "id {}", vector.text("id"));
            assert_eq!(tag, cipher.seal(&nonce, &mut data), "id {}", vector.text("id"));
            assert_eq!(vector.bytes("cipher"), data, "id {}", vector.text("id"));
        }
        valid
    }
}
