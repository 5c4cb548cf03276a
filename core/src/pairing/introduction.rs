//! How a side introduces itself to the other: its certificate, and what its user is shown before trusting it.
//!
//! It crosses sealed, in postcard:
//!
//! ```text
//! kind (u8) | sends (bool) | receives (bool) | name (text) | certificate (bytes)
//! ```
//!
//! PROTOCOL.md, section 13.4.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::{PAIRING_CERTIFICATE_MAX, PAIRING_NAME_MAX};
use crate::path::is_unsafe_to_display;

/// Longest introduction, in bytes of postcard.
pub(super) const ENCODED_MAX: usize = 3 + (1 + PAIRING_NAME_MAX) + (2 + PAIRING_CERTIFICATE_MAX);

/// How a device introduces itself. Its peer knows that it comes from a device that has the code. All fields except the
/// certificate are suggestions, which a user should confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Introduction<'a> {
    kind: DeviceKind,
    directions: Directions,
    name: &'a str,
    certificate: &'a [u8],
}

/// What a side asks to be trusted with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Directions {
    /// It asks to send folders to the peer.
    pub sends: bool,
    /// It asks to receive folders from the peer.
    pub receives: bool,
}

/// What a side is. It only informs the user of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DeviceKind {
    /// A computer.
    Computer,
    /// A board with a microcontroller.
    Board,
    /// A number that this version does not know.
    Unknown(u8),
}

impl From<u8> for DeviceKind {
    fn from(number: u8) -> Self {
        match number {
            0 => Self::Computer,
            1 => Self::Board,
            number => Self::Unknown(number),
        }
    }
}

impl From<DeviceKind> for u8 {
    fn from(kind: DeviceKind) -> Self {
        match kind {
            DeviceKind::Computer => 0,
            DeviceKind::Board => 1,
            DeviceKind::Unknown(number) => number,
        }
    }
}

/// Why an introduction is refused: the side that made it is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum IntroductionError {
    /// The name has more than 64 bytes.
    NameTooLong,
    /// The name has a control character, or one that is invisible or changes the direction of text.
    NameCharacter,
    /// The certificate has no bytes, or more than 768.
    CertificateLength,
    /// The bytes are not those of an introduction.
    Malformed,
}

impl fmt::Display for IntroductionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameTooLong => write!(f, "the suggested name has more than {PAIRING_NAME_MAX} bytes"),
            Self::NameCharacter => f.write_str("the suggested name has a character that cannot be shown"),
            Self::CertificateLength => {
                write!(f, "the certificate is empty, or has more than {PAIRING_CERTIFICATE_MAX} bytes")
            }
            Self::Malformed => f.write_str("the introduction does not decode"),
        }
    }
}

impl core::error::Error for IntroductionError {}

/// The fields in the order in which they cross.
#[derive(Serialize, Deserialize)]
struct Fields<'a> {
    kind: u8,
    sends: bool,
    receives: bool,
    #[serde(borrow)]
    name: &'a str,
    #[serde(borrow)]
    certificate: &'a [u8],
}

impl<'a> Introduction<'a> {
    /// An introduction with the suggested `name`, at most 64 bytes of UTF-8, and the `certificate` in DER, 1 to 768
    /// bytes. The name may be empty; it has no characters that [`escape`](crate::path::escape) would replace.
    pub fn new(
        kind: DeviceKind,
        directions: Directions,
        name: &'a str,
        certificate: &'a [u8],
    ) -> Result<Self, IntroductionError> {
        if name.len() > PAIRING_NAME_MAX {
            return Err(IntroductionError::NameTooLong);
        }
        if name.chars().any(is_unsafe_to_display) {
            return Err(IntroductionError::NameCharacter);
        }
        if certificate.is_empty() || certificate.len() > PAIRING_CERTIFICATE_MAX {
            return Err(IntroductionError::CertificateLength);
        }
        Ok(Self { kind, directions, name, certificate })
    }

