//! The AEADs of the sealed stream, implemented by `ring`. This is the library that also provides TLS here; it is
//! several times as fast as the portable implementations.
//!
//! PROTOCOL.md, section 7.4.

use ring::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use waft_core::sealed::cipher::{NONCE, TAG};
use waft_core::sealed::{Aead, ChunkKey, Cipher, Forged};

/// One of the two AEADs, implemented by `ring`.
pub struct RingCipher(LessSafeKey);

impl Cipher for RingCipher {
    /// AES comes first because nearly every computer has instructions for it.
    const AEADS: &'static [Aead] = &[Aead::Aes256Gcm, Aead::ChaCha20Poly1305];

    fn new(aead: Aead, key: &ChunkKey) -> Option<Self> {
        let algorithm = match aead {
            Aead::Aes256Gcm => &AES_256_GCM,
            Aead::ChaCha20Poly1305 => &CHACHA20_POLY1305,
            _ => return None,
        };
        let key = UnboundKey::new(algorithm, key.as_bytes()).expect("both AEADs take keys of 32 bytes");
        Some(Self(LessSafeKey::new(key)))
    }

    fn seal(&self, nonce: &[u8; NONCE], data: &mut [u8]) -> [u8; TAG] {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::empty(), data);
        let tag = tag.expect("a chunk is far shorter than what either AEAD takes");
        tag.as_ref().try_into().expect("both AEADs have tags of 16 bytes")
    }

    fn open(&self, nonce: &[u8; NONCE], data: &mut [u8], tag: &[u8; TAG]) -> Result<(), Forged> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        match self.0.open_in_place_separate_tag(nonce, Aad::empty(), (*tag).into(), data, 0..) {
            Ok(_) => Ok(()),
            Err(_) => Err(Forged),
        }
    }
}

#[cfg(test)]
mod tests {
    use waft_core::code::TransferKey;
    use waft_core::sealed::{Schedule, Secret, SoftCipher, Transcript};

    use super::*;

    fn cipher<C: Cipher>(aead: Aead) -> C {
        let key = TransferKey::parse("0123-4567-89AB-CDEF").unwrap();
        let schedule = Schedule::new(&Secret::typed(&key, &[7; 32], 1), &Transcript::file(b"header"));
        C::new(aead, schedule.into_stream().0.chunk_key()).unwrap()
    }

    #[test]
    fn seals_what_the_portable_one_opens_and_back() {
        let nonce = [9; NONCE];
        for aead in [Aead::Aes256Gcm, Aead::ChaCha20Poly1305] {
            let (ring, soft): (RingCipher, SoftCipher) = (cipher(aead), cipher(aead));
            for length in [0, 1, 15, 16, 17, 4097, 65_537] {
                let plain: Vec<u8> = (0..length).map(|at| at as u8).collect();
                let (mut one, mut other) = (plain.clone(), plain.clone());
                let tag = ring.seal(&nonce, &mut one);
                assert_eq!((tag, &one), (soft.seal(&nonce, &mut other), &other), "{aead:?} {length}");
                assert_eq!(ring.open(&nonce, &mut one, &tag), Ok(()));
                assert_eq!(one, plain);
            }
        }
    }

    #[test]
    fn forgeries_do_not_open() {
        for aead in RingCipher::AEADS {
            let cipher: RingCipher = cipher(*aead);
            let mut data = *b"some bytes";
            let tag = cipher.seal(&[0; NONCE], &mut data);
            let forged = |data: [u8; 10], nonce, tag| cipher.open(&nonce, &mut { data }, &tag);
            let mut other = data;
            other[3] ^= 1;
            assert_eq!(forged(other, [0; NONCE], tag), Err(Forged));
            assert_eq!(forged(data, [1; NONCE], tag), Err(Forged));
            assert_eq!(forged(data, [0; NONCE], [0; TAG]), Err(Forged));
            assert_eq!(forged(data, [0; NONCE], tag), Ok(()));
        }
    }
}
