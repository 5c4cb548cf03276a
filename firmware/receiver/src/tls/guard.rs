//! The record guard: between TCP and TLS, it lets through only records that have a place there.
//!
//! ```text
//! phase      lets through                                            goes on to
//! Hello      one handshake record in the clear (or an alert of 2 bytes)  Flight
//! Flight     a change of ciphers 14 03 03 00 01 01, swallowed        Encrypted
//!            an encrypted record of 17 to 4113 bytes                 Encrypted
//! Encrypted  encrypted records of 17 to 4113 bytes                   Open, when told so
//! Open       the same, marked: see below
//! ```
//!
//! TLS authenticates the header of an encrypted record beside the record, so embedded-tls hands it to the cipher. From
//! `Open` on, the guard puts `OPEN` in the place of its version's second byte; the cipher takes it out again, and
//! knows by it that handshake messages are over ([`suite`](super::suite)).
//!
//! On the way out it repairs one thing: embedded-tls 0.19 sends an alert in the clear as a change of ciphers, which no
//! server understands.

use core::fmt;

use embedded_io_async::{Error, ErrorKind, ErrorType, Read, Write};

use super::RECORD_MAX;
use super::error::{LinkError, Violation};

/// A TCP connection.
pub trait Tcp: Read + Write {
    /// Completes when `read` would return at once: a byte, the end, or an error is there. Cancel-safe.
    async fn readable(&mut self) -> Result<(), Self::Error>;
}

impl<T: Tcp> Tcp for &mut T {
    async fn readable(&mut self) -> Result<(), Self::Error> {
        T::readable(self).await
    }
}

/// In a header's third byte: the handshake is over.
pub(super) const OPEN: u8 = 0xFF;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const ENCRYPTED: u8 = 23;

const VERSION: [u8; 2] = [3, 3];
const HEADER: usize = 5;
/// The type inside, and the tag.
const ENCRYPTED_MIN: usize = 1 + 16;

/// How far the sender's side of a handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Hello,
    Flight,
    Encrypted,
    Open,
}

/// A TCP connection that gives only records that have a place. Reads must not be cancelled.
#[derive(Debug)]
pub struct Guard<T> {
    tcp: T,
    phase: Phase,
    header: [u8; HEADER],
    /// Bytes of `header` that were read from here.
    given: usize,
    /// Bytes of the record after its header that were not read yet.
    body: usize,
    violation: Option<Violation>,
}

impl<T: Tcp> Guard<T> {
    /// Guards a connection from the ClientHello on.
    pub fn new(tcp: T) -> Self {
        Self { tcp, phase: Phase::Hello, header: [0; HEADER], given: HEADER, body: 0, violation: None }
    }

    /// The rule that a record broke.
    pub fn violation(&self) -> Option<Violation> {
        self.violation
    }

    /// The connection.
    pub fn into_inner(self) -> T {
        self.tcp
    }

    /// The handshake is over.
    pub fn opened(&mut self) {
        self.phase = Phase::Open;
    }

    /// Whether the handshake is over.
    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Completes when there is something to read. Cancel-safe.
    pub async fn readable(&mut self) -> Result<(), T::Error> {
        if self.given < HEADER { Ok(()) } else { self.tcp.readable().await }
    }

    /// Reads headers up to one that passes; `false`: the connection ended.
    async fn next_record(&mut self) -> Result<bool, GuardError<T::Error>> {
        let mut header = [0; HEADER];
        while self.fill(&mut header).await? {
            if let Pass::Record { body } = self.judge(&header).map_err(|violation| self.refuse(violation))? {
                self.header = header;
                if self.phase == Phase::Open {
                    self.header[2] = OPEN;
                }
                (self.given, self.body) = (0, body);
                return Ok(true);
            }
            let mut one = [0];
            if !self.fill(&mut one).await? {
                return Ok(false);
            }
            if one != [1] {
                return Err(self.refuse(Violation::ChangeCipherSpec));
            }
        }
        Ok(false)
    }

