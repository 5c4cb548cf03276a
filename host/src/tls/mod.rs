//! TLS 1.3 with reversed roles: the sender is the TLS server and the receiver the client, because a board's TLS library
//! can only be a client.
//!
//! [`sender::authenticate`] and [`receiver::authenticate`] take a TCP connection after its preface. They return a
//! [`TlsLink`], the byte stream of a session, to a peer that proved to be one of the [`pins`], or an
//! [`error::HandshakeError`] that says which side refused what. PROTOCOL.md, section 3.

pub mod error;
pub mod pins;
pub mod receiver;
pub mod sender;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use embedded_io_async::{ErrorType, Read, Write};
use error::HandshakeError;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self, cipher_suite, kx_group};
use tokio::io::{AsyncBufRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsStream;
use waft_core::limits::{CHUNK_MAX, HANDSHAKE_MS};
use waft_core::session::{DuplexLink, Link, Written};

use crate::net::close;
use crate::trust::Peer;

/// The sender's records hold up to 16 KiB.
const ALPN: &[u8] = b"waft";
/// The sender's records hold at most 4117 bytes, the frame of a chunk of 4 KiB, for boards.
const ALPN_4K: &[u8] = b"waft-4k";

const HANDSHAKE: Duration = Duration::from_millis(HANDSHAKE_MS);
/// A peer that closes the connection this late in a handshake has reached its own deadline, which is [`HANDSHAKE`], too.
const LATE: Duration = Duration::from_secs(10);

/// A link to a peer that holds the key of a trusted certificate.
#[derive(Debug)]
pub struct Authenticated {
    /// The link.
    pub link: TlsLink,
    /// The peer at the other end, as recorded in our trust.
    pub peer: Peer,
}

/// Performs a handshake. Both sides have the same deadline, so either may close first: a connection that is closed
/// late counts as timed out.
async fn timed(
    handshake: impl Future<Output = Result<Authenticated, HandshakeError>>,
) -> Result<Authenticated, HandshakeError> {
    let begun = Instant::now();
    match handshake.await {
        Err(HandshakeError::Closed) if begun.elapsed() >= LATE => Err(HandshakeError::TimedOut),
        outcome => outcome,
    }
}

/// Only the algorithms that PROTOCOL.md names. AES comes first: a receiver that is a computer most likely has hardware
/// support for it.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_AES_128_GCM_SHA256, cipher_suite::TLS13_CHACHA20_POLY1305_SHA256],
        kx_groups: vec![kx_group::SECP256R1],
        ..ring::default_provider()
    })
}

/// Time limit for the close_notify, in case the peer reads nothing more.
const CLOSE_NOTIFY: Duration = Duration::from_secs(1);

/// TCP below TLS. It is buffered because rustls reads 4 KiB at once: with the buffer, a receiver needs a quarter of the
/// system calls.
pub type Buffered = BufReader<TcpStream>;

/// Buffers what is read from `stream`.
pub fn buffered(stream: TcpStream) -> Buffered {
    BufReader::with_capacity(CHUNK_MAX as usize, stream)
}

/// An authenticated, encrypted connection: TLS on TCP as the byte stream of a session.
///
/// A read copies once, out of rustls's buffer of decrypted records. Waiting until that buffer has bytes can be cancelled
/// without losing any.
#[derive(Debug)]
pub struct TlsLink {
    stream: TlsStream<Buffered>,
}

impl TlsLink {
    /// A link over a TLS connection that is established.
    pub fn new(mut stream: TlsStream<Buffered>) -> Self {
        // The frame of the largest chunk has to fit, so that it needs one write.
        const BUFFER: Option<usize> = Some(2 * CHUNK_MAX as usize);
        match &mut stream {
            TlsStream::Client(stream) => stream.get_mut().1.set_buffer_limit(BUFFER),
            TlsStream::Server(stream) => stream.get_mut().1.set_buffer_limit(BUFFER),
        }
        Self { stream }
    }

    /// Sends close_notify, then discards what the peer still sends until it closes its side, in a second at most: closing
    /// a socket with unread bytes would reset the connection, and the reset could overtake our last message.
    pub async fn close(mut self) {
        // If the peer is already gone, it cannot receive the notification and does not need it.
        let _ = timeout(CLOSE_NOTIFY, self.stream.shutdown()).await;
        let tcp = match self.stream {
            TlsStream::Client(stream) => stream.into_inner().0,
            TlsStream::Server(stream) => stream.into_inner().0,
        };
        close(tcp.into_inner()).await;
    }

    /// Waits for bytes to read. Returns `false` if the peer has closed its side. Cancel-safe.
    async fn fill(&mut self) -> io::Result<bool> {
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

#[cfg(test)]
mod tests;
