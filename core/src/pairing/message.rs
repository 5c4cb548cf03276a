//! The messages of a pairing, in the postcard encoding. They cross in frames of kind message, except for the sealed
//! introductions, which cross in frames of kind chunk.
//!
//! The order of variants and fields *is* the format: only ever append to it. PROTOCOL.md, section 13.2.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::bytes;
use crate::sealed::hpke::POINT;
use crate::wire::message::Bytes32;

/// Length of the longest message that this version sends, in bytes of postcard: a share.
pub(super) const SENT_MAX: usize = 1 + POINT;

/// A message of either side. A message that comes out of turn is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PairingMessage {
    /// The listener's first message.
    Hello(PairingHello),
    /// The dialer's first message.
    Greeting(PairingGreeting),
    /// The CPace share of a side: first the dialer's, then the listener's.
    Share {
        /// An uncompressed point of P-256.
        #[serde(with = "bytes")]
        point: [u8; POINT],
    },
    /// Proves that a side derived the same keys: first the dialer, then the listener.
    Confirm {
        /// The tag of that side.
        #[serde(with = "bytes")]
        tag: Bytes32,
    },
    /// The dialer has the listener's introduction.
    Done {
        /// Proves that the dialer sent this message.
        #[serde(with = "bytes")]
        tag: Bytes32,
    },
    /// A side gives up, and ends the attempt.
    Failed(Failure),
}

/// The listener's first message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairingHello {
    /// Lowest protocol version that the listener speaks.
    pub min: u8,
    /// Highest protocol version that the listener speaks.
    pub max: u8,
    /// Random bytes, fresh for each connection.
    #[serde(with = "bytes")]
    pub nonce: Bytes32,
}

/// The dialer's first message, which chooses the version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairingGreeting {
    /// The protocol version that the dialer has chosen.
    pub version: u8,
    /// Random bytes, fresh for each connection.
    #[serde(with = "bytes")]
    pub nonce: Bytes32,
}

/// Why a side gives up. It is not authenticated: whoever is on the network path can forge it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Failure {
    /// The two sides speak no common version.
    Version,
    /// The listener takes no attempt at present, because several failed.
    Paused {
        /// Seconds until it takes the next one.
        seconds: u16,
    },
    /// The peer did not prove that it has the code.
    WrongCode,
    /// The peer's last message breaks the protocol.
    Protocol,
    /// The peer sent nothing for too long.
    TimedOut,
    /// The user of that side ended the attempt, or it has no code at present.
    Declined,
    /// The peer introduced itself with the certificate of this side.
    SameCertificate,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "the two sides speak no common version",
            Self::Paused { seconds } => return write!(f, "several attempts failed: try again in {seconds} s"),
            Self::WrongCode => "the code is wrong",
            Self::Protocol => "it received a message that breaks the protocol",
            Self::TimedOut => "it received nothing for too long",
            Self::Declined => "its user ended the attempt, or it has no code at present",
            Self::SameCertificate => "both sides have the same certificate",
        })
    }
}
