//! How a session identifies its two ends: by the SHA-256 of their certificates.
//!
//! The keys of a session are bound to both hashes, and a receiver keeps its per-sender state under the sender's. Users
//! compare a certificate by its [`Fingerprint`]. The contents of a certificate matter only to TLS. PROTOCOL.md,
//! section 3.

use core::fmt;

use sha2::{Digest as _, Sha256};

use crate::base32::{self, Groups};

/// SHA-256 of a certificate's DER bytes. `Display` writes it as its [`Fingerprint`].
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

/// The first 100 bits of a certificate's hash, for users to compare. Written as 5 groups of 4 characters of base 32.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 20]);

impl Fingerprint {
    /// The fingerprint of a certificate.
    pub fn of(certificate: &CertificateHash) -> Self {
        let mut characters = [0; 20];
        base32::encode(&certificate.0, &mut characters);
        Self(characters)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Groups(&self.0).fmt(f)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::ToString;

    use super::*;

    #[test]
    fn a_certificate_hash_is_the_sha_256_of_all_bytes() {
        // FIPS 180-2, appendix B.1.
        let abc = CertificateHash::of(b"abc");
        assert_eq!(abc.0[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(abc.0[28..], [0xf2, 0x00, 0x15, 0xad]);
    }

    #[test]
    fn a_certificate_hash_displays_as_its_fingerprint() {
        let hash = CertificateHash([0xff; 32]);
        assert_eq!(format!("{hash}"), "ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ");
        assert_eq!(format!("{hash:?}"), "CertificateHash(ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ)");
    }

    #[test]
    fn a_fingerprint_is_the_first_hundred_bits() {
        let fingerprint = |hash| Fingerprint::of(&CertificateHash(hash)).to_string();
        assert_eq!(fingerprint([0; 32]), "0000-0000-0000-0000-0000");
        assert_eq!(fingerprint([0xff; 32]), "ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ");
        let mut hash = [0; 32];
        hash[..13].copy_from_slice(&[0x00, 0x44, 0x32, 0x14, 0xc7, 0x42, 0x54, 0xb6, 0x35, 0xcf, 0x84, 0x65, 0x3f]);
        assert_eq!(fingerprint(hash), "0123-4567-89AB-CDEF-GHJK");
        // Bit 100 is the first one that the fingerprint leaves out.
        hash[12] ^= 0x0f;
        assert_eq!(fingerprint(hash), "0123-4567-89AB-CDEF-GHJK");
        hash[12] ^= 0x10;
        assert_ne!(fingerprint(hash), "0123-4567-89AB-CDEF-GHJK");
    }
}
