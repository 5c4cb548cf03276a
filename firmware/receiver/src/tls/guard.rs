//! The record guard, between TCP and TLS: it passes only records that are allowed at the current point.
//!
//! ```text
//! phase      allowed records                                         next phase
//! Hello      one handshake record in the clear                       Flight
//!            an alert of 2 bytes in the clear                        Encrypted
//! Flight     change_cipher_spec 14 03 03 00 01 01, dropped           Encrypted
//!            an encrypted record of 17 to 4134 bytes                 Encrypted
//! Encrypted  encrypted records of 17 to 4134 bytes                   Open, by `finish_handshake`
//! Open       the same, but marked
//! ```
//!
//! TLS authenticates the header of an encrypted record, so embedded-tls passes the header to the cipher. In the phase
//! `Open`, the guard replaces the second byte of the header's version by the mark `OPEN`. The cipher restores it, and
//! rejects handshake messages in marked records ([`suite`](super::suite)).
//!
//! In the other direction the guard corrects one error: embedded-tls 0.19 sends an alert in the clear with the type
//! `change_cipher_spec`, which no server understands.

use core::fmt;

use embedded_io_async::{Error, ErrorKind, ErrorType, Read, Write};

use super::RECORD_MAX;
use super::error::{LinkError, Violation};

/// A TCP connection.
pub trait Tcp: Read + Write {
    /// Waits until a `read` would return at once, with a byte, the end of the stream or an error. Cancel-safe.
    async fn readable(&mut self) -> Result<(), Self::Error>;
}

impl<T: Tcp> Tcp for &mut T {
    async fn readable(&mut self) -> Result<(), Self::Error> {
        T::readable(self).await
    }
}

/// The mark in the third byte of a header: the handshake is complete.
pub(super) const OPEN: u8 = 0xFF;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const ENCRYPTED: u8 = 23;

const VERSION: [u8; 2] = [3, 3];
const HEADER: usize = 5;
/// The content type and the tag.
const ENCRYPTED_MIN: usize = 1 + 16;

/// The progress of the sender's side of the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Hello,
    Flight,
    Encrypted,
    Open,
}

/// A TCP connection that returns only allowed records. Reads must not be cancelled.
#[derive(Debug)]
pub struct Guard<T> {
    tcp: T,
    phase: Phase,
    header: [u8; HEADER],
    /// The number of bytes of `header` that TLS has read.
    header_read: usize,
    /// The number of bytes after the header that TLS has not read yet.
    body_left: usize,
    violation: Option<Violation>,
}

impl<T: Tcp> Guard<T> {
    /// Guards a connection that is about to send the ClientHello.
    pub fn new(tcp: T) -> Self {
        Self { tcp, phase: Phase::Hello, header: [0; HEADER], header_read: HEADER, body_left: 0, violation: None }
    }

    /// The rule that a record violated, if any.
    pub fn violation(&self) -> Option<Violation> {
        self.violation
    }

    /// Returns the connection.
    pub fn into_inner(self) -> T {
        self.tcp
    }

    /// Marks the handshake as complete.
    pub fn finish_handshake(&mut self) {
        self.phase = Phase::Open;
    }

    /// Whether the handshake is complete.
    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Waits until there is something to read. Cancel-safe.
    pub async fn readable(&mut self) -> Result<(), T::Error> {
        if self.header_read < HEADER { Ok(()) } else { self.tcp.readable().await }
    }

    /// Reads up to the header of the next record for TLS. Returns `false` if the connection ended.
    async fn next_record(&mut self) -> Result<bool, GuardError<T::Error>> {
        let mut header = [0; HEADER];
        while self.fill(&mut header).await? {
            if let Action::Forward { body } = self.check(&header).map_err(|violation| self.fail(violation))? {
                self.header = header;
                if self.phase == Phase::Open {
                    self.header[2] = OPEN;
                }
                (self.header_read, self.body_left) = (0, body);
                return Ok(true);
            }
            let mut one = [0];
            if !self.fill(&mut one).await? {
                return Ok(false);
            }
            if one != [1] {
                return Err(self.fail(Violation::ChangeCipherSpec));
            }
        }
        Ok(false)
    }

    /// Checks whether a record with this header is allowed, and advances the phase.
    fn check(&mut self, header: &[u8; HEADER]) -> Result<Action, Violation> {
        let [kind, major, minor, high, low] = *header;
        let body = usize::from(u16::from_be_bytes([high, low]));
        if [major, minor] != VERSION {
            return Err(Violation::Version);
        }
        let (fits, next_phase) = match (self.phase, kind) {
            (Phase::Hello, HANDSHAKE) => ((1..=RECORD_MAX).contains(&body), Phase::Flight),
            (Phase::Hello, ALERT) => (body == 2, Phase::Encrypted),
            (Phase::Flight, CHANGE_CIPHER_SPEC) if body == 1 => {
                self.phase = Phase::Encrypted;
                return Ok(Action::Drop);
            }
            (_, CHANGE_CIPHER_SPEC) => return Err(Violation::ChangeCipherSpec),
            (Phase::Open, ENCRYPTED) => ((ENCRYPTED_MIN..=RECORD_MAX).contains(&body), Phase::Open),
            (Phase::Flight | Phase::Encrypted, ENCRYPTED) => {
                ((ENCRYPTED_MIN..=RECORD_MAX).contains(&body), Phase::Encrypted)
            }
            _ => return Err(Violation::Type),
        };
        self.phase = next_phase;
        if fits { Ok(Action::Forward { body }) } else { Err(Violation::Length) }
    }

    /// Stores the violation, so that every later read fails too.
    fn fail(&mut self, violation: Violation) -> GuardError<T::Error> {
        self.violation = Some(violation);
        GuardError::Record(violation)
    }

    /// Fills `bytes`. Returns `false` if the connection ended before.
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

/// How a record is handled.
enum Action {
    /// TLS reads it.
    Forward { body: usize },
    /// The guard checks its only byte and drops it.
    Drop,
}

impl<T: Tcp> ErrorType for Guard<T> {
    type Error = GuardError<T::Error>;
}

impl<T: Tcp> Read for Guard<T> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        if let Some(violation) = self.violation {
            return Err(GuardError::Record(violation));
        }
        if self.header_read == HEADER && self.body_left == 0 && !self.next_record().await? {
            return Ok(0);
        }
        let header = &self.header[self.header_read..];
        if header.is_empty() {
            let most = buffer.len().min(self.body_left);
            let count = self.tcp.read(&mut buffer[..most]).await.map_err(GuardError::Tcp)?;
            self.body_left -= count;
            return Ok(count);
        }
        let count = buffer.len().min(header.len());
        buffer[..count].copy_from_slice(&header[..count]);
        self.header_read += count;
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

/// Why a read or a write failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardError<E> {
    /// The TCP connection failed.
    Tcp(E),
    /// The sender's record is not allowed at this point.
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
