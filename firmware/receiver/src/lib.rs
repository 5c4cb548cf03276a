//! A waft receiver for boards: `no_std`, no allocation, no `unsafe`.
//!
//! 1. [`identity`]: the board's name, keys and trusted senders, as written at flash time.
//! 2. [`seed`] and [`entropy`]: random numbers that differ at every boot.
//! 3. [`tls`]: turns a TCP connection into a secured [`Link`](waft_core::session::Link) to a trusted sender.
//! 4. [`slots`]: received folders on NOR flash. They are the [`Store`](waft_core::session::Store) of a session, and
//!    applications read from them.
//! 5. [`run`](run::run): the receiver as one future, which runs on the devices of a [`board`]. [`events`] notify the
//!    application; the console informs the operator.
//! 6. `embassy`, a feature: sockets and time for boards on Embassy.
//!
//! A board passes its parts to [`run`](run::run), in a task of its own. The tasks of the application share the slots
//! with it, and any number of them wait for folders:
//!
//! ```
//! use embassy_sync::blocking_mutex::raw::RawMutex;
//! use embedded_storage_async::nor_flash::NorFlash;
//! use waft_receiver::slots::{Listed, ReadError, Slots};
//!
//! /// Applies each folder, beginning with the one that is there.
//! async fn application<M: RawMutex, F: NorFlash>(slots: &Slots<'_, M, F>) -> Result<(), ReadError> {
//!     let mut generation = 0;
//!     loop {
//!         // A lease: this folder is not overwritten until it is dropped.
//!         let folder = slots.changed(generation).await;
//!         generation = folder.generation();
//!         let mut entries = folder.entries();
//!         while let Some(Listed { entry, file }) = entries.next().await? {
//!             // ... `entry.path` is a directory, or a file of `file.size()` bytes.
//!         }
//!         match folder.open("config/site.toml").await {
//!             Ok(file) => {
//!                 let mut bytes = [0; 256];
//!                 let length = file.read_at(0, &mut bytes).await?;
//!                 // ... apply `bytes[..length]`. `file` may be kept: it holds a lease of its own.
//!             }
//!             Err(ReadError::NotFound) => {}
//!             Err(error) => return Err(error),
//!         }
//!     }
//! }
//! ```
//!
//! `firmware/boards/mps2` is a complete firmware, and `firmware/boards/README.md` explains how to add a board.

#![no_std]
#![forbid(unsafe_code)]
// Executors of boards poll all futures on one thread and need no `Send`.
#![allow(async_fn_in_trait)]

#[cfg(test)]
extern crate std;

mod accept;
pub mod board;
mod budget;
mod console;
mod crc;
#[cfg(feature = "embassy")]
pub mod embassy;
pub mod entropy;
pub mod events;
pub mod identity;
mod panel;
pub mod run;
pub mod seed;
mod session;
pub mod slots;
pub mod tls;

pub use session::{CHUNK, Memory};
