//! The receiver on a board with an STM32.
//!
//! ```text
//! main          determines the reason for the start and the identity, gathers random numbers, starts the tasks:
//!   feed         feeds the watchdog
//!   net::run     moves frames between Ethernet and TCP/IP
//!   receive      the receiver: sockets, sessions, store, console
//!   application  gets each received folder; replace it with your own
//! ```

#![no_std]
#![no_main]

mod board;
mod boot;
mod cache;
mod controller;
mod faults;
mod net;
mod stack;
mod trng;
mod watchdog;

use core::pin::Pin;

use embassy_executor::Spawner;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use rand_core::RngCore;
use static_cell::{ConstStaticCell, StaticCell};
use waft_core::sealed::ChaChaCipher;
use waft_receiver::board::{Board, Stack, Startup};
use waft_receiver::console;
use waft_receiver::embassy::{TcpPort, Uptime};
use waft_receiver::entropy::Random;
use waft_receiver::seed::Ratchet;
use waft_receiver::slots::Slots;
use waft_receiver::tls::suite::ChaCha20Poly1305Sha256;
use waft_receiver::{Config, Memory, Receiver};
use waft_stm32::flash;
use waft_stm32::region::Map;

use board::{Console, Devices};
use controller::{Controller, TORN};

include!(concat!(env!("OUT_DIR"), "/map.rs"));

/// The memory map of the flash.
const MAP: Map = {
    // The linker uses all of bank 1, and nothing else.
    let identity = IDENTITY_AT..IDENTITY_AT + IDENTITY_SIZE;
    let map = Map { bank: FLASH_SIZE, identity, seeds: SEEDS, slots: SLOTS };
    assert!(map.fault().is_none(), "the board's description does not fit the chip");
    map
};

/// One socket for the session, one that listens, and two for connections that wait.
const SOCKETS: usize = 4;

/// The most PBKDF2 iterations of a typed key. An iteration is two blocks of SHA-256 of 64 bytes each, at about 50
/// instructions per byte. At 250 MHz, 15,000 iterations take half a second.
const ITERATIONS_MAX: u32 = 15_000;

/// The flash of the storage.
type Flash = flash::Flash<Controller>;

/// This board, as a type for the receiver.
struct Stm32;

impl Board for Stm32 {
    type Mutex = NoopRawMutex;
    type Flash = Flash;
    type Rng = Random;
    type Clock = Uptime;
    type Socket = TcpPort<'static>;
    // The STM32H563 has no AES unit (the H573 has one), and in software ChaCha20-Poly1305 costs a sixth of AES-GCM.
    type Suite = ChaCha20Poly1305Sha256;
    type Cipher = ChaChaCipher;

    fn wipe<T>(slot: Pin<&mut Option<T>>) {
        stack::wipe(slot);
    }

    fn stack() -> Option<Stack> {
        Some(stack::usage())
    }
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    static FLASH: StaticCell<Mutex<NoopRawMutex, Flash>> = StaticCell::new();
    static STORE: StaticCell<Slots<'static, NoopRawMutex, Flash>> = StaticCell::new();
    static MEMORY: ConstStaticCell<Memory> = ConstStaticCell::new(Memory::new());

    let mut core = cortex_m::Peripherals::take().expect("they are taken once");
    cache::enable(&mut core.MPU);
    let (lockouts, report) = faults::take_retained();
    let start = boot::reason(&report);
    let Devices { mut console, ethernet, mut trng, flash, watchdog } = board::devices(boot::unique_id()).await;
    spawner.spawn(watchdog::feed(watchdog).expect("it is started once"));
    defmt::info!("{=str}, started: {}", TITLE, start);
    boot::print_failure(&mut console, start, &report).await;

    let mut flash = Flash::new(Controller::new(flash), &TORN, MAP.readable(), MAP.writable());
    let identity = boot::identity(&mut flash);
    // Parsing left copies of the private keys in the unused stack. Values with uninitialized bytes that are moved from
    // there would spread them.
    stack::wipe_unused();
    let mut startup = Startup::prepare(identity, &mut trng, &mut Ratchet::new(&mut flash, MAP.seeds)).await;
    let seed = startup.as_mut().map_or(0, |startup| startup.random.next_u64());
    let (stack, runner) = net::stack(ethernet, identity.ok().map(|identity| &identity.network), seed);
    spawner.spawn(net::run(runner).expect("it is started once"));

    let slots = Slots::new(FLASH.init(Mutex::new(flash)), MAP.slots).await;
    let slots = STORE.init(slots.expect("the map was checked against the chip"));
    spawner.spawn(application(slots).expect("it is started once"));
    let config = Config { max_iterations: ITERATIONS_MAX, start, lockouts: Some(lockouts), ..Config::default() };
    let receiver = Receiver::from_startup(startup, slots, MEMORY.take(), config);
    spawner.spawn(receive(receiver, net::sockets(stack), console).expect("it is started once"));
}

/// Runs the receiver. Never returns.
#[embassy_executor::task]
async fn receive(mut receiver: Receiver<'static, Stm32>, mut sockets: [TcpPort<'static>; SOCKETS], line: Console) -> ! {
    receiver.run(&mut sockets, &mut console::Console::new(line)).await
}

/// The application: replace it with your own. It gets the folder that was stored at the start, and each one that is
/// committed later.
#[embassy_executor::task]
async fn application(slots: &'static Slots<'static, NoopRawMutex, Flash>) -> ! {
    let mut generation = 0;
    loop {
        let folder = slots.changed(generation).await;
        generation = folder.generation();
        defmt::info!("folder number {}: {} files, {} bytes", generation, folder.files(), folder.bytes());
    }
}
