//! What this board does with a failure: it prints it at the console, and ends the emulator if restarts do not help.

use waft_board::failure::{Failure, Hooks, hang, set_hooks};
use waft_board::last_handler;

use super::console::print_blocking;
use super::{log, semihosting, watchdog};

/// After this many failures in a row the emulator ends, because another restart would fail in the same way.
const FAILURES_MAX: u32 = 5;

// The watchdog's interrupt.
last_handler!(NonMaskableInt => hang);

/// Prepares for failures.
pub(crate) fn start() {
    set_hooks(Hooks { begin, report });
}

/// Gives the report the time that it takes, and ends a frame of the log that the failure interrupted.
fn begin() {
    watchdog::stop();
    log::end_interrupted_frame();
}

fn report(failure: &Failure) {
    let Failure { cause, text, in_a_row } = failure;
    print_blocking(format_args!("\r\nThe firmware failed ({}): {text}\r\n", cause.name()));
    if *in_a_row >= FAILURES_MAX {
        print_blocking(format_args!("It failed {in_a_row} times in a row.\r\n"));
        semihosting::exit_with_failure();
    }
}
