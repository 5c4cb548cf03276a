//! The firmware of the emulated board.
//!
//! ```text
//! main          starts the board
//! boot          starts the receiver and these tasks, then receives folders:
//!   feed, network   the tasks of every board
//!   application     reads each received folder
//! ```

#![no_std]
#![no_main]

use embassy_executor::Spawner;
use embassy_net::StackResources;
use static_cell::StaticCell;
use waft_board::boot::{BoardFolder, BoardSlots};
use waft_board::net::ALL_SOCKETS;
use waft_board::retained::Retained;
use waft_board::stack;
use waft_board::tasks::receive;
use waft_mps2::board::{self, Prepared};
use waft_mps2::drivers::console::Console;
use waft_mps2::drivers::executor;
use waft_mps2::drivers::memory::mapped;
use waft_mps2::drivers::nor::Nor;
use waft_mps2::drivers::watchdog::Watchdog;
use waft_receiver::slots::ReadError;

include!(concat!(env!("OUT_DIR"), "/map.rs"));

waft_mps2::tasks!();

#[cortex_m_rt::entry]
fn main() -> ! {
    let retained = board::start();
    let prepared = board::prepare(&MAP);
    executor::run(|spawner| spawner.spawn(boot(spawner, retained, prepared).expect("it is spawned once")))
}

#[embassy_executor::task]
async fn boot(spawner: Spawner, retained: Retained, prepared: Prepared) -> ! {
    static SOCKETS: StaticCell<StackResources<ALL_SOCKETS>> = StaticCell::new();
    spawner.spawn(feed(Watchdog).expect("it is spawned once"));
    let started = board::boot(board::config(retained), prepared, &MAP, SOCKETS.init(StackResources::new())).await;
    spawner.spawn(network(started.runner).expect("it is spawned once"));
    spawner.spawn(application(started.slots).expect("it is spawned once"));
    receive(started.receiver, started.sockets, Console::start()).await
}

/// The application. It logs the message of the day in the current folder, and in each folder that is committed later.
#[embassy_executor::task]
async fn application(slots: &'static BoardSlots<Nor>) -> ! {
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
async fn read(folder: &BoardFolder<'_, Nor>) -> Result<(), ReadError> {
    defmt::info!("generation {}: {} files", folder.generation(), folder.files());
    let file = match folder.open("motd.txt").await {
        Err(ReadError::NotFound) => return Ok(()),
        found => found?,
    };
    let content = mapped(&file);
    let line = content[..content.len().min(80)].split(|byte| *byte == b'\n').next().unwrap_or_default();
    defmt::info!("message of the day: {=str}", core::str::from_utf8(line).unwrap_or("not text"));
    Ok(())
}
