//! A chip with units for AES and SHA-256: the cipher suite of TLS and the ciphers of the sealed stream are those of the
//! board, not of the library. Each unit counts its uses.

use std::cell::Cell;

use aes_gcm::Aes256Gcm;
use sha2::digest::core_api::BlockSizeUser;
use sha2::digest::{FixedOutput, HashMarker, Output, OutputSizeUser, Reset, Update};
use waft_core::sealed::{Aead, AeadKey, Cipher, Forged};
use waft_receiver::identity::KeyPolicy;
use waft_receiver::tls::suite::aead::consts::{U12, U16, U54};
use waft_receiver::tls::suite::aead::{AeadCore, AeadInPlace, Error, Key, KeyInit, KeySizeUser, Nonce, Tag};
use waft_receiver::tls::suite::{Checked, TlsCipherSuite};

use crate::board::Powered;
use crate::transfers::{folder, laptop_and_board};

thread_local! {
    static AES: Cell<usize> = const { Cell::new(0) };
    static SHA: Cell<usize> = const { Cell::new(0) };
}

fn count(unit: &'static std::thread::LocalKey<Cell<usize>>) {
    unit.set(unit.get() + 1);
}

/// AES-128-GCM in hardware, for TLS.
pub(crate) struct Aes128(aes_gcm::Aes128Gcm);

impl KeySizeUser for Aes128 {
    type KeySize = U16;
}

impl KeyInit for Aes128 {
    fn new(key: &Key<Self>) -> Self {
        Self(aes_gcm::Aes128Gcm::new(key))
    }
}

impl AeadCore for Aes128 {
    type NonceSize = <aes_gcm::Aes128Gcm as AeadCore>::NonceSize;
    type TagSize = <aes_gcm::Aes128Gcm as AeadCore>::TagSize;
    type CiphertextOverhead = <aes_gcm::Aes128Gcm as AeadCore>::CiphertextOverhead;
}

impl AeadInPlace for Aes128 {
    fn encrypt_in_place_detached(
        &self,
        nonce: &Nonce<Self>,
        header: &[u8],
        data: &mut [u8],
    ) -> Result<Tag<Self>, Error> {
        count(&AES);
        self.0.encrypt_in_place_detached(nonce, header, data)
    }

    fn decrypt_in_place_detached(
        &self,
        nonce: &Nonce<Self>,
        header: &[u8],
        data: &mut [u8],
        tag: &Tag<Self>,
    ) -> Result<(), Error> {
        count(&AES);
        self.0.decrypt_in_place_detached(nonce, header, data, tag)
    }
}

/// SHA-256 in hardware.
#[derive(Clone, Default)]
pub(crate) struct Sha256(sha2::Sha256);

impl OutputSizeUser for Sha256 {
    type OutputSize = <sha2::Sha256 as OutputSizeUser>::OutputSize;
}

impl BlockSizeUser for Sha256 {
    type BlockSize = <sha2::Sha256 as BlockSizeUser>::BlockSize;
}

impl Update for Sha256 {
    fn update(&mut self, data: &[u8]) {
        count(&SHA);
        Update::update(&mut self.0, data);
    }
}

impl FixedOutput for Sha256 {
    fn finalize_into(self, out: &mut Output<Self>) {
        FixedOutput::finalize_into(self.0, out);
    }
}

impl Reset for Sha256 {
    fn reset(&mut self) {
        Reset::reset(&mut self.0);
    }
}

impl HashMarker for Sha256 {}

/// `TLS_AES_128_GCM_SHA256` in hardware.
pub(crate) struct HardwareSuite;

impl TlsCipherSuite for HardwareSuite {
    const CODE_POINT: u16 = 0x1301;
    type Cipher = Checked<Aes128>;
    type KeyLen = U16;
    type IvLen = U12;
    type Hash = Sha256;
    type LabelBufferSize = U54;
}

/// AES-256-GCM in hardware, for the sealed stream.
pub(crate) struct HardwareCipher(Aes256Gcm);

impl Cipher for HardwareCipher {
    const AEADS: &'static [Aead] = &[Aead::Aes256Gcm];

    fn new(aead: Aead, key: &AeadKey) -> Option<Self> {
        (aead == Aead::Aes256Gcm).then(|| Self(Aes256Gcm::new(key.as_bytes().into())))
    }

    fn seal(&self, nonce: &[u8; 12], data: &mut [u8]) -> [u8; 16] {
        self.0.encrypt_in_place_detached(nonce.into(), b"", data).unwrap().into()
    }

    fn open(&self, nonce: &[u8; 12], data: &mut [u8], tag: &[u8; 16]) -> Result<(), Forged> {
        count(&AES);
        self.0.decrypt_in_place_detached(nonce.into(), b"", data, tag.into()).map_err(|_| Forged)
    }
}

#[tokio::test]
async fn a_board_brings_its_own_ciphers_and_its_own_hash() {
    let (laptop, mut identity) = laptop_and_board();
    (identity.policy.key, identity.policy.code) = (KeyPolicy::Sealed, false);
    let folder = folder(1);
    Powered::new(16)
        .boot(Ok(&identity), async |fixture| {
            let receipt = laptop.send(fixture.address, &folder, "", None).await.receipt();
            assert_eq!(receipt.digest, folder.root);
        })
        .await;
    let chunks = folder.bytes.len() / 4096;
    assert!(AES.get() > 2 * chunks && SHA.get() > 10, "{} and {}", AES.get(), SHA.get());
}
