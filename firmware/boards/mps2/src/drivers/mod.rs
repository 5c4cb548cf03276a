//! Drivers for the devices of QEMU's machines mps2-an386 and mps2-an505. They have the same devices, at other addresses.
//!
//! | module | content |
//! |---|---|
//! | [`nor`] | a flash with the rules of NOR, over plain memory; tested on a host |
//! | `memory` | the memories that stand for flash: file-backed PSRAM, and the identity |
//! | `machine` | addresses and interrupt numbers of the machine that a feature chooses, and its stack guard |
//! | `registers`, `interrupts` | the devices' registers, and the vector table |
//! | `uart`, `console` | two serial lines: the operator's console and the log |
//! | `timer` | time and alarms for Embassy |
//! | `ethernet` | the LAN9118 |
//! | `watchdog` | finds a hang |
//! | `executor` | runs tasks, and sleeps while none is ready |
//!
//! What emulated boards have in common is in `waft_board::emulator`.

pub mod nor;

#[cfg(target_os = "none")]
pub mod console {
    //! The console on UART0.

    use core::fmt;

    use super::uart::Uart;
    use waft_board::emulator::console;

    /// The console as a stream of bytes. Reads are cancel-safe.
    pub type Console = console::Console<Uart>;

    /// Prints at once, even if a task is writing. For use before tasks run and after a failure.
    pub fn print_blocking(text: fmt::Arguments<'_>) {
        console::print_blocking::<Uart>(text);
    }
}
#[cfg(target_os = "none")]
pub mod ethernet;
#[cfg(target_os = "none")]
pub mod executor {
    //! The executor, with the counter of this board.

    use super::timer::Ticks;
    use embassy_executor::Spawner;
    use waft_board::emulator::executor;

    /// The load of the tasks.
    pub type Measured = executor::Measured<Ticks>;

    /// Runs the tasks that `start` spawns. Never returns.
    pub fn run(start: impl FnOnce(Spawner)) -> ! {
        executor::run::<Ticks>(start)
    }
}
#[cfg(target_os = "none")]
mod interrupts;
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
pub(crate) mod timer;
#[cfg(target_os = "none")]
pub(crate) mod uart;
#[cfg(target_os = "none")]
pub mod watchdog;
