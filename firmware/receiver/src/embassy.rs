//! Implementations of the board's traits that all boards on Embassy share: TCP by embassy-net, and time by
//! embassy-time.
//!
//! embassy-net's `TcpSocket` alone does not meet the contract of [`Socket`]: its `wait_read_ready` misses the end
//! of a connection, its `accept` fails when it is called again, and its `flush` waits for the peer.

mod driver;

use core::fmt;
use core::future::{Future, poll_fn};
use core::marker::PhantomData;
use core::net::{IpAddr, SocketAddrV4};
use core::pin::pin;
use core::task::{Context, Poll};

use embassy_futures::poll_once;
use embassy_net::tcp::{Error, State, TcpSocket};
use embassy_net::{Config, DhcpConfig, Ipv4Address, Ipv4Cidr, Stack, StaticConfigV4};
use embassy_sync::blocking_mutex::raw::RawMutex;
use embassy_time::{Duration, Instant, TICK_HZ, Timer, with_deadline, with_timeout};
use embedded_io_async::{ErrorType, Read, Write};
use embedded_storage_async::nor_flash::NorFlash;
use rand_core::CryptoRngCore;
use waft_core::limits::LINGER_MS;
use waft_core::sealed::ChaChaCipher;
use waft_core::session::Clock;

use crate::board::{Board, ListenEvent, Socket, Watch};
use crate::identity::{Address, Network};
use crate::tls::guard::Tcp;
use crate::tls::suite::ChaCha20Poly1305Sha256;

pub use driver::{FloodGuard, Received};

/// How long to try to send a reset. Sending fails if the peer's address cannot be resolved.
const RESET_TIMEOUT: Duration = Duration::from_millis(250);
/// The idle time after which a keep-alive is sent.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// The time without an answer after which the connection is aborted.
const PEER_TIMEOUT: Duration = Duration::from_secs(20);

/// The network settings of an identity, for embassy-net. Without an identity (`None`) the board uses DHCP, so that it
/// can refuse senders as *not provisioned*.
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

/// The time since the board started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uptime;

impl Clock for Uptime {
    fn now(&self) -> u64 {
        const TICKS: u64 = TICK_HZ / 1_000;
        if TICK_HZ.is_multiple_of(1_000) && TICKS <= 0xFFFF {
            divide::<TICKS>(Instant::now().as_ticks())
        } else {
            Instant::now().as_millis()
        }
    }

    fn sleep_until(&self, at: u64) -> impl Future<Output = ()> {
        Timer::at(Instant::from_millis(at))
    }
}

/// Divides by a number of at most 16 bits, one digit of 16 bits after the other. On a Cortex-M, a division of 64-bit numbers
/// takes several times as long, and a session reads the clock for every wait.
#[inline(never)]
fn divide<const DIVISOR: u64>(number: u64) -> u64 {
    let (mut quotient, mut remainder) = (0, 0);
    for digit in [(number >> 48) as u16, (number >> 32) as u16, (number >> 16) as u16, number as u16] {
        let part = remainder << 16 | u32::from(digit);
        quotient = quotient << 16 | u64::from(part / DIVISOR as u32);
        remainder = part % DIVISOR as u32;
    }
    quotient
}

/// A board with the sockets and the clock of Embassy, and with ciphers in software. `M` guards the state that tasks share,
/// `F` is the flash with the slots, and `R` the random number generator.
#[derive(Debug)]
pub struct EmbassyBoard<M, F, R>(PhantomData<(M, F, R)>);

impl<M: RawMutex, F: NorFlash, R: CryptoRngCore> Board for EmbassyBoard<M, F, R> {
    type Mutex = M;
    type Flash = F;
    type Rng = R;
    type Clock = Uptime;
    type Socket = TcpPort<'static>;
    type Suite = ChaCha20Poly1305Sha256;
    type Cipher = ChaChaCipher;
}

/// An address at which a board listens. It is displayed as it is, whatever width is asked for: padding would take 0.8 KiB of flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint(pub SocketAddrV4);

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third, fourth] = self.0.ip().octets();
        write!(f, "{first}.{second}.{third}.{fourth}:{}", self.0.port())
    }
}

/// A TCP socket that serves one connection after another on one port.
pub struct TcpPort<'a> {
    stack: Stack<'a>,
    socket: TcpSocket<'a>,
    port: u16,
    /// The deadline of a close in progress: until then the peer may receive what was written.
    linger_deadline: Option<Instant>,
}

