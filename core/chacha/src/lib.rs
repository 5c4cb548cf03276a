//! ChaCha20 and ChaCha20-Poly1305 of RFC 8439, once in an image: for TLS, the sealed stream and random numbers.
//!
//! The crates that implement them are generic, and generic code is compiled with the options of the crate that uses it.
//! On a board that would be the options for small code, which take a tenth more of a transfer's instructions. This
//! crate has options of its own: see `profile.firmware` in the workspace's `Cargo.toml`.

#![no_std]
#![forbid(unsafe_code)]

use core::fmt;

use aead::{AeadCore, AeadInPlace, Error, Key, KeyInit, KeySizeUser, Nonce, Tag};
use chacha20::cipher::{KeyIvInit, StreamCipher};
use chacha20poly1305::ChaCha20Poly1305 as Portable;

/// The AEAD ChaCha20-Poly1305. Wipes its key when it is dropped.
pub struct ChaCha20Poly1305(Portable);

impl KeySizeUser for ChaCha20Poly1305 {
    type KeySize = <Portable as KeySizeUser>::KeySize;
}

impl KeyInit for ChaCha20Poly1305 {
    fn new(key: &Key<Self>) -> Self {
        Self(Portable::new(key))
    }
}

impl AeadCore for ChaCha20Poly1305 {
    type NonceSize = <Portable as AeadCore>::NonceSize;
    type TagSize = <Portable as AeadCore>::TagSize;
    type CiphertextOverhead = <Portable as AeadCore>::CiphertextOverhead;
}

impl AeadInPlace for ChaCha20Poly1305 {
    #[inline(never)]
    fn encrypt_in_place_detached(
        &self,
        nonce: &Nonce<Self>,
        header: &[u8],
        data: &mut [u8],
    ) -> Result<Tag<Self>, Error> {
        self.0.encrypt_in_place_detached(nonce, header, data)
    }

    #[inline(never)]
    fn decrypt_in_place_detached(
        &self,
        nonce: &Nonce<Self>,
        header: &[u8],
        data: &mut [u8],
        tag: &Tag<Self>,
    ) -> Result<(), Error> {
        self.0.decrypt_in_place_detached(nonce, header, data, tag)
    }
}

impl fmt::Debug for ChaCha20Poly1305 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChaCha20Poly1305(..)")
    }
}

/// The key stream of ChaCha20, from its first block on. Wipes its state when it is dropped.
pub struct KeyStream(chacha20::ChaCha20);

impl KeyStream {
    /// The stream of this key. Its nonce is zero, so use each key once.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(chacha20::ChaCha20::new(key.into(), &[0; 12].into()))
    }

    /// Fills `bytes` with the next bytes of the stream, which is 256 GiB long.
    #[inline(never)]
    pub fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
        self.0.apply_keystream(bytes);
    }
}

impl fmt::Debug for KeyStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyStream(..)")
    }
}
