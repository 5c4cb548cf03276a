//! Drivers for the devices of QEMU's lm3s6965evb.
//!
//! | module | content |
//! |---|---|
//! | [`nor`] | a flash with the rules of NOR, over any storage of bytes; tested on a host |
//! | `storage` | the file of the host that is this storage, and the identity in the chip's flash |
//! | `devices` | addresses and interrupts of the devices |
//! | `uart` | two serial lines: the operator's console and the log |
//! | `timer` | time and alarms for Embassy |
//! | `ethernet` | the Ethernet controller |
//! | `watchdog` | finds a hang |

pub mod nor;

#[cfg(target_os = "none")]
mod devices;
#[cfg(target_os = "none")]
pub mod ethernet;
#[cfg(target_os = "none")]
pub mod storage;
#[cfg(target_os = "none")]
pub mod timer;
#[cfg(target_os = "none")]
pub mod uart;
#[cfg(target_os = "none")]
pub mod watchdog;
