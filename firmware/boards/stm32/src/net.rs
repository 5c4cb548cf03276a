//! The network: TCP/IP over the Ethernet device, and the receiver's sockets.

use embassy_net::{Runner, Stack, StackResources};
use static_cell::{ConstStaticCell, StaticCell};
use waft_receiver::board::PORT;
use waft_receiver::embassy::{FloodGuard, TcpPort, config};
use waft_receiver::identity::Network;

use crate::SOCKETS;
use crate::board::Ethernet;

/// Bytes of a receive buffer, which is the TCP window: as much as the Ethernet driver allows, see `board`.
const RX_SIZE: usize = 12 << 10;
/// Bytes of a send buffer. A receiver sends little.
const TX_SIZE: usize = 1 << 10;

/// Creates the TCP/IP stack and its runner. `network` is `None` on a board that was never provisioned. `seed` makes
/// ports and sequence numbers hard to guess.
pub(crate) fn stack(
    ethernet: Ethernet,
    network: Option<&Network>,
    seed: u64,
) -> (Stack<'static>, Runner<'static, FloodGuard<Ethernet>>) {
    /// One more socket, for DHCP.
    static RESOURCES: StaticCell<StackResources<{ SOCKETS + 1 }>> = StaticCell::new();
    embassy_net::new(FloodGuard::new(ethernet), config(network), RESOURCES.init(StackResources::new()), seed)
}

/// Moves frames between the Ethernet device and the stack.
#[embassy_executor::task]
pub(crate) async fn run(mut runner: Runner<'static, FloodGuard<Ethernet>>) -> ! {
    runner.run().await
}

/// The sockets of the receiver.
pub(crate) fn sockets(stack: Stack<'static>) -> [TcpPort<'static>; SOCKETS] {
    static BUFFERS: ConstStaticCell<[([u8; RX_SIZE], [u8; TX_SIZE]); SOCKETS]> =
        ConstStaticCell::new([([0; RX_SIZE], [0; TX_SIZE]); SOCKETS]);
    BUFFERS.take().each_mut().map(|(received, sent)| TcpPort::new(stack, PORT, received, sent))
}
