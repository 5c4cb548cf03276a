//! The watchdog: resets the chip when the executor hangs.

use embassy_stm32::Peri;
use embassy_stm32::pac::DBGMCU;
use embassy_stm32::peripherals::IWDG;
use embassy_stm32::wdg::IndependentWatchdog;
use waft_board::tasks;

/// Stretching a typed key keeps the executor busy for about half a second, longer than anything else. A missing
/// Ethernet transceiver is detected after three seconds.
const TIMEOUT_US: u32 = 8_000_000;

/// The watchdog, to be fed.
pub(crate) struct Watchdog(IndependentWatchdog<'static, IWDG>);

/// Starts the watchdog. It pauses while a debugger halts the core.
pub(crate) fn start(device: Peri<'static, IWDG>) -> Watchdog {
    DBGMCU.apb1lfzr().modify(|stop| stop.set_iwdg_stop(true));
    let mut watchdog = IndependentWatchdog::new(device, TIMEOUT_US);
    watchdog.unleash();
    Watchdog(watchdog)
}

impl tasks::Watchdog for Watchdog {
    fn feed(&mut self) {
        self.0.pet();
    }
}
