//! A simulated board: a loopback network, a flash in memory, and a pipe as its console.

use std::fs::File;
use std::future::pending;
use std::io::{Read as _, Seek, SeekFrom};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use embassy_futures::block_on;
use embassy_sync::blocking_mutex::raw::{NoopRawMutex, RawMutex};
use embassy_sync::mutex::Mutex;
use embedded_io_async::{ErrorType, Read, Write};
use embedded_storage_async::nor_flash::NorFlash;
use rand_core::{OsRng, RngCore};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use waft_core::session::peers::LockoutSnapshot;
use waft_receiver::board::{Board, ListenEvent, Socket, StartReason, Startup, StartupError, Watch};
use waft_receiver::console::Console;
use waft_receiver::entropy::{Random, Trng};
use waft_receiver::events::{Events, Subscriber};
use waft_receiver::identity::{Identity, IdentityError};
use waft_receiver::operator::Operator;
use waft_receiver::seed::{Ratchet, provisioned};
use waft_receiver::settings::Settings;
use waft_receiver::slots::{Folder, Rejection, Review, Slots};
use waft_receiver::tls::guard::Tcp;
use waft_receiver::wifi::Station;
use waft_receiver::{CHUNK, Config, Memory, Receiver};

use crate::hardware::{HardwareCipher, HardwareSuite};
use crate::nor::{Level, Nor};
use crate::support::{TokioClock, steadily};
use crate::user::{Pipe, User};
use crate::wifi::{self, Air};

pub(crate) const ERASE: usize = 4096;
pub(crate) type Flash = Mutex<NoopRawMutex, Nor<4, ERASE>>;
pub(crate) type BoardSlots<'f> = Slots<'f, NoopRawMutex, Nor<4, ERASE>>;

/// The two sectors of the seed. The slots follow them.
pub(crate) const SEEDS: [u32; 2] = [0, ERASE as u32];
const SLOTS: u32 = 2 * ERASE as u32;
/// The bytes of the two sectors of the settings, at the end of the flash.
pub(crate) const SETTINGS: u32 = 2 * ERASE as u32;

pub(crate) struct Hosted;

impl Board for Hosted {
    type Mutex = NoopRawMutex;
    type Flash = Nor<4, ERASE>;
    type Rng = Random;
    type Clock = TokioClock;
    type Socket = TestSocket;
    type Suite = HardwareSuite;
    type Cipher = HardwareCipher;
}

/// The most iterations of a typed key.
pub(crate) const ITERATIONS_MAX: u32 = 1_000;

/// A socket that accepts connections from the board's listener.
pub(crate) struct TestSocket {
    listener: Rc<TcpListener>,
    stream: Option<TcpStream>,
}

impl TestSocket {
    fn stream(&mut self) -> std::io::Result<&mut TcpStream> {
        self.stream.as_mut().ok_or_else(|| std::io::ErrorKind::NotConnected.into())
    }
}

impl ErrorType for TestSocket {
    type Error = std::io::Error;
}

impl Read for TestSocket {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        self.stream()?.read(buffer).await
    }
}

impl Write for TestSocket {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.stream()?.write(bytes).await
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.stream()?.flush().await
    }
}

impl Tcp for TestSocket {
    async fn readable(&mut self) -> Result<(), Self::Error> {
        self.stream()?.peek(&mut [0]).await.map(drop)
    }
}

impl Socket for TestSocket {
    type Address = SocketAddr;

    async fn listen(&mut self, watch: Watch<SocketAddr>) -> ListenEvent<SocketAddr> {
        let address = self.listener.local_addr().ok();
        if matches!(watch, Watch::Address(known) if known != address) {
            return ListenEvent::AddressChanged(address);
        }
        self.stream = Some(self.listener.accept().await.unwrap().0);
        ListenEvent::Connecting
    }

    async fn establish(&mut self) -> bool {
        true
    }

    fn source(&self) -> Option<IpAddr> {
        self.stream.as_ref()?.peer_addr().ok().map(|peer| peer.ip())
    }

