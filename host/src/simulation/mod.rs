//! A simulated board: the receiver of real boards on this machine's sockets, with a file as flash.
//!
//! [`hosted`] runs the receiver in this process. It differs from a real board only in its implementations of the board's
//! traits: sockets, flash, console, clock, random numbers. A [`state`] keeps identity and flash between runs, in the format
//! that an emulated board uses, too.

pub mod flash;
pub mod hosted;
pub mod socket;
pub mod state;
