//! The private keys of an identity as bytes: `key.pem`. Every copy is zeroized, which the pem crate, with which certificates
//! are read, does not do; therefore the file is written and parsed here:
//!
//! ```text
//! -----BEGIN PRIVATE KEY-----              the TLS key: PKCS #8 (RFC 5958) around an ECPrivateKey (RFC 5915) of P-256
//! -----BEGIN WAFT HPKE PRIVATE KEY-----    the HPKE key: a scalar of P-256, 32 bytes, big-endian
//! ```

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use waft_core::sealed::hpke::{HpkeSecret, POINT};
use zeroize::Zeroizing;

const TLS_TAG: &str = "PRIVATE KEY";
const HPKE_TAG: &str = "WAFT HPKE PRIVATE KEY";
/// Characters per line of PEM (RFC 7468, section 2).
const LINE: usize = 64;

/// The bytes of PKCS #8 before the scalar: version 0, the algorithm `ecPublicKey` on `prime256v1`, and an OCTET
/// STRING with an ECPrivateKey of version 1, whose scalar is an OCTET STRING of 32 bytes.
const BEFORE_SCALAR: [u8; 36] = [
    0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
    0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20,
];
/// The bytes between the scalar and the public key: `[1]`, a BIT STRING of a point.
const BEFORE_POINT: [u8; 5] = [0xa1, 0x44, 0x03, 0x42, 0x00];
const SCALAR: usize = 32;

/// Encodes a P-256 key as PKCS #8.
pub(super) fn pkcs8(key: &HpkeSecret) -> Zeroizing<Vec<u8>> {
    let parts: [&[u8]; 4] = [&BEFORE_SCALAR, &*key.to_bytes(), &BEFORE_POINT, &key.public()];
    let mut der = Zeroizing::new(Vec::with_capacity(BEFORE_SCALAR.len() + SCALAR + BEFORE_POINT.len() + POINT));
    parts.iter().for_each(|part| der.extend_from_slice(part));
    der
}

/// Extracts the scalar of a P-256 key from PKCS #8; `None` if there is none.
pub(super) fn scalar(pkcs8: &[u8]) -> Option<Zeroizing<[u8; SCALAR]>> {
    // Search only for the last bytes before the scalar: other programs may encode the preceding fields differently.
    let mark = &BEFORE_SCALAR[BEFORE_SCALAR.len() - 5..];
    let at = pkcs8.windows(mark.len()).position(|window| window == mark)? + mark.len();
    let mut scalar = Zeroizing::new([0; SCALAR]);
    scalar.copy_from_slice(pkcs8.get(at..at + SCALAR)?);
    Some(scalar)
}

/// Encodes both keys as PEM.
pub(super) fn to_pem(tls: &[u8], hpke: &HpkeSecret) -> Zeroizing<String> {
    let keys: [(&str, &[u8]); 2] = [(TLS_TAG, tls), (HPKE_TAG, &*hpke.to_bytes())];
    // The full capacity is allocated first: a text that grows leaves copies in memory.
    let room = keys.iter().map(|(tag, key)| 2 * (tag.len() + key.len()) + LINE).sum();
    let mut text = Zeroizing::new(String::with_capacity(room));
    for (tag, key) in keys {
        let mut base64 = Zeroizing::new(vec![0; key.len().div_ceil(3) * 4]);
        STANDARD.encode_slice(key, &mut base64).expect("base 64 has four characters for three bytes");
        let base64 = str::from_utf8(&base64).expect("base 64 is ASCII");
        text.extend(["-----BEGIN ", tag, "-----\n"]);
        for start in (0..base64.len()).step_by(LINE) {
            text.extend([&base64[start..base64.len().min(start + LINE)], "\n"]);
        }
        text.extend(["-----END ", tag, "-----\n"]);
    }
    debug_assert!(text.len() <= room, "the text has grown");
    text
}

/// Parses both keys; the TLS key is returned in PKCS #8. `None` if the text does not hold exactly these two keys.
pub(super) fn from_pem(text: &[u8]) -> Option<(Zeroizing<Vec<u8>>, HpkeSecret)> {
    let (tls, rest) = block(str::from_utf8(text).ok()?, TLS_TAG)?;
    let (hpke, rest) = block(rest, HPKE_TAG)?;
    let hpke = HpkeSecret::from_bytes(hpke.as_slice().try_into().ok()?).ok()?;
    rest.trim().is_empty().then_some((tls, hpke))
}

/// Decodes the PEM block with this tag at the beginning of a text; returns it with the text that follows.
fn block<'t>(text: &'t str, tag: &str) -> Option<(Zeroizing<Vec<u8>>, &'t str)> {
    let text = text.trim_start().strip_prefix(&format!("-----BEGIN {tag}-----"))?;
    let (lines, rest) = text.split_once(&format!("-----END {tag}-----"))?;
    let mut base64 = Zeroizing::new(Vec::with_capacity(lines.len()));
    base64.extend(lines.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    let mut bytes = Zeroizing::new(vec![0; base64.len()]);
    let length = STANDARD.decode_slice(&*base64, &mut bytes).ok()?;
    bytes.truncate(length);
    Some((bytes, rest))
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;

    use super::*;

    #[test]
    fn keys_are_read_as_they_were_written() {
        let (tls, hpke) = (HpkeSecret::random(&mut OsRng), HpkeSecret::random(&mut OsRng));
        let der = pkcs8(&tls);
        assert_eq!(scalar(&der).unwrap(), tls.to_bytes());
        let text = to_pem(&der, &hpke);
        let blocks = pem::parse_many(text.as_bytes()).unwrap();
        let expected = [(TLS_TAG, der.to_vec()), (HPKE_TAG, hpke.to_bytes().to_vec())];
        assert_eq!(blocks.iter().map(|block| (block.tag(), block.contents().to_vec())).collect::<Vec<_>>(), expected);
        assert!(text.lines().all(|line| line.len() <= LINE) && text.ends_with("-----\n"), "{}", *text);
        for text in [text.to_string(), text.replace('\n', "\r\n"), format!("\n{}\n", *text)] {
            let (read, its_hpke) = from_pem(text.as_bytes()).unwrap();
            assert_eq!((&read, its_hpke.to_bytes()), (&der, hpke.to_bytes()));
        }
    }

    #[test]
    fn a_text_without_just_the_two_keys_is_refused() {
        let text = to_pem(&pkcs8(&HpkeSecret::random(&mut OsRng)), &HpkeSecret::random(&mut OsRng));
        let second = text.find("-----BEGIN WAFT").unwrap();
        let swapped = format!("{}{}", &text[second..], &text[..second]);
        let damaged = text.replacen("MI", "!!", 1);
        let twice = format!("{}{}", *text, *text);
        for text in ["", &text[..second], &text[second..], &text[..text.len() - 9], &swapped, &damaged, &twice] {
            assert!(from_pem(text.as_bytes()).is_none(), "{text}");
        }
    }
}
