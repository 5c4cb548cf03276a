//! waft on a computer: the command line, and what the protocol needs there.

#![forbid(unsafe_code)]

pub mod cli;
mod commands;
mod error;
mod interrupt;
mod ui;

pub use commands::run;
