//! The firmware of the emulated board.
//!
//! ```text
//! main          starts the board
//! boot          starts the receiver and these tasks, then receives folders:
//!   feed, network   the tasks of every board
//!   application     logs each received folder
//! ```

#![no_std]
#![no_main]

use embassy_executor::Spawner;
use embassy_net::StackResources;
use static_cell::StaticCell;
use waft_board::boot::BoardSlots;
use waft_board::emulator::executor;
use waft_board::net::ALL_SOCKETS;
use waft_board::retained::Retained;
use waft_board::stack;
use waft_board::tasks::receive;
use waft_virt::board::{self, Console, Prepared};
use waft_virt::drivers::storage::Flash;
use waft_virt::drivers::timer::{Ticks, Watchdog};

include!(concat!(env!("OUT_DIR"), "/map.rs"));

waft_virt::tasks!();

/// Called by the start-up code.
#[riscv_rt::entry]
fn main() -> ! {
    let retained = board::start();
    let prepared = board::prepare(&MAP);
    executor::run::<Ticks>(|spawner| spawner.spawn(boot(spawner, retained, prepared).expect("it is spawned once")))
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

/// The application. It logs each folder, beginning with the current one.
#[embassy_executor::task]
async fn application(slots: &'static BoardSlots<Flash>) -> ! {
    let mut generation = 0;
    loop {
        // A lease: the folder is not overwritten until it is dropped.
        let folder = slots.changed(generation).await;
        generation = folder.generation();
        defmt::info!("generation {}: {} files", generation, folder.files());
        defmt::info!("stack: {} of {} bytes at most", stack::peak(), stack::size());
    }
}
