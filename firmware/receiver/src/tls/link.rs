//! TLS over TCP as the byte stream of a session. PROTOCOL.md, section 3.

use embedded_io_async::{Error, ErrorType, Read, Write};
use embedded_tls::{CryptoProvider, TlsConnection, TlsContext, TlsError};
use waft_core::session::Link;

use super::error::LinkError;
use super::guard::Tcp;
use super::suite::Suite;
use super::wire::{TlsHalf, Wire};

/// A secured connection. Reads must not be cancelled, but [`Link::readable`] may be.
pub struct TlsLink<'a, T: Tcp, S: Suite> {
    tls: TlsConnection<'a, TlsHalf<'a, T>, S>,
    wire: &'a Wire<T>,
    /// The number of decrypted bytes that were not read yet.
    buffered: usize,
    /// How the stream ended. It is stored because embedded-tls would continue after a record that cannot be decrypted.
    end: Option<Result<(), LinkError>>,
}

impl<'a, T: Tcp, S: Suite> TlsLink<'a, T, S> {
    pub(super) fn new(tls: TlsConnection<'a, TlsHalf<'a, T>, S>, wire: &'a Wire<T>) -> Self {
        Self { tls, wire, buffered: 0, end: None }
    }

    /// Runs the handshake.
    pub(super) async fn open<P: CryptoProvider<CipherSuite = S>>(
        &mut self,
        context: TlsContext<'_, P>,
    ) -> Result<(), LinkError> {
        self.tls.open(context).await.map_err(|error| self.wire.translate(error))
    }

    /// Sends `close_notify` on the link in `place`, and ends the link. Data that the sender still sends is lost.
    pub async fn close(place: &mut Option<Self>) {
        // After the peer's `close_notify`, embedded-tls would send ours in the clear.
        if let Some(open) = place.take_if(|link| link.end.is_none()) {
            // If the peer is gone, it needs no `close_notify`.
            let _ = open.tls.close().await;
        }
    }

    /// Waits for bytes to read and returns their number, or 0 after the sender's `close_notify`.
    pub(super) async fn fill(&mut self) -> Result<usize, LinkError> {
        if let Some(end) = self.end {
            return end.map(|()| 0);
        }
        if self.buffered == 0 {
            let read = self.tls.read_buffered().await.map(|buffer| {
                let buffered = buffer.len();
                buffer.revert();
                buffered
            });
            match read {
                Ok(buffered) => self.buffered = buffered,
                Err(TlsError::ConnectionClosed) => self.end = Some(Ok(())),
                Err(error) => return Err(self.fail(error)),
            }
        }
        Ok(self.buffered)
    }

    fn fail(&mut self, error: TlsError) -> LinkError {
        let error = self.wire.translate(error);
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
        let count = self.tls.read(buffer).await.map_err(|error| self.wire.translate(error))?;
        self.buffered -= count;
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
        if self.buffered > 0 || self.end.is_some() {
            return Ok(());
        }
        self.wire.readable().await.map_err(|error| LinkError::Tcp(error.kind()))
    }
}
