//! The watchdog: a CMSDK APB watchdog. Arm DDI 0479, section 4.5.
//!
//! If the firmware hangs, the watchdog first raises a non-maskable interrupt; `waft_board::failure`
//! records where the firmware hung, and resets the board. If that hangs too, the watchdog resets the board itself.

use waft_board::emulator::failure;
use waft_board::failure::hang;
use waft_board::{last_handler, tasks};

use super::registers::{TICKS_A_MICROSECOND, WATCHDOG};

const LOAD: usize = 0x0;
const CONTROL: usize = 0x8;
const CLEAR: usize = 0xC;
const LOCK: usize = 0xC00;

const INTERRUPT: u32 = 1 << 0;
const RESET: u32 = 1 << 1;
const UNLOCK: u32 = 0x1ACC_E551;

/// How long the executor may be busy between two awaits, in seconds. A signature takes a tenth of a second and a typed
/// key half a second; on a busy host each takes several times as long.
const TIMEOUT_SECONDS: u32 = 20;

// The watchdog's interrupt.
last_handler!(NonMaskableInt => hang);

/// Starts the watchdog. Call it before any task runs, because the first task might hang.
pub(crate) fn start() {
    WATCHDOG.write(LOCK, UNLOCK);
    WATCHDOG.write(LOAD, TIMEOUT_SECONDS * 1_000_000 * TICKS_A_MICROSECOND);
    WATCHDOG.write(CONTROL, INTERRUPT | RESET);
}

/// The watchdog, to be fed.
#[derive(Debug)]
pub struct Watchdog;

impl tasks::Watchdog for Watchdog {
    fn feed(&mut self) {
        // Clearing the interrupt reloads the counter.
        WATCHDOG.write(CLEAR, 1);
    }
}

impl failure::Watchdog for Watchdog {
    fn stop() {
        WATCHDOG.write(LOCK, UNLOCK);
        WATCHDOG.write(CONTROL, 0);
    }
}
