//! The identity of this machine: a TLS key, an HPKE key, and the certificate that contains both public keys.
//!
//! The identity is created at first use. `certificate.pem` is given to peers; `key.pem` is private. PROTOCOL.md,
//! section 3.

mod keys;

use std::path::PathBuf;
use std::sync::Arc;

use rand_core::OsRng;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use waft_core::sealed::hpke::{HpkeSecret, POINT};
use zeroize::Zeroizing;

use crate::certificate::{Certificate, CertificateError, FILE_MAX, HPKE_OID};
use crate::error::{Class, Error};
use crate::home::{Home, HomeError};
use crate::name::{Name, NameError};
use crate::platform::{self, TooOpen};

/// The public file in the configuration folder.
const CERTIFICATE_FILE: &str = "certificate.pem";
/// The private file in the configuration folder.
const KEY_FILE: &str = "key.pem";
/// The file with the user's name for this machine, which is only shown locally.
const NAME_FILE: &str = "name";

/// The private keys of a machine or board, with the certificate that belongs to them.
pub struct Identity {
    certificate: Certificate,
    tls: Zeroizing<Vec<u8>>,
    hpke: HpkeSecret,
    signing: Arc<CertifiedKey>,
}

impl Identity {
    /// Loads the identity in `home`, or creates one at first use. The flag is true if it was created by this call.
    pub fn open(home: &Home) -> Result<(Self, bool), IdentityError> {
        if let Ok(Some(identity)) = Self::load(home) {
            return Ok((identity, false));
        }
        // There is no identity, or another process is just creating one and has written only half of it.
        let _turn = home.lock()?;
        match Self::load(home)? {
            Some(identity) => Ok((identity, false)),
            None => {
                home.check_keeps_private()?;
                Self::store_new(home).map(|identity| (identity, true))
            }
        }
    }

    /// Replaces the identity in `home`, whatever state it is in, with a new one, which no peer trusts yet. The old
    /// files are kept as copies; returns the path of the copy of the private keys.
    pub fn renew(home: &Home) -> Result<(Self, Option<PathBuf>), IdentityError> {
        let _turn = home.lock()?;
        home.check_keeps_private()?;
        let backup = home.back_up(&[KEY_FILE, CERTIFICATE_FILE])?;
        Self::store_new(home).map(|identity| (identity, backup))
    }

