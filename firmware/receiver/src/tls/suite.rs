//! The cipher suites, with a cipher that checks what it decrypts. Two are in software. A chip with a unit for AES or
//! SHA-256 brings its own: see [`Suite`].
//!
//! embedded-tls 0.19 panics on a record without any content, not even a type, and on a handshake message after the
//! handshake (`unimplemented!()`). [`Checked`] rejects both, so that no sender, not even a trusted one, can reset the
//! board by them.

use aes_gcm::Aes128Gcm;
use aes_gcm::aead::consts::{U12, U16, U32, U54};
use aes_gcm::aead::{AeadCore, AeadInPlace, Error, Key, KeyInit, KeySizeUser, Nonce, Tag};
use sha2::Sha256;
use sha2::digest::OutputSizeUser;
use waft_chacha::ChaCha20Poly1305;

use super::guard::OPEN;

pub use aes_gcm::aead;
pub use embedded_tls::TlsCipherSuite;

const HANDSHAKE: u8 = 22;

/// A cipher suite of TLS 1.3 with a hash of 32 bytes, whose cipher checks what it decrypts.
///
/// Every [`TlsCipherSuite`] is one if its cipher is [`Checked`]. `CODE_POINT` has to be that of `TLS_AES_128_GCM_SHA256`
/// or `TLS_CHACHA20_POLY1305_SHA256`, because senders know no others. With AES in hardware:
///
/// ```
/// use waft_receiver::tls::suite::aead::consts::{U12, U16, U54};
/// use waft_receiver::tls::suite::{Checked, Suite, TlsCipherSuite};
/// # type HardwareAes128Gcm = aes_gcm::Aes128Gcm;
/// # type HardwareSha256 = sha2::Sha256;
///
/// struct HardwareSuite;
///
/// impl TlsCipherSuite for HardwareSuite {
///     const CODE_POINT: u16 = 0x1301;
///     type Cipher = Checked<HardwareAes128Gcm>;
///     type KeyLen = U16;
///     type IvLen = U12;
///     type Hash = HardwareSha256;
///     type LabelBufferSize = U54;
/// }
///
/// fn is_suite<S: Suite>() {}
/// is_suite::<HardwareSuite>();
/// ```
pub trait Suite: TlsCipherSuite<Hash: OutputSizeUser<OutputSize = U32>, Cipher: sealed::IsChecked> + 'static {}

impl<S> Suite for S where S: TlsCipherSuite<Hash: OutputSizeUser<OutputSize = U32>, Cipher: sealed::IsChecked> + 'static {}

mod sealed {
    /// Ensures that every suite checks what it decrypts.
    pub trait IsChecked {}

    impl<C> IsChecked for super::Checked<C> {}
}

/// `TLS_AES_128_GCM_SHA256`: for chips with an AES unit.
#[derive(Debug)]
pub struct Aes128GcmSha256;

/// `TLS_CHACHA20_POLY1305_SHA256`: five times as fast on chips without an AES unit.
#[derive(Debug)]
pub struct ChaCha20Poly1305Sha256;

impl TlsCipherSuite for Aes128GcmSha256 {
    const CODE_POINT: u16 = 0x1301;
    type Cipher = Checked<Aes128Gcm>;
    type KeyLen = U16;
    type IvLen = U12;
    type Hash = Sha256;
    type LabelBufferSize = U54;
}

impl TlsCipherSuite for ChaCha20Poly1305Sha256 {
    const CODE_POINT: u16 = 0x1303;
    type Cipher = Checked<ChaCha20Poly1305>;
    type KeyLen = U32;
    type IvLen = U12;
    type Hash = Sha256;
    type LabelBufferSize = U54;
}

/// A cipher of a [`Suite`]: it rejects decrypted records on which embedded-tls would panic.
pub struct Checked<C>(C);

impl<C: KeySizeUser> KeySizeUser for Checked<C> {
    type KeySize = C::KeySize;
}

impl<C: KeyInit> KeyInit for Checked<C> {
    fn new(key: &Key<Self>) -> Self {
        Self(C::new(key))
    }
}

impl<C: AeadCore> AeadCore for Checked<C> {
    type NonceSize = C::NonceSize;
    type TagSize = C::TagSize;
    type CiphertextOverhead = C::CiphertextOverhead;
}

impl<C: AeadInPlace> AeadInPlace for Checked<C> {
    fn encrypt_in_place_detached(
        &self,
        nonce: &Nonce<Self>,
        header: &[u8],
        record: &mut [u8],
    ) -> Result<Tag<Self>, Error> {
        self.0.encrypt_in_place_detached(nonce, header, record)
    }

    fn decrypt_in_place_detached(
        &self,
        nonce: &Nonce<Self>,
        header: &[u8],
        record: &mut [u8],
        tag: &Tag<Self>,
    ) -> Result<(), Error> {
        let [kind, major, minor, high, low] = *header.first_chunk().ok_or(Error)?;
        let is_open = minor == OPEN;
        self.0.decrypt_in_place_detached(nonce, &[kind, major, 3, high, low], record, tag)?;
        if is_allowed(record, is_open) { Ok(()) } else { Err(Error) }
    }
}

/// Checks the type of a record, which is its last byte that is not zero. RFC 8446, section 5.4.
fn is_allowed(record: &[u8], is_open: bool) -> bool {
    match record.iter().rfind(|byte| **byte != 0) {
        None => false,
        Some(&HANDSHAKE) => !is_open,
        Some(_) => true,
    }
}
