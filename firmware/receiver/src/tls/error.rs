//! Why a handshake or a link failed, and whose doing it is. PROTOCOL.md, section 3.

use core::fmt;

use embedded_io_async::{Error, ErrorKind};

/// Why a connection was not secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum HandshakeError {
    /// The sender's certificate is not trusted here. It was told.
    NotTrusted,
    /// The sender showed a trusted certificate, and does not hold its key. It was told.
    NotItsKey,
    /// The sender showed no certificate, or more than one, or did not prove in its turn that it holds the key.
    NotProven,
    /// The sender does not take our certificate, or does not speak TLS as we do: it sent an alert.
    Rejected,
    /// It took too long.
    TimedOut,
    /// The connection ended, failed, or carried what is no TLS of ours.
    Link(LinkError),
}

impl From<LinkError> for HandshakeError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Alert => Self::Rejected,
            _ => Self::Link(error),
        }
    }
}

/// Why a connection ended other than by the sender's goodbye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LinkError {
    /// It ended without a goodbye, or was used after one.
    Closed,
    /// The sender sent an alert. After the handshake embedded-tls does not tell which.
    Alert,
    /// The sender sent a record that has no place there.
    Record(Violation),
    /// The sender sent a record that does not open, or holds what it must not.
    Tls,
    /// The connection failed.
    Tcp(ErrorKind),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the connection ended without a goodbye",
            Self::Alert => "the sender sent an alert",
            Self::Record(_) => "the sender broke TLS by a record out of place",
            Self::Tls => "the sender broke TLS",
            Self::Tcp(_) => "the connection failed",
        })
    }
}

impl core::error::Error for LinkError {}

impl Error for LinkError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Closed | Self::Alert => ErrorKind::ConnectionAborted,
            Self::Record(_) | Self::Tls => ErrorKind::InvalidData,
            Self::Tcp(kind) => *kind,
        }
    }
}

/// Which rule of [`guard`](super::guard) a record broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Violation {
    /// Its type has no place here: above all, it should be encrypted and is not.
    Type,
    /// It is not of version 3.3, as all records of TLS 1.3 are.
    Version,
    /// Too long for the buffer, or too short for what it has to hold.
    Length,
    /// A change of ciphers other than the one that means nothing.
    ChangeCipherSpec,
}
