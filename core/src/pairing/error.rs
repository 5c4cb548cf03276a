//! Why an attempt to pair ended without a [`Paired`](super::Paired).

use core::fmt;

use crate::pairing::introduction::IntroductionError;
use crate::pairing::message::Failure;
use crate::session::{Misbehaviour, SessionError};
use crate::wire::preface::ClearRefusal;

/// Why an attempt to pair ended. Neither side trusts the other, except as [`Paired`](super::Paired) says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PairingError {
    /// The device at that address refused the connection in the clear (dialer only).
    Refused(ClearRefusal),
    /// What answers at that address does not pair (dialer only).
    NotWaft,
    /// The two sides speak no common version.
    Version,
    /// The listener takes no attempt at present, because several failed.
    Paused {
        /// Seconds until the listener takes the next one.
        seconds: u16,
    },
    /// The two sides did not use the same code in this attempt, or another device on the network interfered. Both
    /// sides report this.
    WrongCode,
    /// The peer gave up.
    PeerFailed(Failure),
    /// This side declined.
    Declined,
    /// The connection ended or broke.
    Disconnected,
    /// The peer sent nothing for too long, or the attempt took too long.
    TimedOut,
    /// The peer broke the protocol.
    PeerMisbehaved(Misbehaviour),
    /// The peer's share is not a point of P-256, or is this side's own share.
    Share,
    /// The peer's introduction is not authentic: it was changed on its way.
    Forged,
    /// The peer's introduction breaks a rule.
    Introduction(IntroductionError),
    /// The peer introduced itself with the certificate of this side: it is the same machine, or a copy of it. The peer
    /// reports [`PeerFailed`](Self::PeerFailed).
    SameCertificate,
}

impl PairingError {
    /// The failure to report to the peer; `None` if the peer caused the error or already knows it.
    pub(super) fn failure(self) -> Option<Failure> {
        Some(match self {
            Self::Version => Failure::Version,
            Self::Paused { seconds } => Failure::Paused { seconds },
            Self::WrongCode => Failure::WrongCode,
            Self::Declined => Failure::Declined,
            Self::TimedOut => Failure::TimedOut,
            Self::SameCertificate => Failure::SameCertificate,
            Self::PeerMisbehaved(_) | Self::Share | Self::Forged | Self::Introduction(_) => Failure::Protocol,
            Self::Refused(_) | Self::NotWaft | Self::PeerFailed(_) | Self::Disconnected => return None,
        })
    }
}

/// Errors of the connection. The others do not come from a channel.
impl From<SessionError> for PairingError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::TimedOut => Self::TimedOut,
            SessionError::PeerMisbehaved(how) => Self::PeerMisbehaved(how),
            _ => Self::Disconnected,
        }
    }
}

impl fmt::Display for PairingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused(refusal) => return write!(f, "the other device refused: {refusal}"),
            Self::NotWaft => "what answers there does not pair",
            Self::Version => "the two sides speak no common version",
            Self::Paused { seconds } => return write!(f, "several attempts failed: try again in {seconds} s"),
            Self::WrongCode => "the code was wrong",
            Self::PeerFailed(failure) => return write!(f, "the other device gave up: {failure}"),
            Self::Declined => "this side declined",
            Self::Disconnected => "the connection was lost",
            Self::TimedOut => "the other device sent nothing for too long",
            Self::PeerMisbehaved(how) => return write!(f, "the other device broke the protocol: {how}"),
            Self::Share => "the other device sent an invalid key share",
            Self::Forged => "the other device's introduction is not authentic",
            Self::Introduction(error) => return write!(f, "the other device broke the protocol: {error}"),
            Self::SameCertificate => "both sides have the same certificate",
        })
    }
}

impl core::error::Error for PairingError {}
