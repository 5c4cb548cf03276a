//! A board that runs in this process: the receiver of real boards with its TLS and its store, on TCP sockets of the
//! system and a file as flash.

use std::marker::PhantomData;
use std::path::Path;
use std::rc::Rc;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use rand_core::{OsRng, RngCore};
use waft_core::sealed::cipher::SoftCipher;
use waft_core::session::peers::LockoutSnapshot;
use waft_receiver::Memory;
use waft_receiver::board::{Board, StartReason, Startup};
use waft_receiver::entropy::Trng;
use waft_receiver::events::Events;
use waft_receiver::identity::{Identity, IdentityError};
use waft_receiver::run::{Parts, run};
use waft_receiver::seed::Ratchet;
use waft_receiver::slots::Slots;
use waft_receiver::tls::suite::ChaCha20Poly1305Sha256;

use super::console::Console;
use super::flash::FlashFile;
use super::socket::{Port, Socket};
use crate::board::Storage;
use crate::clock::Clock;
use crate::error::Error;
use crate::platform::ByteByByte;
use crate::steady::steadily;
use crate::ui::Ui;

/// The same number as on the emulated board.
const SOCKETS: usize = 4;

/// A board that runs in this process.
struct Hosted<'a>(PhantomData<&'a Ui>);

impl<'a> Board for Hosted<'a> {
    type Mutex = NoopRawMutex;
    type Flash = FlashFile;
    type Suite = ChaCha20Poly1305Sha256;
    type Cipher = SoftCipher;
    type Socket = Socket;
    type Console = Console<'a>;
    type Clock = Clock;

    // The iterations that a computer derives in half a second, without optimization.
    const ITERATIONS_MAX: u32 = 200_000;
}

/// Runs the board until the future is dropped.
pub(crate) async fn serve(
    identity: Result<Identity, IdentityError>,
    flash: &Path,
    storage: &Storage,
    port: Rc<Port>,
    ui: &Ui,
) -> Result<(), Error> {
    let mut nor = FlashFile::open(flash)?;
    let durable = nor.durable();
    let known = identity.as_ref().map_err(|error| *error);
    let startup = Startup::prepare(known, &mut System, &mut Ratchet::new(&mut nor, storage.seeds)).await;
    let nor = Mutex::new(nor);
    let region = storage.slots.at..storage.slots.at + storage.slots.size;
    let slots = Slots::<NoopRawMutex, _>::new(&nor, region).await.map_err(|_| Error::NoFlash(flash.to_owned()))?;
    let mut memory = Box::new(Memory::new());
    // If the terminal delivers every key at once, it does not echo, so the console echoes, as on a bare serial line.
    // Otherwise the console receives whole lines.
    let mode = if ui.has_script() { None } else { ByteByByte::begin() };
    let parts = Parts::<Hosted<'_>, SOCKETS> {
        startup,
        slots: &slots,
        sockets: std::array::from_fn(|_| Socket::new(port.clone(), durable.clone())),
        console: Console::new(ui, durable.clone()),
        echo: mode.is_some(),
        clock: &Clock::start(),
        start: StartReason::PowerOn,
        lockouts: &mut LockoutSnapshot::NONE.clone(),
        events: &Events::new(),
        memory: &mut memory,
    };
    steadily(run(parts)).await
}

/// The system's random numbers in place of a chip's generator.
struct System;

impl Trng for System {
    async fn fill(&mut self, bytes: &mut [u8]) -> bool {
        OsRng.try_fill_bytes(bytes).is_ok()
    }
}
