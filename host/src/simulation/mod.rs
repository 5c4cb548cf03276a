//! A board on this machine: [`hosted`] in this process, or emulated by [`qemu`]. Both keep the same [`state`].
//!
//! The hosted one differs from a real one in the board's traits and in nothing else: sockets, flash, console, clock,
//! random numbers.

pub(crate) mod console;
pub(crate) mod firmware;
pub(crate) mod flash;
pub(crate) mod hosted;
pub(crate) mod qemu;
pub(crate) mod socket;
pub(crate) mod state;
