//! A TCP connection as the link of a pairing, without TLS.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;

use embedded_io_async::{ErrorType, Read, Write};
use tokio::io::{AsyncBufRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use waft_core::session::Link;

use crate::net;

/// A TCP connection.
pub(super) struct TcpLink(BufReader<TcpStream>);

impl TcpLink {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self(BufReader::with_capacity(1_024, stream))
    }

    /// Closes the connection without a reset.
    pub(super) async fn close(self) {
        net::close(self.0.into_inner()).await;
    }
}

impl ErrorType for TcpLink {
    type Error = io::Error;
}

impl Read for TcpLink {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).await
    }
}

impl Write for TcpLink {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.0.flush().await
    }
}

impl Link for TcpLink {
    async fn readable(&mut self) -> io::Result<()> {
        poll_fn(|context| Pin::new(&mut self.0).poll_fill_buf(context).map_ok(drop)).await
    }
}
