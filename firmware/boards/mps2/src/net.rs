//! The board on its network: TCP/IP over the Ethernet, and the receiver's sockets.

use embassy_executor::Spawner;
use embassy_net::{Runner, Stack, StackResources};
use static_cell::ConstStaticCell;
use waft_receiver::board::PORT;
use waft_receiver::embassy::{Neighbours, TcpPort, config};
use waft_receiver::identity::Network;

use crate::ethernet::Ethernet;

/// One for the session, two for connections that wait for it, and one that tells others that the board is busy.
pub const SOCKETS: usize = 4;

/// What a peer may have under way: a record of TLS.
const RECEIVE: usize = 4 << 10;
/// A message fits, and each record of a handshake.
const SEND: usize = 896;
/// A preface fits, or the answer to one.
const SHORT: usize = 16;

/// What TCP/IP keeps of each socket, for a program that has the receiver's sockets and no others. The one more is for
/// DHCP.
pub type Resources = StackResources<{ SOCKETS + 1 }>;

/// Starts TCP/IP and spawns its task. `seed` makes sequence numbers hard to guess. Call it once.
pub fn start<const N: usize>(
    spawner: Spawner,
    resources: &'static mut StackResources<N>,
    network: Option<&Network>,
    seed: u64,
) -> Stack<'static> {
    static ETHERNET: ConstStaticCell<Ethernet> = ConstStaticCell::new(Ethernet::new());
    let ethernet = ETHERNET.take();
    ethernet.start();
    let (stack, runner) = embassy_net::new(Neighbours::new(ethernet), config(network), resources, seed);
    spawner.spawn(run(runner).expect("it is started once"));
    stack
}

/// Moves frames.
#[embassy_executor::task]
async fn run(mut runner: Runner<'static, Neighbours<&'static mut Ethernet>>) -> ! {
    runner.run().await
}

/// The receiver's sockets. Call it once.
pub fn sockets(stack: Stack<'static>) -> [TcpPort<'static>; SOCKETS] {
    static MEMORY: ConstStaticCell<[([u8; RECEIVE], [u8; SEND]); SOCKETS - 1]> =
        ConstStaticCell::new([([0; RECEIVE], [0; SEND]); SOCKETS - 1]);
    static SHORT_MEMORY: ConstStaticCell<[[u8; SHORT]; 2]> = ConstStaticCell::new([[0; SHORT]; 2]);
    let [a, b, c] = MEMORY.take().each_mut().map(|(receive, send)| TcpPort::new(stack, PORT, receive, send));
    let [receive, send] = SHORT_MEMORY.take();
    [a, b, c, TcpPort::new(stack, PORT, receive, send)]
}
