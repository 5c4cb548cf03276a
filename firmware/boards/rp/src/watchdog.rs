//! The watchdog: resets the chip when the executor hangs.

use embassy_rp::peripherals::WATCHDOG;
use embassy_rp::{Peri, pac, watchdog};
use embassy_time::Duration;
use waft_board::tasks;

/// Stretching a typed key keeps the executor busy for about half a second, longer than anything else.
const TIMEOUT: Duration = Duration::from_secs(8);

/// The watchdog, to be fed.
pub(crate) struct Watchdog(watchdog::Watchdog);

/// Starts the watchdog. It pauses while a debugger halts the core.
pub(crate) fn start(device: Peri<'static, WATCHDOG>) -> Watchdog {
    let mut watchdog = watchdog::Watchdog::new(device);
    watchdog.pause_on_debug(true);
    watchdog.start(TIMEOUT);
    // Everything but the oscillators, as Raspberry Pi's own software does. embassy-rp's selection is that of the RP2040, whose
    // bits have other positions.
    pac::PSM.wdsel().write(|reset| {
        *reset = pac::psm::regs::Wdsel(0x01FF_FFFF);
        reset.set_rosc(false);
        reset.set_xosc(false);
    });
    Watchdog(watchdog)
}

impl tasks::Watchdog for Watchdog {
    fn feed(&mut self) {
        self.0.feed(TIMEOUT);
    }
}
