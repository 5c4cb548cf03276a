//! The firmware of the emulated board: the receiver, and an application that reads the received folder.
//!
//! ```text
//! main       starts the board, then runs the tasks:
//! boot         reads the identity, gathers random numbers, starts the other tasks, and ends
//! net::run     moves frames between Ethernet and TCP/IP
//! receive      the receiver: sockets, sessions, store, console
//! application  reads each received folder; replace it with your own
//! feed         feeds the watchdog
//! ```

#![no_std]
#![no_main]

use embassy_executor::Spawner;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use static_cell::StaticCell;
use waft_mps2::board::{self, Parts};
use waft_mps2::console::Console;
use waft_mps2::net::Resources;
use waft_mps2::nor::Nor;
use waft_mps2::retained::Retained;
use waft_mps2::{executor, stack};
use waft_receiver::console;
use waft_receiver::slots::{Folder, ReadError, Slots};

type BoardSlots = Slots<'static, NoopRawMutex, Nor>;

#[cortex_m_rt::entry]
fn main() -> ! {
    let retained = board::start();
    executor::run(|spawner| spawner.spawn(boot(spawner, retained).expect("it is started once")))
}

#[embassy_executor::task]
async fn boot(spawner: Spawner, retained: Retained) {
    static RESOURCES: StaticCell<Resources> = StaticCell::new();
    let parts = board::boot(spawner, retained, RESOURCES.init(Resources::new())).await;
    spawner.spawn(application(parts.slots).expect("it is spawned once"));
    spawner.spawn(receive(parts).expect("it is spawned once"));
}

/// Runs the receiver. Never returns.
#[embassy_executor::task]
async fn receive(parts: Parts) -> ! {
    parts.receiver.run(parts.sockets, &mut console::Console::new(Console::start())).await
}

/// The application. It logs the message of the day in the current folder, and in each folder that is committed later.
#[embassy_executor::task]
async fn application(slots: &'static BoardSlots) -> ! {
    let mut generation = 0;
    loop {
        // A lease: the folder is not overwritten until it is dropped.
        let folder = slots.changed(generation).await;
        generation = folder.generation();
        if let Err(error) = read(&folder).await {
            defmt::warn!("the folder cannot be read: {}", error);
        }
        defmt::info!("stack: {} of {} bytes at most", stack::peak(), stack::size());
    }
}

/// Reads a folder.
async fn read(folder: &Folder<'_, NoopRawMutex, Nor>) -> Result<(), ReadError> {
    let (mut entries, mut count) = (folder.entries(), 0);
    while entries.next().await?.is_some() {
        count += 1;
    }
    defmt::info!("generation {}: {} entries", folder.generation(), count);
    let file = match folder.open("motd.txt").await {
        Err(ReadError::NotFound) => return Ok(()),
        found => found?,
    };
    let content = board::mapped(&file);
    let line = content[..content.len().min(80)].split(|byte| *byte == b'\n').next().unwrap_or_default();
    defmt::info!("message of the day: {=str}", core::str::from_utf8(line).unwrap_or("not text"));
    Ok(())
}
