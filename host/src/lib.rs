//! waft on a computer: the command line, and what the protocol needs there.

#![forbid(unsafe_code)]

pub mod cli;
mod commands;
mod crypto;
mod error;
mod folder;
mod interrupt;
mod platform;
mod store;
mod trouble;
mod ui;

pub use commands::run;