    async fn close(&mut self) {
        if let Some(stream) = &mut self.stream {
            let _ = stream.shutdown().await;
            let gone = async { while stream.read(&mut [0; 64]).await.is_ok_and(|count| count > 0) {} };
            let _ = tokio::time::timeout(Duration::from_secs(3), gone).await;
            self.stream = None;
        }
    }

    fn abort(&mut self) {
        self.stream = None;
    }
}

/// A random number generator that reports whether it is healthy.
struct TestTrng(bool);

impl Trng for TestTrng {
    async fn fill(&mut self, bytes: &mut [u8]) -> bool {
        OsRng.fill_bytes(bytes);
        self.0
    }
}

/// What a test can access while the board runs.
pub(crate) struct Fixture<'a, 'f> {
    pub(crate) address: SocketAddr,
    pub(crate) user: User,
    pub(crate) slots: &'a BoardSlots<'f>,
    pub(crate) events: Subscriber<'a, NoopRawMutex>,
    /// Drops the future of the receiver, and runs the receiver again.
    pub(crate) restart: Rc<Notify>,
    /// The address range of the future that runs the board. It contains all its state in RAM except for its buffers.
    state: Range<usize>,
    /// The address range of its buffers.
    buffers: Range<usize>,
}

impl Fixture<'_, '_> {
    /// Whether the board's RAM contains these bytes anywhere, except for its buffers.
    pub(crate) fn remembers(&self, bytes: &[u8]) -> bool {
        holds(&self.state, bytes)
    }

    /// Whether the board's buffers contain these bytes anywhere.
    pub(crate) fn buffers_hold(&self, bytes: &[u8]) -> bool {
        holds(&self.buffers, bytes)
    }
}

/// Whether a range of this process's memory contains these bytes.
fn holds(range: &Range<usize>, bytes: &[u8]) -> bool {
    let mut content = vec![0; range.len()];
    let mut memory = File::open("/proc/self/mem").unwrap();
    memory.seek(SeekFrom::Start(range.start as u64)).unwrap();
    memory.read_exact(&mut content).unwrap();
    content.windows(bytes.len()).any(|window| window == bytes)
}

/// The addresses of a value.
fn range_of<T>(value: &T) -> Range<usize> {
    let begin = std::ptr::from_ref(value).addr();
    begin..begin + size_of::<T>()
}

/// The state that survives a reset.
pub(crate) struct Powered {
    pub(crate) flash: Flash,
    pub(crate) lockouts: LockoutSnapshot,
    pub(crate) start: StartReason,
    pub(crate) noise: bool,
    /// Whether the console echoes input.
    pub(crate) echo: bool,
    /// The decision of the application about each folder.
    pub(crate) decision: Decision,
    /// Whether the board stores its trusted senders.
    pub(crate) has_settings: bool,
    /// Whether the board makes its own identity if it was never provisioned.
    pub(crate) makes_identity: bool,
    /// The networks around a board with Wi-Fi.
    pub(crate) air: Option<Air>,
}

/// What the application decides about each folder before it is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Accept,
    Reject(Rejection),
    /// It never decides.
    None,
}

impl<M: RawMutex, F: NorFlash> Review<M, F> for Decision {
    const LIMIT_MS: u64 = 300;

    async fn review(&mut self, folder: &Folder<'_, M, F>) -> Result<(), Rejection> {
        assert!(matches!(folder.entries().next().await, Ok(Some(_))), "the folder can be read");
        match *self {
            Self::Accept => Ok(()),
            Self::Reject(reason) => Err(reason),
            Self::None => pending().await,
        }
    }
}

