//! A simulated board: the receiver of real boards on this machine's sockets, with a file as flash.
//!
//! [`serve`] runs the receiver in this process, with its TLS and its store. It differs from a real board only in its
//! implementations of the board's traits: sockets, flash, console, clock, random numbers. A [`state`] keeps identity and
//! flash between runs, in the format that an emulated board uses, too.

pub mod flash;
pub mod state;

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::task::Context;
use std::time::Duration;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use embedded_io_async::{ErrorType, Read, Write};
use rand_core::{OsRng, RngCore};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::sleep;
use waft_core::limits::LINGER_MS;
use waft_core::sealed::SoftCipher;
use waft_receiver::board::{self, Board, ListenEvent, Startup, StartupError, Watch};
use waft_receiver::console::Console;
use waft_receiver::entropy::{Random, Trng};
use waft_receiver::identity::{Identity, IdentityError};
use waft_receiver::seed::Ratchet;
use waft_receiver::settings::Settings;
use waft_receiver::slots::Slots;
use waft_receiver::tls::guard::Tcp;
use waft_receiver::tls::suite::ChaCha20Poly1305Sha256;
use waft_receiver::{Config, Memory, Receiver};

use crate::board::Storage;
use crate::error::Error;
use crate::net::close_within;
use crate::session::Clock;
use crate::simulation::flash::{Durable, FlashFile, not_flash};

/// The same number as on the emulated board.
const SOCKETS: usize = 4;

/// The iterations that a computer derives in half a second, without optimization.
const ITERATIONS_MAX: u32 = 200_000;

/// A board that runs in this process.
struct Hosted;

impl Board for Hosted {
    type Mutex = NoopRawMutex;
    type Flash = FlashFile;
    type Rng = Random;
    type Clock = Clock;
    type Socket = Socket;
    type Suite = ChaCha20Poly1305Sha256;
    type Cipher = SoftCipher;
}

/// Runs the board until the future is dropped. `identity` reads its identity image at each start: a board without one
/// makes its own identity. `console` makes its console, which has to make the flash durable before it shows any output;
/// `echo` says whether the board echoes the input.
pub async fn serve<C: Read + Write>(
    identity: impl Fn() -> Result<Result<Identity, IdentityError>, Error>,
    flash: &Path,
    storage: &Storage,
    port: Rc<Port>,
    console: impl FnOnce(Durable) -> C,
    echo: bool,
) -> Result<(), Error> {
    let nor = FlashFile::open(flash)?;
    let durable = nor.durable();
    let nor = Mutex::new(nor);
    let mut sockets: [_; SOCKETS] = std::array::from_fn(|_| Socket::new(port.clone(), durable.clone()));
    let console = console(durable);
    let mut console = if echo { Console::new(console) } else { Console::without_echo(console) };
    loop {
        let region = storage.slots.at..storage.slots.at + storage.slots.size;
        let slots = Slots::new(&nor, region).await.map_err(|_| not_flash(flash))?;
        run_until_restart(identity()?, &nor, slots, storage, &mut sockets, &mut console).await;
        sockets.iter_mut().for_each(board::Socket::abort);
    }
}

/// Starts the board, and runs it until it restarts itself.
async fn run_until_restart<C: Read + Write>(
    identity: Result<Identity, IdentityError>,
    nor: &Mutex<NoopRawMutex, FlashFile>,
    slots: Slots<'_, NoopRawMutex, FlashFile>,
    storage: &Storage,
    sockets: &mut [Socket; SOCKETS],
    console: &mut Console<C>,
) {
    let settings = Settings::new(nor, storage.settings);
    let mut own = None;
    let identity = match &identity {
        Err(IdentityError::Missing) => settings.own_identity(&mut System, &mut own).await.map(|identity| &*identity),
        known => known.as_ref().map_err(|error| StartupError::Identity(*error)),
    };
    let mut flash = nor.lock().await;
    let startup = Startup::prepare(identity, &mut System, &mut Ratchet::new(&mut *flash, storage.seeds)).await;
    drop(flash);
    let mut memory = Box::new(Memory::new());
    let restarted = Notify::new();
    let restart = || restarted.notify_one();
    let config = Config {
        max_iterations: ITERATIONS_MAX,
        settings: Some(&settings),
        restart: Some(&restart),
        ..Config::<Hosted>::new(Clock::start())
    };
    let mut receiver = Receiver::from_startup(startup, &slots, &mut memory, config);
    tokio::select! {
        never = with_cloned_waker(receiver.run(sockets, console)) => never,
        () = restarted.notified() => {}
    }
}

