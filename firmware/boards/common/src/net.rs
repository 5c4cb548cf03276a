//! The network: TCP/IP over an Ethernet driver, and the receiver's sockets.

use embassy_net::{Stack, StackResources};
use embassy_net_driver::Driver;
use waft_receiver::board::PORT;
use waft_receiver::embassy::{FloodGuard, TcpPort, config};
use waft_receiver::identity::Network;

/// The sockets of the receiver: one for the session, two for connections that wait for it, and one that rejects further
/// peers as busy.
pub const SOCKETS: usize = 4;
/// The number of sockets of a program without further ones: those of the receiver, one for DHCP, and with the feature `announce`
/// one for announcements.
pub const ALL_SOCKETS: usize = SOCKETS + 1 + cfg!(feature = "announce") as usize;

/// Bytes of the buffers of a socket for a waiting connection. If it gets the session, the session is slower.
const WAITING_RX: usize = 1 << 10;
const WAITING_TX: usize = 256;
/// Bytes of a buffer of the socket that only rejects: a preface or its answer fits.
const SHORT: usize = 16;

/// The sockets of the receiver.
pub type Sockets = [TcpPort<'static>; SOCKETS];
/// Moves frames between an Ethernet device and TCP/IP.
pub type Runner<E> = embassy_net::Runner<'static, FloodGuard<E>>;

/// The buffers of the receiver's sockets: `RX` bytes to receive, which is the TCP window, and `TX` bytes to send. Only one
/// socket has a window of `RX` bytes. It is the first one, so that it accepts the connection that comes to an idle board.
pub struct Buffers<const RX: usize, const TX: usize> {
    full: ([u8; RX], [u8; TX]),
    waiting: [([u8; WAITING_RX], [u8; WAITING_TX]); SOCKETS - 2],
    short: [[u8; SHORT]; 2],
}

impl<const RX: usize, const TX: usize> Buffers<RX, TX> {
    /// Empty buffers.
    pub const fn new() -> Self {
        let waiting = [([0; WAITING_RX], [0; WAITING_TX]); SOCKETS - 2];
        Self { full: ([0; RX], [0; TX]), waiting, short: [[0; SHORT]; 2] }
    }
}

impl<const RX: usize, const TX: usize> Default for Buffers<RX, TX> {
    fn default() -> Self {
        Self::new()
    }
}

/// Starts TCP/IP. `network` is `None` on a board that was never provisioned. `seed` makes ports and sequence numbers hard to
/// guess.
pub fn start<E: Driver, const N: usize>(
    ethernet: E,
    resources: &'static mut StackResources<N>,
    network: Option<&Network>,
    seed: u64,
) -> (Stack<'static>, Runner<E>) {
    embassy_net::new(FloodGuard::new(ethernet), config(network), resources, seed)
}

/// The sockets of the receiver.
pub fn sockets<const RX: usize, const TX: usize>(
    stack: Stack<'static>,
    buffers: &'static mut Buffers<RX, TX>,
) -> Sockets {
    let socket = |receive, send| TcpPort::new(stack, PORT, receive, send);
    let Buffers { full, waiting: [second, third], short: [receive, send] } = buffers;
    [
        socket(&mut full.0, &mut full.1),
        socket(&mut second.0, &mut second.1),
        socket(&mut third.0, &mut third.1),
        socket(receive, send),
    ]
}
