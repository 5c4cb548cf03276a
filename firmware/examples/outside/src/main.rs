//! An application around the receiver: it greets with the text that was sent to it.

#![no_std]
#![no_main]

use embassy_executor::Spawner;
use embassy_net::StackResources;
use static_cell::StaticCell;
use waft_board::boot::{BoardFolder, BoardSlots};
use waft_board::net::ALL_SOCKETS;
use waft_board::retained::Retained;
use waft_mps2::board::{self, Prepared};
use waft_mps2::drivers::console::Console;
use waft_mps2::drivers::executor;
use waft_mps2::drivers::nor::Nor;
use waft_mps2::drivers::watchdog::Watchdog;
use waft_receiver::slots::ReadError;

// The memory map that `build.rs` makes of `kitchen.toml`.
include!(concat!(env!("OUT_DIR"), "/map.rs"));

// The tasks `feed`, `network` and `receive`, for the types of this board.
waft_mps2::tasks!();

#[cortex_m_rt::entry]
fn main() -> ! {
    let retained = board::start();
    let prepared = board::prepare(&MAP);
    executor::run(|spawner| spawner.spawn(boot(spawner, retained, prepared).expect("it is spawned once")))
}

/// Starts the receiver, then the application.
#[embassy_executor::task]
async fn boot(spawner: Spawner, retained: Retained, prepared: Prepared) {
    static SOCKETS: StaticCell<StackResources<ALL_SOCKETS>> = StaticCell::new();
    spawner.spawn(feed(Watchdog).expect("it is spawned once"));
    let started = board::boot(retained, prepared, &MAP, SOCKETS.init(StackResources::new())).await;
    spawner.spawn(network(started.runner).expect("it is spawned once"));
    spawner.spawn(receive(started.receiver, started.sockets, Console::start()).expect("it is spawned once"));
    spawner.spawn(greet(started.slots).expect("it is spawned once"));
}

/// Greets at the start, and whenever a new folder was received.
#[embassy_executor::task]
async fn greet(slots: &'static BoardSlots<Nor>) -> ! {
    let mut generation = 0;
    loop {
        // A lease: the folder stays as it is until it is dropped.
        let folder = slots.changed(generation).await;
        generation = folder.generation();
        let mut text = [0; 64];
        match read_greeting(&folder, &mut text).await {
            Ok(length) => defmt::info!("{=str}", core::str::from_utf8(&text[..length]).unwrap_or("not text")),
            Err(error) => defmt::warn!("no greeting: {}", error),
        }
    }
}

async fn read_greeting(folder: &BoardFolder<'_, Nor>, text: &mut [u8]) -> Result<usize, ReadError> {
    folder.open("greeting.txt").await?.read_at(0, text).await
}
