//! waft on a computer: the command line, and what the protocol needs there.

#![forbid(unsafe_code)]

pub mod address;
pub mod certificate;
pub mod home;
pub mod identity;
pub mod name;
pub mod platform;
pub mod trust;
