//! The certificates that a handshake accepts: exact certificates, each for one direction.
//!
//! Names, dates and chains are ignored. The signature by the certificate's key is always checked. PROTOCOL.md, section
//! 3.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerIncompatible, PeerMisbehaved,
    SignatureScheme,
};
use waft_core::certificate::CertificateHash;

use crate::name::Name;
use crate::trust::{Peer, Trust};

/// The trusted certificates of a handshake, and which of them it accepts.
#[derive(Clone, Debug)]
pub struct Pins {
    trust: Arc<Trust>,
    wanted: Wanted,
}

#[derive(Clone, Debug)]
enum Wanted {
    Sender,
    Receiver(Name),
}

impl Pins {
    /// For a receiver: accepts every peer that may send to us.
    pub fn senders(trust: impl Into<Arc<Trust>>) -> Self {
        Self { trust: trust.into(), wanted: Wanted::Sender }
    }

    /// For a sender: accepts the peer of that name, if it may receive from us.
    pub fn receiver(trust: impl Into<Arc<Trust>>, name: &Name) -> Self {
        Self { trust: trust.into(), wanted: Wanted::Receiver(name.clone()) }
    }

    fn check(&self, der: &[u8]) -> Result<Peer, Distrust> {
        let known = self.trust.peers().iter().find(|peer| peer.certificate.der().as_ref() == der);
        let peer = known.ok_or_else(|| Distrust::Unknown { hash: CertificateHash::of(der) })?;
        let allowed = match &self.wanted {
            Wanted::Sender => peer.sends,
            Wanted::Receiver(name) if peer.name == *name => peer.receives,
            Wanted::Receiver(_) => return Err(Distrust::AnotherName { name: peer.name.clone() }),
        };
        if allowed { Ok(peer.clone()) } else { Err(Distrust::WrongDirection { name: peer.name.clone() }) }
    }
}

/// The reason why we do not accept the peer's certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// The certificate is not known.
    #[error("its certificate (fingerprint {hash}) is not trusted here")]
    Unknown {
        /// Hash of the certificate.
        hash: CertificateHash,
    },
    /// The certificate is trusted, but belongs to another receiver than the wanted one (sender only).
    #[error("it is {name}, another one than was asked for")]
    AnotherName {
        /// The name under which it is trusted.
        name: Name,
    },
    /// The certificate is trusted, but not for this direction.
    #[error("{name} is trusted, but not for this direction")]
    WrongDirection {
        /// The name under which it is trusted.
        name: Name,
    },
}

impl Distrust {
    /// The rustls error that sends the alert of PROTOCOL.md, section 3.
    fn alert(&self) -> Error {
        Error::InvalidCertificate(match self {
            Self::Unknown { .. } => CertificateError::UnknownIssuer,
            Self::AnotherName { .. } => CertificateError::Other(OtherError(Arc::new(self.clone()))),
            Self::WrongDirection { .. } => CertificateError::ApplicationVerificationFailure,
        })
    }
}

/// Checks the certificate of one handshake, and records the result.
#[derive(Debug)]
pub(super) struct Verifier {
    pins: Pins,
    verdict: OnceLock<Result<Peer, Distrust>>,
}

impl Verifier {
    pub(super) fn new(pins: Pins) -> Self {
        Self { pins, verdict: OnceLock::new() }
    }

    /// The peer whose certificate was shown, or the reason for refusing it. `None` if no certificate was shown.
    pub(super) fn verdict(&self) -> Option<&Result<Peer, Distrust>> {
        self.verdict.get()
    }

    fn check(&self, der: &CertificateDer<'_>) -> Result<(), Error> {
        match self.verdict.get_or_init(|| self.pins.check(der)) {
            Ok(peer) if peer.certificate.der() == der => Ok(()),
            Ok(_) => Err(Error::General("a second certificate in one handshake".into())),
            Err(distrust) => Err(distrust.alert()),
        }
    }
}

const SCHEME: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;

/// The signature checks of both verifier traits: only signatures by the certificate's key, in TLS 1.3, with [`SCHEME`].
macro_rules! signatures {
    () => {
        /// TLS 1.2 is not configured. If it were negotiated all the same, the handshake would fail here.
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _certificate: &CertificateDer<'_>,
            _signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(PeerIncompatible::SupportedVersionsExtensionRequired.into())
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            if signed.scheme != SCHEME {
                return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
            }
            let known = ring::default_provider().signature_verification_algorithms;
            verify_tls13_signature(message, certificate, signed, &known)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SCHEME]
        }
    };
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity).map(|()| ClientCertVerified::assertion())
    }

    signatures!();
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity).map(|()| ServerCertVerified::assertion())
    }

    signatures!();
}
