//! The errors of a sender's session: those that both sides have, and those that only a sender has.
//! PROTOCOL.md, section 6 ("How a session ends").

use core::fmt;

use crate::session::outcome::SessionError;
use crate::wire::message::{Kibibytes, Limit};

/// Why a sender's session ended without a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SendError {
    /// The session ended as it may on either side.
    Session(SessionError),
    /// The folder exceeds a bound that the receiver stated.
    OverLimit {
        /// The bound.
        limit: Limit,
        /// The folder's value, or the least that this side needs.
        has: u64,
        /// The most that the receiver accepts.
        most: u64,
    },
    /// The receiver stated less free space than the folder needs.
    NoSpace {
        /// How much more space the folder needs.
        missing: Kibibytes,
    },
    /// The receiver takes sealed keys only, but this side requires a typed one.
    KeyNotTyped,
    /// The receiver takes typed keys only, but this side requires a sealed one.
    KeyNotSealed,
    /// The two sides have no version, cipher, codec or key mode in common.
    NothingInCommon,
    /// The receiver's certificate has no valid HPKE key to seal to.
    NoHpkeKey,
    /// Everything was sent, but the receipt did not arrive: the connection ended, or time ran out.
    OutcomeUnknown {
        /// Whether the user interrupted the wait for the receipt.
        interrupted: bool,
    },
    /// The receipt is not for the folder that was sent.
    WrongReceipt,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Session(error) => return error.fmt(f),
            Self::OverLimit { limit, has, most } => {
                return write!(f, "a bound is exceeded: {limit}: {has}, but at most {most}");
            }
            Self::NoSpace { missing } => {
                return write!(f, "the receiver has too little room: {missing} more are needed");
            }
            Self::KeyNotTyped => "the receiver takes sealed keys only",
            Self::KeyNotSealed => "the receiver takes typed keys only",
            Self::NothingInCommon => "the two sides have no version, cipher, codec or key mode in common",
            Self::NoHpkeKey => "the receiver's certificate has no valid HPKE key",
            Self::OutcomeUnknown { .. } => "everything was sent, but the receipt did not arrive",
            Self::WrongReceipt => "the receipt is not for the folder that was sent",
        })
    }
}

impl core::error::Error for SendError {}

impl From<SessionError> for SendError {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}
