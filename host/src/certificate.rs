//! The certificate of a peer or of this machine: parsed once, then compared byte by byte.
//!
//! PROTOCOL.md, section 3 (identities). Only the P-256 key and the HPKE key in the extension matter; names and dates
//! are ignored.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use pem::Pem;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use waft_core::certificate::{CertificateHash, Fingerprint};
use waft_core::sealed::hpke::POINT;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::error::{Class, Error, shown};

/// Maximum length of a certificate, in bytes of DER. Those of waft have about 450; a board reads a sender's whole
/// first flight into 4096 bytes.
pub(crate) const DER_MAX: usize = 2048;
/// Maximum length of a file with a certificate, in bytes. Other text around the PEM block is allowed.
pub(crate) const FILE_MAX: u64 = 16 << 10;

const TAG: &str = "CERTIFICATE";
/// The OID of the extension with the HPKE public key: 2.25 and a random number.
pub(crate) const HPKE_OID: [u64; 3] = [2, 25, 5_310_424_471_690_152_793];

/// A certificate over a P-256 key.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Certificate {
    der: CertificateDer<'static>,
    hash: CertificateHash,
    point: [u8; POINT],
    hpke: Option<[u8; POINT]>,
}

impl Certificate {
    /// Parses the only certificate in a PEM text. The text is ASCII, UTF-8, or the UTF-16 that `>` writes in
    /// PowerShell.
    pub fn from_pem(text: &[u8]) -> Result<Self, CertificateError> {
        let text = decoded(text).ok_or(CertificateError::NotPem)?;
        let mut blocks = pem::parse_many(&text).map_err(|_| CertificateError::NotPem)?;
        if blocks.iter().any(|block| block.tag().contains("PRIVATE KEY")) {
            return Err(CertificateError::PrivateKey);
        }
        let block = blocks.pop().ok_or(CertificateError::NotPem)?;
        match () {
            () if !blocks.is_empty() => Err(CertificateError::Several),
            () if block.tag() != TAG => Err(CertificateError::NotPem),
            () => Self::from_der(block.into_contents()),
        }
    }

    /// Parses a certificate in DER.
    pub fn from_der(der: Vec<u8>) -> Result<Self, CertificateError> {
        if der.len() > DER_MAX {
            return Err(CertificateError::Long);
        }
        let (rest, parsed) = X509Certificate::from_der(&der).map_err(|_| CertificateError::Malformed)?;
        if !rest.is_empty() {
            return Err(CertificateError::Malformed);
        }
        let (point, hpke) = (public_point(&parsed)?, hpke_point(&parsed)?);
        Ok(Self { hash: CertificateHash::of(&der), point, hpke, der: der.into() })
    }

    /// The certificate in DER.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// The certificate in PEM.
    pub fn to_pem(&self) -> String {
        pem::encode_config(
            &Pem::new(TAG, self.der.to_vec()),
            pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
        )
    }

    /// The hash that identifies this certificate in a session.
    pub fn hash(&self) -> CertificateHash {
        self.hash
    }

    /// The fingerprint that two users compare to check that they have the same certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.hash)
    }

    /// The public key of the TLS signatures: an uncompressed point of P-256.
    pub fn point(&self) -> &[u8; POINT] {
        &self.point
    }

    /// The public key to which transfer keys can be sealed, if the certificate has one: an uncompressed point of
    /// P-256.
    pub fn hpke(&self) -> Option<&[u8; POINT]> {
        self.hpke.as_ref()
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.fingerprint())
    }
}

impl From<Certificate> for String {
    fn from(certificate: Certificate) -> Self {
        certificate.to_pem()
    }
}

impl TryFrom<String> for Certificate {
    type Error = CertificateError;
    fn try_from(text: String) -> Result<Self, CertificateError> {
        Self::from_pem(text.as_bytes())
    }
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The text has no PEM block of a certificate.
    #[error("it is not a PEM certificate (\"-----BEGIN CERTIFICATE-----\")")]
    NotPem,
    /// The text contains a private key, which must not be given to others.
    #[error("it has a private key; never hand that out, and use the peer's certificate.pem instead")]
    PrivateKey,
    /// The text has more than one certificate.
    #[error("it has more than one certificate; give a file with just one")]
    Several,
    /// The certificate is longer than 2048 bytes.
    #[error("its certificate is longer than 2048 bytes")]
    Long,
    /// The certificate is not valid X.509, or bytes follow it.
    #[error("its certificate is damaged")]
    Malformed,
    /// The certificate has a key of another type.
    #[error("its certificate is not for a P-256 key, so it is not waft's")]
    NotP256,
    /// The HPKE extension does not hold an uncompressed point, or appears twice.
    #[error("the HPKE key in its certificate is damaged")]
    Hpke,
}

impl CertificateError {
    /// The error for the file `path`.
    pub fn of_file(self, path: &Path) -> Error {
        Error::new(
            Class::Identity,
            format!("{} cannot be trusted: {self}.", shown(path)),
            "Let the other machine print its certificate again (`waft id cert`), and copy that file here.",
        )
    }
}

