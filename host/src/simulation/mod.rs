//! A board on this machine: [`hosted`] in this process, or emulated by [`qemu`]. Both keep the same [`state`].
//!
//! The hosted one differs from a real one in the board's traits and in nothing else: sockets, flash, console, clock, random numbers.

pub mod console;
pub mod firmware;
pub mod flash;
pub mod hosted;
pub mod qemu;
pub mod socket;
pub mod state;
