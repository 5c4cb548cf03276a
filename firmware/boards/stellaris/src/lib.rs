//! The [`drivers`] of the board lm3s6965evb of QEMU. `main.rs` starts them, and the receiver of `waft_board`.

#![no_std]

#[cfg(test)]
extern crate std;

pub mod drivers;
