//! QEMU's mps2-an386 for the receiver: drivers for its devices, and what they make together.
//!
//! | module | what |
//! |---|---|
//! | [`nor`] | a flash, by the rules of NOR, over the file-backed PSRAM; tested on a host |
//! | `registers`, `interrupts` | where the devices are, and by which numbers they call |
//! | `uart`, `console`, `log` | two serial lines: one for the person, one for the log |
//! | `timer` | time and alarms for Embassy |
//! | `ethernet`, `net` | the LAN9118, and TCP/IP over it |
//! | `watchdog` | resets the board when its tasks stand still |
//! | `semihosting` | random numbers from the host, and the emulator's end |
//! | `kept`, `failure`, `stack` | what survives a reset, what happens before one, and how deep the stack went |
//! | `executor` | runs tasks, and sleeps between them |
//! | `board` | all of it as the receiver's `Board` |

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
pub mod kept;
#[cfg(target_os = "none")]
mod log;
#[cfg(target_os = "none")]
pub mod net;
#[cfg(target_os = "none")]
mod registers;
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
