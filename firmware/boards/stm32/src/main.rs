//! The receiver on a board with an STM32.
//!
//! ```text
//! main          determines the reason for the start, starts devices, the receiver and these
//!               tasks, then receives folders:
//!   feed, network              the tasks of every board
//!   application  gets each received folder; replace it with your own
//! ```

#![no_std]
#![no_main]

mod board;
mod boot;
mod cache;
mod controller;
mod trng;
mod watchdog;

use defmt_rtt as _;
use embassy_executor::Spawner;
use embassy_net::StackResources;
use static_cell::StaticCell;
use waft_board::boot::{BoardSlots, Resources};
use waft_board::net::ALL_SOCKETS;
use waft_board::region::Regions;
use waft_board::retained;
use waft_board::tasks::receive;
use waft_receiver::Config;
use waft_stm32::flash;

use board::{Devices, Ethernet};
use controller::{Controller, TORN};
use watchdog::Watchdog;

include!(concat!(env!("OUT_DIR"), "/map.rs"));

/// The regions of the flash.
const REGIONS: Regions = {
    // The linker uses all of bank 1, and nothing else. All data is in bank 2, which has the same size.
    let bank = MAP.flash_size;
    let regions = Regions::new(MAP, flash::FLASH, flash::ERASE, bank..2 * bank);
    assert!(regions.fault().is_none(), "the board's description does not fit the chip");
    regions
};

/// The most PBKDF2 iterations of a typed key. An iteration is two blocks of SHA-256 of 64 bytes each, at about 50
/// instructions per byte. At 250 MHz, 15,000 iterations take half a second.
const ITERATIONS_MAX: u32 = 15_000;

/// Bytes of a receive buffer, which is the TCP window: as much as the Ethernet driver allows, see `board`.
const RX_SIZE: usize = 12 << 10;
/// Bytes of a send buffer. A receiver sends little.
const TX_SIZE: usize = 1 << 10;

/// The flash of the storage.
type Flash = flash::Flash<Controller>;

static RESOURCES: Resources<Flash, (), RX_SIZE, TX_SIZE> = Resources::new();

waft_board::tasks! { ethernet: Ethernet, watchdog: Watchdog }

#[embassy_executor::main]
async fn main(spawner: Spawner) -> ! {
    static SOCKETS: StaticCell<StackResources<ALL_SOCKETS>> = StaticCell::new();
    let mut core = cortex_m::Peripherals::take().expect("they are taken once");
    cache::enable(&mut core.MPU);
    let retained = retained::take();
    let start = boot::reason(&retained);
    let Devices { mut console, ethernet, trng, flash, watchdog } = board::devices(boot::unique_id()).await;
    spawner.spawn(feed(watchdog).expect("it is spawned once"));
    defmt::info!("{=str}, started: {}", MAP.title, start);
    retained.print_failure(&mut console, start).await;

    let flash = Flash::new(Controller::new(flash), &TORN, REGIONS.readable(), REGIONS.writable());
    let devices = waft_board::boot::Devices { memory: RESOURCES.memory(), ethernet, trng, flash };
    let lockouts = Some(retained.lockouts);
    let config = Config { max_iterations: ITERATIONS_MAX, start, lockouts, ..Config::default() };
    let sockets = SOCKETS.init(StackResources::new());
    let started = waft_board::boot::start(&RESOURCES, sockets, devices, &MAP, boot::identity, config).await;
    spawner.spawn(network(started.runner).expect("it is spawned once"));
    spawner.spawn(application(started.slots).expect("it is spawned once"));
    receive(started.receiver, started.sockets, console).await
}

/// The application: replace it with your own. It gets the folder that was stored at the start, and each one that is
/// committed later.
#[embassy_executor::task]
async fn application(slots: &'static BoardSlots<Flash>) -> ! {
    let mut generation = 0;
    loop {
        let folder = slots.changed(generation).await;
        generation = folder.generation();
        defmt::info!("folder number {}: {} files, {} bytes", generation, folder.files(), folder.bytes());
    }
}