    /// Loads the identity in `home`, if there is one.
    pub fn load(home: &Home) -> Result<Option<Self>, IdentityError> {
        let certificate = home.read(CERTIFICATE_FILE, FILE_MAX)?;
        let keys = home.read(KEY_FILE, FILE_MAX)?.map(Zeroizing::new);
        let missing = |name| IdentityError::Missing { path: home.file(name) };
        match (certificate, keys) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(missing(CERTIFICATE_FILE)),
            (Some(_), None) => Err(missing(KEY_FILE)),
            (Some(certificate), Some(keys)) => {
                let path = home.file(KEY_FILE);
                platform::check_private(&path).map_err(|source| HomeError::Read { path, source })??;
                let certificate = Certificate::from_pem(&certificate)
                    .map_err(|problem| IdentityError::Certificate { path: home.file(CERTIFICATE_FILE), problem })?;
                let (tls, hpke) = keys::from_pem(&keys).ok_or(IdentityError::Keys { path: home.file(KEY_FILE) })?;
                Self::assemble(certificate, tls, hpke).map(Some)
            }
        }
    }

    /// Creates a new identity without storing it.
    pub fn generate() -> Self {
        // Both private keys are scalars of P-256.
        let (signing, hpke) = (HpkeSecret::random(&mut OsRng), HpkeSecret::random(&mut OsRng));
        let tls = keys::pkcs8(&signing);
        let signer = signer(&tls).expect("`keys::pkcs8` encodes a key of P-256");
        let certificate = self_signed(&Signer { key: &*signer, point: signing.public() }, &hpke.public());
        Self::assemble(certificate, tls, hpke).expect("keys fit the certificate made of them")
    }

    /// The certificate that peers have to trust.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The private key that opens transfer keys sealed to this identity.
    pub fn hpke(&self) -> &HpkeSecret {
        &self.hpke
    }

    /// The private TLS key as a big-endian scalar, for a board's identity image.
    pub fn tls_scalar(&self) -> Zeroizing<[u8; 32]> {
        keys::scalar(&self.tls).expect("`assemble` let only PKCS #8 of P-256 in")
    }

    /// The certificate with its signing key, for TLS.
    pub(crate) fn signing(&self) -> &Arc<CertifiedKey> {
        &self.signing
    }

    /// This certificate with the signing key of another identity.
    #[cfg(test)]
    pub(crate) fn with_signer_of(self, other: &Self) -> Self {
        let signing = CertifiedKey::new(self.signing.cert.clone(), other.signing.key.clone());
        Self { signing: Arc::new(signing), ..self }
    }

    fn store_new(home: &Home) -> Result<Self, IdentityError> {
        let identity = Self::generate();
        let (keys, certificate) = (identity.keys_pem(), identity.certificate.to_pem());
        home.write_all(&[(KEY_FILE, keys.as_bytes()), (CERTIFICATE_FILE, certificate.as_bytes())])?;
        Ok(identity)
    }

    fn keys_pem(&self) -> Zeroizing<String> {
        keys::to_pem(&self.tls, &self.hpke)
    }

    fn assemble(certificate: Certificate, tls: Zeroizing<Vec<u8>>, hpke: HpkeSecret) -> Result<Self, IdentityError> {
        let signer = signer(&tls).ok_or(IdentityError::TlsKey)?;
        let signing = Arc::new(CertifiedKey::new(vec![certificate.der().clone()], signer));
        signing.keys_match().map_err(|_| IdentityError::TlsKey)?;
        if certificate.hpke() != Some(&hpke.public()) {
            return Err(IdentityError::HpkeKey);
        }
        Ok(Self { certificate, tls, hpke, signing })
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({:?})", self.certificate)
    }
}

/// The user's name for this machine, if it has one.
pub fn name(home: &Home) -> Result<Option<Name>, IdentityError> {
    let Some(bytes) = home.read(NAME_FILE, 256)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes);
    Name::new(text.trim()).map(Some).map_err(|problem| IdentityError::Name { path: home.file(NAME_FILE), problem })
}

/// Stores the user's name for this machine. Only a pairing sends and announces it.
pub fn set_name(home: &Home, name: &Name) -> Result<(), IdentityError> {
    Ok(home.write(NAME_FILE, format!("{name}\n").as_bytes())?)
}

/// Why there is no usable identity. `waft id --renew` creates a new one in every case.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The configuration folder or a file in it cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// One of the two files exists, the other does not.
    #[error("this machine's identity is incomplete: there is no {}", path.display())]
    Missing {
        /// The missing file.
        path: PathBuf,
    },
    /// Other users can read the private keys.
    #[error(transparent)]
    TooOpen(#[from] TooOpen),
    /// The certificate cannot be parsed.
    #[error("{} cannot be used: {problem}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// The reason.
        problem: CertificateError,
    },
    /// The key file does not hold exactly the two private keys.
    #[error("{} is damaged: it does not hold the two private keys", path.display())]
    Keys {
        /// The file.
        path: PathBuf,
    },
    /// The TLS key is damaged or belongs to another certificate.
    #[error("the TLS key does not belong to this machine's certificate")]
    TlsKey,
    /// The HPKE key belongs to another certificate.
    #[error("the HPKE key does not belong to this machine's certificate")]
    HpkeKey,
    /// The stored name of this machine is not a valid name.
    #[error("{} cannot be used: {problem}", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// The reason.
        problem: NameError,
    },
}

impl From<IdentityError> for Error {
    fn from(error: IdentityError) -> Self {
        let next = match error {
            IdentityError::Home(error) => return error.into(),
            IdentityError::TooOpen(_) => "Close it. If others may have read it, renew the identity: `waft id --renew`.",
            IdentityError::Name { .. } => "Name the machine again: waft id --name NAME",
            _ => {
                "If you have a copy, put it back. Else make a new identity with `waft id --renew`, and give its new certificate to every machine that trusts this one."
            }
        };
        let what = format!("This machine's identity cannot be used: {error}.");
        Self::new(Class::Identity, what, next).caused_by(error)
    }
}

