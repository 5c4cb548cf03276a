//! The errors of a handshake, which say at whose side they arose: ours, the peer's (by its alert), or the network.
//!
//! PROTOCOL.md, section 3 (alerts).

use std::fmt::Display;
use std::io;

use rustls::{AlertDescription, CertificateError, PeerMisbehaved};

use super::pins::{Distrust, Verifier};
use crate::error::Class::{Broken, Identity, Protocol};
use crate::error::{Error, LARGE_PACKETS, SAME_RELEASE};
use crate::name::Name;

/// The reason why a handshake failed.
#[derive(Debug)]
pub enum HandshakeError {
    /// We do not accept the peer's certificate. An alert was sent to the peer.
    NotTrusted(Distrust),
    /// The peer showed a trusted certificate but does not hold its key. An alert was sent to the peer.
    NotItsKey {
        /// The name of the peer whose certificate it showed.
        name: Name,
    },
    /// The peer showed no certificate.
    NoCertificate,
    /// The peer does not accept our certificate.
    Rejected(Rejection),
    /// The peer speaks TLS, but not in the way that waft requires.
    Incompatible(rustls::Error),
    /// The peer does not speak TLS.
    NotTls,
    /// The peer closed or reset the connection during the handshake.
    Closed,
    /// The handshake took too long.
    TimedOut,
    /// The peer violated the TLS protocol.
    Tls(rustls::Error),
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
    /// The error for a handshake with `peer`: its name and address.
    pub(crate) fn with(&self, peer: &str) -> Error {
        match self {
            Self::NotTrusted(distrust) => distrusted(peer, distrust),
            Self::Rejected(rejection) => rejected(peer, *rejection),
            Self::NotItsKey { name } => Error::new(
                Identity,
                format!("What answers as {peer} shows the certificate of {name}, but does not have its key."),
                "Another machine may be impersonating it. If not: renew its identity there (`waft id --renew`), and trust the new one.",
            ),
            Self::NoCertificate => Error::new(
                Identity,
                format!("{peer} shows no certificate, so its identity is unknown."),
                "Compare the address: it is not a waft sender or receiver.",
            ),
            Self::NotTls => foreign(peer, "it does not use TLS"),
            Self::Incompatible(error) | Self::Tls(error) => foreign(peer, error),
            Self::Closed => unsecured(peer, "it was closed"),
            Self::TimedOut => {
                let error = unsecured(peer, "it was too slow");
                let advice = format!("{} {LARGE_PACKETS}", error.advice());
                error.with_advice(advice)
            }
            Self::Io(error) => unsecured(peer, error),
        }
    }

    /// Classifies an error of the TLS stream by what `verifier` has seen.
    pub(super) fn of(error: io::Error, verifier: &Verifier) -> Self {
        if let Some(Err(distrust)) = verifier.verdict() {
            return Self::NotTrusted(distrust.clone());
        }
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => Self::of_tls(error.clone(), verifier),
            None => Self::of_io(error),
        }
    }

    /// Classifies an error before any certificate was seen.
    pub(super) fn early(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidMessage(_) | rustls::Error::InappropriateMessage { .. }) => Self::NotTls,
            Some(error) => Self::Incompatible(error.clone()),
            None => Self::of_io(error),
        }
    }

    fn of_tls(error: rustls::Error, verifier: &Verifier) -> Self {
        match error {
            rustls::Error::AlertReceived(alert) => match rejection(alert) {
                Some(rejection) => Self::Rejected(rejection),
                None => Self::Incompatible(error),
            },
            rustls::Error::PeerMisbehaved(PeerMisbehaved::IllegalMiddleboxChangeCipherSpec) => {
                Self::Rejected(Rejection::BoardBrokeOff)
            }
            rustls::Error::InvalidCertificate(CertificateError::BadSignature) => match verifier.verdict() {
                Some(Ok(peer)) => Self::NotItsKey { name: peer.name.clone() },
                _ => Self::Tls(error),
            },
            rustls::Error::NoCertificatesPresented => Self::NoCertificate,
            rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol => Self::Incompatible(error),
            rustls::Error::InvalidMessage(_) | rustls::Error::InappropriateMessage { .. }
                if verifier.verdict().is_none() =>
            {
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

fn foreign(peer: &str, why: impl Display) -> Error {
    Error::new(Protocol, format!("{peer} does not speak waft's protocol: {why}."), SAME_RELEASE)
}

fn unsecured(peer: &str, why: impl Display) -> Error {
    Error::new(
        Broken,
        format!("The connection with {peer} broke before it was secured: {why}."),
        "Send again. If that does not help, look at the messages of the other side.",
    )
}

fn distrusted(peer: &str, distrust: &Distrust) -> Error {
    match distrust {
        Distrust::Unknown { hash } => Error::new(
            Identity,
            format!("{peer} is not trusted here. Its fingerprint: {hash}"),
            "If `waft id` shows that fingerprint there, copy its certificate here: waft trust add NAME CERT.pem",
        ),
        Distrust::AnotherName { name } => Error::new(
            Identity,
            format!("{peer} is a different receiver: {name}."),
            "Send to that name, or give the address of the one that is meant: NAME@HOST.",
        ),
        Distrust::WrongDirection { name } => Error::new(
            Identity,
            format!("{name} is trusted here, but not in this direction."),
            "See `waft trust list`. To allow it: waft trust remove, then add it without --receive-only or --send-only.",
        ),
    }
}

fn rejected(peer: &str, rejection: Rejection) -> Error {
    match rejection {
        Rejection::Direction => Error::new(
            Identity,
            format!("{peer} trusts this machine, but not in this direction."),
            "Have it allow that: waft trust remove there, then add it without --receive-only or --send-only.",
        ),
        Rejection::Signature => Error::new(
            Identity,
            format!("{peer} found that this machine does not have the key of its certificate."),
            "Make a new identity with `waft id --renew`, and have the new certificate trusted there.",
        ),
        Rejection::Certificate | Rejection::BoardBrokeOff => Error::new(
            Identity,
            format!("{peer} does not trust this machine."),
            "Copy this machine's certificate there (`waft id cert`), and have it added: waft trust add NAME CERT.pem. A \
             board is provisioned anew.",
        ),
    }
}
