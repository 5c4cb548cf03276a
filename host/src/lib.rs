//! waft on a computer: the command line, and what the protocol needs there.

#![forbid(unsafe_code)]
// The futures are awaited where they are made, on one thread.
#![allow(async_fn_in_trait)]

mod address;
mod certificate;
pub mod cli;
mod clock;
mod commands;
mod crypto;
mod door;
mod error;
mod folder;
mod home;
mod identity;
mod interrupt;
mod name;
mod net;
mod platform;
mod store;
mod tls;
mod trouble;
mod trust;
mod ui;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod testing;

pub use commands::run;
