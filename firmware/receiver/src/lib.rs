//! A waft receiver for boards: `no_std`, no allocation, no `unsafe`.
//!
//! 1. [`identity`]: who the board is and whom it trusts, as written at flash time.
//! 2. [`seed`] and [`entropy`]: random numbers that no two boots share.
//! 3. [`tls`]: a secured [`Link`](waft_core::session::Link) to a trusted sender, out of a TCP connection.
//! 4. [`slots`]: received folders on NOR flash, the [`Store`](waft_core::session::Store) of a session, and what an
//!    application reads from.
//! 5. [`run`](run::run): the receiver as one future, on what a [`board`] brings along. [`events`] tell the application
//!    what happens; a person hears of it at the console.
//! 6. `embassy`, a feature: sockets and time for boards on Embassy.
//!
//! A board hands its parts to [`run`](run::run), in a task of its own. The application's tasks share the slots and the
//! events with it:
//!
//! ```
//! use embassy_sync::blocking_mutex::raw::RawMutex;
//! use embedded_storage_async::nor_flash::NorFlash;
//! use waft_receiver::events::Events;
//! use waft_receiver::slots::{Listed, ReadError, Slots};
//!
//! /// Does as the last folder says. `mapped`: the flash of the slots, on a chip where it can be read as memory.
//! async fn application<M: RawMutex, F: NorFlash>(
//!     slots: &Slots<'_, M, F>,
//!     events: &Events<M>,
//!     mapped: &[u8],
//! ) -> Result<(), ReadError> {
//!     let mut generation = 0;
//!     loop {
//!         // A lease: this folder stays as it is until it is dropped.
//!         if let Some(folder) = slots.folder().filter(|folder| folder.generation() != generation) {
//!             generation = folder.generation();
//!             let mut entries = folder.entries();
//!             while let Some(Listed { entry, file }) = entries.next().await? {
//!                 // ... `entry.path` is a directory, or a file of `file.size()` bytes.
//!             }
//!             match folder.open("config/site.toml").await {
//!                 Ok(file) => {
//!                     let mut bytes = [0; 256];
//!                     let length = file.read_at(0, &mut bytes).await?;
//!                     // ... do as `bytes[..length]` says; or, without a copy,
//!                     let content = file.mapped(mapped);
//!                 }
//!                 Err(ReadError::NotFound) => {}
//!                 Err(error) => return Err(error),
//!             }
//!         }
//!         // Whatever happened: an event may be dropped, the folder is there.
//!         events.next().await;
//!     }
//! }
//! ```
//!
//! `firmware/boards/mps2` is a whole firmware around it, and `firmware/boards/README.md` says how to make another.

#![no_std]
#![forbid(unsafe_code)]
// The futures are awaited where they are made, on executors that need no `Send`.
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
