//! The watchdog of the LM3S6965: a variant of the watchdog of Arm's CMSDK (Arm DDI 0479, section 4.5) that can only be
//! stopped by a reset.
//!
//! If the firmware hangs, the watchdog first raises an interrupt; `waft_board::failure` records where the firmware hung,
//! and resets the board. If that hangs too, or interrupts are disabled, the watchdog resets the board itself.

use waft_board::emulator::failure;
use waft_board::failure::hang;
use waft_board::{last_handler, tasks};

use super::devices::{Interrupt, TICKS_A_MILLISECOND, WATCHDOG};

const LOAD: usize = 0x0;
const CONTROL: usize = 0x8;
const CLEAR: usize = 0xC;
const LOCK: usize = 0xC00;

const INTERRUPT: u32 = 1 << 0;
const RESET: u32 = 1 << 1;
const UNLOCK: u32 = 0x1ACC_E551;

/// How long the executor may be busy between two awaits, in seconds, as on the board mps2.
const TIMEOUT_SECONDS: u32 = 20;

// The watchdog's interrupt, in the table in `devices`.
last_handler!(WatchdogHang => hang);

/// The watchdog, to be fed.
#[derive(Debug)]
pub struct Watchdog;

/// Starts the watchdog. Call it before any task runs, because the first task might hang.
pub fn start() {
    WATCHDOG.write(LOCK, UNLOCK);
    WATCHDOG.write(LOAD, TIMEOUT_SECONDS * 1_000 * TICKS_A_MILLISECOND);
    WATCHDOG.write(CONTROL, INTERRUPT | RESET);
    Interrupt::Watchdog.enable();
}

impl tasks::Watchdog for Watchdog {
    fn feed(&mut self) {
        // Clearing the interrupt reloads the counter.
        WATCHDOG.write(CLEAR, 1);
    }
}

impl failure::Watchdog for Watchdog {
    fn stop() {
        WATCHDOG.write(LOCK, UNLOCK);
        WATCHDOG.write(LOAD, u32::MAX);
    }
}
