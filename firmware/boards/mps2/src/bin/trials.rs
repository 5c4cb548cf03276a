//! A firmware for tests that fails on command, and measures how fast it receives bytes over TCP.
//!
//! At the console it accepts `panic`, `fault`, `overflow` and `hang`, checks on `copies` that the board's routines for
//! copies and fills are right, and echoes every other line. On the receiver's port it counts the bytes of a connection,
//! and sends the count when the peer has closed its side.

#![no_std]
#![no_main]

use core::hint::black_box;

use embassy_net::StackResources;
use embedded_io_async::{Read, Write};
use static_cell::{ConstStaticCell, StaticCell};
use waft_board::net::{self, ALL_SOCKETS, Buffers};
use waft_mps2::board::{self, RX_SIZE, TX_SIZE};
use waft_mps2::drivers::console::{Console, print_blocking};
use waft_mps2::drivers::ethernet::Ethernet;
use waft_mps2::drivers::executor;
use waft_mps2::drivers::watchdog::Watchdog;
use waft_receiver::board::{ListenEvent, Socket};
use waft_receiver::embassy::TcpPort;

waft_mps2::tasks!();

#[cortex_m_rt::entry]
fn main() -> ! {
    static RESOURCES: StaticCell<StackResources<ALL_SOCKETS>> = StaticCell::new();
    static BUFFERS: ConstStaticCell<Buffers<RX_SIZE, TX_SIZE>> = ConstStaticCell::new(Buffers::new());
    let retained = board::start();
    defmt::info!("lockouts: {}", retained.lockouts.0[0]);
    // A value that has to survive a reset.
    retained.lockouts.0[0] += 1;
    executor::run(|spawner| {
        spawner.spawn(feed(Watchdog).expect("it is spawned once"));
        spawner.spawn(run_commands(Console::start()).expect("it is spawned once"));
        let (stack, runner) = net::start(Ethernet::take(), RESOURCES.init(StackResources::new()), None, 1);
        spawner.spawn(network(runner).expect("it is spawned once"));
        let [socket, ..] = net::sockets(stack, BUFFERS.take());
        spawner.spawn(count_bytes(socket).expect("it is spawned once"));
    })
}

#[embassy_executor::task]
async fn run_commands(mut console: Console) -> ! {
    let Ok(()) = console.write_all(b"ready\r\n").await;
    let (mut line, mut length) = ([0; 64], 0);
    loop {
        let Ok(count) = console.read(&mut line[length..]).await;
        length += count;
        let Some(end) = line[..length].iter().position(|byte| b"\r\n".contains(byte)) else { continue };
        fail(&line[..end]);
        let Ok(()) = console.write_all(&line[..end]).await;
        let Ok(()) = console.write_all(b"\r\n").await;
        line.copy_within(end + 1..length, 0);
        length -= end + 1;
    }
}

/// Fails in the named way. Returns if the name is unknown.
fn fail(how: &[u8]) {
    match how {
        b"panic" => {
            print_blocking(format_args!(
                "The function that panics begins at {:#x}\r\n",
                panics as *const () as usize & !1
            ));
            panics()
        }
        // SAFETY: no device is at this address, so the write faults, which is the purpose.
        b"fault" => unsafe { (0xE100_0000 as *mut u32).write_volatile(0) },
        b"overflow" => _ = overflow(0),
        b"hang" => loop {
            cortex_m::asm::nop();
        },
        b"copies" => {
            check_copies();
            check_fills();
        }
        _ => {}
    }
}

#[inline(never)]
fn panics() -> ! {
    panic!("as asked")
}

/// Copies between and within areas with every alignment and many lengths. Panics if a byte is wrong.
fn check_copies() {
    const AREA: usize = 96;
    const PLACES: usize = 12;
    let original: [u8; AREA] = core::array::from_fn(|at| at as u8);
    for (from, to) in (0..PLACES).flat_map(|from| (0..PLACES).map(move |to| (from, to))) {
        for length in 0..=AREA - PLACES {
            let (mut apart, mut within) = ([0xEE; AREA], original);
            black_box(&mut apart)[to..][..length].copy_from_slice(&black_box(&original)[from..][..length]);
            black_box(&mut within).copy_within(from..from + length, to);
            for at in 0..AREA {
                let copied = (to..to + length).contains(&at).then(|| (at + from - to) as u8);
                assert_eq!(apart[at], copied.unwrap_or(0xEE), "apart: {from} {to} {length} {at}");
                assert_eq!(within[at], copied.unwrap_or(at as u8), "within: {from} {to} {length} {at}");
            }
        }
    }
}

/// Fills areas with every alignment and many lengths. Panics if a byte is wrong.
fn check_fills() {
    const AREA: usize = 96;
    const PLACES: usize = 12;
    for (to, length) in (0..PLACES).flat_map(|to| (0..=AREA - PLACES).map(move |length| (to, length))) {
        for byte in [0, 0xA5] {
            let mut area = [0xEE; AREA];
            black_box(&mut area)[to..][..length].fill(black_box(byte));
            let mut cleared = [0xEE; AREA];
            black_box(&mut cleared)[to..][..length].fill(0);
            for at in 0..AREA {
                let is_filled = (to..to + length).contains(&at);
                assert_eq!(area[at], if is_filled { byte } else { 0xEE }, "fill: {to} {length} {at}");
                assert_eq!(cleared[at], if is_filled { 0 } else { 0xEE }, "clear: {to} {length} {at}");
            }
        }
    }
}

/// Recurses until the stack overflows.
#[inline(never)]
#[expect(unconditional_recursion, reason = "the stack has to overflow")]
fn overflow(depth: u32) -> u32 {
    let here = black_box([depth; 16]);
    overflow(depth + 1) + here[15]
}

#[embassy_executor::task]
async fn count_bytes(mut socket: TcpPort<'static>) -> ! {
    let (mut buffer, mut address) = ([0; 1024], None);
    loop {
        while let ListenEvent::AddressChanged(to) = socket.listen(address).await {
            address = to;
        }
        if !socket.establish().await {
            socket.abort();
            continue;
        }
        let mut total = 0u32;
        while let Ok(count @ 1..) = socket.read(&mut buffer).await {
            total += count as u32;
        }
        // A peer that has closed the connection does not receive the count.
        let _ = socket.write_all(&total.to_be_bytes()).await;
        socket.close().await;
    }
}