/// A signer for a TLS key in PKCS #8.
fn signer(tls: &[u8]) -> Option<Arc<dyn SigningKey>> {
    any_ecdsa_type(&PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(tls))).ok()
}

/// Signs the certificate of the TLS key itself. rcgen's own key type is not used because it does not zeroize the key.
struct Signer<'a> {
    key: &'a dyn SigningKey,
    point: [u8; POINT],
}

impl PublicKeyData for Signer<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for Signer<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signer = self.key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]);
        signer.and_then(|signer| signer.sign(message).ok()).ok_or(rcgen::Error::RemoteKeyError)
    }
}

/// A self-signed certificate with the subject `CN=waft` and a validity period that includes the time of any clock.
fn self_signed(signer: &Signer<'_>, hpke: &[u8]) -> Certificate {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "waft");
    params.not_before = rcgen::date_time_ymd(1970, 1, 1);
    params.not_after = rcgen::date_time_ymd(9999, 12, 31);
    params.custom_extensions = vec![CustomExtension::from_oid_content(&HPKE_OID, hpke.to_vec())];
    let certificate = params.self_signed(signer).expect("fixed parameters and a fresh key can be signed");
    Certificate::from_der(certificate.der().to_vec()).expect("a certificate of two points of P-256 parses")
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        (folder, home)
    }

    fn rewrite(home: &Home, name: &str, change: impl Fn(String) -> String) {
        let text = String::from_utf8(home.read(name, FILE_MAX).unwrap().unwrap()).unwrap();
        home.write(name, change(text).as_bytes()).unwrap();
    }

    #[test]
    fn made_once_and_loaded_again() {
        let (_folder, home) = home();
        assert!(Identity::load(&home).unwrap().is_none());
        let (first, true) = Identity::open(&home).unwrap() else { panic!("must be new") };
        let (again, false) = Identity::open(&home).unwrap() else { panic!("must be there") };
        assert_eq!(first.certificate(), again.certificate());
        assert_eq!(first.hpke().public(), again.hpke().public());
        assert_eq!(first.tls_scalar(), again.tls_scalar());
        let (renewed, _) = Identity::renew(&home).unwrap();
        assert_ne!(first.certificate(), renewed.certificate());
        assert_eq!(Identity::load(&home).unwrap().unwrap().certificate(), renewed.certificate());
    }

    #[test]
    fn a_renewed_identity_is_kept() {
        let (_folder, home) = home();
        assert_eq!(Identity::renew(&home).unwrap().1, None);
        for count in 1..=3 {
            let before = [KEY_FILE, CERTIFICATE_FILE].map(|name| std::fs::read(home.file(name)).unwrap());
            let backup = Identity::renew(&home).unwrap().1.unwrap();
            assert_eq!(backup, home.file(&format!("{KEY_FILE}.{count}")));
            assert_eq!(platform::check_private(&backup).unwrap(), Ok(()));
            let kept = [KEY_FILE, CERTIFICATE_FILE].map(|name| home.file(&format!("{name}.{count}")));
            assert_eq!(kept.map(|path| std::fs::read(path).unwrap()), before);
        }
    }

    #[test]
    fn the_certificate_says_nothing_but_its_keys() {
        let identity = Identity::generate();
        let der = identity.certificate().der().to_vec();
        let (_, parsed) = X509Certificate::from_der(&der).unwrap();
        assert_eq!(parsed.subject().to_string(), "CN=waft");
        assert_eq!(parsed.issuer().to_string(), "CN=waft");
        assert_eq!(parsed.extensions().len(), 1, "{:?}", parsed.extensions());
        let extension = &parsed.extensions()[0];
        assert!(!extension.critical);
        assert_eq!(extension.oid.to_id_string(), "2.25.5310424471690152793");
        assert_eq!(extension.value, identity.hpke().public());
        assert_eq!(identity.certificate().hpke(), Some(&identity.hpke().public()));
        assert_eq!(parsed.public_key().subject_public_key.data.as_ref(), identity.certificate().point());
        assert!(parsed.validity().not_before.timestamp() == 0 && parsed.validity().not_after.timestamp() > 1 << 37);
    }

    #[test]
    fn the_scalar_is_that_of_the_public_key() {
        let identity = Identity::generate();
        // An HPKE key is also a P-256 key, so it computes the public point of any scalar.
        let key = HpkeSecret::from_bytes(&identity.tls_scalar()).unwrap();
        assert_eq!(&key.public(), identity.certificate().point());
    }

    #[test]
    fn half_an_identity_is_named() {
        for gone in [CERTIFICATE_FILE, KEY_FILE] {
            let (_folder, home) = home();
            Identity::open(&home).unwrap();
            std::fs::remove_file(home.file(gone)).unwrap();
            let Err(IdentityError::Missing { path }) = Identity::open(&home) else { panic!("{gone} is missing") };
            assert_eq!(path, home.file(gone));
            Identity::renew(&home).unwrap();
            Identity::load(&home).unwrap().unwrap();
        }
    }

    #[test]
    fn damage_is_named() {
        let (_folder, home) = home();
        Identity::renew(&home).unwrap();
        rewrite(&home, CERTIFICATE_FILE, |text| text.replacen("MI", "XX", 1));
        assert!(matches!(
            Identity::load(&home),
            Err(IdentityError::Certificate { problem: CertificateError::Malformed, .. })
        ));
        Identity::renew(&home).unwrap();
        rewrite(&home, KEY_FILE, |text| text[..text.len() / 2].to_owned());
        assert!(matches!(Identity::load(&home), Err(IdentityError::Keys { .. })));
        Identity::renew(&home).unwrap();
        rewrite(&home, KEY_FILE, |text| text.replacen("MI", "XX", 1));
        assert!(matches!(Identity::load(&home), Err(IdentityError::TlsKey)));
    }

    #[test]
    fn keys_of_another_certificate_are_named() {
        let (_folder, home) = home();
        let mut other = Identity::generate();
        let (mine, _) = Identity::renew(&home).unwrap();
        home.write(KEY_FILE, other.keys_pem().as_bytes()).unwrap();
        assert!(matches!(Identity::load(&home), Err(IdentityError::TlsKey)));
        other.tls = mine.tls.clone();
        home.write(KEY_FILE, other.keys_pem().as_bytes()).unwrap();
        assert!(matches!(Identity::load(&home), Err(IdentityError::HpkeKey)));
    }

    #[cfg(unix)]
    #[test]
    fn open_keys_are_refused() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, home) = home();
        Identity::open(&home).unwrap();
        std::fs::set_permissions(home.file(KEY_FILE), std::fs::Permissions::from_mode(0o644)).unwrap();
        let Err(IdentityError::TooOpen(TooOpen { problem, .. })) = Identity::open(&home) else { panic!("opened") };
        assert!(matches!(problem, platform::Openness::Mode { mode: 0o644, .. }));
    }

    #[test]
    fn processes_at_first_use_agree() {
        let (_folder, home) = home();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let home = home.clone();
                std::thread::spawn(move || Identity::open(&home).unwrap())
            })
            .collect();
        let made: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(made.iter().filter(|(_, new)| *new).count(), 1);
        assert!(made.iter().all(|(identity, _)| identity.certificate() == made[0].0.certificate()));
    }

    #[test]
    fn the_name_stays_here() {
        let (_folder, home) = home();
        assert_eq!(name(&home).unwrap(), None);
        set_name(&home, &Name::new("desk").unwrap()).unwrap();
        assert_eq!(name(&home).unwrap().unwrap().as_str(), "desk");
        home.write(NAME_FILE, b"a\x1b[2Jb").unwrap();
        assert!(matches!(name(&home), Err(IdentityError::Name { .. })));
    }

    #[test]
    fn secrets_are_not_shown() {
        let identity = Identity::generate();
        assert!(format!("{identity:?}").len() < 60);
    }
}
