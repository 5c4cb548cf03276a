//! The network: TCP/IP over the Ethernet device, and the receiver's sockets.

use embassy_executor::Spawner;
use embassy_net::{Runner, Stack, StackResources};
use static_cell::ConstStaticCell;
use waft_receiver::board::PORT;
use waft_receiver::embassy::{FloodGuard, TcpPort, config};
use waft_receiver::identity::Network;

use crate::ethernet::Ethernet;

/// One socket for the session, two for connections that wait for it, and one that rejects further peers as busy.
pub const SOCKETS: usize = 4;

/// Bytes of a receive buffer, which is the TCP window: one record of TLS.
const RX_SIZE: usize = 4 << 10;
/// Bytes of a send buffer: a message or a record of the handshake fits.
const TX_SIZE: usize = 896;
/// Bytes of a buffer of the socket that only rejects: a preface or its answer fits.
const SHORT_SIZE: usize = 16;

/// The memory of TCP/IP for a program that has only the receiver's sockets, and one for DHCP.
pub type Resources = StackResources<{ SOCKETS + 1 }>;

/// Starts TCP/IP and spawns its task. `seed` makes ports and sequence numbers hard to guess. Call it once.
pub fn start<const N: usize>(
    spawner: Spawner,
    resources: &'static mut StackResources<N>,
    network: Option<&Network>,
    seed: u64,
) -> Stack<'static> {
    static ETHERNET: ConstStaticCell<Ethernet> = ConstStaticCell::new(Ethernet::new());
    let ethernet = ETHERNET.take();
    ethernet.start();
    let (stack, runner) = embassy_net::new(FloodGuard::new(ethernet), config(network), resources, seed);
    spawner.spawn(run(runner).expect("it is started once"));
    stack
}

/// Moves frames between the Ethernet device and the stack.
#[embassy_executor::task]
async fn run(mut runner: Runner<'static, FloodGuard<&'static mut Ethernet>>) -> ! {
    runner.run().await
}

/// The sockets of the receiver. Call it once.
pub fn sockets(stack: Stack<'static>) -> [TcpPort<'static>; SOCKETS] {
    static MEMORY: ConstStaticCell<[([u8; RX_SIZE], [u8; TX_SIZE]); SOCKETS - 1]> =
        ConstStaticCell::new([([0; RX_SIZE], [0; TX_SIZE]); SOCKETS - 1]);
    static SHORT_MEMORY: ConstStaticCell<[[u8; SHORT_SIZE]; 2]> = ConstStaticCell::new([[0; SHORT_SIZE]; 2]);
    let [a, b, c] = MEMORY.take().each_mut().map(|(receive, send)| TcpPort::new(stack, PORT, receive, send));
    let [receive, send] = SHORT_MEMORY.take();
    [a, b, c, TcpPort::new(stack, PORT, receive, send)]
}
