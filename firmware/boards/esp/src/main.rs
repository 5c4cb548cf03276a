//! The receiver on a board with an ESP32.
//!
//! ```text
//! main          determines the reason for the start, starts devices, the receiver and these
//!               tasks, then receives folders:
//!   feed, network              the tasks of every board
//!   join         joins the Wi-Fi network, again and again
//!   application  gets each received folder; replace it with your own
//! ```

#![no_std]
#![no_main]

mod board;
mod exception;
mod radio;

use defmt_rtt as _;
use embassy_executor::Spawner;
use embassy_net::{Stack, StackResources};
use static_cell::StaticCell;
use waft_board::boot::{BoardMutex, BoardSlots, Resources};
use waft_board::net::ALL_SOCKETS;
use waft_board::region::Regions;
use waft_board::retained;
use waft_board::stack;
use waft_board::tasks::receive;
use waft_esp::{flash, start};
use waft_receiver::Config;
use waft_receiver::embassy::Uptime;
use waft_receiver::identity::{IMAGE_MAX, Identity, IdentityError};
use waft_receiver::wifi::{RadioFault, Station};
use zeroize::Zeroizing;

use board::{Devices, Storage, Watchdog};
use radio::{Interface, Radio};

include!(concat!(env!("OUT_DIR"), "/map.rs"));

esp_bootloader_esp_idf::esp_app_desc!();

/// The regions of the flash. Addresses are offsets in it.
const REGIONS: Regions = {
    // The program's image is at most as large as the description says: `build.rs`.
    let data = board::PROGRAM + MAP.flash_size..board::FLASH;
    let regions = Regions::new(MAP, 0, flash::ERASE, data);
    assert!(regions.fault().is_none(), "the board's description does not fit the flash");
    regions
};

/// The most PBKDF2 iterations of a typed key. An iteration is two blocks of SHA-256 of 64 bytes each, at about 50
/// instructions per byte. At 160 MHz, 10,000 iterations take half a second.
const ITERATIONS_MAX: u32 = 10_000;

/// Bytes of a receive buffer, which is the TCP window: the driver of the radio announces bursts of three frames, and TCP/IP
/// offers no larger window.
const RX_SIZE: usize = 3 * 1438;
/// Bytes of a send buffer. A receiver sends little.
const TX_SIZE: usize = 1 << 10;

/// The flash of the storage.
type Flash = flash::Flash<Storage>;

static RESOURCES: Resources<Flash, (), RX_SIZE, TX_SIZE> = Resources::new();

waft_board::tasks! { ethernet: Interface, watchdog: Watchdog }

#[esp_rtos::main]
async fn main(spawner: Spawner) -> ! {
    static SOCKETS: StaticCell<StackResources<ALL_SOCKETS>> = StaticCell::new();
    static STATION: StaticCell<Station<BoardMutex>> = StaticCell::new();
    stack::paint();
    let retained = retained::take();
    let start = start::decode(board::reset_cause(), retained.failure.is_some());
    let Devices { mut console, trng, storage, watchdog, wifi } = board::devices();
    spawner.spawn(feed(watchdog).expect("it is spawned once"));
    defmt::info!("{=str}, started: {}", MAP.title, start);
    retained.print_failure(&mut console, start).await;

    let flash = Flash::new(storage, REGIONS.readable(), REGIONS.writable());
    // The radio starts only after the random numbers were read, because both use the same converter.
    let ethernet = Interface::station();
    let address = ethernet.mac_address();
    let devices = waft_board::boot::Devices { memory: RESOURCES.memory(), ethernet, trng, flash };
    let lockouts = Some(retained.lockouts);
    let station = &*STATION.init(Station::new());
    let config = Config { max_iterations: ITERATIONS_MAX, start, lockouts, wifi: Some(station), ..Config::default() };
    let sockets = SOCKETS.init(StackResources::new());
    let started = waft_board::boot::start(&RESOURCES, sockets, devices, &MAP, identity, config).await;
    spawner.spawn(network(started.runner).expect("it is spawned once"));
    match Radio::start(wifi) {
        Some(radio) => spawner.spawn(join(station, radio, started.stack, address).expect("it is spawned once")),
        None => station.report_fault(RadioFault::Missing),
    }
    spawner.spawn(application(started.slots).expect("it is spawned once"));
    receive(started.receiver, started.sockets, console).await
}

/// Joins the Wi-Fi network, and stays connected.
#[embassy_executor::task]
async fn join(station: &'static Station<BoardMutex>, radio: Radio, stack: Stack<'static>, address: [u8; 6]) -> ! {
    // Boards differ in their address, so they return at different moments.
    let seed = address.into_iter().fold(0, |seed, byte| seed << 8 | u64::from(byte));
    station.run(radio, stack, Uptime, seed).await
}

/// Reads the identity that was flashed beside the firmware.
#[inline(never)]
fn identity(flash: &mut Flash) -> Result<&'static Identity, IdentityError> {
    let mut image = Zeroizing::new([0; IMAGE_MAX]);
    flash.read_blocking(REGIONS.identity().start, &mut *image).map_err(|_| IdentityError::Checksum)?;
    waft_board::boot::identity(&*image)
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
