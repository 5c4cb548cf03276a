//! TLS on TCP as the byte stream of a session.
//!
//! A read copies once, out of rustls's buffer of decrypted records. Waiting until that buffer has bytes can be
//! cancelled without losing any. PROTOCOL.md, section 3.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use embedded_io_async::{ErrorType, Read, Write};
use tokio::io::{AsyncBufRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsStream;
use waft_core::session::{DuplexLink, Link, Written};

/// Time limit for the close_notify, in case the peer reads nothing more.
const GOODBYE: Duration = Duration::from_secs(1);

/// An authenticated, encrypted connection.
#[derive(Debug)]
pub struct TlsLink {
    stream: TlsStream<TcpStream>,
}

impl TlsLink {
    /// A link over a TLS connection that is established.
    pub fn new(stream: TlsStream<TcpStream>) -> Self {
        Self { stream }
    }

    /// Sends close_notify. Bytes that the peer still sends are lost.
    pub async fn close(mut self) {
        // If the peer is already gone, it cannot receive the notification and does not need it.
        let _ = timeout(GOODBYE, self.stream.shutdown()).await;
    }

    /// Waits for bytes to read. Returns `false` if the peer has closed its side. Cancel-safe.
    pub(super) async fn fill(&mut self) -> io::Result<bool> {
        poll_fn(|context| Pin::new(&mut self.stream).poll_fill_buf(context).map_ok(|bytes| !bytes.is_empty())).await
    }
}

impl ErrorType for TlsLink {
    type Error = io::Error;
}

impl Read for TlsLink {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer).await
    }
}

impl Write for TlsLink {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.stream.flush().await
    }
}

impl Link for TlsLink {
    async fn readable(&mut self) -> io::Result<()> {
        self.fill().await.map(|_| ())
    }
}

impl DuplexLink for TlsLink {
    async fn write_or_readable(&mut self, bytes: &[u8]) -> io::Result<Written> {
        poll_fn(|context| {
            let mut stream = Pin::new(&mut self.stream);
            let written = match bytes {
                [] => stream.as_mut().poll_flush(context).map_ok(|()| 0),
                bytes => stream.as_mut().poll_write(context, bytes),
            };
            match written {
                Poll::Ready(written) => Poll::Ready(written.map(Written::Bytes)),
                Poll::Pending => stream.poll_fill_buf(context).map_ok(|_| Written::Readable),
            }
        })
        .await
    }
}
