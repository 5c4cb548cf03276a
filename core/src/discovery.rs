//! What a receiver announces of itself by DNS-SD on multicast DNS, so that a sender finds its address.
//!
//! ```text
//! ID-12346._waft._tcp.local    SRV  port 12346 of the host ID-12346.local
//!                              TXT  v=1, and while pairing is open: pair=NAME
//! ```
//!
//! An announcement is a hint, and proves nothing: what a peer is trusted with hangs on its certificate alone. The
//! [`DeviceId`] is all that it says of a device, except while pairing is open. PROTOCOL.md, section 14.

use core::fmt;

use sha2::{Digest as _, Sha256};

use crate::base32;
use crate::certificate::CertificateHash;
use crate::limits::PAIRING_NAME_MAX;
use crate::path::is_unsafe_to_display;

/// The labels of the service type. The domain `local` follows.
pub const SERVICE: [&str; 2] = ["_waft", "_tcp"];
/// The key of the TXT record whose value is the highest protocol version that the device speaks, in decimal.
pub const VERSION_KEY: &str = "v";
/// The key of the TXT record that is there while the device takes attempts to pair. Its value is the device's name, or
/// empty.
pub const PAIRING_KEY: &str = "pair";
/// Length of a [`DeviceId`], in characters.
pub const ID_LEN: usize = 10;

/// Hashed before the certificate's hash, so that the id has no bits in common with the fingerprint.
const LABEL: &[u8] = b"waft/1 discovery";

/// The id under which a device announces itself: 50 bits that follow from its certificate, as 10 characters of base 32.
/// Only who has the certificate can tell whose id it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId([u8; ID_LEN]);

impl DeviceId {
    /// The id of the device with this certificate.
    pub fn of(certificate: &CertificateHash) -> Self {
        let digest = Sha256::new().chain_update(LABEL).chain_update(certificate.0).finalize();
        let mut characters = [0; ID_LEN];
        base32::encode(&digest, &mut characters);
        Self(characters)
    }

    /// The id at the beginning of an instance name. What follows it, after a dash or a space, only tells several listeners
    /// of one device apart. Case is ignored, as everywhere in DNS. `None` for a name that does not begin with an id.
    pub fn from_instance(name: &[u8]) -> Option<Self> {
        let (id, rest) = name.split_first_chunk::<ID_LEN>()?;
        if !matches!(rest, [] | [b'-' | b' ', ..]) {
            return None;
        }
        let id = id.map(|character| character.to_ascii_uppercase());
        id.iter().all(|character| base32::is_character(*character)).then_some(Self(id))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceId({self})")
    }
}

/// The name that a device announces while pairing is open: at most 64 bytes of UTF-8, without characters that
/// [`escape`](crate::path::escape) would replace. `None` for a value that breaks these rules.
pub fn parse_name(value: &[u8]) -> Option<&str> {
    let name = str::from_utf8(value).ok()?;
    (name.len() <= PAIRING_NAME_MAX && !name.chars().any(is_unsafe_to_display)).then_some(name)
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    /// The vectors of PROTOCOL.md, section 14, which another program computed from its text.
    #[test]
    fn an_id_follows_from_the_certificate() {
        let counting = core::array::from_fn(|index| index as u8);
        assert_eq!(DeviceId::of(&CertificateHash(counting)).to_string(), "CYJCP9HDNK");
        assert_eq!(DeviceId::of(&CertificateHash([0x4e; 32])).to_string(), "VTB2F8KPRG");
    }

    #[test]
    fn an_id_shares_nothing_with_the_fingerprint() {
        let hash = CertificateHash::of(b"abc");
        assert_eq!(DeviceId::of(&hash).to_string(), "7EN1D4RY22");
        assert!(!hash.to_string().replace('-', "").contains("7EN1"));
    }

    #[test]
    fn an_instance_begins_with_an_id() {
        let id = |name: &[u8]| DeviceId::from_instance(name).map(|id| id.to_string());
        let good: [&[u8]; 5] =
            [b"CYJCP9HDNK", b"cyjcp9hdnk", b"CYJCP9HDNK-12346", b"CYJCP9HDNK (2)", b"CYJCP9HDNK-\xff\x1b[31m"];
        for good in good {
            assert_eq!(id(good).as_deref(), Some("CYJCP9HDNK"), "{good:?}");
        }
        let bad: [&[u8]; 9] = [
            b"",
            b"CYJCP9HDN",
            b"CYJCP9HDNKX",
            b"CYJCP9HDNK.1",
            b"CYJCP9HDNU",
            b"CYJCP9HDNO",
            b"kitchen of Anna",
            b"\x1b[31m CYJCP9",
            b"\xff\xfe\xff\xff\xff\xff\xff\xff\xff\xff",
        ];
        for bad in bad {
            assert_eq!(id(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_name_can_be_shown() {
        assert_eq!(parse_name(b""), Some(""));
        assert_eq!(parse_name("Annas Küche".as_bytes()), Some("Annas Küche"));
        assert_eq!(parse_name(&[b'a'; 64]).map(str::len), Some(64));
        for bad in [&[b'a'; 65][..], b"\x1b[31m", b"a\0", b"\xff", "a\u{202e}b".as_bytes(), b"a\nb"] {
            assert_eq!(parse_name(bad), None, "{bad:?}");
        }
    }
}
