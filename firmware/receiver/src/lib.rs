//! A waft receiver for [Embassy](https://embassy.dev) applications: `no_std`, no allocation, no `unsafe`.
//!
//! A [`Receiver`] is a future that never ends. It listens on a few TCP sockets, receives one folder after
//! the other from trusted senders, and stores each in the free one of two [`slots`] on NOR flash. Your tasks read the
//! current folder, and wait for the next one.
//!
//! ```text
//! TcpPort ─┐                       ┌─> Slots::changed -> Folder -> File     your tasks
//! TcpPort ─┼─> Receiver::run ──────┤
//! TcpPort ─┘        │              └─> Events: progress, failures           your tasks, if they want
//!                Operator: shows the code, takes the key                    a console, a display, a web page
//! ```
//!
//! # A receiver
//!
//! With embassy-net, and a driver for a flash that implements `embedded-storage-async`'s `NorFlash`:
//!
//! ```
//! use embassy_sync::blocking_mutex::raw::NoopRawMutex;
//! use embedded_io_async::{Read, Write};
//! use embedded_storage_async::nor_flash::NorFlash;
//! use rand_core::CryptoRngCore;
//! use waft_receiver::console::Console;
//! use waft_receiver::embassy::{EmbassyBoard, TcpPort};
//! use waft_receiver::identity::Identity;
//! use waft_receiver::slots::{Listed, ReadError, Slots};
//! use waft_receiver::{Config, Memory, Receiver};
//!
//! /// Receives folders, and never returns.
//! async fn receive<F: NorFlash, R: CryptoRngCore>(
//!     identity: &'static Identity,
//!     slots: &'static Slots<'static, NoopRawMutex, F>,
//!     rng: R,
//!     memory: &'static mut Memory,
//!     sockets: &mut [TcpPort<'static>; 3],
//!     line: impl Read + Write,
//! ) -> ! {
//!     let config = Config { max_iterations: 15_000, ..Config::default() };
//!     let mut receiver = Receiver::<EmbassyBoard<_, _, _>>::new(identity, slots, rng, memory, config);
//!     receiver.run(sockets, &mut Console::new(line)).await
//! }
//!
//! /// Applies each folder, beginning with the current one.
//! async fn apply<F: NorFlash>(slots: &Slots<'_, NoopRawMutex, F>) -> Result<(), ReadError> {
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
//! # What an application decides
//!
//! An application may examine a folder before it is committed, and reject it: the sender sees the number of the reason.
//! It may go back to the previous folder, and pause receiving:
//!
//! ```
//! use embassy_sync::blocking_mutex::raw::RawMutex;
//! use embedded_storage_async::nor_flash::NorFlash;
//! use waft_receiver::slots::{Folder, Rejection, Review, RevertError, Slots};
//!
//! const NO_CONFIGURATION: Rejection = Rejection(1);
//!
//! /// For `Receiver::run_reviewed`.
//! struct NeedsConfiguration;
//!
//! impl<M: RawMutex, F: NorFlash> Review<M, F> for NeedsConfiguration {
//!     async fn review(&mut self, folder: &Folder<'_, M, F>) -> Result<(), Rejection> {
//!         folder.open("config/site.toml").await.map(drop).map_err(|_| NO_CONFIGURATION)
//!     }
//! }
//!
//! /// Goes back, for example if the application fails with the new folder.
//! async fn go_back<M: RawMutex, F: NorFlash>(slots: &Slots<'_, M, F>) -> Result<(), RevertError> {
//!     // Until this is dropped, senders are refused as busy.
//!     let pause = slots.pause();
//!     pause.idle().await;
//!     slots.revert().await
//! }
//! ```
//!
//! # The parts, in the order in which a board needs them
//!
//! 1. [`identity`]: the board's name, keys and trusted senders. An application may store them in its own way, or as the
//!    image that `waft provision` writes.
//! 2. Random numbers: any [`CryptoRngCore`](rand_core::CryptoRngCore) that was seeded well. [`entropy`] and [`seed`] make
//!    one from a generator that may fail and a secret in flash; nothing else needs them.
//! 3. [`slots`]: received folders on NOR flash. Tasks of the application read from them.
//! 4. [`settings`]: the list of trusted senders in flash, if senders can be added by [`pairing`] and removed. Without it
//!    the list is that of the identity.
//! 5. [`board::Board`] names the types of the devices, and [`Receiver`] runs on them. `embassy` has sockets and a clock
//!    for embassy-net and embassy-time.
//! 6. [`operator`]: what shows the code and takes the key. `console` is one on a serial line.
//! 7. [`events`]: what happens in sessions, for tasks of the application.
//! 8. [`tls`]: turns a TCP connection into a secured [`Link`](waft_core::session::Link) to a trusted sender. The receiver
//!    passes every connection through it. A chip with units for AES or SHA-256 brings its own cipher [`Suite`](tls::suite::Suite), and its
//!    own [`Cipher`](board::Cipher) for the sealed stream.
//! 9. `wifi`: joins a Wi-Fi network and stays connected, on boards with a radio.
//! 10. `announce`: an operator that announces the board on its network, so that senders find its address.
//!
//! What is not used takes no flash: the console, the seed, the identity image, reviews, and ciphers in software.
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `console` (default) | an operator on a serial line |
//! | `embassy` | sockets for embassy-net, and a clock by embassy-time |
//! | `defmt` | `defmt::Format` on errors and events |
//! | `wifi` | the connection to a Wi-Fi network, and its settings |
//! | `announce` | announcements by multicast DNS |
//!
//! # Stability
//!
//! The bytes on the network, on the flash and in the identity image have versions, and later releases read what earlier
//! ones wrote; the Rust interface may change with every 0.x release until 1.0.
//!
//! `firmware/boards/mps2` is a complete firmware, and `firmware/boards/README.md` explains how to add a board.

#![no_std]
#![forbid(unsafe_code)]
// Executors of boards poll all futures on one thread and need no `Send`.
#![allow(async_fn_in_trait)]

#[cfg(test)]
extern crate std;

mod accept;
#[cfg(feature = "announce")]
pub mod announce;
pub mod board;
mod budget;
#[cfg(feature = "console")]
pub mod console;
mod crc;
#[cfg(feature = "embassy")]
pub mod embassy;
pub mod entropy;
pub mod events;
mod flash;
pub mod identity;
pub mod operator;
pub mod pairing;
mod receiver;
pub mod seed;
mod session;
pub mod settings;
pub mod slots;
pub mod tls;
#[cfg(feature = "wifi")]
pub mod wifi;
#[cfg(test)]
mod woken;

pub use receiver::{Config, Receiver};
pub use session::{CHUNK, Memory};
/// The protocol. Its types that are part of this interface are also in the modules that use them, so that an
/// application needs no other crate.
pub use waft_core;
