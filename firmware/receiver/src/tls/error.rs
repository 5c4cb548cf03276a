//! The errors of a handshake and of a link, and which side is at fault. PROTOCOL.md, section 3.

use core::fmt;

use embedded_io_async::{Error, ErrorKind};

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum HandshakeError {
    /// The sender's certificate is not trusted, or its message holds none or more than one. The sender was told by an
    /// alert.
    NotTrusted,
    /// The sender presented a trusted certificate, but does not hold its key. The sender got an alert.
    NotItsKey,
    /// The sender did not send exactly one certificate message and one signature, in this order.
    NotProven,
    /// The sender sent an alert: it does not accept our certificate, or does not support our version of TLS.
    Rejected,
    /// The handshake took too long.
    TimedOut,
    /// The connection ended or failed, or carried an invalid record.
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

/// Why a connection ended without a `close_notify` of the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LinkError {
    /// The connection ended without a `close_notify`, or was used after one.
    Closed,
    /// The sender sent an alert. After the handshake embedded-tls does not report which one.
    Alert,
    /// The sender sent a record that is not allowed at that point.
    Record(Violation),
    /// The sender sent a record that cannot be decrypted, or that has invalid content.
    Tls,
    /// The TCP connection failed.
    Tcp(ErrorKind),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the connection ended without a TLS close",
            Self::Alert => "the sender sent an alert",
            Self::Record(_) => "the sender violated TLS: a record is not allowed here",
            Self::Tls => "the sender violated TLS",
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

/// The rule of [`guard`](super::guard) that a record violated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Violation {
    /// The type is not allowed at this point. In most cases the record should be encrypted and is not.
    Type,
    /// The version is not 3.3, as in all records of TLS 1.3.
    Version,
    /// The record is too long for the buffer, or too short for its content.
    Length,
    /// A `change_cipher_spec` record with other content than the single byte 1, or at a point where none is allowed.
    ChangeCipherSpec,
}
