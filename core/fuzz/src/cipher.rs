//! A cipher that does not encrypt, so that changed bytes reach the parsers that follow the AEAD.

use waft_core::sealed::{Aead, AeadKey, Cipher, Forged};

/// Leaves all bytes unchanged, and accepts every tag.
pub(crate) struct Plain;

impl Cipher for Plain {
    const AEADS: &'static [Aead] = &[Aead::Aes256Gcm];

    fn new(_: Aead, _: &AeadKey) -> Option<Self> {
        Some(Self)
    }

    fn seal(&self, _: &[u8; 12], _: &mut [u8]) -> [u8; 16] {
        [0; 16]
    }

    fn open(&self, _: &[u8; 12], _: &mut [u8], _: &[u8; 16]) -> Result<(), Forged> {
        Ok(())
    }
}
