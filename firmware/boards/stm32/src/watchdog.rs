//! The watchdog: resets the chip when the executor hangs.

use embassy_stm32::Peri;
use embassy_stm32::pac::DBGMCU;
use embassy_stm32::peripherals::IWDG;
use embassy_stm32::wdg::IndependentWatchdog;
use embassy_time::Timer;

/// Stretching a typed key keeps the executor busy for about half a second, longer than anything else. A missing
/// Ethernet transceiver is detected after three seconds.
const TIMEOUT_US: u32 = 8_000_000;

/// Starts the watchdog. It pauses while a debugger halts the core.
pub(crate) fn start(device: Peri<'static, IWDG>) -> IndependentWatchdog<'static, IWDG> {
    DBGMCU.apb1lfzr().modify(|stop| stop.set_iwdg_stop(true));
    let mut watchdog = IndependentWatchdog::new(device, TIMEOUT_US);
    watchdog.unleash();
    watchdog
}

/// Feeds the watchdog. A hanging executor does not run this task.
#[embassy_executor::task]
pub(crate) async fn feed(mut watchdog: IndependentWatchdog<'static, IWDG>) -> ! {
    loop {
        watchdog.pet();
        Timer::after_secs(1).await;
    }
}
