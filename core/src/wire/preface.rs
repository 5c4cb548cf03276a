//! The 8 bytes that a sender sends before TLS, and the 8 bytes with which a receiver may refuse in the clear.
//!
//! The preface lets a receiver drop connections of other protocols before it does any cryptography. Nothing here is
//! authenticated. PROTOCOL.md, section 2.
//!
//! ```text
//!  0          4         5        8
//! +----------+---------+--------+     +----------+---+--------+-------+
//! |  "WAFT"  | purpose |  zeros |     |  "WAFT"  | 1 | reason | zeros |
//! +----------+---------+--------+     +----------+---+--------+-------+
//!     sender's preface                   receiver's clear refusal
//! ```

use core::fmt;

/// The protocol version that this crate speaks. `Hello` and `Greeting` negotiate it, and the keys are bound to those
/// messages; the preface has no part in the negotiation.
pub const VERSION: u8 = 1;
/// The purpose of a connection that carries a session.
const SESSION: u8 = 1;
/// The purpose of a connection on which two devices pair.
const PAIRING: u8 = 2;
/// Length of a preface, and of a clear refusal.
pub const LEN: usize = 8;
/// First byte of the TLS ClientHello with which a receiver accepts a connection.
pub const TLS_HANDSHAKE: u8 = 0x16;

const MAGIC: [u8; 4] = *b"WAFT";

/// The bytes are not a clear refusal: the peer is probably not a waft receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NotWaft;

impl fmt::Display for NotWaft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer is not that of a waft receiver")
    }
}

impl core::error::Error for NotWaft {}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Purpose {
    /// A [`session`](crate::session): TLS follows.
    Session,
    /// [`pairing`](crate::pairing): frames follow, without TLS.
    Pairing,
}

impl Purpose {
    /// The preface: the first bytes of a connection.
    pub const fn preface(self) -> [u8; LEN] {
        let purpose = match self {
            Self::Session => SESSION,
            Self::Pairing => PAIRING,
        };
        let [w, a, f, t] = MAGIC;
        [w, a, f, t, purpose, 0, 0, 0]
    }

    /// Reads a preface. Returns `Err(Some)` with the refusal to send if the purpose is unknown, and `Err(None)` if the
    /// bytes are not a preface: the connection is then closed without an answer.
    pub fn of_preface(bytes: &[u8; LEN]) -> Result<Self, Option<ClearRefusal>> {
        let [w, a, f, t, purpose, zeros @ ..] = *bytes;
        if [w, a, f, t] != MAGIC || zeros != [0; 3] {
            return Err(None);
        }
        match purpose {
            SESSION => Ok(Self::Session),
            PAIRING => Ok(Self::Pairing),
            _ => Err(Some(ClearRefusal::Purpose)),
        }
    }
}

/// The sender's preface of a session.
pub const fn preface() -> [u8; LEN] {
    Purpose::Session.preface()
}

/// Checks the preface of a sender, for a receiver that takes sessions only. The errors are those of
/// [`Purpose::of_preface`].
pub fn check_preface(bytes: &[u8; LEN]) -> Result<(), Option<ClearRefusal>> {
    match Purpose::of_preface(bytes)? {
        Purpose::Session => Ok(()),
        Purpose::Pairing => Err(Some(ClearRefusal::Purpose)),
    }
}

/// Why a receiver does not begin TLS. It is only a hint, because anyone on the network path can forge it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ClearRefusal {
    /// The receiver does not know the purpose of the connection.
    Purpose,
    /// Another transfer is running.
    Busy,
    /// The receiver has no identity.
    NotProvisioned,
    /// The device does not take attempts to pair at present.
    PairingClosed,
    /// A reason that this version does not know.
    Other(u8),
}

impl fmt::Display for ClearRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Purpose => "the receiver does not know the purpose of the connection",
            Self::Busy => "the receiver is busy with another transfer",
            Self::NotProvisioned => "the receiver has no identity",
            Self::PairingClosed => "the device does not take attempts to pair at present",
            Self::Other(reason) => return write!(f, "the receiver refused for reason {reason}, which is unknown"),
        })
    }
}

impl core::error::Error for ClearRefusal {}

impl ClearRefusal {
    /// Encodes the refusal.
    pub const fn to_bytes(self) -> [u8; LEN] {
        let reason = match self {
            Self::Purpose => 1,
            Self::Busy => 2,
            Self::NotProvisioned => 3,
            Self::PairingClosed => 4,
            Self::Other(reason) => reason,
        };
        let [w, a, f, t] = MAGIC;
        [w, a, f, t, SESSION, reason, 0, 0]
    }

    /// Decodes the bytes that a receiver sent instead of a ClientHello.
    pub fn from_bytes(bytes: &[u8; LEN]) -> Result<Self, NotWaft> {
        let [w, a, f, t, _, reason, ..] = *bytes;
        if [w, a, f, t] != MAGIC {
            return Err(NotWaft);
        }
        Ok(match reason {
            1 => Self::Purpose,
            2 => Self::Busy,
            3 => Self::NotProvisioned,
            4 => Self::PairingClosed,
            other => Self::Other(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preface_is_frozen() {
        assert_eq!(preface(), *b"WAFT\x01\0\0\0");
        assert_eq!(check_preface(&preface()), Ok(()));
        assert_eq!(Purpose::Pairing.preface(), *b"WAFT\x02\0\0\0");
        for purpose in [Purpose::Session, Purpose::Pairing] {
            assert_eq!(Purpose::of_preface(&purpose.preface()), Ok(purpose));
        }
    }

    #[test]
    fn unknown_purposes_are_refused() {
        for purpose in [0, 2, 7, 0xff] {
            let bytes = [b'W', b'A', b'F', b'T', purpose, 0, 0, 0];
            assert_eq!(check_preface(&bytes), Err(Some(ClearRefusal::Purpose)));
            assert_eq!(Purpose::of_preface(&bytes).is_ok(), purpose == 2);
        }
    }

    #[test]
    fn other_protocols_get_no_answer() {
        for bytes in [b"GET / HT", b"SSH-2.0-", b"\x16\x03\x01\x02\0\x01\0\x01", b"WAFT\x01\0\0\x01"] {
            assert_eq!((check_preface(bytes), Purpose::of_preface(bytes)), (Err(None), Err(None)));
        }
    }

    #[test]
    fn refusals_are_frozen() {
        for (refusal, bytes) in [
            (ClearRefusal::Purpose, b"WAFT\x01\x01\0\0"),
            (ClearRefusal::Busy, b"WAFT\x01\x02\0\0"),
            (ClearRefusal::NotProvisioned, b"WAFT\x01\x03\0\0"),
            (ClearRefusal::PairingClosed, b"WAFT\x01\x04\0\0"),
            (ClearRefusal::Other(9), b"WAFT\x01\x09\0\0"),
        ] {
            assert_eq!(refusal.to_bytes(), *bytes);
            assert_eq!(ClearRefusal::from_bytes(bytes), Ok(refusal));
        }
        // Later versions may use the other bytes: this one ignores them.
        assert_eq!(ClearRefusal::from_bytes(b"WAFT\x09\x02\xff\xff"), Ok(ClearRefusal::Busy));
        assert_eq!(ClearRefusal::from_bytes(b"HTTP/1.1"), Err(NotWaft));
    }
}
