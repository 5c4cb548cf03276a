//! waft on a computer: the command line, and what the protocol needs there.

#![forbid(unsafe_code)]

mod address;
mod certificate;
pub mod cli;
mod commands;
mod crypto;
mod error;
mod folder;
mod home;
mod identity;
mod interrupt;
mod name;
mod platform;
mod store;
mod trouble;
mod trust;
mod ui;

pub use commands::run;
