//! How a session ends: with a [`Receipt`], or with a [`SessionError`] that names the side at fault.

use core::fmt;

use crate::digest::Digest;
use crate::wire::message::{Cancel, Refusal};

/// The proof of a committed folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Receipt {
    /// The archive's root.
    pub digest: Digest,
    /// Number of files.
    pub files: u32,
    /// Length of the archive, in bytes.
    pub bytes: u64,
    /// Number of the commit, if the store counts its commits, else 0.
    pub generation: u64,
}

/// Why a session ended without a receipt. The variant names the side that ended it. The errors that only a sender has are
/// in [`SendError`](crate::session::sender::SendError).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SessionError {
    /// The receiver refused. Both sides report this, with the same refusal.
    Refused(Refusal),
    /// The peer cancelled.
    PeerCancelled(Cancel),
    /// This side cancelled.
    Cancelled(Cancel),
    /// The connection ended or broke.
    Disconnected,
    /// The peer sent nothing for too long.
    TimedOut,
    /// The peer broke the protocol.
    PeerMisbehaved(Misbehaviour),
    /// The caller's buffers are too short for the chosen chunk size.
    Buffers,
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused(refusal) => return write!(f, "the receiver refused: {refusal}"),
            Self::PeerCancelled(reason) => return write!(f, "the peer cancelled: {reason}"),
            Self::Cancelled(reason) => return write!(f, "this side cancelled: {reason}"),
            Self::Disconnected => "the connection was lost",
            Self::TimedOut => "the peer sent nothing for too long",
            Self::PeerMisbehaved(how) => return write!(f, "the peer broke the protocol: {how}"),
            Self::Buffers => "the buffers are too short for the chunk size",
        })
    }
}

impl core::error::Error for SessionError {}

/// How a peer broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Misbehaviour {
    /// It sent a frame of an unknown kind, or one that is longer than its kind allows.
    Frame,
    /// It sent a message that does not decode.
    Message,
    /// It sent a message that is not allowed at this point.
    Unexpected,
    /// It sent a message with a field that exceeds its bounds.
    Field,
    /// It sent an `Accept` that does not prove the key.
    AcceptMac,
    /// It sent a chunk that does not open.
    Chunk,
    /// It sent a list of the files in its base that is not authentic.
    BaseMac,
    /// It left out bytes that the receiver's base does not have.
    LeftOut,
}

impl fmt::Display for Misbehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Frame => "a frame has an unknown kind, or is too long",
            Self::Message => "a message does not decode",
            Self::Unexpected => "a message is not allowed at this point",
            Self::Field => "a field of a message is out of range",
            Self::AcceptMac => "the receiver did not prove that it has the key",
            Self::Chunk => "a chunk is not authentic",
            Self::BaseMac => "the list of the files that the receiver holds is not authentic",
            Self::LeftOut => "the sender left out a file that this receiver does not hold",
        })
    }
}

impl core::error::Error for Misbehaviour {}
