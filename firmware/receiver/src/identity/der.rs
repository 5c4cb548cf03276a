//! The public key in a certificate in DER. RFC 5280, section 4.1:
//!
//! ```text
//! Certificate ::= SEQUENCE {
//!     tbsCertificate SEQUENCE {
//!         version [0] OPTIONAL, serialNumber, signature, issuer, validity, subject,
//!         subjectPublicKeyInfo SEQUENCE { algorithm, subjectPublicKey },   for P-256 always the same bytes, and the point
//!         ... }
//!     ... }
//! ```

use super::POINT;

const SEQUENCE: u8 = 0x30;
/// The tag of the version, which is optional.
const VERSION: u8 = 0xA0;
/// The fields between the version and the public key.
const BETWEEN: usize = 5;
/// The content of `subjectPublicKeyInfo` up to the point: `id-ecPublicKey` with `prime256v1`, and the head of a bit string
/// of 65 bytes. RFC 5480, section 2.
const P256: [u8; 25] = [
    0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03,
    0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// The public key of a certificate, an uncompressed point, or `None` if the certificate is damaged or has a key of another
/// kind. Whether the point is on the curve is not checked.
pub(super) fn public_point(certificate: &[u8]) -> Option<[u8; POINT]> {
    let mut outer = Elements(certificate);
    let mut fields = Elements(outer.next(SEQUENCE)?);
    if !outer.0.is_empty() {
        return None;
    }
    let mut fields = Elements(fields.next(SEQUENCE)?);
    if fields.0.first() == Some(&VERSION) {
        fields.any()?;
    }
    for _ in 0..BETWEEN {
        fields.any()?;
    }
    let key = fields.next(SEQUENCE)?.strip_prefix(&P256)?;
    let mut point = [4; POINT];
    point[1..].copy_from_slice(key.first_chunk::<{ POINT - 1 }>().filter(|_| key.len() == POINT - 1)?);
    Some(point)
}

/// The rest of a series of elements.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    /// The content of the next element, which has this tag.
    fn next(&mut self, tag: u8) -> Option<&'a [u8]> {
        if self.0.first() == Some(&tag) { self.any() } else { None }
    }

    /// The content of the next element. A length takes at most three bytes, which suffices for a certificate.
    fn any(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = match *self.0 {
            [_, length @ 0..=0x7F, ref rest @ ..] => (length.into(), rest),
            [_, 0x81, length, ref rest @ ..] => (length.into(), rest),
            [_, 0x82, high, low, ref rest @ ..] => (u16::from_be_bytes([high, low]).into(), rest),
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(content)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let [high, low] = (content.len() as u16).to_be_bytes();
        [&[tag, 0x82, high, low], content].concat()
    }

    fn certificate(key: &[u8]) -> Vec<u8> {
        let field = element(0x02, &[1, 2, 3]);
        let key = element(SEQUENCE, key);
        let fields = [&element(VERSION, &[2])[..], &field.repeat(BETWEEN), &key, &field].concat();
        element(SEQUENCE, &[&element(SEQUENCE, &fields)[..], &field, &field].concat())
    }

    #[test]
    fn the_point_of_a_certificate_is_found() {
        let good = certificate(&[&P256[..], &[7; 64]].concat());
        let point = public_point(&good).unwrap();
        assert_eq!((point[0], &point[1..]), (4, &[7; 64][..]));
        for length in 0..good.len() {
            assert_eq!(public_point(&good[..length]), None, "{length}");
        }
        assert_eq!(public_point(&[&good[..], &[0]].concat()), None);
        for key in
            [&[&P256[..], &[7; 63]].concat()[..], &[&P256[..], &[7; 65]].concat(), &[&P256[1..], &[7; 64]].concat()]
        {
            assert_eq!(public_point(&certificate(key)), None);
        }
    }
}
