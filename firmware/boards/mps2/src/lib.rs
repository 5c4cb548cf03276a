//! Drivers for the devices of QEMU's mps2-an386, and the receiver's `Board` that is built on them.
//!
//! | module | content |
//! |---|---|
//! | [`nor`] | a flash with the rules of NOR, over the file-backed PSRAM; tested on a host |
//! | `registers`, `interrupts` | addresses and interrupt numbers of the devices |
//! | `uart`, `console`, `log` | two serial lines: the operator's console and the log |
//! | `timer` | time and alarms for Embassy |
//! | `ethernet`, `net` | the LAN9118, and TCP/IP over it |
//! | `watchdog` | resets the board when its tasks hang |
//! | `semihosting` | random numbers from the host, and the end of the emulator |
//! | `retained`, `failure`, `stack` | memory that survives a reset, failure handling, and stack usage |
//! | `executor` | runs tasks, and sleeps while none is ready |
//! | `board` | the receiver's `Board`, and its start |

#![no_std]

#[cfg(test)]
extern crate std;

pub mod nor;

#[cfg(target_os = "none")]
pub mod board;
#[cfg(target_os = "none")]
pub mod console;
#[cfg(target_os = "none")]
pub mod ethernet;
#[cfg(target_os = "none")]
pub mod executor;
#[cfg(target_os = "none")]
pub mod failure;
#[cfg(target_os = "none")]
mod interrupts;
#[cfg(target_os = "none")]
mod log;
#[cfg(target_os = "none")]
pub mod net;
#[cfg(target_os = "none")]
mod registers;
#[cfg(target_os = "none")]
pub mod retained;
#[cfg(target_os = "none")]
pub mod semihosting;
#[cfg(target_os = "none")]
pub mod stack;
#[cfg(target_os = "none")]
mod timer;
#[cfg(target_os = "none")]
mod uart;
#[cfg(target_os = "none")]
pub mod watchdog;
