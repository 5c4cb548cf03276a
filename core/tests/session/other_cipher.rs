//! A session with a cipher that is not of this crate: `Cipher` is open to other implementations.

use std::cell::Cell;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{AeadInPlace, KeyInit};
use waft_core::sealed::{Aead, AeadKey, Cipher, Forged, SoftCipher};

use crate::fixture::Fixture;

/// How often each method was called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Calls {
    new: usize,
    seal: usize,
    open: usize,
}

thread_local! {
    static CALLS: Cell<Calls> = const { Cell::new(Calls { new: 0, seal: 0, open: 0 }) };
}

fn count(change: impl FnOnce(&mut Calls)) {
    let mut calls = CALLS.get();
    change(&mut calls);
    CALLS.set(calls);
}

/// AES-256-GCM in software, which counts its calls.
struct CountingAes(Aes256Gcm);

impl Cipher for CountingAes {
    const AEADS: &'static [Aead] = &[Aead::Aes256Gcm];

    fn new(aead: Aead, key: &AeadKey) -> Option<Self> {
        count(|calls| calls.new += 1);
        (aead == Aead::Aes256Gcm).then(|| Self(Aes256Gcm::new(key.as_bytes().into())))
    }

    fn seal(&self, nonce: &[u8; 12], data: &mut [u8]) -> [u8; 16] {
        count(|calls| calls.seal += 1);
        self.0.encrypt_in_place_detached(nonce.into(), b"", data).unwrap().into()
    }

    fn open(&self, nonce: &[u8; 12], data: &mut [u8], tag: &[u8; 16]) -> Result<(), Forged> {
        count(|calls| calls.open += 1);
        self.0.decrypt_in_place_detached(nonce.into(), b"", data, tag.into()).map_err(|_| Forged)
    }
}

/// The portable cipher, with AES-256-GCM only.
struct SoftAes(SoftCipher);

impl Cipher for SoftAes {
    const AEADS: &'static [Aead] = &[Aead::Aes256Gcm];

    fn new(aead: Aead, key: &AeadKey) -> Option<Self> {
        SoftCipher::new(aead, key).map(Self)
    }

    fn seal(&self, nonce: &[u8; 12], data: &mut [u8]) -> [u8; 16] {
        self.0.seal(nonce, data)
    }

    fn open(&self, nonce: &[u8; 12], data: &mut [u8], tag: &[u8; 16]) -> Result<(), Forged> {
        self.0.open(nonce, data, tag)
    }
}

#[test]
fn a_session_runs_with_another_cipher_and_its_bytes_are_the_same() {
    let bytes = Fixture::new().record::<CountingAes>();
    let calls = CALLS.get();
    let calls_each = calls.seal;
    assert!(calls_each > 50, "{calls:?}");
    let expected = Calls { new: 4, seal: calls_each, open: calls_each };
    assert_eq!(
        calls, expected,
        "on each side one set-up for the name, one for the chunks, and one call for each of them"
    );
    assert!(bytes == Fixture::new().record::<SoftAes>());
}
