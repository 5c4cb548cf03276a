//! The watchdog: resets the chip when its tasks do not get their turn any more.

use embassy_stm32::Peri;
use embassy_stm32::pac::DBGMCU;
use embassy_stm32::peripherals::IWDG;
use embassy_stm32::wdg::IndependentWatchdog;
use embassy_time::Timer;

/// The longest that the executor is busy at a time, the stretching of a typed key, takes about half a second; a missing
/// Ethernet transceiver is noticed after three.
const PATIENCE_US: u32 = 8_000_000;

/// Starts it. It stands still while a debugger halts the core.
pub(crate) fn unleash(device: Peri<'static, IWDG>) -> IndependentWatchdog<'static, IWDG> {
    DBGMCU.apb1lfzr().modify(|stop| stop.set_iwdg_stop(true));
    let mut watchdog = IndependentWatchdog::new(device, PATIENCE_US);
    watchdog.unleash();
    watchdog
}

/// Feeds it, as long as this task is run.
#[embassy_executor::task]
pub(crate) async fn feed(mut watchdog: IndependentWatchdog<'static, IWDG>) -> ! {
    loop {
        watchdog.pet();
        Timer::after_secs(1).await;
    }
}
