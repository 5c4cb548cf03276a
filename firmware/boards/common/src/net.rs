//! The network: TCP/IP over an Ethernet driver, and the receiver's sockets.

use embassy_net::{Stack, StackResources};
use embassy_net_driver::Driver;
use waft_receiver::board::PORT;
use waft_receiver::embassy::{FloodGuard, TcpPort, config};
use waft_receiver::identity::Network;

/// The sockets of the receiver: one for the session, two for connections that wait for it, and one that rejects further
/// peers as busy.
pub const SOCKETS: usize = 4;
/// The sockets of a program that has only the receiver's, and one for DHCP.
pub const ALL_SOCKETS: usize = SOCKETS + 1;

/// Bytes of a buffer of the socket that only rejects: a preface or its answer fits.
const SHORT: usize = 16;

/// The sockets of the receiver.
pub type Sockets = [TcpPort<'static>; SOCKETS];
/// Moves frames between an Ethernet device and TCP/IP.
pub type Runner<E> = embassy_net::Runner<'static, FloodGuard<E>>;

/// The buffers of the receiver's sockets: `RX` bytes to receive, which is the TCP window, and `TX` bytes to send.
pub struct Buffers<const RX: usize, const TX: usize> {
    full: [([u8; RX], [u8; TX]); SOCKETS - 1],
    short: [[u8; SHORT]; 2],
}

impl<const RX: usize, const TX: usize> Buffers<RX, TX> {
    /// Empty buffers.
    pub const fn new() -> Self {
        Self { full: [([0; RX], [0; TX]); SOCKETS - 1], short: [[0; SHORT]; 2] }
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
    let [a, b, c] = buffers.full.each_mut().map(|(receive, send)| TcpPort::new(stack, PORT, receive, send));
    let [receive, send] = &mut buffers.short;
    [a, b, c, TcpPort::new(stack, PORT, receive, send)]
}
