//! The host side of waft: a library with everything that the protocol needs on a computer, and the `waft` command
//! ([`cli`]), which is built on it.

#![forbid(unsafe_code)]
// The futures are awaited by their creators, on one thread, so they need no `Send` bound.
#![allow(async_fn_in_trait)]

// Never called by name: the crate only has to be linked.
use critical_section as _;

mod address;
mod asked;
pub mod board;
mod certificate;
pub mod cli;
pub mod clock;
pub mod crypto;
pub mod door;
mod error;
pub mod folder;
pub mod home;
pub mod identity;
mod interface;
mod lock;
pub mod name;
mod net;
mod platform;
mod private_keys;
mod provision;
mod simulation;
pub mod store;
pub mod tls;
mod trouble;
pub mod trust;
mod worker;

#[cfg(all(test, unix))]
#[path = "../tests/e2e/needs.rs"]
mod needs;
#[cfg(test)]
mod testing;
