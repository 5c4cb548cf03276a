//! A simulated board on this machine: [`hosted`] runs in this process, [`qemu`] emulates the hardware. Both keep their
//! [`state`] in the same format.
//!
//! The hosted board differs from a real one only in its implementations of the board's traits: sockets, flash, console,
//! clock, random numbers.

pub(crate) mod console;
pub(crate) mod firmware;
pub(crate) mod flash;
pub(crate) mod hosted;
pub(crate) mod qemu;
pub(crate) mod socket;
pub(crate) mod state;
