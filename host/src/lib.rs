//! waft on a computer: the command line, and what the protocol needs there.

#![forbid(unsafe_code)]
// The futures are awaited where they are made, on one thread.
#![allow(async_fn_in_trait)]

pub mod address;
pub mod asked;
pub mod board;
pub mod certificate;
pub mod cli;
pub mod clock;
mod commands;
pub mod crypto;
pub mod door;
pub mod error;
pub mod folder;
pub mod home;
pub mod identity;
pub mod interrupt;
pub mod name;
pub mod net;
mod platform;
pub mod provision;
pub mod simulation;
pub mod store;
pub mod tls;
pub mod trouble;
pub mod trust;
pub mod ui;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod testing;

pub use commands::run;
