//! The board virt of QEMU, with a RISC-V core of 32 bits: its [`drivers`], and `board`, which starts them and the receiver
//! of `waft_board`.
//!
//! An application calls `board::start` and `board::prepare`, then `board::boot` in a task, and spawns the tasks that
//! `tasks!` defines. That task ends with `waft_board::tasks::receive`: `main.rs`.

#![no_std]

#[cfg(test)]
extern crate std;

#[cfg(target_os = "none")]
pub mod board;
pub mod drivers;
