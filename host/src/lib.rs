//! waft on a computer: the command line, and what the protocol needs there.

#![forbid(unsafe_code)]

pub mod folder;
mod platform;
pub mod store;
pub mod trouble;

#[cfg(test)]
mod samples;
