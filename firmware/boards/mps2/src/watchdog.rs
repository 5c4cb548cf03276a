//! The watchdog: a CMSDK APB watchdog. Arm DDI 0479, section 4.5.
//!
//! If the firmware hangs, the watchdog first raises a non-maskable interrupt; `failure` records where the firmware hung
//! and resets the board. If that hangs too, the watchdog resets the board itself.

use embassy_time::Timer;

use crate::registers::{TICKS_A_MICROSECOND, WATCHDOG};
use crate::retained;

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

/// Starts the watchdog. Call it before any task runs, because the first task might hang.
pub(crate) fn start() {
    WATCHDOG.write(LOCK, UNLOCK);
    WATCHDOG.write(LOAD, TIMEOUT_SECONDS * 1_000_000 * TICKS_A_MICROSECOND);
    WATCHDOG.write(CONTROL, INTERRUPT | RESET);
}

/// Feeds the watchdog. A hanging executor does not run this task.
#[embassy_executor::task]
pub async fn feed() -> ! {
    loop {
        Timer::after_secs(2).await;
        // Clearing the interrupt reloads the counter.
        WATCHDOG.write(CLEAR, 1);
        retained::clear_failures();
    }
}

/// Stops the watchdog, so that a failure has time to be reported.
pub(crate) fn stop() {
    WATCHDOG.write(LOCK, UNLOCK);
    WATCHDOG.write(CONTROL, 0);
}
