//! Failure handling: every failure of the firmware is logged, reported at the next start, and ends in a reset.
//!
//! ```text
//! panic ------------------------------+
//! any fault --- the core's handler ---+--> reset: `retained` memory, log, the board's hooks --> reset of the chip
//! watchdog ---- the board's handler --+
//! ```
//!
//! The report of a panic contains the addresses of the innermost calls, which `addr2line` translates to functions, files
//! and lines. Its message and place are not stored: with them an image takes 40 KiB more, for the texts, for the code that
//! formats them, and for the arguments of every check that may panic. The feature `panic-text` adds them.
//!
//! `arch` has what depends on the core: the handlers of exceptions, and the search for the calls.

use core::cell::Cell;
use core::fmt;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use critical_section::Mutex;

#[cfg(target_arch = "riscv32")]
pub use crate::arch::fault;
pub use crate::arch::hang;
use crate::arch::{self, Calls};
use crate::report::Cause;
use crate::retained;

/// The most calls in the report of a panic. The innermost ones are those of the panic itself.
const CALLS_MAX: usize = 10;

/// What a board does with a failure, with interrupts disabled. A board without hooks stores it, logs it, and resets.
#[derive(Clone, Copy)]
pub struct Hooks {
    /// Called first, and again if handling the failure fails.
    pub begin: fn(),
    /// Called with the failure before the reset.
    pub report: fn(&Failure),
}

/// A failure that ends in a reset.
pub struct Failure {
    /// Why the firmware failed.
    pub cause: Cause,
    /// Where, and how.
    pub text: &'static str,
    /// The number of failures in a row.
    pub in_a_row: u32,
}

static HOOKS: Mutex<Cell<Option<Hooks>>> = Mutex::new(Cell::new(None));

/// Sets what the board does with a failure.
pub fn set_hooks(hooks: Hooks) {
    critical_section::with(|token| HOOKS.borrow(token).set(Some(hooks)));
}

/// Stores and logs a failure, and resets the chip.
pub fn reset(cause: Cause, text: fmt::Arguments<'_>) -> ! {
    /// Set once this function runs: a failure within it is not reported, so that the first report is kept.
    static IS_RESETTING: AtomicBool = AtomicBool::new(false);
    arch::disable_interrupts();
    let hooks = critical_section::with(|token| HOOKS.borrow(token).get());
    if let Some(hooks) = hooks {
        (hooks.begin)();
    }
    // Not swapped, because some cores cannot. Nothing but a fault comes in between, and that never returns.
    if IS_RESETTING.load(Ordering::Relaxed) {
        arch::restart();
    }
    IS_RESETTING.store(true, Ordering::Relaxed);
    // SAFETY: interrupts are disabled, and this function never returns.
    let (text, in_a_row) = unsafe { retained::record_failure(cause, text) };
    defmt::error!("{=str}: {=str}", cause.name(), text);
    defmt::flush();
    if let Some(hooks) = hooks {
        (hooks.report)(&Failure { cause, text, in_a_row });
    }
    arch::restart()
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let calls = Calls::innermost();
    // Without the feature nothing may use `info`: only then the linker drops all that panics pass in it.
    if cfg!(feature = "panic-text") {
        let place = info.location().map_or(("", 0), |place| (place.file(), place.line()));
        reset(Cause::Panic, format_args!("{}:{}: {}, {calls}", place.0, place.1, info.message()))
    }
    reset(Cause::Panic, format_args!("{calls}"))
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("calls")?;
        self.clone().take(CALLS_MAX).try_for_each(|call| write!(f, " {call:#x}"))
    }
}
