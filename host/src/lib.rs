//! The host side of waft: a library with everything that the protocol needs on a computer, and the `waft` command
//! ([`cli`]), which is built on it.

#![forbid(unsafe_code)]
// The futures are awaited by their creators, on one thread, so they need no `Send` bound.
#![allow(async_fn_in_trait)]

// Never called by name: the crate only has to be linked.
use critical_section as _;

mod address;
pub mod board;
mod certificate;
pub mod cli;
pub mod clock;
pub mod crypto;
mod error;
mod file_error;
pub mod folder;
pub mod home;
pub mod identity;
mod lock;
pub mod name;
mod net;
mod new_file;
mod platform;
pub mod preface;
mod private_keys;
mod provision;
pub mod receive;
pub mod send;
mod session;
mod simulation;
pub mod store;
pub mod tls;
pub mod trust;
mod worker;

pub use error::{Class, Error};
pub use receive::Receiver;
pub use send::Sender;
pub use waft_core::code::{AuthCode, TransferKey};
pub use waft_core::session::Receipt;

#[cfg(all(test, unix))]
#[path = "../tests/e2e/needs.rs"]
mod needs;
#[cfg(test)]
mod testing;