    /// Decodes an introduction. No bytes may follow its last field.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, IntroductionError> {
        let Ok((Fields { kind, sends, receives, name, certificate }, [])) = postcard::take_from_bytes(bytes) else {
            return Err(IntroductionError::Malformed);
        };
        Self::new(kind.into(), Directions { sends, receives }, name, certificate)
    }

    /// Encodes the introduction to the front of `out`, which has room for the longest one. Returns its length.
    pub(super) fn encode(&self, out: &mut [u8; ENCODED_MAX]) -> usize {
        let Self { kind, directions: Directions { sends, receives }, name, certificate } = *self;
        let fields = Fields { kind: kind.into(), sends, receives, name, certificate };
        postcard::to_slice(&fields, out).expect("name and certificate are within their bounds").len()
    }

    /// What the side is.
    pub fn kind(&self) -> DeviceKind {
        self.kind
    }

    /// What the side asks to be trusted with.
    pub fn directions(&self) -> Directions {
        self.directions
    }

    /// The name that the side suggests for itself; empty if it suggests none.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The certificate of the side, in DER. It was not parsed: compare it byte by byte, as TLS does later.
    pub fn certificate(&self) -> &'a [u8] {
        self.certificate
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    const BOTH: Directions = Directions { sends: true, receives: true };

    fn encoded(introduction: &Introduction) -> Vec<u8> {
        let mut out = [0; ENCODED_MAX];
        let length = introduction.encode(&mut out);
        out[..length].to_vec()
    }

    #[test]
    fn introductions_are_frozen() {
        let directions = Directions { sends: false, receives: true };
        let introduction = Introduction::new(DeviceKind::Board, directions, "büro", &[0x30, 0x82]).unwrap();
        let bytes = encoded(&introduction);
        assert_eq!(bytes, b"\x01\x00\x01\x05b\xc3\xbcro\x02\x30\x82");
        assert_eq!(Introduction::decode(&bytes), Ok(introduction));
        for (kind, number) in [(DeviceKind::Computer, 0), (DeviceKind::Board, 1), (DeviceKind::Unknown(9), 9)] {
            assert_eq!((u8::from(kind), DeviceKind::from(number)), (number, kind));
        }
    }

    #[test]
    fn the_longest_introduction_fits() {
        let name = "n".repeat(PAIRING_NAME_MAX);
        let introduction =
            Introduction::new(DeviceKind::Unknown(255), BOTH, &name, &[7; PAIRING_CERTIFICATE_MAX]).unwrap();
        let bytes = encoded(&introduction);
        assert_eq!(bytes.len(), ENCODED_MAX);
        assert_eq!(Introduction::decode(&bytes), Ok(introduction));
    }

    #[test]
    fn bounds_and_characters_are_checked_on_both_sides() {
        let long = "n".repeat(PAIRING_NAME_MAX + 1);
        let certificate = [1; PAIRING_CERTIFICATE_MAX + 1];
        let (too_long, character) = (IntroductionError::NameTooLong, IntroductionError::NameCharacter);
        let cases: [(&str, &[u8], IntroductionError); 9] = [
            (&long, &[1], too_long),
            ("a\nb", &[1], character),
            ("a\0", &[1], character),
            ("\u{9b}31m", &[1], character),
            ("a\u{7f}", &[1], character),
            ("a\u{202e}b", &[1], character),
            ("a\u{200b}b", &[1], character),
            ("a", &[], IntroductionError::CertificateLength),
            ("a", &certificate, IntroductionError::CertificateLength),
        ];
        for (name, certificate, error) in cases {
            assert_eq!(Introduction::new(DeviceKind::Board, BOTH, name, certificate), Err(error), "{name:?}");
            let fields = Fields { kind: 1, sends: true, receives: true, name, certificate };
            let mut bytes = [0; 1_024];
            let bytes = postcard::to_slice(&fields, &mut bytes).unwrap();
            assert_eq!(Introduction::decode(bytes), Err(error), "{name:?}");
        }
    }

    #[test]
    fn other_bytes_are_refused() {
        let good = encoded(&Introduction::new(DeviceKind::Board, BOTH, "name", &[1, 2, 3]).unwrap());
        for length in 0..good.len() {
            assert_eq!(Introduction::decode(&good[..length]), Err(IntroductionError::Malformed), "{length}");
        }
        assert_eq!(Introduction::decode(&[&good[..], &[0]].concat()), Err(IntroductionError::Malformed));
        // A boolean that is neither 0 nor 1, a name that is not UTF-8, lengths past the end.
        for (at, byte) in [(1, 2), (4, 0xff), (3, 0x7f), (8, 0xff)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(Introduction::decode(&bad), Err(IntroductionError::Malformed), "{at}");
        }
        assert!(Introduction::new(DeviceKind::Board, BOTH, "", &[1]).is_ok(), "a name may be empty");
    }
}
