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

macro_rules! on_the_board {
    ($($(#[$attribute:meta])* $visibility:vis mod $name:ident;)*) => {
        $(#[cfg(target_os = "none")] $(#[$attribute])* $visibility mod $name;)*
    };
}

on_the_board! {
    pub mod board;
    pub mod console;
    pub mod ethernet;
    pub mod executor;
    pub mod failure;
    mod interrupts;
    pub mod kept;
    mod log;
    pub mod net;
    mod registers;
    pub mod semihosting;
    pub mod stack;
    mod timer;
    mod uart;
    pub mod watchdog;
}
