//! The identity image: the board's name, keys, trusted senders and network settings. It is written to its own erase
//! sector at flash time. The host encodes it with this same code.
//!
//! Numbers are big-endian. A `text` has its length before it in 1 byte, and `bytes` in 2 bytes.
//!
//! ```text
//! 0   "WFID"                       4
//! 4   version, 1                   1
//! 5   length of the image with CRC 2
//! 7   name                         text   1 to 32 of a-z A-Z 0-9 . _ -, not beginning with - or .
//!     TLS key                      32     private scalar
//!     HPKE key                     32     private scalar
//!     seed                         32
//!     policy                       1      bit 0: code required; bit 1: key sealed; bit 2: older folders allowed;
//!                                         bit 3, not with bit 1: the sender decides whether the key is sealed;
//!                                         bit 4: not announced on the network
//!     certificate                  bytes  DER; contains the public keys of both
//!     senders                      1      number; for each: name text, SHA-256 of its certificate 32, public key 65
//!     hostname                     text
//!     address                      1      0: DHCP; 1: static, then address 4, prefix 1, gateway 4, DNS 4 (0: none)
//!     Wi-Fi                        1      0: none; 1: then SSID text of 1 to 32 bytes, and passphrase text: 8 to 63
//!                                         characters of printable ASCII, a key of 64 hexadecimal digits, or nothing
//!     CRC-32 (IEEE)                4      over all bytes before it
//! ```

mod der;
mod image;
mod network;
mod own;
mod senders;
#[cfg(test)]
mod tests;

use core::fmt;

use heapless::{String, Vec};
use p256::ecdsa::SigningKey;
use zeroize::Zeroizing;

pub use waft_core::certificate::CertificateHash;
pub use waft_core::sealed::HpkeSecret;
pub use waft_core::sealed::hpke::POINT;

#[cfg(feature = "wifi")]
pub(crate) use network::check_ssid;
pub use network::{Address, Network, SSID_MAX, Wifi, WifiError};
pub use senders::TrustedSenders;

/// The longest name, in bytes.
pub const NAME_MAX: usize = 32;
/// The longest certificate of a board, in bytes of DER. Its message has to fit the TLS write buffer.
pub const CERTIFICATE_MAX: usize = 768;
/// The most senders that a board trusts.
pub const SENDERS_MAX: usize = 8;
/// The longest image, in bytes: the smallest erase sector of the supported chips.
pub const IMAGE_MAX: usize = 4096;

/// The identity of a board. Its `Debug` output contains no keys.
pub struct Identity {
    /// The name that the owner gave to the board.
    pub name: String<NAME_MAX>,
    /// The private key of the certificate.
    pub tls: SigningKey,
    /// The private key that opens sealed transfer keys.
    pub hpke: HpkeSecret,
    /// A secret from provisioning, from which the board derives a new [`seed`](crate::seed) if there is none in flash.
    pub seed: Zeroizing<[u8; 32]>,
    /// What the board requires of senders.
    pub policy: Policy,
    /// The certificate that senders trust, in DER.
    pub certificate: Vec<u8, CERTIFICATE_MAX>,
    /// The trusted senders: 1 to [`SENDERS_MAX`] in an image. [`Settings`](crate::settings::Settings) changes the list.
    pub senders: TrustedSenders,
    /// The network settings.
    pub network: Network,
}

impl Identity {
    /// The identity of an application that stores keys and senders in its own way, or makes its keys itself. The keys are
    /// scalars of P-256, and `certificate` is a self-signed one that contains both public keys, as PROTOCOL.md, section
    /// 3, describes it. What only an image needs, the seed and the network settings, has defaults.
    pub fn new(
        name: &str,
        tls_key: &[u8; 32],
        hpke_key: &[u8; 32],
        certificate: &[u8],
        senders: &[TrustedSender],
        policy: Policy,
    ) -> Result<Self, IdentityError> {
        let name: String<NAME_MAX> = name.try_into().map_err(|_| IdentityError::Name)?;
        let certificate = Vec::from_slice(certificate).map_err(|_| IdentityError::Certificate)?;
        let senders = TrustedSenders::try_from(senders)?;
        let network = Network { hostname: name.clone(), address: Address::Dhcp, wifi: None };
        let seed = Zeroizing::default();
        let (tls, hpke) = private_keys(tls_key, hpke_key)?;
        let identity = Self { name, tls, hpke, seed, policy, certificate, senders, network };
        identity.check().map(|()| identity)
    }

    /// Whether the sector of the identity image is blank: the board was never provisioned. A sector with anything else in
    /// it is not, even if it is damaged.
    pub fn is_missing(sector: &[u8]) -> bool {
        !sector.is_empty() && sector.iter().all(|byte| *byte == 0xFF)
    }

    /// Parses an image. The rest of its sector is ignored.
    pub fn parse(sector: &[u8]) -> Result<Self, IdentityError> {
        let mut place = None;
        Self::parse_into(sector, &mut place)?;
        Ok(place.expect("the image was parsed into it"))
    }