impl<'a> TcpPort<'a> {
    /// The stack of the socket.
    pub fn stack(&self) -> Stack<'a> {
        self.stack
    }

    /// Creates a socket on `port`. The size of `receive` is the TCP window and so limits the speed; one record of TLS,
    /// 4 KiB, is a good size.
    pub fn new(stack: Stack<'a>, port: u16, receive: &'a mut [u8], send: &'a mut [u8]) -> Self {
        let mut socket = TcpSocket::new(stack, receive, send);
        // Messages are short, and the peer waits for each of them.
        socket.set_nagle_enabled(false);
        // A peer that lost its power sends nothing, and without keep-alives it would block the session until a timeout.
        socket.set_keep_alive(Some(KEEP_ALIVE));
        socket.set_timeout(Some(PEER_TIMEOUT));
        Self { stack, socket, port, linger_deadline: None }
    }

    /// Waits until `condition` returns true. It may depend only on the socket's state and its receive buffer.
    fn wait_until(&mut self, condition: impl Fn(&TcpSocket<'a>) -> bool) -> impl Future<Output = ()> {
        poll_fn(move |context| {
            if condition(&self.socket) {
                return Poll::Ready(());
            }
            self.register_waker(context);
            Poll::Pending
        })
    }

    /// Registers our waker with the socket. Both futures only complete when the socket is readable or writable, but
    /// smoltcp wakes the waker on every change of the state.
    fn register_waker(&self, context: &mut Context<'_>) {
        let _ = pin!(self.socket.wait_read_ready()).poll(context);
        let _ = pin!(self.socket.wait_write_ready()).poll(context);
    }

    #[inline(never)]
    fn start_listening(&mut self) {
        // One poll is enough to make the socket listen.
        let _ = poll_once(self.socket.accept(self.port));
    }

    /// The address at which senders reach the board.
    #[inline(never)]
    fn address(&self) -> Option<Endpoint> {
        let config = self.stack.config_v4().filter(|_| self.stack.is_link_up())?;
        Some(Endpoint(SocketAddrV4::new(config.address.address(), self.port)))
    }

    /// Reads and discards until the peer closes its side, so that a peer that is still writing gets to read our data.
    async fn drain(&mut self) {
        let mut discarded = [0; 64];
        while matches!(self.socket.read(&mut discarded).await, Ok(1..)) {}
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

    /// Does nothing, because the stack sends without being asked. [`close`](Socket::close) waits until the data arrived.
    async fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

impl Tcp for TcpPort<'_> {
    async fn readable(&mut self) -> Result<(), Error> {
        self.wait_until(|socket| socket.can_recv() || !socket.may_recv()).await;
        Ok(())
    }
}

impl Socket for TcpPort<'_> {
    type Address = Endpoint;

    async fn listen(&mut self, watch: Watch<Endpoint>) -> ListenEvent<Endpoint> {
        if self.socket.state() == State::Closed {
            // The reset of the previous connection may still have to be sent.
            let _ = with_timeout(RESET_TIMEOUT, self.socket.flush()).await;
            self.start_listening();
        }
        poll_fn(|context| {
            if let Watch::Address(known) = watch {
                let address = self.address();
                if address != known {
                    return Poll::Ready(ListenEvent::AddressChanged(address));
                }
            }
            if self.socket.state() != State::Listen {
                return Poll::Ready(ListenEvent::Connecting);
            }
            self.register_waker(context);
            if let Watch::Address(_) = watch {
                // One of the two futures is pending, and registers our waker for changes of the link and of the address:
                // the stack has one waker for both. Those that wait for an address would copy it once more.
                let _ = pin!(self.stack.wait_link_up()).poll(context);
                let _ = pin!(self.stack.wait_link_down()).poll(context);
            }
            Poll::Pending
        })
        .await
    }

    async fn establish(&mut self) -> bool {
        self.wait_until(|socket| socket.state() != State::SynReceived).await;
        matches!(self.socket.state(), State::Established | State::CloseWait)
    }

    fn source(&self) -> Option<IpAddr> {
        self.socket.remote_endpoint().map(|endpoint| endpoint.addr.into())
    }

    async fn close(&mut self) {
        if self.socket.remote_endpoint().is_some() {
            self.socket.close();
            let deadline = || Instant::now() + Duration::from_millis(LINGER_MS);
            let deadline = *self.linger_deadline.get_or_insert_with(deadline);
            let _ = with_deadline(deadline, self.drain()).await;
            self.socket.abort();
        }
        self.linger_deadline = None;
    }

    fn abort(&mut self) {
        let is_half_open = self.socket.state() == State::SynReceived;
        self.socket.abort();
        if is_half_open {
            // Listen again at once. If the peer exists, the stack resets the connection at its next segment.
            self.start_listening();
        }
    }
}

#[cfg(feature = "wifi")]
impl crate::wifi::Link for Stack<'_> {
    fn is_up(&self) -> bool {
        self.is_link_up()
    }

    fn has_address(&self) -> bool {
        self.is_link_up() && self.is_config_up()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_division_is_a_division() {
        for shift in 0..64 {
            for number in [1_u64 << shift, (1 << shift) - 1, u64::MAX >> shift, 0x9E37_79B9_7F4A_7C15 >> shift] {
                assert_eq!(divide::<1_000>(number), number / 1_000, "{number}");
                assert_eq!(divide::<0xFFFF>(number), number / 0xFFFF, "{number}");
                assert_eq!(divide::<1>(number), number, "{number}");
            }
        }
    }
}
