//! A board with the TCP stack of real boards, on a simulated wire with a computer at the other end.

use std::future::pending;
use std::time::Duration;

use embassy_net::tcp::{ConnectError, TcpSocket};
use embassy_net::{Config, Ipv4Address, Ipv4Cidr, Stack, StackResources, StaticConfigV4};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use embedded_io_async::Write;
use rand_core::{OsRng, RngCore};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};
use waft_core::sealed::SoftCipher;
use waft_receiver::announce::{self, Announcing};
use waft_receiver::board::{Board, PORT, Startup};
use waft_receiver::console::Console;
use waft_receiver::embassy::{FloodGuard, TcpPort, Uptime};
use waft_receiver::entropy::{Random, Trng};
use waft_receiver::identity::Identity;
use waft_receiver::seed::Ratchet;
use waft_receiver::settings::Settings;
use waft_receiver::slots::Slots;
use waft_receiver::tls::suite::Aes128GcmSha256;
use waft_receiver::{Memory, Receiver};

use crate::chip::Chip;
use crate::clock::keep_time;
use crate::nor::{Level, Nor};
use crate::support::steadily;
use crate::user::{Pipe, User};
use crate::wire::{Port, wire};

const ERASE: usize = 4096;
const SOCKETS: usize = 4;
/// The sockets of the computer at the other end.
const LAPTOP_SOCKETS: usize = 300;

pub(crate) const BOARD: [u8; 4] = [192, 168, 7, 2];
const LAPTOP: [u8; 4] = [192, 168, 7, 1];
pub(crate) const BOARD_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

struct Wired;

impl Board for Wired {
    type Mutex = NoopRawMutex;
    type Flash = Nor<4, ERASE>;
    type Rng = Random;
    type Clock = Uptime;
    type Socket = Chip;
    type Suite = Aes128GcmSha256;
    type Cipher = SoftCipher;
}

struct TestTrng;

impl Trng for TestTrng {
    async fn fill(&mut self, bytes: &mut [u8]) -> bool {
        OsRng.fill_bytes(bytes);
        true
    }
}

/// What a test can access while the board runs.
pub(crate) struct Fixture {
    pub(crate) user: User,
    pub(crate) laptop: Laptop,
    /// The network stack of the board.
    pub(crate) board: Stack<'static>,
}

/// The computer at the other end of the wire.
#[derive(Clone)]
pub(crate) struct Laptop {
    pub(crate) stack: Stack<'static>,
    pub(crate) port: Port,
}

impl Laptop {
    /// Connects to the board.
    pub(crate) async fn connect(&self) -> Result<TcpSocket<'static>, ConnectError> {
        self.connect_to(BOARD).await
    }

    pub(crate) async fn connect_to(&self, address: [u8; 4]) -> Result<TcpSocket<'static>, ConnectError> {
        let [receive, send] = [(); 2].map(|()| Box::leak(vec![0; 8192].into_boxed_slice()));
        let mut socket = TcpSocket::new(self.stack, receive, send);
        socket.set_nagle_enabled(false);
        socket.set_timeout(Some(embassy_time::Duration::from_secs(5)));
        socket.connect((Ipv4Address::from(address), PORT)).await.map(|()| socket)
    }

    /// Runs `speak` on one end of a pipe, and forwards its data through `socket` to the board.
    pub(crate) async fn carried<T>(
        &self,
        mut socket: TcpSocket<'static>,
        speak: impl AsyncFnOnce(DuplexStream) -> T,
    ) -> T {
        let (near, far) = duplex(8192);
        let (mut from_far, mut to_far) = split(far);
        let (mut from_board, mut to_board) = socket.split();
        let forth = async {
            let mut bytes = [0; 2048];
            while let Ok(count @ 1..) = from_far.read(&mut bytes).await {
                if to_board.write_all(&bytes[..count]).await.is_err() {
                    break;
                }
            }
        };
        let back = async {
            let mut bytes = [0; 2048];
            while let Ok(count @ 1..) = from_board.read(&mut bytes).await {
                if to_far.write_all(&bytes[..count]).await.is_err() {
                    break;
                }
            }
            let _ = to_far.shutdown().await;
        };
        let ended = tokio::select! {
            spoken = speak(near) => spoken,
            _ = async { tokio::join!(forth, async { back.await; pending::<()>().await }) } => unreachable!(),
        };
        reset(socket).await;
        ended
    }
}

/// Resets a connection.
pub(crate) async fn reset(mut socket: TcpSocket<'static>) {
    socket.abort();
    let _ = tokio::time::timeout(Duration::from_millis(50), socket.flush()).await;
}

/// A configuration with a static address.
pub(crate) fn fixed(address: [u8; 4]) -> Config {
    Config::ipv4_static(StaticConfigV4 {
        address: Ipv4Cidr::new(Ipv4Address::from(address), 24),
        gateway: None,
        dns_servers: Default::default(),
    })
}

/// Boots a board on a simulated wire, and runs it until `test` ends.
pub(crate) async fn boot<T>(identity: &Identity, test: impl AsyncFnOnce(Fixture) -> T) -> T {
    let mut nor = Nor::<4, ERASE>::new(2 + 2 + 2 + 2 * 16, Level::Bits);
    // Seed and settings.
    nor.bytes[..4 * ERASE].fill(0xFF);
    let seeds = [0, ERASE as u32];
    let startup = Startup::prepare(Ok(identity), &mut TestTrng, &mut Ratchet::new(&mut nor, seeds)).await;
    let end = nor.bytes.len() as u32;
    let flash = Mutex::new(nor);
    let slots = Slots::new(&flash, 4 * ERASE as u32..end).await.unwrap();
    let settings = Settings::new(&flash, [2 * ERASE as u32, 3 * ERASE as u32]);
    let [here, there] = wire([BOARD_MAC, [2, 0, 0, 0, 0, 1]]);
    let resources = Box::leak(Box::new(StackResources::<{ SOCKETS + 2 }>::new()));
    let (board, mut board_runner) = embassy_net::new(FloodGuard::new(here), fixed(BOARD), resources, OsRng.next_u64());
    let resources = Box::leak(Box::new(StackResources::<LAPTOP_SOCKETS>::new()));
    let (stack, mut laptop_runner) = embassy_net::new(there.clone(), fixed(LAPTOP), resources, OsRng.next_u64());
    let (near, far) = duplex(1 << 16);
    let mut memory = Box::new(Memory::new());
    let sizes = [(4096, 1024), (4096, 1024), (4096, 1024), (16, 16)];
    let config = waft_receiver::Config { max_iterations: 1_000, settings: Some(&settings), ..Default::default() };
    let mut receiver = Receiver::<Wired>::from_startup(startup, &slots, &mut memory, config);
    let mut sockets = sizes.map(|(receive, send)| {
        let [receive, send] = [receive, send].map(|size| Box::leak(vec![0; size].into_boxed_slice()));
        Chip::new(TcpPort::new(board, PORT, receive, send))
    });
    let mut buffers = announce::Buffers::new();
    let mut operator = Announcing::new(Console::without_echo(Pipe(far)), board, &mut buffers);
    let fixture = Fixture { user: User::new(near), laptop: Laptop { stack, port: there }, board };
    steadily(async {
        tokio::select! {
            _ = receiver.run(&mut sockets, &mut operator) => unreachable!("it never ends"),
            _ = board_runner.run() => unreachable!("it never ends"),
            _ = laptop_runner.run() => unreachable!("it never ends"),
            _ = keep_time() => unreachable!("it never ends"),
            result = test(fixture) => result,
        }
    })
    .await
}
