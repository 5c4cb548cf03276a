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

#![no_std]
#![forbid(unsafe_code)]
// The futures are awaited where they are made, on executors that need no `Send`.
#![allow(async_fn_in_trait)]

#[cfg(test)]
extern crate std;

pub mod board;
mod console;
mod doors;
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
