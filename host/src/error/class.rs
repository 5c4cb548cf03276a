//! Classes of errors: what a script can tell apart, by exit code or by name.

use crate::platform::interrupted_status;

/// The class of an [`Error`](super::Error); its number is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Class {
    /// Wrong usage.
    Usage = 2,
    /// The receiver cannot be reached, or the port cannot be listened on.
    Unreachable = 10,
    /// Identity, trust or TLS.
    Identity = 11,
    /// The 4-digit code.
    Code = 12,
    /// The key.
    Key = 13,
    /// Storage or file system.
    Storage = 14,
    /// Refused by the receiver's policy or limits.
    Refused = 15,
    /// Broken off; can be resumed.
    Broken = 16,
    /// The other side does not keep to the protocol.
    Protocol = 17,
    /// Sent, outcome unknown.
    Unknown = 18,
    /// Interrupted, by Ctrl-C or another signal: its exit code tells by which.
    Interrupted = 130,
}

impl Class {
    /// The exit code.
    pub(crate) fn exit(self) -> u8 {
        match self {
            Self::Interrupted => interrupted_status(),
            class => class as u8,
        }
    }

    /// The name in JSON events.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Unreachable => "unreachable",
            Self::Identity => "identity",
            Self::Code => "code",
            Self::Key => "key",
            Self::Storage => "storage",
            Self::Refused => "refused",
            Self::Broken => "broken",
            Self::Protocol => "protocol",
            Self::Unknown => "unknown",
            Self::Interrupted => "interrupted",
        }
    }
}
