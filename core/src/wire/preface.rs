//! The eight bytes before TLS, and the eight bytes with which a receiver may refuse in the clear.
//!
//! They spare a receiver all cryptography for connections that mean something else. Nothing here is
//! authenticated. PROTOCOL.md, section 2.
//!
//! ```text
//!  0          4         5        8
//! +----------+---------+--------+     +----------+---+--------+-------+
//! |  "WAFT"  | purpose |  zeros |     |  "WAFT"  | 1 | reason | zeros |
//! +----------+---------+--------+     +----------+---+--------+-------+
//!     sender's preface                   receiver's clear refusal
//! ```

/// The version of the session's protocol that this crate speaks. `Hello` and `Greeting` agree on it, and the keys are
/// bound to them; the preface has no part in that.
pub const VERSION: u8 = 1;
/// The purpose of a connection that carries a session.
const SESSION: u8 = 1;
/// Length of a preface, and of a clear refusal.
pub const LEN: usize = 8;
/// First byte of a ClientHello: the receiver goes on.
pub const TLS_HANDSHAKE: u8 = 0x16;

const MAGIC: [u8; 4] = *b"WAFT";

/// The bytes were not a preface, or not a clear refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NotWaft;

/// What a sender sends first.
pub const fn preface() -> [u8; LEN] {
    let [w, a, f, t] = MAGIC;
    [w, a, f, t, SESSION, 0, 0, 0]
}

/// Reads a sender's preface: `Err(Some)` with the refusal to send where its purpose is not known, `Err(None)` for what
/// is no preface and deserves no answer.
pub fn check_preface(bytes: &[u8; LEN]) -> Result<(), Option<ClearRefusal>> {
    let [w, a, f, t, purpose, zeros @ ..] = *bytes;
    if [w, a, f, t] != MAGIC || zeros != [0; 3] {
        return Err(None);
    }
    if purpose == SESSION { Ok(()) } else { Err(Some(ClearRefusal::Purpose)) }
}

/// Why a receiver does not begin TLS. Only a hint: anybody on the path can say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ClearRefusal {
    /// It does not know what the connection is for.
    Purpose,
    /// Another transfer is running.
    Busy,
    /// It has no identity.
    NotProvisioned,
    /// A reason that this version does not know.
    Other(u8),
}

impl ClearRefusal {
    /// As it crosses.
    pub const fn to_bytes(self) -> [u8; LEN] {
        let reason = match self {
            Self::Purpose => 1,
            Self::Busy => 2,
            Self::NotProvisioned => 3,
            Self::Other(reason) => reason,
        };
        let [w, a, f, t] = MAGIC;
        [w, a, f, t, SESSION, reason, 0, 0]
    }

    /// Reads what a receiver sent instead of a ClientHello.
    pub fn from_bytes(bytes: &[u8; LEN]) -> Result<Self, NotWaft> {
        let [w, a, f, t, _, reason, ..] = *bytes;
        if [w, a, f, t] != MAGIC {
            return Err(NotWaft);
        }
        Ok(match reason {
            1 => Self::Purpose,
            2 => Self::Busy,
            3 => Self::NotProvisioned,
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
    }

    #[test]
    fn unknown_purposes_are_told() {
        for purpose in [0, 2, 7, 0xff] {
            assert_eq!(check_preface(&[b'W', b'A', b'F', b'T', purpose, 0, 0, 0]), Err(Some(ClearRefusal::Purpose)));
        }
    }

    #[test]
    fn strangers_get_no_answer() {
        for bytes in [b"GET / HT", b"SSH-2.0-", b"\x16\x03\x01\x02\0\x01\0\x01", b"WAFT\x01\0\0\x01"] {
            assert_eq!(check_preface(bytes), Err(None));
        }
    }

    #[test]
    fn refusals_are_frozen() {
        for (refusal, bytes) in [
            (ClearRefusal::Purpose, b"WAFT\x01\x01\0\0"),
            (ClearRefusal::Busy, b"WAFT\x01\x02\0\0"),
            (ClearRefusal::NotProvisioned, b"WAFT\x01\x03\0\0"),
            (ClearRefusal::Other(9), b"WAFT\x01\x09\0\0"),
        ] {
            assert_eq!(refusal.to_bytes(), *bytes);
            assert_eq!(ClearRefusal::from_bytes(bytes), Ok(refusal));
        }
        // Of what a later version may put into the other bytes, nothing is read.
        assert_eq!(ClearRefusal::from_bytes(b"WAFT\x09\x02\xff\xff"), Ok(ClearRefusal::Busy));
        assert_eq!(ClearRefusal::from_bytes(b"HTTP/1.1"), Err(NotWaft));
    }
}
