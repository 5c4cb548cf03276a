//! The verifier and the keys for embedded-tls. Our certificate and signature are available only after verification.
//!
//! embedded-tls calls the verifier when it receives a certificate or a signature, but does not check that it received
//! them. So only the result of [`Provider::authenticated_sender`] counts.

use core::marker::PhantomData;

use embedded_tls::alert::{AlertDescription, AlertLevel};
use embedded_tls::{
    Certificate, CertificateEntryRef, CertificateRef, CertificateVerifyRef, CryptoProvider, CryptoRngCore,
    SignatureScheme, TlsError, TlsVerifier,
};
use p256::PublicKey;
use p256::ecdsa::signature::{Signer as _, SignerMut};
use p256::ecdsa::{SigningKey, signature};
use sha2::{Digest, Sha256};
use waft_core::certificate::CertificateHash;

use super::error::{HandshakeError, LinkError};
use super::signature::{DerSignature, decode, encode};
use super::suite::Suite;
use super::verify;
use crate::identity::{Identity, TrustedSender, TrustedSenders};

/// The keys and the verifier of one handshake.
pub(super) struct Provider<'a, S: Suite, R> {
    identity: &'a Identity,
    rng: R,
    verifier: Verifier<'a, S::Hash>,
    suite: PhantomData<S>,
}

impl<'a, S: Suite, R: CryptoRngCore> Provider<'a, S, R> {
    pub(super) fn new(identity: &'a Identity, rng: R) -> Self {
        let verifier = Verifier { trusted: &identity.senders, proof: Proof::Missing };
        Self { identity, rng, verifier, suite: PhantomData }
    }

    /// The certificate of the authenticated sender, after a handshake with this result.
    pub(super) fn authenticated_sender(
        &self,
        opened: Result<(), LinkError>,
    ) -> Result<CertificateHash, HandshakeError> {
        match (&self.verifier.proof, opened) {
            (Proof::Failed(error), _) => Err(*error),
            (_, Err(error)) => Err(error.into()),
            (Proof::Complete(sender), Ok(())) => Ok(*sender),
            (Proof::Missing | Proof::Certificate { .. }, Ok(())) => Err(HandshakeError::NotProven),
        }
    }

    fn is_authenticated(&self) -> bool {
        matches!(self.verifier.proof, Proof::Complete(_))
    }
}

impl<S: Suite, R: CryptoRngCore> CryptoProvider for Provider<'_, S, R> {
    type CipherSuite = S;
    type Signature = DerSignature;

    fn rng(&mut self) -> impl CryptoRngCore {
        &mut self.rng
    }

    fn verifier(&mut self) -> Result<&mut impl TlsVerifier<S>, TlsError> {
        Ok(&mut self.verifier)
    }

    fn signer(&mut self) -> Result<(impl SignerMut<DerSignature>, SignatureScheme), TlsError> {
        if !self.is_authenticated() {
            return Err(TlsError::InvalidCertificate);
        }
        Ok((DerSigner(&self.identity.tls), SignatureScheme::EcdsaSecp256r1Sha256))
    }

    fn client_cert(&mut self) -> Option<Certificate<impl AsRef<[u8]>>> {
        self.is_authenticated().then_some(Certificate::X509(&self.identity.certificate))
    }
}

/// Signs with our key.
struct DerSigner<'a>(&'a SigningKey);

impl SignerMut<DerSignature> for DerSigner<'_> {
    fn try_sign(&mut self, message: &[u8]) -> Result<DerSignature, signature::Error> {
        self.0.try_sign(message).map(|signature| encode(&signature))
    }
}

/// Verifies the sender's certificate and signature, in this order and only once.
struct Verifier<'a, H> {
    trusted: &'a TrustedSenders,
    proof: Proof<H>,
}

/// What the sender has proved so far.
enum Proof<H> {
    Missing,
    /// It presented the certificate of a trusted sender, at this point of the transcript.
    Certificate {
        sender: CertificateHash,
        transcript: H,
    },
    /// It also proved that it holds the key.
    Complete(CertificateHash),
    /// Verification failed. This is final.
    Failed(HandshakeError),
}

impl<H> Verifier<'_, H> {
    fn find_trusted(&self, certificate: &CertificateRef<'_>) -> Option<CertificateHash> {
        let [CertificateEntryRef::X509(der)] = certificate.entries[..] else { return None };
        Some(CertificateHash::of(der)).filter(|hash| self.trusted.contains(hash))
    }

    fn fail(&mut self, error: HandshakeError, alert: AlertDescription) -> TlsError {
        self.proof = Proof::Failed(error);
        TlsError::AbortHandshake(AlertLevel::Fatal, alert)
    }
}

impl<S: Suite> TlsVerifier<S> for Verifier<'_, S::Hash> {
    /// Does nothing, because certificates are not checked for names.
    fn set_hostname_verification(&mut self, _name: &str) -> Result<(), TlsError> {
        Ok(())
    }

    fn verify_certificate(&mut self, transcript: &S::Hash, certificate: CertificateRef<'_>) -> Result<(), TlsError> {
        if !matches!(self.proof, Proof::Missing) {
            return Err(self.fail(HandshakeError::NotProven, AlertDescription::UnexpectedMessage));
        }
        let Some(sender) = self.find_trusted(&certificate) else {
            return Err(self.fail(HandshakeError::NotTrusted, AlertDescription::UnknownCa));
        };
        self.proof = Proof::Certificate { sender, transcript: transcript.clone() };
        Ok(())
    }

    fn verify_signature(&mut self, verify: CertificateVerifyRef<'_>) -> Result<(), TlsError> {
        let Proof::Certificate { sender, transcript } = &self.proof else {
            return Err(self.fail(HandshakeError::NotProven, AlertDescription::UnexpectedMessage));
        };
        let sender = *sender;
        let is_known_scheme = matches!(verify.signature_scheme, SignatureScheme::EcdsaSecp256r1Sha256);
        // A sender that is no longer in the list is no longer trusted.
        let is_signed =
            || self.trusted.with_certificate(&sender, |it| is_signed(it, transcript.clone(), verify.signature));
        if !is_known_scheme || is_signed() != Some(true) {
            return Err(self.fail(HandshakeError::NotItsKey, AlertDescription::DecryptError));
        }
        self.proof = Proof::Complete(sender);
        Ok(())
    }
}

/// Verifies the signature of a `CertificateVerify` message. RFC 8446, section 4.4.3.
fn is_signed(sender: &TrustedSender, transcript: impl Digest, signature: &[u8]) -> bool {
    const CONTEXT: &[u8] = b"TLS 1.3, server CertificateVerify\0";
    let hash = Sha256::new().chain_update([0x20; 64]).chain_update(CONTEXT).chain_update(transcript.finalize());
    match (PublicKey::from_sec1_bytes(&sender.point), decode(signature)) {
        (Ok(key), Some(signature)) => verify::is_valid(&key.to_projective(), hash.finalize().into(), &signature),
        _ => false,
    }
}
