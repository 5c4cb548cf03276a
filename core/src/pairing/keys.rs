//! The keys of a pairing: from the messages before the shares to the session identifier, and from the session key to
//! the tags and the sealed introductions.
//!
//! ```text
//! sid = SHA-256(Hello, Greeting)
//! ISK -HKDF(info = label, sid)-> tags of both sides, key of each direction, tag of Done
//! ```
//!
//! PROTOCOL.md, section 13.3.

use aead::{AeadInPlace, KeyInit};
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use waft_chacha::ChaCha20Poly1305;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::pairing::cpace::SessionKey;
use crate::pairing::error::PairingError;
use crate::sealed::cipher::{NONCE, TAG};

/// The session identifier, `sid` of CPace: a hash of the first message of each side, with both nonces and the version.
#[derive(Clone, Copy)]
pub(super) struct SessionId([u8; 32]);

impl SessionId {
    /// `hello` and `greeting` are the payloads of the frames as they crossed, each shorter than 64 KiB.
    pub(super) fn new(hello: &[u8], greeting: &[u8]) -> Self {
        let mut hash = Sha256::new_with_prefix(b"waft/1 pairing");
        for message in [hello, greeting] {
            hash.update((message.len() as u16).to_be_bytes());
            hash.update(message);
        }
        Self(hash.finalize().into())
    }

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A value that proves that its sender derived the same keys. It reveals nothing about the other keys.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Tag([u8; 32]);

impl Tag {
    /// The bytes that cross.
    pub(super) fn bytes(&self) -> [u8; 32] {
        self.0
    }

    /// Whether the peer sent this tag. Compares in constant time.
    pub(super) fn matches(&self, received: &[u8; 32]) -> bool {
        self.0.ct_eq(received).into()
    }
}

/// The key with which one side seals its only introduction, and the other opens it.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct IntroductionKey([u8; 32]);

impl IntroductionKey {
    /// Encrypts the first `length` bytes of `buffer` in place, and appends the tag. Returns the length of both.
    /// Consumes the key, which may seal no second message under the same nonce.
    pub(super) fn seal(self, buffer: &mut [u8], length: usize) -> usize {
        let (plain, rest) = buffer.split_at_mut(length);
        let tag = self
            .cipher()
            .encrypt_in_place_detached(&[0; NONCE].into(), b"", plain)
            .expect("an introduction is far shorter than ChaCha20-Poly1305's limit of 256 GiB");
        rest[..TAG].copy_from_slice(&tag);
        length + TAG
    }

    /// Decrypts `sealed` in place. Returns the length of the plaintext at its front.
    pub(super) fn open(self, sealed: &mut [u8]) -> Result<usize, PairingError> {
        let length = sealed.len().checked_sub(TAG).ok_or(PairingError::Forged)?;
        let (data, tag) = sealed.split_at_mut(length);
        let tag = <[u8; TAG]>::try_from(&*tag).map_err(|_| PairingError::Forged)?;
        self.cipher()
            .decrypt_in_place_detached(&[0; NONCE].into(), b"", data, &tag.into())
            .map_err(|_| PairingError::Forged)?;
        Ok(length)
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new((&self.0).into())
    }
}

/// All keys of a pairing.
pub(super) struct Keys {
    /// The dialer's confirmation.
    pub(super) dialer_confirm: Tag,
    /// The listener's confirmation.
    pub(super) listener_confirm: Tag,
    /// The key of the dialer's introduction.
    pub(super) dialer_key: IntroductionKey,
    /// The key of the listener's introduction.
    pub(super) listener_key: IntroductionKey,
    /// The tag of the dialer's `Done`.
    pub(super) done: Tag,
}

impl Keys {
    /// Derives all keys.
    #[inline(never)]
    pub(super) fn derive(session_key: &SessionKey, sid: &SessionId) -> Self {
        let hkdf = Hkdf::<Sha256>::new(None, &**session_key);
        let okm = |label: &str| {
            let mut out = Zeroizing::new([0; 32]);
            hkdf.expand_multi_info(&[label.as_bytes(), &sid.0], &mut *out)
                .expect("32 bytes are within HKDF's 255 blocks");
            *out
        };
        Self {
            dialer_confirm: Tag(okm("waft/1 pairing dialer confirm")),
            listener_confirm: Tag(okm("waft/1 pairing listener confirm")),
            dialer_key: IntroductionKey(okm("waft/1 pairing dialer key")),
            listener_key: IntroductionKey(okm("waft/1 pairing listener key")),
            done: Tag(okm("waft/1 pairing done")),
        }
    }
}