/// Converts a text in UTF-16, recognized by its byte order mark, to UTF-8; returns any other text unchanged. `None`
/// if the UTF-16 is invalid.
fn decoded(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    let units = |unit: fn([u8; 2]) -> u16| {
        let (units, rest) = text[2..].as_chunks::<2>();
        let units = units.iter().map(|bytes| unit(*bytes));
        let text = char::decode_utf16(units).collect::<Result<String, _>>().ok();
        text.filter(|_| rest.is_empty()).map(|text| text.into_bytes().into())
    };
    match text {
        [0xff, 0xfe, ..] => units(u16::from_le_bytes),
        [0xfe, 0xff, ..] => units(u16::from_be_bytes),
        text => Some(text.into()),
    }
}

fn public_point(certificate: &X509Certificate<'_>) -> Result<[u8; POINT], CertificateError> {
    let key = certificate.public_key();
    let curve = key.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
    if key.algorithm.algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY || curve != Some(OID_EC_P256) {
        return Err(CertificateError::NotP256);
    }
    uncompressed(&key.subject_public_key.data).ok_or(CertificateError::NotP256)
}

fn hpke_point(certificate: &X509Certificate<'_>) -> Result<Option<[u8; POINT]>, CertificateError> {
    let mut found = certificate.extensions().iter().filter(|ext| ext.oid.iter().is_some_and(|arcs| arcs.eq(HPKE_OID)));
    match (found.next(), found.next()) {
        (None, _) => Ok(None),
        (Some(extension), None) => uncompressed(extension.value).map(Some).ok_or(CertificateError::Hpke),
        (Some(_), Some(_)) => Err(CertificateError::Hpke),
    }
}

fn uncompressed(point: &[u8]) -> Option<[u8; POINT]> {
    point.try_into().ok().filter(|point: &[u8; POINT]| point[0] == 4)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, CustomExtension, KeyPair, PKCS_ECDSA_P384_SHA384};

    use super::*;
    use crate::identity::Identity;

    fn made(algorithm: Option<&'static rcgen::SignatureAlgorithm>, points: &[&[u8]]) -> Vec<u8> {
        let key = algorithm.map_or_else(KeyPair::generate, KeyPair::generate_for).unwrap();
        let mut params = CertificateParams::default();
        params.custom_extensions =
            points.iter().map(|point| CustomExtension::from_oid_content(&HPKE_OID, point.to_vec())).collect();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn text_and_back() {
        let certificate = Identity::generate().certificate().clone();
        let text = certificate.to_pem();
        assert_eq!(Certificate::from_pem(text.as_bytes()).unwrap(), certificate);
        let sent_by_mail = format!("here it is:\r\n\r\n{}\r\nbye\r\n", text.replace('\n', "\r\n"));
        assert_eq!(Certificate::from_pem(sent_by_mail.as_bytes()).unwrap(), certificate);
        for order in [u16::to_le_bytes as fn(u16) -> [u8; 2], u16::to_be_bytes] {
            let redirected = format!("\u{feff}{}", text.replace('\n', "\r\n"));
            let bytes: Vec<u8> = redirected.encode_utf16().flat_map(order).collect();
            assert_eq!(Certificate::from_pem(&bytes).unwrap(), certificate);
            assert_eq!(Certificate::from_pem(&bytes[..bytes.len() - 1]), Err(CertificateError::NotPem));
        }
        let marked = format!("\u{feff}{text}");
        assert_eq!(Certificate::from_pem(marked.as_bytes()).unwrap(), certificate);
        assert!(certificate.der().len() < 512, "{}", certificate.der().len());
    }

    #[test]
    fn each_fault_has_its_name() {
        let good = Identity::generate().certificate().to_pem();
        let key = pem::encode(&Pem::new("EC PRIVATE KEY", [1, 2, 3]));
        let request = pem::encode(&Pem::new("CERTIFICATE REQUEST", [1, 2, 3]));
        for (text, error) in [
            (String::new(), CertificateError::NotPem),
            ("hello".into(), CertificateError::NotPem),
            (good[..good.len() / 2].into(), CertificateError::NotPem),
            (request, CertificateError::NotPem),
            (key.clone(), CertificateError::PrivateKey),
            (format!("{good}{key}"), CertificateError::PrivateKey),
            (format!("{good}{good}"), CertificateError::Several),
            (pem::encode(&Pem::new(TAG, [0x30, 0x03, 1, 2, 3])), CertificateError::Malformed),
            (pem::encode(&Pem::new(TAG, vec![0; DER_MAX + 1])), CertificateError::Long),
        ] {
            assert_eq!(Certificate::from_pem(text.as_bytes()), Err(error), "{text}");
        }
    }

    #[test]
    fn bytes_behind_it_are_damage() {
        let mut der = Identity::generate().certificate().der().to_vec();
        der.push(0);
        assert_eq!(Certificate::from_der(der), Err(CertificateError::Malformed));
    }

    #[test]
    fn keys_of_other_kinds_are_refused() {
        assert_eq!(Certificate::from_der(made(Some(&PKCS_ECDSA_P384_SHA384), &[])), Err(CertificateError::NotP256));
    }

    #[test]
    fn the_hpke_key_is_an_uncompressed_point() {
        let mut point = [7; POINT];
        point[0] = 4;
        assert_eq!(Certificate::from_der(made(None, &[&point])).unwrap().hpke(), Some(&point));
        assert_eq!(Certificate::from_der(made(None, &[])).unwrap().hpke(), None);
        let bad: [&[&[u8]]; 4] = [&[&[7; POINT]], &[&point[..64]], &[&[]], &[&point, &point]];
        for points in bad {
            assert_eq!(Certificate::from_der(made(None, points)), Err(CertificateError::Hpke));
        }
    }
}
