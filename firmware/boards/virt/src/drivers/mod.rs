//! Drivers for the devices of QEMU's machine virt. Addresses and interrupt numbers: QEMU's `hw/riscv/virt.c`.
//!
//! | module | content |
//! |---|---|
//! | [`cfi`] | a pair of NOR flash chips with the command set of Intel; tested on a host |
//! | `storage` | the bank of flash that holds seed, slots and settings, and the identity |
//! | `interrupts` | the interrupt controller, the handlers, and the entry of exceptions |
//! | `uart` | the operator's console |
//! | `timer` | time and alarms for Embassy, and the watchdog |
//! | `ethernet` | the network device, by VirtIO |
//! | `system` | resets the machine |
//!
//! What emulated boards have in common is in `waft_board::emulator`.

pub mod cfi;

#[cfg(target_os = "none")]
pub mod ethernet;
#[cfg(target_os = "none")]
mod interrupts;
#[cfg(target_os = "none")]
pub mod storage;
#[cfg(target_os = "none")]
mod system;
#[cfg(target_os = "none")]
pub mod timer;
#[cfg(target_os = "none")]
pub mod uart;