    /// Parses an image into `place`, as a board does with a `static`: an identity takes more than 2 KiB, and one that was
    /// returned by value would be on the stack several times.
    pub fn parse_into<'p>(sector: &[u8], place: &'p mut Option<Self>) -> Result<&'p mut Self, IdentityError> {
        image::parse_into(sector, place)
    }

    /// Encodes the image into `out`, and returns its length.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, IdentityError> {
        image::encode(self, out)
    }

    /// The hash of the certificate, by which sessions identify the board.
    pub fn certificate_hash(&self) -> CertificateHash {
        CertificateHash::of(&self.certificate)
    }

    /// Checks that the parts are valid and fit together. Not inlined, so that its stack frame exists only during the call.
    #[inline(never)]
    fn check(&self) -> Result<(), IdentityError> {
        let public = self.tls.verifying_key().to_encoded_point(false);
        if !is_name(&self.name) {
            return Err(IdentityError::Name);
        }
        if !contains(&self.certificate, public.as_bytes()) || !contains(&self.certificate, &self.hpke.public()) {
            return Err(IdentityError::CertificateMismatch);
        }
        if self.senders.is_empty() {
            return Err(IdentityError::Senders);
        }
        self.senders.check()?;
        self.network.check()
    }
}

/// The private keys, of scalars. Not inlined, so that the stack frames of the computation of the public keys exist only
/// during the call.
///
/// **All other fields of an identity exist before this call**, in the frame of the caller: the unused bytes of strings and
/// lists, which move with an identity into a `static`, then contain nothing that the computation left on the stack.
#[inline(never)]
fn private_keys(tls: &[u8; 32], hpke: &[u8; 32]) -> Result<(SigningKey, HpkeSecret), IdentityError> {
    let tls = SigningKey::from_slice(tls).map_err(|_| IdentityError::TlsKey)?;
    let hpke = HpkeSecret::from_bytes(hpke).map_err(|_| IdentityError::HpkeKey)?;
    Ok((tls, hpke))
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("name", &self.name).field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// A sender that a board trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedSender {
    /// The name that the owner gave to the sender.
    pub name: String<NAME_MAX>,
    /// The hash of its certificate.
    pub hash: CertificateHash,
    /// The public key of the certificate: an uncompressed point of P-256.
    pub point: [u8; POINT],
}

impl TrustedSender {
    /// A sender with this certificate, in DER. `point` is its public key: an uncompressed point of P-256.
    pub fn new(name: &str, certificate: &[u8], point: [u8; POINT]) -> Result<Self, IdentityError> {
        let name = name.try_into().map_err(|_| IdentityError::Name)?;
        if !contains(certificate, &point) {
            return Err(IdentityError::CertificateMismatch);
        }
        let sender = Self { name, hash: CertificateHash::of(certificate), point };
        sender.check().map(|()| sender)
    }

    /// A sender with this certificate, in DER. The public key is read from the certificate.
    pub fn from_certificate(name: &str, certificate: &[u8]) -> Result<Self, IdentityError> {
        let point = der::public_point(certificate).ok_or(IdentityError::Certificate)?;
        Self::new(name, certificate, point)
    }

    pub(crate) fn check(&self) -> Result<(), IdentityError> {
        if !is_name(&self.name) {
            return Err(IdentityError::Name);
        }
        p256::PublicKey::from_sec1_bytes(&self.point).map(drop).map_err(|_| IdentityError::Senders)
    }
}

/// What a board requires of senders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether senders have to send the 4-digit code.
    pub code: bool,
    /// How the board obtains the transfer key.
    pub key: KeyPolicy,
    /// Whether a folder may be older than the newest one from the same sender.
    pub allow_older: bool,
    /// Whether the board announces itself on its network, if its firmware can.
    pub announce: bool,
}

/// How a board obtains the transfer key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPolicy {
    /// The operator types it at the console.
    Typed,
    /// The sender seals it to the board's HPKE key, so that no operator is needed.
    Sealed,
    /// The sender decides which of the two.
    Either,
}

/// Why an identity image is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum IdentityError {
    /// The sector is blank: the board was never provisioned.
    Missing,
    /// The sector holds something else than an identity.
    NotAnIdentity,
    /// The image has the version of another release of waft.
    Version,
    /// The image is too short, or does not fit the buffer.
    Length,
    /// The image is damaged.
    Checksum,
    /// A name has invalid characters.
    Name,
    /// The private TLS key is invalid.
    TlsKey,
    /// The private HPKE key is invalid.
    HpkeKey,
    /// The certificate is too long.
    Certificate,
    /// A certificate does not contain its public keys.
    CertificateMismatch,
    /// The policy has unknown bits.
    Policy,
    /// There is no trusted sender, there are too many, or one has an invalid public key.
    Senders,
    /// The network settings are invalid.
    Network,
}

pub(crate) fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !name.is_empty() && !name.starts_with(['-', '.']) && name.bytes().all(is_allowed)
}

fn contains(certificate: &[u8], point: &[u8]) -> bool {
    certificate.windows(point.len()).any(|window| window == point)
}
