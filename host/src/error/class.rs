//! Classes of errors, which a script can distinguish by exit code or by name.

/// The class of an [`Error`](super::Error); its number is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Class {
    /// The command line is wrong.
    Usage = 2,
    /// The receiver cannot be reached, or the port cannot be opened for listening.
    Unreachable = 10,
    /// Identity, trust or TLS failed.
    Identity = 11,
    /// The 4-digit code is missing or wrong.
    Code = 12,
    /// The transfer key is missing or wrong.
    Key = 13,
    /// The storage or file system failed.
    Storage = 14,
    /// The receiver refused the folder because of its policy or limits.
    Refused = 15,
    /// The transfer broke off and can be resumed.
    Broken = 16,
    /// The peer violates the protocol.
    Protocol = 17,
    /// The folder was sent, but the outcome is unknown.
    Unknown = 18,
    /// Ctrl-C or another signal interrupted the command.
    Interrupted = 130,
}

impl Class {
    /// The exit code, if no other signal than Ctrl-C interrupted the command.
    pub(crate) fn exit(self) -> u8 {
        self as u8
    }

    /// The name of this class in JSON events.
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
