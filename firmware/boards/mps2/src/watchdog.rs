//! The watchdog: a CMSDK APB watchdog. When nobody feeds it, it first calls by an interrupt that cannot be masked,
//! where `failure` notes where the firmware hung and resets; and if even that hangs, resets the board itself. Arm DDI
//! 0479, section 4.5.

use embassy_time::Timer;

use crate::kept;
use crate::registers::{TICKS_A_MICROSECOND, WATCHDOG};

const LOAD: usize = 0x0;
const CONTROL: usize = 0x8;
const CLEAR: usize = 0xC;
const LOCK: usize = 0xC00;

const CALL: u32 = 1 << 0;
const RESET: u32 = 1 << 1;
const KEY: u32 = 0x1ACC_E551;

/// What a task may take between two awaits, in seconds. Signatures take a tenth of one, a typed key half; a busy host
/// makes it several.
const SECONDS: u32 = 20;

/// Wakes it. Before any task runs: the first one might hang.
pub(crate) fn start() {
    WATCHDOG.write(LOCK, KEY);
    WATCHDOG.write(LOAD, SECONDS * 1_000_000 * TICKS_A_MICROSECOND);
    WATCHDOG.write(CONTROL, CALL | RESET);
}

/// Feeds the watchdog as long as the executor gets to it.
#[embassy_executor::task]
pub async fn feed() -> ! {
    loop {
        Timer::after_secs(2).await;
        // Clearing the call loads it anew.
        WATCHDOG.write(CLEAR, 1);
        kept::is_well();
    }
}

/// Stops it: who resets the board has the time that it takes.
pub(crate) fn stop() {
    WATCHDOG.write(LOCK, KEY);
    WATCHDOG.write(CONTROL, 0);
}
