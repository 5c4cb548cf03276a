//! The parts of the STM32 firmware that need no chip, so that they run and are tested on a host too.
//!
//! 1. [`ecc`]: detection of reads that return wrong data.
//! 2. [`flash`]: the receiver's flash, on top of the chip's.
//! 3. [`start`]: the reason for the start.
//!
//! The program, `main.rs`, adds what accesses registers.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod ecc;
pub mod flash;
pub mod start;
