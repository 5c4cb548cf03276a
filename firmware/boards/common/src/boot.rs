//! The start of the receiver: from devices and a memory map to a receiver that can run.

use core::marker::PhantomData;
use core::pin::{Pin, pin};

use embassy_net::StackResources;
use embassy_net_driver::Driver;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use embedded_storage_async::nor_flash::NorFlash;
use rand_core::RngCore;
use static_cell::{ConstStaticCell, StaticCell};
use waft_receiver::board::ChaChaCipher;
use waft_receiver::board::{self, Load, Startup, StartupError};
use waft_receiver::embassy::{TcpPort, Uptime};
use waft_receiver::entropy::{Random, Trng};
use waft_receiver::identity::{Identity, IdentityError};
use waft_receiver::seed::Ratchet;
use waft_receiver::settings::Settings;
use waft_receiver::slots::{Folder, Slots};
use waft_receiver::tls::suite::ChaCha20Poly1305Sha256;
use waft_receiver::waft_core::session::own_frame::own_frame;
use waft_receiver::{Config, Memory, Receiver};

use crate::net::{self, Buffers, Runner, Sockets};
use crate::{Map, arch, stack};

/// A microcontroller with Embassy, as a type for the receiver: it wipes the stack, and has ciphers in software. `F` is the flash
/// with the slots, and `L` measures the load.
pub struct Microcontroller<F, L = ()>(PhantomData<(F, L)>);

/// Measures the processor time of tasks. `()` does not.
pub trait MeasureLoad: 'static {
    /// The processor time so far.
    fn load() -> Option<Load> {
        None
    }
}

impl MeasureLoad for () {}

impl<F: NorFlash + 'static, L: MeasureLoad> board::Board for Microcontroller<F, L> {
    type Mutex = NoopRawMutex;
    type Flash = F;
    type Rng = Random;
    type Clock = Uptime;
    type Socket = TcpPort<'static>;
    // In software AES-GCM costs six times as much.
    type Suite = ChaCha20Poly1305Sha256;
    type Cipher = ChaChaCipher;

    fn wipe<T>(slot: Pin<&mut Option<T>>) {
        stack::wipe(slot);
    }

    fn stack() -> Option<board::Stack> {
        Some(stack::usage())
    }

    fn load() -> Option<Load> {
        L::load()
    }
}

/// The mutex around what the receiver shares with the tasks of the application: all run on one executor.
pub type BoardMutex = NoopRawMutex;
/// The slots with the received folder, in the flash `F`.
pub type BoardSlots<F> = Slots<'static, BoardMutex, F>;
/// A received folder, in the flash `F`.
pub type BoardFolder<'a, F> = Folder<'a, BoardMutex, F>;
/// The receiver of a board.
pub type BoardReceiver<F, L> = Receiver<'static, Microcontroller<F, L>>;

/// The memory of a receiver, for a `static`. `RX` and `TX` are the sizes of the buffers of its sockets.
pub struct Resources<F: NorFlash + 'static, L: MeasureLoad, const RX: usize, const TX: usize> {
    flash: StaticCell<Mutex<NoopRawMutex, F>>,
    slots: StaticCell<BoardSlots<F>>,
    settings: StaticCell<Settings<'static, NoopRawMutex, F>>,
    receiver: StaticCell<BoardReceiver<F, L>>,
    memory: ConstStaticCell<Memory>,
    sockets: StaticCell<Sockets>,
    buffers: ConstStaticCell<Buffers<RX, TX>>,
}

impl<F: NorFlash + 'static, L: MeasureLoad, const RX: usize, const TX: usize> Resources<F, L, RX, TX> {
    /// Memory for one receiver.
    pub const fn new() -> Self {
        Self {
            flash: StaticCell::new(),
            slots: StaticCell::new(),
            settings: StaticCell::new(),
            receiver: StaticCell::new(),
            memory: ConstStaticCell::new(Memory::new()),
            sockets: StaticCell::new(),
            buffers: ConstStaticCell::new(Buffers::new()),
        }
    }
}

impl<F: NorFlash + 'static, L: MeasureLoad, const RX: usize, const TX: usize> Default for Resources<F, L, RX, TX> {
    fn default() -> Self {
        Self::new()
    }
}

