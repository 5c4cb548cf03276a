//! The parts of the firmware for the RP2350 that need no chip, so that they run and are tested on a host too.
//!
//! 1. [`flash`]: the receiver's flash, on top of the chip's.
//! 2. [`start`]: the reason for the start.
//! 3. [`trng`]: random numbers, from blocks of the chip's generator whose health tests passed.
//! 4. [`absent`]: a network device that may be absent.
//! 5. [`frames`]: checks the lengths of the frames that a W5500 delivers.
//!
//! Its tests include a module of the build script, `radio_files`: the files with the firmware of the radio.
//!
//! The program, `main.rs`, adds what accesses registers.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod absent;
pub mod flash;
pub mod frames;
#[cfg(test)]
mod radio_files;
pub mod start;
pub mod trng;
