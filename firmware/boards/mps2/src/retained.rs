//! Memory that survives a reset: the cause of the last failure, and the lockouts of senders that sent wrong codes.
//!
//! ```text
//! 0    magic         if it is missing, this is a power-on and the rest is undefined
//! 4    failures in a row
//! 8    cause, 0 if there was no failure; then the length of the text, and the text
//! ...  lockouts      with a checksum of their own
//! ```
//!
//! The region is outside of the regions that the linker fills, because at every reset the emulator loads the firmware
//! again and the start-up code clears `.bss`.

use core::ptr;

use waft_core::session::peers::LockoutSnapshot;
use waft_receiver::board::StartReason;

const MAGIC: u32 = u32::from_be_bytes(*b"WKPT");
/// Longest text, in bytes.
pub(crate) const TEXT: usize = 240;

#[repr(C)]
struct Region {
    magic: u32,
    failures: u32,
    cause: u32,
    length: u32,
    text: [u8; TEXT],
    lockouts: LockoutSnapshot,
}

// The length of the region in `mps2.toml`.
const _: () = assert!(size_of::<Region>() <= 0x400);

/// Why the firmware failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Cause {
    /// The firmware panicked.
    Panic = 1,
    /// The core raised a fault.
    Fault = 2,
    /// The stack overflowed.
    StackOverflow = 3,
    /// The watchdog expired.
    Hang = 4,
}

impl Cause {
    fn read(number: u32) -> Option<Self> {
        [Self::Panic, Self::Fault, Self::StackOverflow, Self::Hang].into_iter().find(|cause| *cause as u32 == number)
    }

    /// The name of the cause, for the console and the log.
    pub fn words(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Fault => "fault",
            Self::StackOverflow => "stack overflow",
            Self::Hang => "hang",
        }
    }
}

/// The content of the memory after a reset.
#[derive(Debug)]
pub struct Retained {
    /// Why the board started.
    pub start: StartReason,
    /// The last failure and its text, if the firmware failed before this start.
    pub failure: Option<(Cause, &'static str)>,
    /// The lockouts of senders.
    pub lockouts: &'static mut LockoutSnapshot,
}

/// Reads the memory, and clears the failure so that it is reported only once. Call this once.
pub fn take() -> Retained {
    // SAFETY: this runs before any task, so nothing else uses the memory, and every bit pattern is a valid `Region`.
    let region = unsafe { &mut *region() };
    let Region { magic, failures, cause, length, text, lockouts } = region;
    let failed = match *magic == MAGIC {
        true => Cause::read(*cause),
        false => {
            (*magic, *failures, *lockouts) = (MAGIC, 0, LockoutSnapshot::NONE);
            return Retained { start: StartReason::PowerOn, failure: None, lockouts };
        }
    };
    *cause = 0;
    let text = text.get(..*length as usize).and_then(|text| core::str::from_utf8(text).ok()).unwrap_or("");
    let start = match failed {
        None => StartReason::Requested,
        Some(Cause::Hang) => StartReason::Watchdog,
        Some(_) => StartReason::Failure,
    };
    Retained { start, failure: failed.map(|cause| (cause, text)), lockouts }
}

/// Records why the firmware fails, and returns the number of failures in a row. Call it only with interrupts disabled,
/// before a reset.
pub(crate) fn record_failure(cause: Cause, text: &str) -> u32 {
    let region = region();
    let length = text.len().min(TEXT);
    // SAFETY: interrupts are disabled and no task runs again, so no borrow of the memory is used any more.
    unsafe {
        ptr::copy_nonoverlapping(text.as_ptr(), (&raw mut (*region).text).cast(), length);
        (*region).length = length as u32;
        (*region).cause = cause as u32;
        (*region).failures = (*region).failures.saturating_add(1);
        (*region).failures
    }
}

/// Ends the row of failures: the firmware runs.
pub(crate) fn clear_failures() {
    // SAFETY: nothing borrows this word, and besides this task only interrupt handlers that never return use it.
    unsafe { (*region()).failures = 0 };
}

fn region() -> *mut Region {
    unsafe extern "C" {
        static mut _retained: Region;
    }
    &raw mut _retained
}
