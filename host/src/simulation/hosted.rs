//! A board that runs in this process: the receiver of real boards with its TLS and its store, on TCP sockets of the
//! system and a file as flash.

use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::task::Context;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use embedded_io_async::{Read, Write};
use rand_core::{OsRng, RngCore};
use waft_core::sealed::SoftCipher;
use waft_receiver::board::{Board, Startup};
use waft_receiver::console::Console;
use waft_receiver::entropy::{Random, Trng};
use waft_receiver::identity::{Identity, IdentityError};
use waft_receiver::seed::Ratchet;
use waft_receiver::slots::Slots;
use waft_receiver::tls::suite::ChaCha20Poly1305Sha256;
use waft_receiver::{Config, Memory, Receiver};

use super::flash::{Durable, FlashFile, not_flash};
use super::socket::{Port, Socket};
use crate::board::Storage;
use crate::clock::Clock;
use crate::error::Error;

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

/// Runs the board until the future is dropped. `console` makes its console, which has to make the flash durable before
/// it shows any output; `echo` says whether the board echoes the input.
pub async fn serve<C: Read + Write>(
    identity: Result<Identity, IdentityError>,
    flash: &Path,
    storage: &Storage,
    port: Rc<Port>,
    console: impl FnOnce(Durable) -> C,
    echo: bool,
) -> Result<(), Error> {
    let mut nor = FlashFile::open(flash)?;
    let durable = nor.durable();
    let known = identity.as_ref().map_err(|error| *error);
    let startup = Startup::prepare(known, &mut System, &mut Ratchet::new(&mut nor, storage.seeds)).await;
    let nor = Mutex::new(nor);
    let region = storage.slots.at..storage.slots.at + storage.slots.size;
    let slots = Slots::<NoopRawMutex, _>::new(&nor, region).await.map_err(|_| not_flash(flash))?;
    let mut memory = Box::new(Memory::new());
    let config = Config { max_iterations: ITERATIONS_MAX, ..Config::<Hosted>::new(Clock::start()) };
    let mut receiver = Receiver::from_startup(startup, &slots, &mut memory, config);
    let mut sockets: [_; SOCKETS] = std::array::from_fn(|_| Socket::new(port.clone(), durable.clone()));
    let console = console(durable);
    let mut console = if echo { Console::new(console) } else { Console::without_echo(console) };
    steadily(receiver.run(&mut sockets, &mut console)).await
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
async fn steadily<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    poll_fn(|context| future.as_mut().poll(&mut Context::from_waker(&context.waker().clone()))).await
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
        assert!(steadily(known).await);
    }
}
