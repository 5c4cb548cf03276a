//! The parts of the ESP32 firmware that need no chip, so that they run and are tested on a host too.
//!
//! 1. [`flash`]: the receiver's flash, on top of the chip's.
//! 2. [`start`]: the reason for the start.
//! 3. [`mod@line`]: the serial line of the console, which survives noise on the line.
//!
//! The program, `main.rs`, adds what accesses registers.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod flash;
pub mod line;
pub mod start;