impl<F: NorFlash + 'static, L: MeasureLoad, const RX: usize, const TX: usize> Resources<F, L, RX, TX> {
    /// The buffers of the receiver, for [`start`]. Call it once, and if possible before any task runs: it needs more stack
    /// than a transfer.
    pub fn memory(&'static self) -> &'static mut Memory {
        let memory = self.memory.take();
        memory.prepare();
        memory
    }
}

/// The devices from which a receiver starts, and its memory.
pub struct Devices<E, T, F> {
    /// The buffers, from [`Resources::memory`].
    pub memory: &'static mut Memory,
    /// The Ethernet driver.
    pub ethernet: E,
    /// The random number generator.
    pub trng: T,
    /// The flash with the seed, the slots and the settings.
    pub flash: F,
}

/// A receiver that can run, and what the application shares with it.
pub struct Started<E: Driver, F: NorFlash + 'static, L: MeasureLoad> {
    /// The receiver.
    pub receiver: &'static mut BoardReceiver<F, L>,
    /// The sockets of the receiver.
    pub sockets: &'static mut Sockets,
    /// The slots with the received folder, for the application.
    pub slots: &'static BoardSlots<F>,
    /// TCP/IP, for the application.
    pub stack: embassy_net::Stack<'static>,
    /// Moves frames. Run it in a task.
    pub runner: Runner<E>,
}

/// Starts a receiver. `identity` reads the board's identity, which may be in the flash, or returns what the program has
/// read before its tasks ran: that takes less stack. Call it once for each `resources`.
pub async fn start<
    E: Driver,
    T: Trng,
    F: NorFlash + 'static,
    L: MeasureLoad,
    const RX: usize,
    const TX: usize,
    const N: usize,
>(
    resources: &'static Resources<F, L, RX, TX>,
    network: &'static mut StackResources<N>,
    devices: Devices<E, T, F>,
    map: &Map,
    identity: impl FnOnce(&mut F) -> Result<&'static Identity, IdentityError>,
    mut config: Config<'static, Microcontroller<F, L>>,
) -> Started<E, F, L> {
    // The task of the caller receives folders afterwards. In a stack frame of its own, the start does not enlarge the stack that
    // receiving needs.
    let starting = async move {
        let Devices { memory, ethernet, mut trng, mut flash } = devices;
        let identity = identity(&mut flash).map_err(StartupError::Identity);
        let flash = &*resources.flash.init(Mutex::new(flash));
        let settings = &*resources.settings.init(Settings::new(flash, map.settings));
        #[cfg(feature = "own-identity")]
        let identity = match identity {
            Err(StartupError::Identity(IdentityError::Missing)) => {
                settings.own_identity(&mut trng, IDENTITY.init(None)).await.map(|identity| &*identity)
            }
            known => known,
        };
        // Parsing and making an identity left copies of the private keys in the unused stack. Values with uninitialized bytes
        // that are moved from there would spread them.
        stack::wipe_unused();
        let mut startup = {
            let mut flash = flash.try_lock().expect("no task uses it yet");
            Startup::prepare(identity, &mut trng, &mut Ratchet::new(&mut *flash, map.seeds)).await
        };
        let seed = startup.as_mut().map_or(0, |startup| startup.random.next_u64());
        let (stack, runner) = net::start(ethernet, network, identity.ok().map(|identity| &identity.network), seed);
        config.settings = Some(settings);
        config.restart = Some(&|| arch::restart());
        let slots = Slots::new(flash, map.slots.clone()).await;
        let slots = resources.slots.init(slots.expect("the slots in the board's description are whole blocks"));
        let receiver = Receiver::from_startup(startup, slots, memory, config);
        let receiver = resources.receiver.init(receiver);
        let sockets = resources.sockets.init(net::sockets(stack, resources.buffers.take()));
        Started { receiver, sockets, slots, stack, runner }
    };
    own_frame(pin!(starting)).await
}

/// The identity of this board.
static IDENTITY: StaticCell<Option<Identity>> = StaticCell::new();

/// Parses an identity image. Call it once, and [`stack::wipe_unused`] afterwards. Not inlined, so that its stack frame is
/// unused after it returns, and can be wiped.
#[inline(never)]
pub fn identity(image: &[u8]) -> Result<&'static Identity, IdentityError> {
    #[cfg(feature = "own-identity")]
    if Identity::is_missing(image) {
        return Err(IdentityError::Missing);
    }
    Identity::parse_into(image, IDENTITY.init(None)).map(|identity| &*identity)
}
