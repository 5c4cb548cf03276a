//! The firmware of a board with 64 KiB of RAM.
//!
//! ```text
//! main          starts the devices
//! boot          starts the receiver and these tasks, then receives folders:
//!   feed, network   the tasks of every board
//!   application     logs each received folder
//! ```

#![no_std]
#![no_main]

use embassy_executor::Spawner;
use embassy_net::StackResources;
use static_cell::StaticCell;
use waft_board::boot::{self, BoardSlots, Devices, Resources};
use waft_board::emulator::console::Console;
use waft_board::emulator::executor::{self, Measured};
use waft_board::emulator::semihosting::HostRandom;
use waft_board::emulator::{Uart as _, failure, guard, log};
use waft_board::net::ALL_SOCKETS;
use waft_board::retained::{self, Retained};
use waft_board::stack;
use waft_board::tasks::receive;
use waft_receiver::identity::{Identity, IdentityError};
use waft_receiver::{Config, Memory};
use waft_stellaris::drivers::ethernet::{self, Ethernet};
use waft_stellaris::drivers::storage::{self, Flash};
use waft_stellaris::drivers::timer::{self, Ticks};
use waft_stellaris::drivers::uart::{self, Uart};
use waft_stellaris::drivers::watchdog::{self, Watchdog};

include!(concat!(env!("OUT_DIR"), "/map.rs"));

/// Bytes of a receive buffer, which is the TCP window.
const RX_SIZE: usize = 2 << 10;
/// Bytes of a send buffer: a message or a record of the handshake fits.
const TX_SIZE: usize = 896;

static RESOURCES: Resources<Flash, Measured<Ticks>, RX_SIZE, TX_SIZE> = Resources::new();

waft_board::tasks! { ethernet: &'static mut Ethernet, watchdog: Watchdog }

#[cortex_m_rt::entry]
fn main() -> ! {
    guard::start();
    failure::start::<Uart, Watchdog>();
    watchdog::start();
    uart::LOG.start();
    log::start(|bytes| uart::LOG.write_all(bytes));
    timer::start();
    let retained = retained::take();
    failure::report_previous::<Uart>(&retained);
    // Before any task runs, because it needs more stack than everything else.
    let memory = RESOURCES.memory();
    let identity = storage::identity(MAP.identity);
    stack::wipe_unused();
    executor::run::<Ticks>(|spawner| {
        spawner.spawn(boot(spawner, retained, identity, memory).expect("it is spawned once"))
    })
}

#[embassy_executor::task]
async fn boot(
    spawner: Spawner,
    retained: Retained,
    identity: Result<&'static Identity, IdentityError>,
    memory: &'static mut Memory,
) -> ! {
    static SOCKETS: StaticCell<StackResources<ALL_SOCKETS>> = StaticCell::new();
    spawner.spawn(feed(Watchdog).expect("it is spawned once"));
    let devices = Devices { memory, ethernet: ethernet::take(), trng: HostRandom, flash: storage::flash() };
    let config = Config { start: retained.start(), lockouts: Some(retained.lockouts), ..Config::default() };
    let sockets = SOCKETS.init(StackResources::new());
    let started = boot::start(&RESOURCES, sockets, devices, &MAP, |_| identity, config).await;
    spawner.spawn(network(started.runner).expect("it is spawned once"));
    spawner.spawn(application(started.slots).expect("it is spawned once"));
    receive(started.receiver, started.sockets, Console::<Uart>::start()).await
}

/// The application. It logs each folder, beginning with the current one.
#[embassy_executor::task]
async fn application(slots: &'static BoardSlots<Flash>) -> ! {
    let mut generation = 0;
    loop {
        // A lease: the folder is not overwritten until it is dropped.
        let folder = slots.changed(generation).await;
        generation = folder.generation();
        defmt::info!("generation {}: {} files", generation, folder.files());
        defmt::info!("stack: {} of {} bytes at most", stack::peak(), stack::size());
    }
}
