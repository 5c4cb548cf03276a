//! What boards share, with a Cortex-M or a RISC-V core: everything between a chip's drivers and [`waft_receiver`].
//!
//! ```text
//! reset ──► the program starts its drivers, and takes the `retained` memory
//!       └─► boot::start    identity, random numbers, TCP/IP, slots, receiver
//!       └─► tasks!         feed, network; and the application's own
//!       └─► tasks::receive sessions and console, until a reset
//! failure ──► `failure`    report in the `retained` memory, log, reset
//! ```
//!
//! | module | content |
//! |---|---|
//! | [`report`] | the report of a failure; tested on a host |
//! | `retained` | memory that survives a reset: the last failure, and the lockouts of senders |
//! | `failure` | handles panics, faults and stack overflows |
//! | `stack` | stack usage, and wiping what a session leaves |
//! | `net` | TCP/IP and the receiver's sockets |
//! | `boot` | the start of the receiver, from devices and a [`Map`] |
//! | `tasks` | the tasks of every board, as a macro |
//! | [`region`] | checks that a map fits the flash; tested on a host |
//! | [`mod@line`] | the serial line of the console, which wipes what was read; tested on a host |
//! | [`mac`] | the Ethernet address; tested on a host |
//! | `emulator` | with the feature of this name: what boards that QEMU emulates share |
//! | `arch` | what depends on the core: interrupts, exceptions, reset, and the calls on the stack |
//!
//! The crate contains the panic handler and, for a Cortex-M, the handler of HardFault. `waft-board-build` generates [`Map`] and the linker
//! script from the board's description.

#![no_std]

#[cfg(test)]
extern crate std;

use core::ops::Range;

#[cfg(all(target_os = "none", target_arch = "arm"))]
#[path = "arch/cortex_m.rs"]
mod arch;
#[cfg(all(target_os = "none", target_arch = "riscv32"))]
#[path = "arch/riscv.rs"]
pub mod arch;
#[cfg(target_os = "none")]
pub mod boot;
#[cfg(feature = "emulator")]
pub mod emulator;
#[cfg(target_os = "none")]
pub mod failure;
pub mod line;
pub mod mac;
#[cfg(target_os = "none")]
pub mod net;
pub mod region;
pub mod report;
#[cfg(target_os = "none")]
pub mod retained;
#[cfg(target_os = "none")]
pub mod stack;
#[cfg(target_os = "none")]
pub mod tasks;

/// The memory map of a board, and its names. Its build script generates it from the board's description.
#[derive(Clone, Debug)]
pub struct Map {
    /// The name of the board for `--board`.
    pub name: &'static str,
    /// The name of the board that is shown to users.
    pub title: &'static str,
    /// The size of the program's flash, in bytes.
    pub flash_size: u32,
    /// The addresses of the identity image.
    pub identity: Range<u32>,
    /// The offsets of the two sectors of the seed, in the flash with the slots.
    pub seeds: [u32; 2],
    /// The offsets of journal and slots, in the same flash.
    pub slots: Range<u32>,
    /// The offsets of the two sectors of the settings, in the same flash.
    pub settings: [u32; 2],
}
