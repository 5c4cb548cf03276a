//! The board as the receiver knows it, and what it makes of its devices at start.

use embassy_executor::Spawner;
use embassy_net::StackResources;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use rand_core::RngCore;
use static_cell::{ConstStaticCell, StaticCell};
use waft_core::sealed::cipher::ChaChaCipher;
use waft_receiver::board::{Board, Fit, Load, Stack, Unfit};
use waft_receiver::embassy::{TcpPort, Uptime};
use waft_receiver::events::Events;
use waft_receiver::identity::{Identity, IdentityError};
use waft_receiver::run::Parts;
use waft_receiver::seed::Ratchet;
use waft_receiver::slots::Slots;
use waft_receiver::tls::suite::ChaCha20Poly1305Sha256;

use crate::console::{Console, print_blocking};
use crate::kept::{self, Memory};
use crate::net::SOCKETS;
use crate::nor::Nor;
use crate::semihosting::HostRandom;
use crate::{executor, log, net, stack, timer, watchdog};

/// The board's map, as `mps2.toml` has it.
#[allow(dead_code, reason = "an image says its name nowhere")]
pub mod map {
    include!(concat!(env!("OUT_DIR"), "/map.rs"));
}

/// The 16 MiB of PSRAM, which are this board's flash.
const PSRAM: (*mut u8, usize) = (0x2100_0000 as *mut u8, 16 << 20);

/// This board, as the receiver knows it.
#[derive(Debug)]
pub struct Mps2;

impl Board for Mps2 {
    type Mutex = NoopRawMutex;
    type Flash = Nor;
    // The core has no AES unit, and in software AES-GCM costs six times as much.
    type Suite = ChaCha20Poly1305Sha256;
    type Cipher = ChaChaCipher;
    type Socket = TcpPort<'static>;
    type Console = Console;
    type Clock = Uptime;

    // An iteration is two blocks of SHA-256, together about 5,000 instructions: half a second of an emulator that does
    // 100 million.
    const ITERATIONS_MAX: u32 = 10_000;

    fn stack() -> Option<Stack> {
        Some(Stack { peak: stack::peak(), size: stack::size() })
    }

    fn load() -> Option<Load> {
        Some(executor::load())
    }
}

/// The flash, shared by all who use it.
type Flash = Mutex<NoopRawMutex, Nor>;

/// Turns on what everything else needs, and says on the console why the firmware failed before, if it did. Call it
/// once, before any task runs.
pub fn start() -> Memory {
    stack::guard();
    watchdog::start();
    log::start();
    timer::start();
    let memory = kept::recall();
    defmt::info!("started: {}", memory.start);
    if let Some((cause, text)) = memory.failure {
        print_blocking(format_args!("\r\nBefore this start the firmware failed ({}): {text}\r\n", cause.words()));
        defmt::error!("before this start: {=str}: {=str}", cause.words(), text);
    }
    memory
}

/// Makes what the receiver needs and spawns the tasks under it: the watchdog's and that of TCP/IP, which the program
/// may use too. Call it once.
pub async fn boot<const N: usize>(
    spawner: Spawner,
    memory: Memory,
    resources: &'static mut StackResources<N>,
) -> (Parts<'static, Mps2, SOCKETS>, embassy_net::Stack<'static>) {
    static EVENTS: StaticCell<Events<NoopRawMutex>> = StaticCell::new();
    static BUFFERS: ConstStaticCell<waft_receiver::Memory> = ConstStaticCell::new(waft_receiver::Memory::new());
    spawner.spawn(watchdog::feed().expect("it is spawned once"));
    let flash = flash();
    let slots = slots(flash).await;
    let identity = identity();
    let mut fit = fit(identity, flash).await;
    let seed = fit.as_mut().map_or(0, |fit| fit.random.next_u64());
    let stack = net::start(spawner, resources, identity.ok().map(|identity| &identity.network), seed);
    let parts = Parts {
        fit,
        slots,
        sockets: net::sockets(stack),
        console: Console::start(),
        echo: true,
        clock: &Uptime,
        start: memory.start,
        tries: memory.tries,
        events: EVENTS.init(Events::new()),
        memory: BUFFERS.take(),
    };
    (parts, stack)
}

/// The flash. Call it once.
fn flash() -> &'static Flash {
    static FLASH: StaticCell<Flash> = StaticCell::new();
    // SAFETY: the PSRAM lies there, the linker uses none of it, and the `StaticCell` sees to it that this happens once.
    let memory = unsafe { core::slice::from_raw_parts_mut(PSRAM.0, PSRAM.1) };
    FLASH.init(Mutex::new(Nor::new(memory)))
}

/// The slots on it. Call it once.
async fn slots(flash: &'static Flash) -> &'static Slots<'static, NoopRawMutex, Nor> {
    static SLOTS: StaticCell<Slots<'static, NoopRawMutex, Nor>> = StaticCell::new();
    let slots = Slots::new(flash, map::SLOTS).await;
    SLOTS.init(slots.expect("mps2.toml has whole blocks of the flash for the slots"))
}

/// Who the board is. Call it once.
fn identity() -> Result<&'static Identity, IdentityError> {
    static IDENTITY: StaticCell<Identity> = StaticCell::new();
    // SAFETY: it lies in the "flash", beside the linker's region, and nothing writes there while the firmware runs.
    let image = unsafe { core::slice::from_raw_parts(map::IDENTITY_AT as *const u8, map::IDENTITY_SIZE as usize) };
    // Where nothing was loaded, this board's "flash" reads as zeros: it has no blank sectors full of ones.
    if image.iter().all(|byte| *byte == 0) {
        return Err(IdentityError::Missing);
    }
    Identity::parse(image).map(|identity| &*IDENTITY.init(identity))
}

/// Whether the board can receive.
async fn fit(identity: Result<&'static Identity, IdentityError>, flash: &Flash) -> Result<Fit<'static>, Unfit> {
    let mut flash = flash.lock().await;
    Fit::find(identity, &mut HostRandom, &mut Ratchet::new(&mut *flash, map::SEEDS)).await
}
