//! What an emulated board does with a failure: it prints it at the console, and ends the emulator if restarts do not help.

use super::console::print_blocking;
use super::{Uart, log, semihosting};
use crate::failure::{Failure, Hooks, set_hooks};
use crate::retained::Retained;

/// After this many failures in a row the emulator ends, because another restart would fail in the same way.
const FAILURES_MAX: u32 = 5;

/// A watchdog that lets a failure be reported before it resets the chip.
pub trait Watchdog {
    /// Gives the report the time that it takes.
    fn stop();
}

/// Prepares for failures. They are printed at the console on the UART `U`.
pub fn start<U: Uart, W: Watchdog>() {
    set_hooks(Hooks { begin: begin::<W>, report: report::<U> });
}

/// If the firmware failed before this start, prints the failure at the console, and logs it.
pub fn report_previous<U: Uart>(retained: &Retained) {
    defmt::info!("started: {}", retained.start());
    if let Some((cause, text)) = retained.failure {
        print_blocking::<U>(format_args!("\r\nBefore this start the firmware failed ({}): {text}\r\n", cause.name()));
        defmt::error!("before this start: {=str}: {=str}", cause.name(), text);
    }
}

/// Also ends a frame of the log that the failure interrupted.
fn begin<W: Watchdog>() {
    W::stop();
    log::end_interrupted_frame();
}

fn report<U: Uart>(failure: &Failure) {
    let Failure { cause, text, in_a_row } = failure;
    print_blocking::<U>(format_args!("\r\nThe firmware failed ({}): {text}\r\n", cause.name()));
    if *in_a_row >= FAILURES_MAX {
        print_blocking::<U>(format_args!("It failed {in_a_row} times in a row.\r\n"));
        semihosting::exit_with_failure();
    }
}
