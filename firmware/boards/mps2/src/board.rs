//! The implementation of the receiver's `Board`, and the start of the board's devices and tasks.

use core::ops::Range;
use core::pin::Pin;

use embassy_executor::Spawner;
use embassy_net::StackResources;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use rand_core::RngCore;
use static_cell::{ConstStaticCell, StaticCell};
use waft_core::sealed::ChaChaCipher;
use waft_receiver::board::{Board, Load, Stack, Startup, StartupError};
use waft_receiver::embassy::{TcpPort, Uptime};
use waft_receiver::entropy::Random;
use waft_receiver::identity::{Identity, IdentityError};
use waft_receiver::seed::Ratchet;
use waft_receiver::slots::{File, Slots};
use waft_receiver::tls::suite::ChaCha20Poly1305Sha256;
use waft_receiver::{Config, Memory, Receiver};

use crate::console::print_blocking;
use crate::net::SOCKETS;
use crate::nor::Nor;
use crate::retained::{self, Retained};
use crate::semihosting::HostRandom;
use crate::{executor, log, net, stack, timer, watchdog};

/// The board's memory map, generated from `mps2.toml`.
#[allow(dead_code, reason = "the names of the board are not used")]
pub mod map {
    include!(concat!(env!("OUT_DIR"), "/map.rs"));
}

/// The 16 MiB of PSRAM that serve as this board's flash.
const PSRAM: (*mut u8, usize) = (0x2100_0000 as *mut u8, 16 << 20);

/// This board, as a type for the receiver.
#[derive(Debug)]
pub struct Mps2;

impl Board for Mps2 {
    type Mutex = NoopRawMutex;
    type Flash = Nor;
    type Rng = Random;
    type Clock = Uptime;
    type Socket = TcpPort<'static>;
    // The core has no AES unit, and in software AES-GCM costs six times as much.
    type Suite = ChaCha20Poly1305Sha256;
    type Cipher = ChaChaCipher;

    fn wipe<T>(slot: Pin<&mut Option<T>>) {
        stack::wipe(slot);
    }

    fn stack() -> Option<Stack> {
        Some(Stack { peak: stack::peak(), size: stack::size() })
    }

    fn load() -> Option<Load> {
        Some(executor::load())
    }
}

/// The flash, which tasks share.
type Flash = Mutex<NoopRawMutex, Nor>;

/// Starts the devices that everything else needs. If the firmware failed before this start, prints the failure at the
/// console. Call it once, before any task runs.
pub fn start() -> Retained {
    stack::guard();
    watchdog::start();
    log::start();
    timer::start();
    let retained = retained::take();
    defmt::info!("started: {}", retained.start);
    if let Some((cause, text)) = retained.failure {
        print_blocking(format_args!("\r\nBefore this start the firmware failed ({}): {text}\r\n", cause.words()));
        defmt::error!("before this start: {=str}: {=str}", cause.words(), text);
    }
    retained
}

/// The parts of a board that has started.
pub struct Parts {
    /// The receiver.
    pub receiver: &'static mut Receiver<'static, Mps2>,
    /// The sockets of the receiver.
    pub sockets: &'static mut [TcpPort<'static>; SOCKETS],
    /// The slots with the received folder.
    pub slots: &'static Slots<'static, NoopRawMutex, Nor>,
    /// TCP/IP, for the program.
    pub stack: embassy_net::Stack<'static>,
}

/// Starts the board, and spawns the tasks of the watchdog and of TCP/IP. Call it once.
pub async fn boot<const N: usize>(
    spawner: Spawner,
    retained: Retained,
    resources: &'static mut StackResources<N>,
) -> Parts {
    static MEMORY: ConstStaticCell<Memory> = ConstStaticCell::new(Memory::new());
    static RECEIVER: StaticCell<Receiver<'static, Mps2>> = StaticCell::new();
    static TCP: StaticCell<[TcpPort<'static>; SOCKETS]> = StaticCell::new();
    spawner.spawn(watchdog::feed().expect("it is spawned once"));
    let flash = flash();
    let slots = slots(flash).await;
    let identity = identity();
    // Parsing left copies of the private keys in the unused stack. Values with uninitialized bytes that are moved from
    // there would spread them.
    stack::wipe_unused();
    let mut startup = startup(identity, flash).await;
    let seed = startup.as_mut().map_or(0, |startup| startup.random.next_u64());
    let stack = net::start(spawner, resources, identity.ok().map(|identity| &identity.network), seed);
    let config = Config { start: retained.start, lockouts: Some(retained.lockouts), ..Config::default() };
    let receiver = RECEIVER.init(Receiver::from_startup(startup, slots, MEMORY.take(), config));
    Parts { receiver, sockets: TCP.init(net::sockets(stack)), slots, stack }
}

/// The flash. Call it once.
fn flash() -> &'static Flash {
    static FLASH: StaticCell<Flash> = StaticCell::new();
    // SAFETY: the PSRAM is at this address, the linker does not use it, and the `StaticCell` ensures that this runs
    // only once.
    let memory = unsafe { core::slice::from_raw_parts_mut(PSRAM.0, PSRAM.1) };
    FLASH.init(Mutex::new(Nor::new(memory)))
}

/// The slots in the flash. Call it once.
async fn slots(flash: &'static Flash) -> &'static Slots<'static, NoopRawMutex, Nor> {
    static SLOTS: StaticCell<Slots<'static, NoopRawMutex, Nor>> = StaticCell::new();
    let slots = Slots::new(flash, map::SLOTS).await;
    SLOTS.init(slots.expect("the slots in mps2.toml are whole blocks"))
}

/// The content of a file, read in place. It borrows the file, and with it the file's lease.
pub fn mapped<'a>(file: &'a File<'_, NoopRawMutex, Nor>) -> &'a [u8] {
    let Range { start, end } = file.range();
    // SAFETY: the only `Nor` is the one over the PSRAM, so these are bytes of a file in it. Nothing writes to them as
    // long as the file exists, because it holds a lease on its slot, and `Nor` makes slices of the bytes that it changes
    // only.
    unsafe { core::slice::from_raw_parts(PSRAM.0.add(start as usize), (end - start) as usize) }
}

/// The identity of the board. Call it once. Not inlined, so that its stack frame is unused after it returns, and can be
/// wiped.
#[inline(never)]
fn identity() -> Result<&'static Identity, IdentityError> {
    static IDENTITY: StaticCell<Identity> = StaticCell::new();
    // SAFETY: the image is in memory that the linker does not use, and nothing writes to it while the firmware runs.
    let image = unsafe { core::slice::from_raw_parts(map::IDENTITY_AT as *const u8, map::IDENTITY_SIZE as usize) };
    // On a real chip a blank sector reads as ones. Here memory that was never loaded reads as zeros.
    if image.iter().all(|byte| *byte == 0) {
        return Err(IdentityError::Missing);
    }
    Identity::parse(image).map(|identity| &*IDENTITY.init(identity))
}

/// Prepares the board to receive.
async fn startup(
    identity: Result<&'static Identity, IdentityError>,
    flash: &Flash,
) -> Result<Startup<'static>, StartupError> {
    let mut flash = flash.lock().await;
    Startup::prepare(identity, &mut HostRandom, &mut Ratchet::new(&mut *flash, map::SEEDS)).await
}
