//! What every board on Embassy brings along in the same way: TCP by embassy-net, and time by embassy-time.
//!
//! embassy-net's own socket does not quite do what [`Socket`] asks: its `wait_read_ready` sleeps through the end of a
//! connection, its `accept` fails when it is called again, and its `flush` waits for the peer.

mod driver;

use core::future::{Future, poll_fn};
use core::net::{IpAddr, SocketAddrV4};
use core::pin::pin;
use core::task::{Context, Poll};

use embassy_futures::poll_once;
use embassy_net::tcp::{Error, State, TcpSocket};
use embassy_net::{Config, DhcpConfig, Ipv4Address, Ipv4Cidr, Stack, StaticConfigV4};
use embassy_time::{Duration, Instant, Timer, with_deadline, with_timeout};
use embedded_io_async::{ErrorType, Read, Write};
use waft_core::limits::LINGER_MS;
use waft_core::session::Clock;

use crate::board::{Listened, Socket};
use crate::identity::{Address, Network};
use crate::tls::guard::Tcp;

pub use driver::{Neighbours, Received};

/// A reset that cannot get out is given up after this: nobody may be there.
const RESET: Duration = Duration::from_millis(250);
/// Where nothing comes for so long, the peer is asked whether it is there still.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// A peer that has not answered for so long is gone.
const GONE: Duration = Duration::from_secs(20);

/// The network settings of an identity, as embassy-net takes them. `None`: the board was never provisioned, and asks
/// for any address, to be able to say so.
pub fn config(network: Option<&Network>) -> Config {
    let Some(network) = network else { return Config::dhcpv4(DhcpConfig::default()) };
    match network.address {
        Address::Dhcp => {
            let mut dhcp = DhcpConfig::default();
            dhcp.hostname = Some(network.hostname.clone());
            Config::dhcpv4(dhcp)
        }
        Address::Static { address, prefix, gateway, dns } => Config::ipv4_static(StaticConfigV4 {
            address: Ipv4Cidr::new(Ipv4Address::from(address), prefix),
            gateway: gateway.map(Ipv4Address::from),
            dns_servers: dns.map(Ipv4Address::from).into_iter().collect(),
        }),
    }
}

/// Time since the board started.
#[derive(Clone, Copy, Debug)]
pub struct Uptime;

impl Clock for Uptime {
    fn now(&self) -> u64 {
        Instant::now().as_millis()
    }

    async fn sleep_until(&self, at: u64) {
        Timer::at(Instant::from_millis(at)).await;
    }
}

/// A TCP socket that serves one connection after the other on one port.
pub struct TcpPort<'a> {
    stack: Stack<'a>,
    socket: TcpSocket<'a>,
    port: u16,
    /// Until then the peer may take what was written; set when we said that no more comes.
    lingers: Option<Instant>,
}

impl<'a> TcpPort<'a> {
    /// A socket on `port`. `receive` bounds what a peer may have under way, and so the speed; one record of TLS, 4 KiB,
    /// is a good size.
    pub fn new(stack: Stack<'a>, port: u16, receive: &'a mut [u8], send: &'a mut [u8]) -> Self {
        let mut socket = TcpSocket::new(stack, receive, send);
        // Messages are short, and each is waited for.
        socket.set_nagle_enabled(false);
        // A peer that lost its power says nothing, and would hold the session for as long as the session waits.
        socket.set_keep_alive(Some(KEEP_ALIVE));
        socket.set_timeout(Some(GONE));
        Self { stack, socket, port, lingers: None }
    }

    /// Waits until `is_it`, which depends on nothing but the socket's state and what it holds to read.
    async fn until(&mut self, is_it: impl Fn(&TcpSocket<'a>) -> bool) {
        poll_fn(|context| {
            if is_it(&self.socket) {
                return Poll::Ready(());
            }
            self.wake_on_change(context);
            Poll::Pending
        })
        .await;
    }

    /// These two complete only when something can be read or written; but what they leave behind with the socket is a
    /// waker that every change of its state wakes.
    fn wake_on_change(&self, context: &mut Context<'_>) {
        let _ = pin!(self.socket.wait_read_ready()).poll(context);
        let _ = pin!(self.socket.wait_write_ready()).poll(context);
    }

    #[inline(never)]
    fn start_listening(&mut self) {
        // Polled once, it listens.
        let _ = poll_once(self.socket.accept(self.port));
    }

    /// Where senders reach the board.
    #[inline(never)]
    fn address(&self) -> Option<SocketAddrV4> {
        let config = self.stack.config_v4().filter(|_| self.stack.is_link_up())?;
        Some(SocketAddrV4::new(config.address.address(), self.port))
    }

    /// Reads on, so that a peer who still writes gets to what was written here, until it ends the connection too.
    async fn drain(&mut self) {
        let mut nobody_reads_this = [0; 64];
        while matches!(self.socket.read(&mut nobody_reads_this).await, Ok(1..)) {}
        let _ = self.socket.flush().await;
    }
}

impl ErrorType for TcpPort<'_> {
    type Error = Error;
}

impl Read for TcpPort<'_> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.socket.read(buffer).await
    }
}

impl Write for TcpPort<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        self.socket.write(bytes).await
    }

    /// TCP sends by itself; what has to arrive, [`close`](Socket::close) waits for.
    async fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

impl Tcp for TcpPort<'_> {
    async fn readable(&mut self) -> Result<(), Error> {
        self.until(|socket| socket.can_recv() || !socket.may_recv()).await;
        Ok(())
    }
}

impl Socket for TcpPort<'_> {
    type Address = SocketAddrV4;

    async fn listen(&mut self, known: Option<SocketAddrV4>) -> Listened<SocketAddrV4> {
        if self.socket.state() == State::Closed {
            // The reset of the connection before, if it still has to get out.
            let _ = with_timeout(RESET, self.socket.flush()).await;
            self.start_listening();
        }
        poll_fn(|context| {
            let address = self.address();
            if address != known {
                return Poll::Ready(Listened::Moved(address));
            }
            if self.socket.state() != State::Listen {
                return Poll::Ready(Listened::Taken);
            }
            self.wake_on_change(context);
            // One of these two waits: what it leaves behind is a waker that every change of link and address wakes.
            let _ = pin!(self.stack.wait_config_up()).poll(context);
            let _ = pin!(self.stack.wait_config_down()).poll(context);
            Poll::Pending
        })
        .await
    }

    async fn establish(&mut self) -> bool {
        self.until(|socket| socket.state() != State::SynReceived).await;
        matches!(self.socket.state(), State::Established | State::CloseWait)
    }

    fn source(&self) -> Option<IpAddr> {
        self.socket.remote_endpoint().map(|endpoint| endpoint.addr.into())
    }

    async fn close(&mut self) {
        if self.socket.remote_endpoint().is_some() {
            self.socket.close();
            let lingers = || Instant::now() + Duration::from_millis(LINGER_MS);
            let deadline = *self.lingers.get_or_insert_with(lingers);
            let _ = with_deadline(deadline, self.drain()).await;
            self.socket.abort();
        }
        self.lingers = None;
    }

    fn abort(&mut self) {
        let is_half_open = self.socket.state() == State::SynReceived;
        self.socket.abort();
        if is_half_open {
            // It listens at once. If there is a peer at all, the stack resets it as soon as it goes on.
            self.start_listening();
        }
    }
}
