//! The identity image: who a board is, whom it trusts and how it gets onto the network, written to its own erase
//! sector at flash time. The host encodes it with this same code.
//!
//! Numbers are big-endian; `text` and `bytes` have their length before them, in 1 and 2 bytes.
//!
//! ```text
//! 0   "WFID"                       4
//! 4   version, 1                   1
//! 5   length of all, with the CRC  2
//! 7   name                         text   1 to 32 of a-z A-Z 0-9 . _ -, not beginning with - or .
//!     TLS key                      32     scalar
//!     HPKE key                     32     scalar
//!     seed                         32
//!     policy                       1      bit 0: code required; bit 1: key sealed; bit 2: older folders allowed
//!     certificate                  bytes  DER; holds the public halves of both keys
//!     senders                      1      how many; then of each: name text, SHA-256 of its certificate 32, point 65
//!     hostname                     text
//!     address                      1      0: DHCP; 1: static, then address 4, prefix 1, gateway 4, DNS 4 (0: none)
//!     Wi-Fi                        1      0: none; 1: then SSID text, passphrase text
//!     CRC-32 (IEEE) of all before  4
//! ```

mod image;
mod network;
#[cfg(test)]
mod tests;

use core::fmt;

use heapless::{String, Vec};
use p256::ecdsa::SigningKey;
use waft_core::certificate::CertificateHash;
use waft_core::sealed::hpke::{HpkeSecret, POINT};
use zeroize::Zeroizing;

pub use network::{Address, Network, Wifi};

/// Longest name, in bytes.
pub const NAME_MAX: usize = 32;
/// Longest certificate of a board, in bytes of DER: in a message it has to fit the TLS write buffer.
pub const CERTIFICATE_MAX: usize = 768;
/// Most senders that a board trusts.
pub const SENDERS_MAX: usize = 8;
/// Longest image, in bytes: the smallest erase sector of the chips that we know.
pub const IMAGE_MAX: usize = 4096;

/// Who a board is, and whom it trusts. Prints no key.
pub struct Identity {
    /// What its owner calls the board.
    pub name: String<NAME_MAX>,
    /// The private key of its certificate.
    pub tls: SigningKey,
    /// Opens transfer keys that were sealed to it.
    pub hpke: HpkeSecret,
    /// The ratchet of random numbers begins here.
    pub seed: Zeroizing<[u8; 32]>,
    /// What it asks of senders.
    pub policy: Policy,
    /// What senders trust, in DER.
    pub certificate: Vec<u8, CERTIFICATE_MAX>,
    /// Whom it lets send: 1 to [`SENDERS_MAX`].
    pub senders: Vec<TrustedSender, SENDERS_MAX>,
    /// How it gets onto the network.
    pub network: Network,
}

impl Identity {
    /// Reads an image; what follows it in its sector is ignored.
    pub fn parse(sector: &[u8]) -> Result<Self, IdentityError> {
        image::parse(sector)
    }

    /// Writes the image; returns its length.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, IdentityError> {
        image::encode(self, out)
    }

    /// How sessions name its certificate.
    pub fn certificate_hash(&self) -> CertificateHash {
        CertificateHash::of(&self.certificate)
    }

    /// Holds the parts against each other.
    fn check(&self) -> Result<(), IdentityError> {
        let public = self.tls.verifying_key().to_encoded_point(false);
        if !is_name(&self.name) {
            return Err(IdentityError::Name);
        }
        if !holds(&self.certificate, public.as_bytes()) || !holds(&self.certificate, &self.hpke.public()) {
            return Err(IdentityError::CertificateOfAnother);
        }
        if self.senders.is_empty() {
            return Err(IdentityError::Senders);
        }
        self.senders.iter().try_for_each(TrustedSender::check)?;
        self.network.check()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("name", &self.name).field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// A sender that a board trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedSender {
    /// The name under which the board trusts it.
    pub name: String<NAME_MAX>,
    /// Its certificate.
    pub hash: CertificateHash,
    /// The public key in that certificate: an uncompressed point of P-256.
    pub point: [u8; POINT],
}

impl TrustedSender {
    fn check(&self) -> Result<(), IdentityError> {
        if !is_name(&self.name) {
            return Err(IdentityError::Name);
        }
        p256::PublicKey::from_sec1_bytes(&self.point).map(drop).map_err(|_| IdentityError::Senders)
    }
}

/// What a board asks of senders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The 4-digit code is asked for.
    pub code: bool,
    /// How the transfer key comes to the board.
    pub key: KeyPolicy,
    /// A folder may be older than the newest from the same sender.
    pub allow_older: bool,
}

/// How the transfer key comes to a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPolicy {
    /// A person types it at the console.
    Typed,
    /// It is sealed to the board's HPKE key: nobody has to stand there.
    Sealed,
}

/// What is wrong with an identity image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum IdentityError {
    /// The sector is blank: the board was never provisioned.
    Missing,
    /// Something else than an identity stands there.
    NoIdentity,
    /// Made by another version of waft.
    Version,
    /// It ends too early, or does not fit the place that was lent for it.
    Length,
    /// It was damaged.
    Checksum,
    /// A name has characters that no name has.
    Name,
    /// The private TLS key is none.
    TlsKey,
    /// The private HPKE key is none.
    HpkeKey,
    /// The certificate is too long.
    Certificate,
    /// The certificate is not that of the two keys.
    CertificateOfAnother,
    /// The policy has bits that mean nothing here.
    Policy,
    /// No sender is trusted, or too many, or one has no public key.
    Senders,
    /// The network settings make no sense.
    Network,
}

fn is_name(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty() && !name.starts_with(['-', '.']) && name.bytes().all(known)
}

fn holds(certificate: &[u8], point: &[u8]) -> bool {
    certificate.windows(point.len()).any(|window| window == point)
}
