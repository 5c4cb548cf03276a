//! A firmware for tests that fails on command: `panic`, `fault`, `overflow`, `hang` and `copies` at the console, as
//! [`waft_board::emulator::trials`] carries them out.

#![no_std]
#![no_main]

use waft_board::emulator::{executor, trials};
use waft_virt::board::{self, Console};
use waft_virt::drivers::timer::{Ticks, Watchdog};

/// Called by the start-up code.
#[riscv_rt::entry]
fn main() -> ! {
    board::start();
    executor::run::<Ticks>(|spawner| {
        spawner.spawn(feed(Watchdog).expect("it is spawned once"));
        spawner.spawn(run_commands(Console::start()).expect("it is spawned once"));
    })
}

/// Feeds the watchdog.
#[embassy_executor::task]
async fn feed(mut watchdog: Watchdog) -> ! {
    waft_board::tasks::feed(&mut watchdog).await
}

#[embassy_executor::task]
async fn run_commands(console: Console) -> ! {
    trials::run(console, 0xE000_0000).await
}
