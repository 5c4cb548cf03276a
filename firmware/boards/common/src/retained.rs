//! Memory that survives a reset but not a loss of power: the last failure, and the lockouts of senders that sent wrong
//! codes.
//!
//! ```text
//! 0    magic         if it is missing, the power was off and the rest is undefined
//! 4    failures in a row
//! 8    report        of the last failure, with a checksum of its own
//! ...  lockouts      with a checksum of their own
//! ```
//!
//! It is the region `retained` of the board's description, outside of the regions that the linker fills, because the
//! start-up code clears `.bss`, and an emulator may load the firmware again at every reset.

use core::fmt;

use embedded_io_async::Write;
use waft_receiver::board::LockoutSnapshot;
use waft_receiver::board::StartReason;

use crate::report::{Cause, Report};

const MAGIC: u32 = u32::from_be_bytes(*b"WKPT");

#[repr(C)]
struct Region {
    magic: u32,
    failures: u32,
    report: Report,
    lockouts: LockoutSnapshot,
}

// The size that `waft-board-build` demands of the region.
const _: () = assert!(size_of::<Region>() <= 0x400);

/// The content of the memory after a reset.
#[derive(Debug)]
pub struct Retained {
    /// Whether the memory was kept. Otherwise the power was off.
    pub was_kept: bool,
    /// The last failure and its text, if the firmware failed before this start.
    pub failure: Option<(Cause, &'static str)>,
    /// The lockouts of senders.
    pub lockouts: &'static mut LockoutSnapshot,
}

impl Retained {
    /// Why the board started, as far as this memory shows. The chip may have better information.
    pub fn start(&self) -> StartReason {
        match self.failure {
            _ if !self.was_kept => StartReason::PowerOn,
            None => StartReason::Requested,
            Some((Cause::Hang, _)) => StartReason::Watchdog,
            Some(_) => StartReason::Failure,
        }
    }

    /// Prints at the console, and logs, how the firmware failed before this start. After a power-on there is no such
    /// failure.
    pub async fn print_failure(&self, console: &mut impl Write, start: StartReason) {
        let Some((cause, text)) = self.failure.filter(|_| start != StartReason::PowerOn) else { return };
        defmt::warn!("before this start: {=str}: {=str}", cause.name(), text);
        for part in ["\r\nBefore this start the firmware failed (", cause.name(), "): ", text, "\r\n"] {
            // A write error cannot be reported anywhere.
            let _ = console.write_all(part.as_bytes()).await;
        }
    }
}

/// Reads the memory, and removes the report of the failure. Call this once, before any task runs.
pub fn take() -> Retained {
    // SAFETY: this runs before any task, so nothing else uses the memory, and every bit pattern is a valid `Region`.
    let Region { magic, failures, report, lockouts } = unsafe { &mut *region() };
    let was_kept = *magic == MAGIC;
    if !was_kept {
        (*magic, *failures, *report, *lockouts) = (MAGIC, 0, Report::EMPTY, LockoutSnapshot::NONE);
    }
    Retained { was_kept, failure: report.take(), lockouts }
}

/// Stores the report of a failure. Returns its text, and the number of failures in a row.
///
/// # Safety
/// Interrupts are disabled, and no task runs again, so that no borrow of the memory is used any more.
pub(crate) unsafe fn record_failure(cause: Cause, text: fmt::Arguments<'_>) -> (&'static str, u32) {
    // SAFETY: the caller promises that nothing else uses the memory.
    let Region { failures, report, .. } = unsafe { &mut *region() };
    *failures = failures.saturating_add(1);
    (report.set(cause, text), *failures)
}

/// Ends the row of failures: the firmware runs.
pub fn clear_failures() {
    // SAFETY: nothing borrows this word, and besides this task only handlers that never return use it.
    unsafe { (*region()).failures = 0 };
}

fn region() -> *mut Region {
    unsafe extern "C" {
        static mut _retained: Region;
    }
    &raw mut _retained
}
