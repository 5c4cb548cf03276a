//! The board on its network: TCP/IP over the Ethernet, and the receiver's sockets.

use embassy_net::{Runner, Stack, StackResources};
use static_cell::{ConstStaticCell, StaticCell};
use waft_receiver::board::PORT;
use waft_receiver::embassy::{Neighbours, TcpPort, config};
use waft_receiver::identity::Network;

use crate::SOCKETS;
use crate::board::Ethernet;

/// Bytes that a sender may have on the way: as much as the Ethernet's driver allows for, see `board`.
const RECEIVED: usize = 12 << 10;
/// Bytes that wait to be sent. A receiver says little.
const SENT: usize = 1 << 10;

/// The stack, and its task's part of it. `network`: none on a board that was never provisioned. `seed` makes ports and
/// sequence numbers hard to guess.
pub(crate) fn stack(
    ethernet: Ethernet,
    network: Option<&Network>,
    seed: u64,
) -> (Stack<'static>, Runner<'static, Neighbours<Ethernet>>) {
    /// One more for DHCP.
    static RESOURCES: StaticCell<StackResources<{ SOCKETS + 1 }>> = StaticCell::new();
    embassy_net::new(Neighbours::new(ethernet), config(network), RESOURCES.init(StackResources::new()), seed)
}

/// Moves frames.
#[embassy_executor::task]
pub(crate) async fn run(mut runner: Runner<'static, Neighbours<Ethernet>>) -> ! {
    runner.run().await
}

/// The sockets that the receiver listens at.
pub(crate) fn sockets(stack: Stack<'static>) -> [TcpPort<'static>; SOCKETS] {
    static BUFFERS: ConstStaticCell<[([u8; RECEIVED], [u8; SENT]); SOCKETS]> =
        ConstStaticCell::new([([0; RECEIVED], [0; SENT]); SOCKETS]);
    BUFFERS.take().each_mut().map(|(received, sent)| TcpPort::new(stack, PORT, received, sent))
}
