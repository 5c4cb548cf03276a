//! Why this machine did not pair, and what its user can do next.

use waft_core::pairing::{Failure, IntroductionError, PairingError};
use waft_core::wire::preface::ClearRefusal;

use crate::address::Address;
use crate::certificate::CertificateError;
use crate::error::Class::{Broken, Code, Identity, Protocol, Refused};
use crate::error::{Error, REPORT, SAME_RELEASE, sentence};
use crate::preface::PrefaceError;

/// Why this machine did not pair.
#[derive(Debug)]
pub enum PairError {
    /// The other device cannot be reached.
    Unreachable(Error),
    /// The attempt failed.
    Pairing(PairingError),
    /// This machine's own name or certificate is too long.
    Own(IntroductionError),
    /// The other device has a certificate that is not one of waft.
    Certificate(CertificateError),
}

impl From<PairingError> for PairError {
    fn from(error: PairingError) -> Self {
        Self::Pairing(error)
    }
}

impl std::fmt::Display for PairError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable(error) => error.fmt(f),
            Self::Pairing(error) => error.fmt(f),
            Self::Own(error) => write!(f, "this machine cannot introduce itself: {error}"),
            Self::Certificate(error) => write!(f, "the other device cannot be trusted: {error}"),
        }
    }
}

impl std::error::Error for PairError {}

impl PairError {
    /// The error of an attempt with the device at `address`, for the user of the dialer.
    pub fn at(self, address: &Address) -> Error {
        match self {
            PairError::Unreachable(error) => error.with_advice(
                "Begin pairing there (`waft pair NAME`), and compare the address with the ones that it shows. If it is right, a \
                 firewall may refuse the connection: let its TCP port in.",
            ),
            PairError::Pairing(PairingError::Refused(ClearRefusal::Busy)) => Error::new(
                Refused,
                format!("The device at {address} is busy."),
                "Try again when it has finished. If it receives folders, end that, and begin pairing there.",
            ),
            PairError::Pairing(PairingError::Refused(ClearRefusal::Purpose)) => Error::new(
                Refused,
                format!("The device at {address} does not pair: it takes folders only, or is an older release of waft."),
                "Begin pairing there: `waft pair NAME`.",
            ),
            PairError::Pairing(PairingError::Refused(refusal)) => PrefaceError::Refused(refusal).at(address),
            PairError::Pairing(PairingError::NotWaft) => PrefaceError::NotWaft.at(address),
            error => error.into(),
        }
    }
}

impl From<PairError> for Error {
    fn from(error: PairError) -> Self {
        const AGAIN: &str = "Begin again on both sides, with a new code.";
        let error = match error {
            PairError::Unreachable(error) => return error,
            PairError::Own(error) => {
                return Error::new(
                    Identity,
                    format!("This machine cannot introduce itself: {error}."),
                    "Give it a shorter name.",
                );
            }
            PairError::Certificate(error) => {
                return Error::new(Identity, format!("The other device cannot be trusted: {error}."), REPORT);
            }
            PairError::Pairing(error) => error,
        };
        let (class, what, next) = match error {
            PairingError::WrongCode => (
                Code,
                "The code was wrong, or another device on the network interfered.".to_owned(),
                "Each code is for one attempt. Try again with the new code that is shown. If no new code is shown, another device \
                 answered in its place: never type the same code again.",
            ),
            PairingError::Paused { seconds } => (
                Code,
                format!("Several codes were wrong there: it takes the next attempt in {seconds} s."),
                "Wait that long, then try again with a code that was not typed yet.",
            ),
            PairingError::Version => {
                (Protocol, "The two machines speak no common version of the protocol.".to_owned(), SAME_RELEASE)
            }
            PairingError::SameCertificate => (
                Identity,
                "The other device has the identity of this machine: it is the same one, or a copy.".to_owned(),
                "If one of them is a copy, give it a new identity: `waft id --renew`.",
            ),
            PairingError::PeerFailed(Failure::SameCertificate) => (
                Identity,
                "The other device says that it has the identity of this machine: that it is the same one, or a copy."
                    .to_owned(),
                "If one of them is a copy, give it a new identity: `waft id --renew`.",
            ),
            PairingError::PeerFailed(Failure::Paused { seconds }) => (
                Code,
                format!("Several codes were wrong there: it takes the next attempt in {seconds} s."),
                "Wait that long, then begin again with a new code.",
            ),
            PairingError::PeerFailed(Failure::Declined) => {
                (Refused, "The other device has no code at present.".to_owned(), AGAIN)
            }
            PairingError::Disconnected | PairingError::TimedOut => (Broken, sentence(error), AGAIN),
            _ => (Protocol, sentence(error), SAME_RELEASE),
        };
        Error::new(class, what, next).caused_by(error)
    }
}
