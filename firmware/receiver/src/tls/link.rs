//! TLS on TCP as the stream of bytes under a session. PROTOCOL.md, section 3.

use embedded_io_async::{Error, ErrorType, Read, Write};
use embedded_tls::{TlsConnection, TlsError};
use waft_core::session::Link;

use super::error::LinkError;
use super::guard::Tcp;
use super::suite::Suite;
use super::wire::{End, Wire};

/// A secured connection. Reads must not be cancelled; waiting for [`Link::readable`] may be.
pub struct TlsLink<'a, T: Tcp, S: Suite> {
    tls: TlsConnection<'a, End<'a, T>, S>,
    wire: &'a Wire<T>,
    /// Decrypted bytes that were not read yet.
    left: usize,
    /// How it ended: for good, since embedded-tls would go on after a record that does not open.
    end: Option<Result<(), LinkError>>,
}

impl<'a, T: Tcp, S: Suite> TlsLink<'a, T, S> {
    pub(super) fn new(tls: TlsConnection<'a, End<'a, T>, S>, wire: &'a Wire<T>) -> Self {
        Self { tls, wire, left: 0, end: None }
    }

    /// Says that nothing more comes. What the sender still says is lost.
    pub async fn close(self) {
        // Once the peer's goodbye came, embedded-tls would send ours in the clear.
        if self.end.is_none() {
            // A peer that is gone already cannot be told, and need not be.
            let _ = self.tls.close().await;
        }
    }

    /// Waits for bytes to read, and tells how many there are; 0: the sender said that none come anymore.
    pub(super) async fn fill(&mut self) -> Result<usize, LinkError> {
        if let Some(end) = self.end {
            return end.map(|()| 0);
        }
        if self.left == 0 {
            let read = self.tls.read_buffered().await.map(|buffer| {
                let left = buffer.len();
                buffer.revert();
                left
            });
            match read {
                Ok(left) => self.left = left,
                Err(TlsError::ConnectionClosed) => self.end = Some(Ok(())),
                Err(error) => return Err(self.fail(error)),
            }
        }
        Ok(self.left)
    }

    fn fail(&mut self, error: TlsError) -> LinkError {
        let error = self.wire.explain(error);
        self.end = Some(Err(error));
        error
    }
}

impl<T: Tcp, S: Suite> ErrorType for TlsLink<'_, T, S> {
    type Error = LinkError;
}

impl<T: Tcp, S: Suite> Read for TlsLink<'_, T, S> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, LinkError> {
        if buffer.is_empty() || self.fill().await? == 0 {
            return Ok(0);
        }
        let count = self.tls.read(buffer).await.map_err(|error| self.wire.explain(error))?;
        self.left -= count;
        Ok(count)
    }
}

impl<T: Tcp, S: Suite> Write for TlsLink<'_, T, S> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, LinkError> {
        match self.end {
            Some(end) => Err(end.err().unwrap_or(LinkError::Closed)),
            None => self.tls.write(bytes).await.map_err(|error| self.fail(error)),
        }
    }

    async fn flush(&mut self) -> Result<(), LinkError> {
        match self.end {
            Some(end) => Err(end.err().unwrap_or(LinkError::Closed)),
            None => self.tls.flush().await.map_err(|error| self.fail(error)),
        }
    }
}

impl<T: Tcp, S: Suite> Link for TlsLink<'_, T, S> {
    async fn readable(&mut self) -> Result<(), LinkError> {
        if self.left > 0 || self.end.is_some() {
            return Ok(());
        }
        self.wire.readable().await.map_err(|error| LinkError::Tcp(error.kind()))
    }
}
