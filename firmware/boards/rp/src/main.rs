//! The receiver on a board with an RP2350.
//!
//! ```text
//! main          determines the reason for the start, starts devices, the receiver and these
//!               tasks, then receives folders:
//!   feed, network              the tasks of every board
//!   application  gets each received folder; replace it with your own
//! board         the task of the network device
//! wifi          the task that joins a network, on a board with Wi-Fi
//! ```

#![no_std]
#![no_main]

mod board;
mod boot;
mod controller;
mod random;
mod watchdog;
#[cfg(feature = "wifi")]
mod wifi;

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
use waft_rp::flash;

use board::{Ethernet, FLASH_SIZE, Parts, RX_SIZE};
use controller::Controller;
use watchdog::Watchdog;

include!(concat!(env!("OUT_DIR"), "/map.rs"));

/// The regions of the flash.
const REGIONS: Regions = {
    // The linker uses the flash up to here, and nothing else.
    let data = MAP.flash_size..FLASH_SIZE as u32;
    let regions = Regions::new(MAP, flash::FLASH, flash::ERASE, data);
    assert!(regions.fault().is_none(), "the board's description does not fit the flash");
    regions
};

/// The most PBKDF2 iterations of a typed key. An iteration is two blocks of SHA-256 of 64 bytes each, at about 50
/// instructions per byte. At 150 MHz, 9,000 iterations take half a second.
const ITERATIONS_MAX: u32 = 9_000;

/// Bytes of a send buffer. A receiver sends little.
const TX_SIZE: usize = 1 << 10;

/// The flash of the storage.
type Flash = flash::Flash<Controller>;

static RESOURCES: Resources<Flash, (), RX_SIZE, TX_SIZE> = Resources::new();

waft_board::tasks! { ethernet: Ethernet, watchdog: Watchdog }

#[embassy_executor::main]
async fn main(spawner: Spawner) -> ! {
    static SOCKETS: StaticCell<StackResources<ALL_SOCKETS>> = StaticCell::new();
    let retained = retained::take();
    let start = boot::reason(&retained);
    let Parts { watchdog, mut console, trng, flash, device } = board::parts();
    spawner.spawn(feed(watchdog).expect("it is spawned once"));
    defmt::info!("{=str}, started: {}", MAP.title, start);
    retained.print_failure(&mut console, start).await;

    // Before the network starts: see `waft_rp::trng`.
    let trng = random::draw(trng).await;
    let network_device = device.start(spawner, &mut console).await;
    let flash = Flash::new(Controller::new(flash), REGIONS.readable(), REGIONS.writable());
    let devices =
        waft_board::boot::Devices { memory: RESOURCES.memory(), ethernet: network_device.ethernet, trng, flash };
    let lockouts = Some(retained.lockouts);
    #[cfg(feature = "wifi")]
    let station = wifi::station();
    let config = Config {
        max_iterations: ITERATIONS_MAX,
        start,
        lockouts,
        #[cfg(feature = "wifi")]
        wifi: Some(station),
        ..Config::default()
    };
    let sockets = SOCKETS.init(StackResources::new());
    let started = waft_board::boot::start(&RESOURCES, sockets, devices, &MAP, boot::identity, config).await;
    spawner.spawn(network(started.runner).expect("it is spawned once"));
    #[cfg(feature = "wifi")]
    wifi::start(spawner, station, network_device.link, started.stack);
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
