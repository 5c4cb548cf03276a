//! How a session names its two ends: by the SHA-256 of their certificates.
//!
//! Keys are bound to both of them, and a receiver remembers its senders by them. What else a certificate says is the
//! business of TLS. PROTOCOL.md, section 3.

use core::fmt;

use sha2::{Digest as _, Sha256};

use crate::code::Fingerprint;

/// SHA-256 of a certificate's DER bytes. Shown as the [`Fingerprint`] that people compare.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CertificateHash(pub [u8; 32]);

impl CertificateHash {
    /// The hash of a certificate.
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

impl fmt::Display for CertificateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Fingerprint::of(self).fmt(f)
    }
}

impl fmt::Debug for CertificateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateHash({self})")
    }
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    #[test]
    fn it_is_the_sha_256_of_all_bytes() {
        // FIPS 180-2, appendix B.1.
        let abc = CertificateHash::of(b"abc");
        assert_eq!(abc.0[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(abc.0[28..], [0xf2, 0x00, 0x15, 0xad]);
    }

    #[test]
    fn it_is_shown_as_its_fingerprint() {
        let hash = CertificateHash([0xff; 32]);
        assert_eq!(format!("{hash}"), "ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ");
        assert_eq!(format!("{hash:?}"), "CertificateHash(ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ)");
    }
}
