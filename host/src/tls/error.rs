//! Why a handshake failed, and whose word it is: ours, the peer's by its alert, or the network's.
//!
//! PROTOCOL.md, section 3 (alerts).

use std::io;

use rustls::{AlertDescription, CertificateError, Error, PeerMisbehaved};

use super::pins::{Distrust, Verifier};
use crate::name::Name;

/// Why a handshake failed.
#[derive(Debug)]
pub enum HandshakeError {
    /// We do not take the peer's certificate. It was told.
    NotTrusted(Distrust),
    /// The peer showed a trusted certificate, and does not hold its key. It was told.
    NotItsKey {
        /// Whose certificate it showed.
        name: Name,
    },
    /// The peer showed no certificate.
    NoCertificate,
    /// The peer does not take ours.
    Rejected(Rejection),
    /// The peer speaks TLS, but not as waft does.
    Incompatible(Error),
    /// The peer does not speak TLS.
    NotTls,
    /// The peer closed or reset the connection in the middle.
    Closed,
    /// It took too long.
    TimedOut,
    /// The peer broke TLS.
    Tls(Error),
    /// The connection failed.
    Io(io::Error),
}

/// Why a peer does not take our certificate, by its own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// It does not trust it, or expected another receiver.
    Certificate,
    /// It trusts it, but not for this direction.
    Direction,
    /// It holds that we do not have the certificate's key.
    Signature,
    /// A board broke off in the way of its TLS library, whose alerts cannot be read: most likely it does not trust us.
    BoardBrokeOff,
}

impl HandshakeError {
    /// What an error of the TLS stream means after what `verifier` saw.
    pub(super) fn of(error: io::Error, verifier: &Verifier) -> Self {
        if let Some(Err(distrust)) = verifier.verdict() {
            return Self::NotTrusted(distrust.clone());
        }
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(error) => Self::of_tls(error.clone(), verifier),
            None => Self::of_io(error),
        }
    }

    /// What an error before any certificate means.
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