impl Powered {
    /// A board with slots of `blocks` erase blocks.
    pub(crate) fn new(blocks: usize) -> Self {
        let mut nor = Nor::new(2 + 2 + 2 * blocks + 2, Level::Bits);
        nor.completes_zeros = true;
        let end = nor.bytes.len() as u32;
        block_on(async {
            nor.erase(end - SETTINGS, end).await.unwrap();
            nor.erase(0, 2 * ERASE as u32).await.unwrap();
            nor.write(0, &*provisioned(&[3; 32].into())).await.unwrap();
        });
        Self {
            flash: Mutex::new(nor),
            lockouts: LockoutSnapshot::NONE,
            start: StartReason::PowerOn,
            noise: true,
            echo: true,
            decision: Decision::Accept,
            has_settings: true,
            makes_identity: false,
            air: None,
        }
    }

    /// Boots the board with its console, and cuts its power when `test` ends.
    pub(crate) async fn boot<T>(
        &mut self,
        identity: Result<&Identity, IdentityError>,
        test: impl AsyncFnOnce(Fixture<'_, '_>) -> T,
    ) -> T {
        let (near, far) = duplex(1 << 16);
        let mut console = if self.echo { Console::new(Pipe(far)) } else { Console::without_echo(Pipe(far)) };
        self.boot_with(identity, &mut console, User::new(near), test).await
    }

    /// Boots the board with this operator, and cuts its power when `test` ends.
    pub(crate) async fn boot_with<T>(
        &mut self,
        identity: Result<&Identity, IdentityError>,
        operator: &mut impl Operator<Hosted>,
        user: User,
        test: impl AsyncFnOnce(Fixture<'_, '_>) -> T,
    ) -> T {
        let end = self.flash.lock().await.bytes.len() as u32 - SETTINGS;
        let slots = Slots::new(&self.flash, SLOTS..end).await.unwrap();
        let settings = Settings::new(&self.flash, [end, end + ERASE as u32]);
        let mut own = None;
        let identity = match identity {
            Err(IdentityError::Missing) if self.makes_identity => {
                settings.own_identity(&mut TestTrng(self.noise), &mut own).await.map(|identity| &*identity)
            }
            known => known.map_err(StartupError::Identity),
        };
        let startup = self.startup(identity).await;
        let (listener, events) = (Rc::new(TcpListener::bind("127.0.0.1:0").await.unwrap()), Events::new());
        let address = listener.local_addr().unwrap();
        let mut memory = Box::new(Memory::new());
        let buffers = range_of(&*memory);
        let (station, air) = (&Station::new(), self.air.clone());
        let config = Config {
            max_iterations: ITERATIONS_MAX,
            start: self.start,
            lockouts: Some(&mut self.lockouts),
            events: Some(&events),
            settings: self.has_settings.then_some(&settings),
            wifi: air.is_some().then_some(station),
            ..Config::<Hosted>::new(TokioClock::new())
        };
        let mut receiver = Receiver::from_startup(startup, &slots, &mut memory, config);
        let mut review = self.decision;
        let mut sockets = [0; 4].map(|_| TestSocket { listener: listener.clone(), stream: None });
        let (subscriber, restart) = (events.subscribe().unwrap(), Rc::new(Notify::new()));
        let again = restart.clone();
        let mut running = Box::pin(async move {
            loop {
                tokio::select! {
                    _ = receiver.run_reviewed(&mut sockets, operator, &mut review) => unreachable!("it never ends"),
                    () = wifi::run(station, air.as_ref()) => unreachable!("it never ends"),
                    () = again.notified() => {}
                }
            }
        });
        let state = range_of(&*running);
        let fixture = Fixture { address, user, slots: &slots, events: subscriber, restart, state, buffers };
        steadily(async {
            tokio::select! {
                () = &mut running => unreachable!("it never ends"),
                result = test(fixture) => result,
            }
        })
        .await
    }

    /// The startup of this boot, with its identity and random numbers.
    pub(crate) async fn startup<'i>(
        &self,
        identity: Result<&'i Identity, StartupError>,
    ) -> Result<Startup<'i>, StartupError> {
        let mut flash = self.flash.lock().await;
        Startup::prepare(identity, &mut TestTrng(self.noise), &mut Ratchet::new(&mut *flash, SEEDS)).await
    }
}

// The folders of the tests are longer than one chunk.
const _: () = assert!(CHUNK.bytes() < 10_000);
