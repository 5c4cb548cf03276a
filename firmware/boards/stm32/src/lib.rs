//! What the receiver needs to know of an STM32, without the chip: all of it runs, and is tested, on a host too.
//!
//! 1. [`ecc`]: which reads of the flash are not to be believed.
//! 2. [`flash`]: the chip's flash as the receiver's flash, on top of that.
//! 3. [`region`]: whether a board's map fits the chip.
//! 4. [`start`] and [`last`]: why the board started, and what it said before it failed.
//! 5. [`mac`]: its address on the Ethernet.
//!
//! The program beside it, `main.rs`, brings the registers.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod ecc;
pub mod flash;
pub mod last;
pub mod mac;
pub mod region;
pub mod start;
