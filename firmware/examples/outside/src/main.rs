//! An application around the receiver: it takes only folders with a greeting, and greets with it.

#![no_std]
#![no_main]

use embassy_executor::Spawner;
use embassy_net::StackResources;
use static_cell::StaticCell;
use waft_board::boot::{BoardFolder, BoardMutex, BoardSlots};
use waft_board::net::ALL_SOCKETS;
use waft_board::retained::Retained;
use waft_mps2::board::{self, Prepared};
use waft_mps2::drivers::console::Console;
use waft_mps2::drivers::executor;
use waft_mps2::drivers::nor::Nor;
use waft_mps2::drivers::watchdog::Watchdog;
use waft_receiver::console::Console as Operator;
use waft_receiver::slots::{ReadError, Rejection, Review};

// The memory map that `build.rs` makes of `kitchen.toml`.
include!(concat!(env!("OUT_DIR"), "/map.rs"));

// The tasks `feed` and `network`, for the types of this board.
waft_mps2::tasks!();

/// The number that a sender sees if its folder has no greeting.
const NO_GREETING: Rejection = Rejection(1);

#[cortex_m_rt::entry]
fn main() -> ! {
    let retained = board::start();
    let prepared = board::prepare(&MAP);
    executor::run(|spawner| spawner.spawn(boot(spawner, retained, prepared).expect("it is spawned once")))
}

/// Starts the receiver and the application, and receives folders.
#[embassy_executor::task]
async fn boot(spawner: Spawner, retained: Retained, prepared: Prepared) -> ! {
    static SOCKETS: StaticCell<StackResources<ALL_SOCKETS>> = StaticCell::new();
    spawner.spawn(feed(Watchdog).expect("it is spawned once"));
    let started = board::boot(board::config(retained), prepared, &MAP, SOCKETS.init(StackResources::new())).await;
    spawner.spawn(network(started.runner).expect("it is spawned once"));
    spawner.spawn(greet(started.slots).expect("it is spawned once"));
    // The console is the operator: it shows the code, and asks for the key.
    let mut operator = Operator::new(Console::start());
    started.receiver.run_reviewed(started.sockets, &mut operator, &mut NeedsGreeting).await
}

/// Decides about each folder before it is committed.
struct NeedsGreeting;

impl Review<BoardMutex, Nor> for NeedsGreeting {
    async fn review(&mut self, folder: &BoardFolder<'_, Nor>) -> Result<(), Rejection> {
        folder.open("greeting.txt").await.map(drop).map_err(|_| NO_GREETING)
    }
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