/// The system's random numbers in place of a chip's generator.
struct System;

impl Trng for System {
    async fn fill(&mut self, bytes: &mut [u8]) -> bool {
        OsRng.try_fill_bytes(bytes).is_ok()
    }
}

/// Polls a future only with clones of the caller's waker. [`Waker::will_wake`](std::task::Waker::will_wake) may be
/// false between a waker and its clone. A board's channels keep a clone: polled with the original, they would take it
/// for another waker and wake the one that they kept, so the runtime would never become idle.
async fn with_cloned_waker<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    poll_fn(|context| future.as_mut().poll(&mut Context::from_waker(&context.waker().clone()))).await
}

/// Pause before a failed `accept` is retried, for example when there are no more file descriptors or no memory.
const RETRY: Duration = Duration::from_millis(100);

/// The listener of a simulated board, which all of its sockets share.
#[derive(Debug)]
pub struct Port {
    listener: TcpListener,
    local: SocketAddr,
    open: Notify,
}

impl Port {
    /// Creates the port of a board on `listener`.
    pub fn new(listener: TcpListener, local: SocketAddr) -> Rc<Self> {
        Rc::new(Self { listener, local, open: Notify::new() })
    }

    /// Completes once the board listens. Cancel-safe.
    pub async fn open(&self) {
        self.open.notified().await;
    }
}

/// One TCP socket of the board, on this machine's network.
#[derive(Debug)]
pub struct Socket {
    port: Rc<Port>,
    stream: Option<TcpStream>,
    /// Written data is made durable before any output that may depend on it.
    flash: Durable,
}

impl Socket {
    /// A socket without a connection.
    pub fn new(port: Rc<Port>, flash: Durable) -> Self {
        Self { port, stream: None, flash }
    }

    fn stream(&mut self) -> io::Result<&mut TcpStream> {
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl ErrorType for Socket {
    type Error = io::Error;
}

impl Read for Socket {
    async fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream()?.read(bytes).await
    }
}

impl Write for Socket {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flash.sync()?;
        self.stream()?.write(bytes).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.stream()?.flush().await
    }
}

impl Tcp for Socket {
    async fn readable(&mut self) -> io::Result<()> {
        self.stream()?.peek(&mut [0]).await.map(drop)
    }
}

impl board::Socket for Socket {
    type Address = SocketAddr;

    async fn listen(&mut self, watch: Watch<SocketAddr>) -> ListenEvent<SocketAddr> {
        if matches!(watch, Watch::Address(known) if known != Some(self.port.local)) {
            return ListenEvent::AddressChanged(Some(self.port.local));
        }
        self.port.open.notify_one();
        loop {
            match self.port.listener.accept().await {
                Ok((stream, _)) => {
                    // Otherwise small messages would wait for each other.
                    let _ = stream.set_nodelay(true);
                    self.stream = Some(stream);
                    return ListenEvent::Connecting;
                }
                Err(_) => sleep(RETRY).await,
            }
        }
    }

    async fn establish(&mut self) -> bool {
        self.stream.is_some()
    }

    fn source(&self) -> Option<IpAddr> {
        self.stream.as_ref()?.peer_addr().ok().map(|peer| peer.ip())
    }

    async fn close(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        close_within(stream, Duration::from_millis(LINGER_MS)).await;
        self.stream = None;
    }

    fn abort(&mut self) {
        if let Some(stream) = self.stream.take() {
            // Without this option, dropping the connection would close it in order instead of resetting it.
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Poll, Waker};

    use super::*;

    #[tokio::test]
    async fn a_kept_waker_is_known_again() {
        let mut kept: Option<Waker> = None;
        let known = poll_fn(|context| match &kept {
            Some(kept) => Poll::Ready(kept.will_wake(context.waker())),
            None => {
                context.waker().wake_by_ref();
                kept = Some(context.waker().clone());
                Poll::Pending
            }
        });
        assert!(with_cloned_waker(known).await);
    }
}
