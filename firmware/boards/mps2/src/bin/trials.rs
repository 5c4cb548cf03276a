//! A firmware for tests that fails on command, and measures how fast it receives bytes over TCP.
//!
//! At the console it carries out the commands of [`waft_board::emulator::trials`]. On the receiver's port it counts the bytes
//! of a connection, and sends the count when the peer has closed its side.

#![no_std]
#![no_main]

use embassy_net::StackResources;
use embedded_io_async::{Read, Write};
use static_cell::{ConstStaticCell, StaticCell};
use waft_board::emulator::trials;
use waft_board::net::{self, ALL_SOCKETS, Buffers};
use waft_mps2::board::{self, RX_SIZE, TX_SIZE};
use waft_mps2::drivers::console::Console;
use waft_mps2::drivers::ethernet;
use waft_mps2::drivers::executor;
use waft_mps2::drivers::watchdog::Watchdog;
use waft_receiver::board::{ListenEvent, Socket, Watch};
use waft_receiver::embassy::TcpPort;

waft_mps2::tasks!();

#[cortex_m_rt::entry]
fn main() -> ! {
    static RESOURCES: StaticCell<StackResources<ALL_SOCKETS>> = StaticCell::new();
    static BUFFERS: ConstStaticCell<Buffers<RX_SIZE, TX_SIZE>> = ConstStaticCell::new(Buffers::new());
    let retained = board::start();
    defmt::info!("lockouts: {}", retained.lockouts.0[0]);
    // A value that has to survive a reset.
    retained.lockouts.0[0] += 1;
    executor::run(|spawner| {
        spawner.spawn(feed(Watchdog).expect("it is spawned once"));
        spawner.spawn(run_commands(Console::start()).expect("it is spawned once"));
        let (stack, runner) = net::start(ethernet::take(), RESOURCES.init(StackResources::new()), None, 1);
        spawner.spawn(network(runner).expect("it is spawned once"));
        let [socket, ..] = net::sockets(stack, BUFFERS.take());
        spawner.spawn(count_bytes(socket).expect("it is spawned once"));
    })
}

#[embassy_executor::task]
async fn run_commands(console: Console) -> ! {
    trials::run(console, 0xE100_0000).await
}

#[embassy_executor::task]
async fn count_bytes(mut socket: TcpPort<'static>) -> ! {
    let mut buffer = [0; 1024];
    loop {
        let ListenEvent::Connecting = socket.listen(Watch::Peers).await else { continue };
        if !socket.establish().await {
            socket.abort();
            continue;
        }
        let mut total = 0u32;
        while let Ok(count @ 1..) = socket.read(&mut buffer).await {
            total += count as u32;
        }
        // A peer that has closed the connection does not receive the count.
        let _ = socket.write_all(&total.to_be_bytes()).await;
        socket.close().await;
    }
}
