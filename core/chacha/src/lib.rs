//! ChaCha20 and ChaCha20-Poly1305 of RFC 8439, once in an image: for TLS, the sealed stream and random numbers.
//!
//! The two primitives are those of the RustCrypto crates `chacha20` and `poly1305`. This crate combines them, as section
//! 2.8 of the RFC says, because the generic code of the crates `cipher` and `chacha20poly1305` is expensive on a
//! microcontroller: it copies each block of the key stream several times, and combines it with the data byte by byte. A
//! Cortex-M4 took 46 instructions per byte with it, and takes 31 with this crate.
//!
//! Generic code is compiled with the options of the crate that uses it. On a board those would be the options for small
//! code, so this crate has options of its own: see `profile.firmware` in the workspace's `Cargo.toml`.

#![no_std]
#![forbid(unsafe_code)]

use core::fmt;

use aead::consts::{U0, U12, U16, U32};
use aead::{AeadCore, AeadInPlace, Error, Key, KeyInit, KeySizeUser, Nonce, Tag};
use chacha20::ChaChaCore;
use chacha20::cipher::consts::U10;
use chacha20::cipher::{Block, KeyIvInit, StreamCipherCore};
use poly1305::Poly1305;
use poly1305::universal_hash::UniversalHash;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// Length of a block of the key stream, in bytes.
const BLOCK: usize = 64;
/// Blocks that are made at once. Processors with vectors make several in the time of one.
const BATCH: usize = if cfg!(target_pointer_width = "32") { 1 } else { 4 };

/// The AEAD ChaCha20-Poly1305. Wipes its key when it is dropped.
pub struct ChaCha20Poly1305(Zeroizing<[u8; 32]>);

impl KeySizeUser for ChaCha20Poly1305 {
    type KeySize = U32;
}

impl KeyInit for ChaCha20Poly1305 {
    fn new(key: &Key<Self>) -> Self {
        Self(Zeroizing::new((*key).into()))
    }
}

impl AeadCore for ChaCha20Poly1305 {
    type NonceSize = U12;
    type TagSize = U16;
    type CiphertextOverhead = U0;
}

impl ChaCha20Poly1305 {
    /// The key stream that encrypts, and the authenticator, whose key is the start of the stream's first block.
    fn start(&self, nonce: &Nonce<Self>) -> (KeyStream, Poly1305) {
        let mut stream = KeyStream::with_nonce(&self.0, (*nonce).into());
        let mut key = Zeroizing::new([0; 32]);
        stream.fill(&mut *key);
        stream.skip_block();
        (stream, Poly1305::new((&*key).into()))
    }
}

impl AeadInPlace for ChaCha20Poly1305 {
    #[inline(never)]
    fn encrypt_in_place_detached(
        &self,
        nonce: &Nonce<Self>,
        header: &[u8],
        data: &mut [u8],
    ) -> Result<Tag<Self>, Error> {
        let (mut stream, authenticator) = self.start(nonce);
        check_length(data)?;
        stream.apply(data);
        Ok(authenticate(authenticator, header, data))
    }

    #[inline(never)]
    fn decrypt_in_place_detached(
        &self,
        nonce: &Nonce<Self>,
        header: &[u8],
        data: &mut [u8],
        tag: &Tag<Self>,
    ) -> Result<(), Error> {
        let (mut stream, authenticator) = self.start(nonce);
        check_length(data)?;
        if !bool::from(authenticate(authenticator, header, data).ct_eq(tag)) {
            return Err(Error);
        }
        stream.apply(data);
        Ok(())
    }
}

/// Fails if the data is longer than the 2^32 - 1 blocks that the block counter allows.
fn check_length(data: &[u8]) -> Result<(), Error> {
    if data.len() as u64 <= BLOCK as u64 * u64::from(u32::MAX) { Ok(()) } else { Err(Error) }
}

/// The tag of a header and encrypted data, each padded to whole blocks, followed by their lengths.
fn authenticate(mut authenticator: Poly1305, header: &[u8], data: &[u8]) -> Tag<ChaCha20Poly1305> {
    authenticator.update_padded(header);
    authenticator.update_padded(data);
    let mut lengths = [0; 16];
    lengths[..8].copy_from_slice(&(header.len() as u64).to_le_bytes());
    lengths[8..].copy_from_slice(&(data.len() as u64).to_le_bytes());
    authenticator.update(&[lengths.into()]);
    authenticator.finalize()
}

impl fmt::Debug for ChaCha20Poly1305 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChaCha20Poly1305(..)")
    }
}

/// The key stream of ChaCha20, from its first block on. Wipes its state when it is dropped.
pub struct KeyStream {
    core: ChaChaCore<U10>,
    /// The blocks that were made last.
    blocks: [Block<ChaChaCore<U10>>; BATCH],
    /// The number of bytes of `blocks` that were used.
    used: usize,
}

impl KeyStream {
    /// The stream of this key. Its nonce is zero, so use each key once.
    pub fn new(key: &[u8; 32]) -> Self {
        Self::with_nonce(key, [0; 12])
    }

    fn with_nonce(key: &[u8; 32], nonce: [u8; 12]) -> Self {
        let core = ChaChaCore::new(key.into(), &nonce.into());
        Self { core, blocks: [[0; BLOCK].into(); BATCH], used: BATCH * BLOCK }
    }

    /// Fills `bytes` with the next bytes of the stream, which is 256 GiB long.
    #[inline(never)]
    pub fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
        self.apply(bytes);
    }

    /// Combines `data` with the next bytes of the stream.
    fn apply(&mut self, mut data: &mut [u8]) {
        while !data.is_empty() {
            if self.used == BATCH * BLOCK {
                self.core.write_keystream_blocks(&mut self.blocks);
                self.used = 0;
            }
            let key = &self.blocks[self.used / BLOCK][self.used % BLOCK..];
            let (now, later) = data.split_at_mut(data.len().min(key.len()));
            xor(now, key);
            self.used += now.len();
            data = later;
        }
    }

    /// Discards what is left of the current block.
    fn skip_block(&mut self) {
        self.used = self.used.next_multiple_of(BLOCK);
    }
}

impl Drop for KeyStream {
    fn drop(&mut self) {
        self.blocks.iter_mut().for_each(|block| block.as_mut_slice().zeroize());
    }
}

/// Combines `data` with the start of `key`, word by word.
fn xor(data: &mut [u8], key: &[u8]) {
    let (words, rest) = data.as_chunks_mut::<4>();
    let (key_words, key_rest) = key[..words.len() * 4 + rest.len()].as_chunks::<4>();
    for (word, key) in words.iter_mut().zip(key_words) {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(*key)).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key_rest) {
        *byte ^= key;
    }
}

impl fmt::Debug for KeyStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyStream(..)")
    }
}
