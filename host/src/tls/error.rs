//! The errors of a handshake, which say at whose side they arose: ours, the peer's (by its alert), or the network.
//!
//! PROTOCOL.md, section 3 (alerts).

use std::io;

use rustls::{AlertDescription, CertificateError, Error, PeerMisbehaved};

use super::pins::{Distrust, Verifier};
use crate::name::Name;

/// The reason why a handshake failed.
#[derive(Debug)]
pub enum HandshakeError {
    /// We do not accept the peer's certificate. The peer was told so by an alert.
    NotTrusted(Distrust),
    /// The peer showed a trusted certificate but does not hold its key. The peer was told so by an alert.
    NotItsKey {
        /// The name of the peer whose certificate it showed.
        name: Name,
    },
    /// The peer showed no certificate.
    NoCertificate,
    /// The peer does not accept our certificate.
    Rejected(Rejection),
    /// The peer speaks TLS, but not in the way that waft requires.
    Incompatible(Error),
    /// The peer does not speak TLS.
    NotTls,
    /// The peer closed or reset the connection during the handshake.
    Closed,
    /// The handshake took too long.
    TimedOut,
    /// The peer violated the TLS protocol.
    Tls(Error),
    /// The connection failed.
    Io(io::Error),
}

/// The reason why the peer does not accept our certificate, by its alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The peer does not trust it, or expected another receiver.
    Certificate,
    /// The peer trusts it, but not for this direction.
    Direction,
    /// The peer found that we do not hold the certificate's key.
    Signature,
    /// A board ended the handshake. The alerts of its TLS library cannot be read; most likely it does not trust us.
    BoardBrokeOff,
}

impl HandshakeError {
    /// Classifies an error of the TLS stream by what `verifier` has seen.
    pub(super) fn of(error: io::Error, verifier: &Verifier) -> Self {
        if let Some(Err(distrust)) = verifier.verdict() {
            return Self::NotTrusted(distrust.clone());
        }
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(error) => Self::of_tls(error.clone(), verifier),
            None => Self::of_io(error),
        }
    }

    /// Classifies an error before any certificate was seen.
    pub(super) fn early(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::InvalidMessage(_) | Error::InappropriateMessage { .. }) => Self::NotTls,
            Some(error) => Self::Incompatible(error.clone()),
            None => Self::of_io(error),
        }
    }

    fn of_tls(error: Error, verifier: &Verifier) -> Self {
        match error {
            Error::AlertReceived(alert) => match rejection(alert) {
                Some(rejection) => Self::Rejected(rejection),
                None => Self::Incompatible(error),
            },
            Error::PeerMisbehaved(PeerMisbehaved::IllegalMiddleboxChangeCipherSpec) => {
                Self::Rejected(Rejection::BoardBrokeOff)
            }
            Error::InvalidCertificate(CertificateError::BadSignature) => match verifier.verdict() {
                Some(Ok(peer)) => Self::NotItsKey { name: peer.name.clone() },
                _ => Self::Tls(error),
            },
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Self::Incompatible(error),
            Error::InvalidMessage(_) | Error::InappropriateMessage { .. } if verifier.verdict().is_none() => {
                Self::NotTls
            }
            _ => Self::Tls(error),
        }
    }

    fn of_io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

fn rejection(alert: AlertDescription) -> Option<Rejection> {
    match alert {
        AlertDescription::UnknownCA
        | AlertDescription::CertificateUnknown
        | AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate => Some(Rejection::Certificate),
        AlertDescription::AccessDenied => Some(Rejection::Direction),
        AlertDescription::DecryptError => Some(Rejection::Signature),
        _ => None,
    }
}
