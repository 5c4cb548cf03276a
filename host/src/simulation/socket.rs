//! A board's TCP socket on this machine's network. All sockets of a board share one listener.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use embedded_io_async::{ErrorType, Read, Write};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use waft_core::limits::LINGER_MS;
use waft_receiver::board::{self, ListenEvent};
use waft_receiver::tls::guard::Tcp;

use super::flash::Durable;

/// Pause before a failed `accept` is retried, for example when there are no more file descriptors or no memory.
const RETRY: Duration = Duration::from_millis(100);

/// The listener of a simulated board.
#[derive(Debug)]
pub struct Port {
    listener: TcpListener,
    local: SocketAddr,
    open: Notify,
}

impl Port {
    /// Creates the port of a board on `listener`.
    pub fn new(listener: TcpListener, local: SocketAddr) -> Rc<Self> {
        Rc::new(Self { listener, local, open: Notify::new() })
    }

    /// Completes once the board listens. Cancel-safe.
    pub async fn open(&self) {
        self.open.notified().await;
    }
}

/// One socket of the board.
#[derive(Debug)]
pub struct Socket {
    port: Rc<Port>,
    stream: Option<TcpStream>,
    /// Written data is made durable before any output that may depend on it.
    flash: Durable,
}

impl Socket {
    /// A socket without a connection.
    pub fn new(port: Rc<Port>, flash: Durable) -> Self {
        Self { port, stream: None, flash }
    }

    fn stream(&mut self) -> io::Result<&mut TcpStream> {
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl ErrorType for Socket {
    type Error = io::Error;
}

impl Read for Socket {
    async fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream()?.read(bytes).await
    }
}

impl Write for Socket {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flash.sync()?;
        self.stream()?.write(bytes).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.stream()?.flush().await
    }
}

impl Tcp for Socket {
    async fn readable(&mut self) -> io::Result<()> {
        self.stream()?.peek(&mut [0]).await.map(drop)
    }
}

impl board::Socket for Socket {
    type Address = SocketAddr;

    async fn listen(&mut self, known: Option<SocketAddr>) -> ListenEvent<SocketAddr> {
        if known != Some(self.port.local) {
            return ListenEvent::AddressChanged(Some(self.port.local));
        }
        self.port.open.notify_one();
        loop {
            match self.port.listener.accept().await {
                Ok((stream, _)) => {
                    // Otherwise small messages would wait for each other.
                    let _ = stream.set_nodelay(true);
                    self.stream = Some(stream);
                    return ListenEvent::Connecting;
                }
                Err(_) => sleep(RETRY).await,
            }
        }
    }

    async fn establish(&mut self) -> bool {
        self.stream.is_some()
    }

    fn source(&self) -> Option<IpAddr> {
        self.stream.as_ref()?.peer_addr().ok().map(|peer| peer.ip())
    }

    async fn close(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        let _ = timeout(Duration::from_millis(LINGER_MS), part(stream)).await;
        self.stream = None;
    }

    fn abort(&mut self) {
        if let Some(stream) = self.stream.take() {
            // Without this option, dropping the connection would close it in order instead of resetting it.
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
    }
}

/// Closes the sending side, then reads until the peer closes. Closing with unread bytes would reset the connection, and
/// the reset could overtake the last message.
async fn part(stream: &mut TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    while stream.read(&mut [0; 512]).await? > 0 {}
    Ok(())
}
