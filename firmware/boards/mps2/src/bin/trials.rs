//! A firmware that fails on command, to see that the board comes back; and takes bytes over TCP, to see how fast.
//!
//! Typed at the console: `panic`, `fault`, `overflow`, `hang`; anything else comes back as it was. On the receiver's
//! port it counts what comes, and answers with the count once the peer says no more.

#![no_std]
#![no_main]

use core::hint::black_box;

use embedded_io_async::{Read, Write};
use waft_mps2::console::Console;
use waft_mps2::net::SOCKETS;
use waft_mps2::{board, executor, net, watchdog};
use waft_receiver::board::{Listened, Socket};
use waft_receiver::embassy::TcpPort;

#[cortex_m_rt::entry]
fn main() -> ! {
    let memory = board::start();
    defmt::info!("tries: {}", memory.tries.0[0]);
    // A mark that a reset must leave alone.
    memory.tries.0[0] += 1;
    executor::run(|spawner| {
        spawner.spawn(watchdog::feed().expect("it is started once"));
        spawner.spawn(obey(Console::start()).expect("it is started once"));
        let [socket, ..]: [_; SOCKETS] = net::sockets(net::start(spawner, None, 1));
        spawner.spawn(count(socket).expect("it is started once"));
    })
}

#[embassy_executor::task]
async fn obey(mut console: Console) -> ! {
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

/// Fails in the named way; with another name it returns.
fn fail(how: &[u8]) {
    match how {
        b"panic" => panic!("as asked"),
        // SAFETY: there is nothing at this address: that is the point.
        b"fault" => unsafe { (0xE100_0000 as *mut u32).write_volatile(0) },
        b"overflow" => _ = dig(0),
        b"hang" => loop {
            cortex_m::asm::nop();
        },
        _ => {}
    }
}

/// Goes down for ever.
#[inline(never)]
#[expect(unconditional_recursion, reason = "that is the point")]
fn dig(depth: u32) -> u32 {
    let here = black_box([depth; 16]);
    dig(depth + 1) + here[15]
}

#[embassy_executor::task]
async fn count(mut socket: TcpPort<'static>) -> ! {
    let (mut buffer, mut address) = ([0; 1024], None);
    loop {
        while let Listened::Moved(to) = socket.listen(address).await {
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
        // Who is gone does not hear it.
        let _ = socket.write_all(&total.to_be_bytes()).await;
        socket.close().await;
    }
}
