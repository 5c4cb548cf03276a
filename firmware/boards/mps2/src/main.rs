//! The receiver on the emulated board, in an application that reads what was received.
//!
//! ```text
//! main       turns the board on, then runs the tasks:
//! boot         reads the identity, gathers random numbers, starts the others, and is done
//! net::run     moves frames between Ethernet and TCP/IP
//! receive      the receiver: sockets, sessions, store, console
//! application  hears of received folders: a place for your own
//! feed         feeds the watchdog
//! ```

#![no_std]
#![no_main]

use embassy_executor::Spawner;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use static_cell::StaticCell;
use waft_mps2::board::{self, Mps2};
use waft_mps2::kept::Memory;
use waft_mps2::net::{Resources, SOCKETS};
use waft_mps2::nor::Nor;
use waft_mps2::{executor, stack};
use waft_receiver::events::{Event, Events};
use waft_receiver::run::{Parts, run};
use waft_receiver::slots::{ReadError, Slots};

type Shelves = Slots<'static, NoopRawMutex, Nor>;

#[cortex_m_rt::entry]
fn main() -> ! {
    let memory = board::start();
    executor::run(|spawner| spawner.spawn(boot(spawner, memory).expect("it is started once")))
}

#[embassy_executor::task]
async fn boot(spawner: Spawner, memory: Memory) {
    static RESOURCES: StaticCell<Resources> = StaticCell::new();
    let (parts, _) = board::boot(spawner, memory, RESOURCES.init(Resources::new())).await;
    spawner.spawn(application(parts.slots, parts.events).expect("it is spawned once"));
    spawner.spawn(receive(parts).expect("it is spawned once"));
}

/// The receiver, for ever.
#[embassy_executor::task]
async fn receive(parts: Parts<'static, Mps2, SOCKETS>) -> ! {
    run(parts).await
}

/// The application. This one looks for a message of the day in the folder that is there, and in every one that comes.
#[embassy_executor::task]
async fn application(slots: &'static Shelves, events: &'static Events<NoopRawMutex>) -> ! {
    loop {
        match events.next().await {
            Event::Offered { files, total, .. } => defmt::info!("offered: {} files, {} bytes", files, total),
            Event::Receiving { received, total } => defmt::info!("received: {} of {} bytes", received, total),
            Event::Ended(error) => defmt::warn!("the session ended: {}", error),
            Event::Mounted => look(slots).await,
            Event::Committed(receipt) => {
                defmt::info!("committed: {}", receipt);
                look(slots).await;
            }
        }
        defmt::info!("stack: {} of {} bytes at most", stack::peak(), stack::size());
    }
}

async fn look(slots: &Shelves) {
    if let Err(error) = read(slots).await {
        defmt::warn!("the folder cannot be read: {}", error);
    }
}

/// Reads the folder that is there now. It stays as it is until `folder` is dropped.
async fn read(slots: &Shelves) -> Result<(), ReadError> {
    let Some(folder) = slots.folder() else { return Ok(()) };
    let (mut entries, mut count) = (folder.entries(), 0);
    while entries.next().await?.is_some() {
        count += 1;
    }
    defmt::info!("{} entries", count);
    let file = match folder.open("motd.txt").await {
        Err(ReadError::NotFound) => return Ok(()),
        found => found?,
    };
    let mut beginning = [0; 80];
    let length = file.read_at(0, &mut beginning).await?;
    let line = beginning[..length].split(|byte| *byte == b'\n').next().unwrap_or_default();
    defmt::info!("message of the day: {=str}", core::str::from_utf8(line).unwrap_or("not text"));
    Ok(())
}
