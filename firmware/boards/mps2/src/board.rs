//! The start of the board: its devices, the receiver, and their tasks.

use embassy_net::StackResources;
use waft_board::Map;
use waft_board::boot::{self, Devices, Resources};
use waft_board::emulator::semihosting::HostRandom;
use waft_board::emulator::{Uart as _, failure, log};
use waft_board::retained::{self, Retained};
use waft_board::stack;
use waft_receiver::identity::{Identity, IdentityError};
use waft_receiver::{Config, Memory};

use crate::drivers::ethernet::{self, Ethernet};
use crate::drivers::executor::Measured;
use crate::drivers::nor::Nor;
use crate::drivers::uart::{self, Uart};
use crate::drivers::watchdog::Watchdog;
use crate::drivers::{machine, memory, timer, watchdog};

/// Bytes of a receive buffer, which is the TCP window: one record of TLS.
pub const RX_SIZE: usize = 4 << 10;
/// Bytes of a send buffer: a message or a record of the handshake fits.
pub const TX_SIZE: usize = 896;

static RESOURCES: Resources<Nor, Measured, RX_SIZE, TX_SIZE> = Resources::new();

/// Defines the tasks of the board in a program: [`waft_board::tasks`] for its types.
#[macro_export]
macro_rules! tasks {
    () => {
        waft_board::tasks! {
            ethernet: &'static mut $crate::drivers::ethernet::Ethernet,
            watchdog: $crate::drivers::watchdog::Watchdog,
        }
    };
}

/// The configuration of this board's receiver.
pub type BoardConfig = Config<'static, boot::Microcontroller<Nor, Measured>>;
/// The receiver of this board, before its tasks run.
pub type Started = boot::Started<&'static mut Ethernet, Nor, Measured>;

/// Starts the devices that everything else needs. If the firmware failed before this start, prints the failure at the
/// console. Call it once, before any task runs.
pub fn start() -> Retained {
    machine::guard_stack();
    failure::start::<Uart, Watchdog>();
    watchdog::start();
    uart::LOG.start();
    log::start(|bytes| uart::LOG.write_all(bytes));
    timer::start();
    let retained = retained::take();
    failure::report_previous::<Uart>(&retained);
    retained
}

/// What needs more stack than everything else, and is done before any task runs.
pub struct Prepared {
    identity: Result<&'static Identity, IdentityError>,
    memory: &'static mut Memory,
}

/// Reads the identity, and prepares the memory of the receiver. Call it once, before any task runs.
pub fn prepare(map: &Map) -> Prepared {
    let memory = RESOURCES.memory();
    let identity = memory::identity(map.identity.clone());
    stack::wipe_unused();
    Prepared { identity, memory }
}

/// The configuration after this start. An application may change them, for example to subscribe to events.
pub fn config(retained: Retained) -> BoardConfig {
    Config { start: retained.start(), lockouts: Some(retained.lockouts), ..Config::default() }
}

/// Starts the receiver. Call it once.
pub async fn boot<const N: usize>(
    config: BoardConfig,
    prepared: Prepared,
    map: &Map,
    sockets: &'static mut StackResources<N>,
) -> Started {
    let Prepared { identity, memory } = prepared;
    let devices = Devices { memory, ethernet: ethernet::take(), trng: HostRandom, flash: memory::flash() };
    boot::start(&RESOURCES, sockets, devices, map, |_| identity, config).await
}
