//! The connection and the clock of a session, which both sides need.
//!
//! A session runs on a [`Link`] that has already authenticated both peers, and measures its deadlines with a [`Clock`].
//! PROTOCOL.md, sections 1 and 6 ("Deadlines").

use embedded_io_async::{Read, Write};

/// An authenticated, ordered, reliable stream of bytes: TLS on TCP.
pub trait Link: Read + Write {
    /// Completes when data, the end of the stream or an error is pending. A `read` after it may still have to wait for
    /// the rest of a TLS record.
    ///
    /// **Cancel-safe**, which `read` need not be: a session waits here, alongside its clock and its operator, and calls
    /// `read` only afterwards.
    async fn readable(&mut self) -> Result<(), Self::Error>;
}

/// A [`Link`] whose writes can be interrupted and continued. A sender needs it to receive messages while it sends a
/// long chunk.
pub trait DuplexLink: Link {
    /// Writes some bytes from the front of `bytes`; if `bytes` is empty, flushes what was written before. While neither
    /// can proceed, it also completes once there is something to read.
    ///
    /// **Cancel-safe**: bytes that it did not report as written were not written.
    async fn write_or_readable(&mut self, bytes: &[u8]) -> Result<Written, Self::Error>;
}

/// The result of [`DuplexLink::write_or_readable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// This many bytes were written. 0 if there were none to write: then everything was flushed.
    Bytes(usize),
    /// Nothing was written, because there is something to read.
    Readable,
}

/// A monotonic clock. Tests use virtual time.
pub trait Clock {
    /// Milliseconds since some fixed moment. Never decreases.
    fn now(&self) -> u64;
    /// Completes once `now() >= at`.
    async fn sleep_until(&self, at: u64);
}