    /// Whether a record with this header has a place here.
    fn judge(&mut self, header: &[u8; HEADER]) -> Result<Pass, Violation> {
        let [kind, major, minor, high, low] = *header;
        let body = usize::from(u16::from_be_bytes([high, low]));
        if [major, minor] != VERSION {
            return Err(Violation::Version);
        }
        let (fits, next) = match (self.phase, kind) {
            (Phase::Hello, HANDSHAKE) => ((1..=RECORD_MAX).contains(&body), Phase::Flight),
            (Phase::Hello, ALERT) => (body == 2, Phase::Encrypted),
            (Phase::Flight, CHANGE_CIPHER_SPEC) if body == 1 => {
                self.phase = Phase::Encrypted;
                return Ok(Pass::Swallow);
            }
            (_, CHANGE_CIPHER_SPEC) => return Err(Violation::ChangeCipherSpec),
            (Phase::Open, ENCRYPTED) => ((ENCRYPTED_MIN..=RECORD_MAX).contains(&body), Phase::Open),
            (Phase::Flight | Phase::Encrypted, ENCRYPTED) => {
                ((ENCRYPTED_MIN..=RECORD_MAX).contains(&body), Phase::Encrypted)
            }
            _ => return Err(Violation::Type),
        };
        self.phase = next;
        if fits { Ok(Pass::Record { body }) } else { Err(Violation::Length) }
    }

    /// Ends the connection for good.
    fn refuse(&mut self, violation: Violation) -> GuardError<T::Error> {
        self.violation = Some(violation);
        GuardError::Record(violation)
    }

    /// `false`: the connection ended first.
    async fn fill(&mut self, mut bytes: &mut [u8]) -> Result<bool, GuardError<T::Error>> {
        while !bytes.is_empty() {
            match self.tcp.read(bytes).await.map_err(GuardError::Tcp)? {
                0 => return Ok(false),
                count => bytes = &mut bytes[count..],
            }
        }
        Ok(true)
    }
}

/// What becomes of a record.
enum Pass {
    /// It goes on to TLS.
    Record { body: usize },
    /// Its one byte is looked at here.
    Swallow,
}

impl<T: Tcp> ErrorType for Guard<T> {
    type Error = GuardError<T::Error>;
}

impl<T: Tcp> Read for Guard<T> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        if let Some(violation) = self.violation {
            return Err(GuardError::Record(violation));
        }
        if self.given == HEADER && self.body == 0 && !self.next_record().await? {
            return Ok(0);
        }
        let header = &self.header[self.given..];
        if header.is_empty() {
            let most = buffer.len().min(self.body);
            let count = self.tcp.read(&mut buffer[..most]).await.map_err(GuardError::Tcp)?;
            self.body -= count;
            return Ok(count);
        }
        let count = buffer.len().min(header.len());
        buffer[..count].copy_from_slice(&header[..count]);
        self.given += count;
        Ok(count)
    }
}

impl<T: Tcp> Write for Guard<T> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        match *bytes {
            [CHANGE_CIPHER_SPEC, _, _, 0, 2, level, description] => {
                let alert = [ALERT, 3, 3, 0, 2, level, description];
                self.tcp.write_all(&alert).await.map_err(GuardError::Tcp)?;
                Ok(alert.len())
            }
            _ => self.tcp.write(bytes).await.map_err(GuardError::Tcp),
        }
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.tcp.flush().await.map_err(GuardError::Tcp)
    }
}

/// Why the guard gives no more bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardError<E> {
    /// The connection's own error.
    Tcp(E),
    /// The sender's record has no place here.
    Record(Violation),
}

impl<E: Error> fmt::Display for GuardError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(error) => fmt::Display::fmt(error, f),
            Self::Record(violation) => fmt::Display::fmt(&LinkError::Record(*violation), f),
        }
    }
}

impl<E: Error> core::error::Error for GuardError<E> {}

impl<E: Error> Error for GuardError<E> {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Tcp(error) => error.kind(),
            Self::Record(_) => ErrorKind::InvalidData,
        }
    }
}

#[cfg(test)]
mod tests;
