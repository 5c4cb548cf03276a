//! The sealed name of a folder, which crosses in `Offer.name`.
//!
//! ```text
//! AEAD-Seal( name | zeros, 255 bytes together ) | tag (16)
//! ```
//!
//! It always has the same length, so that it reveals nothing about the name. A name contains no zeros, which makes the
//! padding unambiguous. The receiver opens the name once it has checked the commitment, and then gives it to its store.
//!
//! PROTOCOL.md, section 7.5.

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::cipher::{Cipher, NONCE};
use super::keys::AeadKey;
use super::suite::Aead;
use crate::limits::{COMPONENT_MAX, SEALED_NAME};
use crate::path::FolderName;

/// The nonce: the key seals one name only.
const ZEROS: [u8; NONCE] = [0; NONCE];

/// The key of a folder's name. Label: `waft/1 name`. Sealing consumes it, so that it seals one name only.
#[derive(Debug, Zeroize, ZeroizeOnDrop)]
pub struct NameKey(pub(super) AeadKey);

impl NameKey {
    /// Seals the name. `None` for an AEAD that the cipher does not support.
    pub fn seal<C: Cipher>(self, aead: Aead, name: FolderName<'_>) -> Option<[u8; SEALED_NAME]> {
        let mut sealed = [0; SEALED_NAME];
        let (plain, tag) = sealed.split_at_mut(COMPONENT_MAX);
        plain[..name.as_str().len()].copy_from_slice(name.as_str().as_bytes());
        tag.copy_from_slice(&C::new(aead, &self.0)?.seal(&ZEROS, plain));
        Some(sealed)
    }

    /// Opens a sealed name in place. `None` if it is not authentic, or if it is no name of a folder.
    pub fn open<'b, C: Cipher>(&self, aead: Aead, sealed: &'b mut [u8; SEALED_NAME]) -> Option<FolderName<'b>> {
        let (plain, tag) = sealed.split_last_chunk_mut()?;
        C::new(aead, &self.0)?.open(&ZEROS, plain, tag).ok()?;
        let length = plain.iter().rposition(|byte| *byte != 0)? + 1;
        FolderName::new(str::from_utf8(&plain[..length]).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealed::cipher::SoftCipher;
    use crate::sealed::vectors::vectors;

    fn key() -> NameKey {
        NameKey(AeadKey::from_bytes([7; 32]))
    }

    /// Seals any bytes, as a hostile sender can.
    fn seal_plain(plain: &[u8; COMPONENT_MAX]) -> [u8; SEALED_NAME] {
        let mut sealed = [0; SEALED_NAME];
        let (data, tag) = sealed.split_at_mut(COMPONENT_MAX);
        data.copy_from_slice(plain);
        let cipher = SoftCipher::new(Aead::ChaCha20Poly1305, &key().0).unwrap();
        tag.copy_from_slice(&cipher.seal(&ZEROS, data));
        sealed
    }

    fn padded(name: &[u8]) -> [u8; COMPONENT_MAX] {
        let mut plain = [0; COMPONENT_MAX];
        plain[..name.len()].copy_from_slice(name);
        plain
    }

    #[test]
    fn a_sealed_name_has_the_frozen_bytes() {
        let vector = vectors(include_str!("../../tests/vectors/sealed/name.txt"));
        assert_eq!(vector.len(), 3);
        for vector in vector {
            let key = || NameKey(AeadKey::from_bytes(vector.array("key")));
            let aead = Aead::from_number(vector.number("aead") as u8).unwrap();
            let name = vector.bytes("name");
            let name = FolderName::new(str::from_utf8(&name).unwrap()).unwrap();
            let mut sealed = key().seal::<SoftCipher>(aead, name).unwrap();
            assert_eq!(vector.bytes("sealed"), sealed);
            assert_eq!(vector.bytes("name"), key().open::<SoftCipher>(aead, &mut sealed).unwrap().as_str().as_bytes());
        }
    }

    #[test]
    fn a_change_of_any_byte_is_noticed() {
        let aead = Aead::ChaCha20Poly1305;
        let sealed = key().seal::<SoftCipher>(aead, FolderName::new("photos").unwrap()).unwrap();
        for at in 0..SEALED_NAME {
            let mut other = sealed;
            other[at] ^= 1;
            assert_eq!(key().open::<SoftCipher>(aead, &mut other), None, "{at}");
        }
        assert_eq!(key().open::<SoftCipher>(Aead::Aes256Gcm, &mut sealed.clone()), None);
        let other = NameKey(AeadKey::from_bytes([8; 32]));
        assert_eq!(other.open::<SoftCipher>(aead, &mut sealed.clone()), None);
    }

    #[test]
    fn a_sender_that_has_the_key_can_seal_no_other_names() {
        let open = |plain: &[u8; COMPONENT_MAX]| {
            key().open::<SoftCipher>(Aead::ChaCha20Poly1305, &mut seal_plain(plain)).is_some()
        };
        assert!(open(&padded(b"photos")) && open(&[b'n'; COMPONENT_MAX]));
        for hostile in
            [&b""[..], b".", b"..", b"../a", b"a/b", b"/a", b"a\0b", b"a\nb", b"\x1b[2J", b"\xff", b"\xc2\x9b"]
        {
            assert!(!open(&padded(hostile)), "{hostile:?}");
        }
    }
}
