//! The boards mps2-an386 and mps2-an505 of QEMU: their [`drivers`], and `board`, which starts them and the receiver of
//! `waft_board`.
//!
//! An application calls `board::start` and `board::prepare`, then `board::boot` in a task, and spawns the tasks that
//! `tasks!` defines. That task ends with `waft_board::tasks::receive`: `main.rs`. Another package can do the same with a memory map of its own: `firmware/examples/outside`.

#![no_std]

#[cfg(test)]
extern crate std;

#[cfg(target_os = "none")]
pub mod board;
pub mod drivers;
