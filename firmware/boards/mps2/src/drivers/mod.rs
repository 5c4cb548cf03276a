//! Drivers for the devices of QEMU's machines mps2-an386 and mps2-an505. They have the same devices, at other addresses.
//!
//! | module | content |
//! |---|---|
//! | [`nor`] | a flash with the rules of NOR, over plain memory; tested on a host |
//! | `memory` | the memories that stand for flash: file-backed PSRAM, and the identity |
//! | `machine` | addresses and interrupt numbers of the machine that a feature chooses, and its stack guard |
//! | `registers`, `interrupts` | the devices' registers, and the vector table |
//! | `uart`, `console`, `log` | two serial lines: the operator's console and the log |
//! | `timer` | time and alarms for Embassy |
//! | `ethernet` | the LAN9118 |
//! | `watchdog`, `failure` | find a hang, and print failures |
//! | `semihosting` | random numbers from the host, and the end of the emulator |
//! | `executor` | runs tasks, and sleeps while none is ready |

pub mod nor;

#[cfg(target_os = "none")]
pub mod console;
#[cfg(target_os = "none")]
pub mod ethernet;
#[cfg(target_os = "none")]
pub mod executor;
#[cfg(target_os = "none")]
pub(crate) mod failure;
#[cfg(target_os = "none")]
mod interrupts;
#[cfg(target_os = "none")]
pub(crate) mod log;
#[cfg(all(target_os = "none", feature = "an386"))]
#[path = "machine/an386.rs"]
pub(crate) mod machine;
#[cfg(all(target_os = "none", feature = "an505"))]
#[path = "machine/an505.rs"]
pub(crate) mod machine;
#[cfg(target_os = "none")]
pub mod memory;
#[cfg(target_os = "none")]
mod registers;
#[cfg(target_os = "none")]
pub mod semihosting;
#[cfg(target_os = "none")]
pub(crate) mod timer;
#[cfg(target_os = "none")]
mod uart;
#[cfg(target_os = "none")]
pub mod watchdog;
