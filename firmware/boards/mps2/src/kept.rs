//! Memory that survives a reset: the cause of the last failure, and the lockouts of senders that sent wrong codes.
//!
//! ```text
//! kept + 0  magic         if it is missing, this is a power-on and the rest is undefined
//!      + 4  failures in a row
//!      + 8  cause, 0 if there was no failure; then the length of the text, and the text
//!      ...  lockouts      with a checksum of their own
//! ```
//!
//! The region is outside of the regions that the linker fills, because at every reset the emulator loads the firmware
//! again and the start-up code clears `.bss`.

use core::ptr;

use waft_core::session::peers::LockoutSnapshot;
use waft_receiver::board::Start;

const MAGIC: u32 = u32::from_be_bytes(*b"WKPT");
/// Longest text, in bytes.
pub(crate) const TEXT: usize = 240;

#[repr(C)]
struct Kept {
    magic: u32,
    failures: u32,
    cause: u32,
    length: u32,
    text: [u8; TEXT],
    tries: LockoutSnapshot,
}

// The length of the region in `mps2.toml`.
const _: () = assert!(size_of::<Kept>() <= 0x400);

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
pub struct Memory {
    /// Why the board started.
    pub start: Start,
    /// The last failure and its text, if the firmware failed before this start.
    pub failure: Option<(Cause, &'static str)>,
    /// The lockouts of senders.
    pub tries: &'static mut LockoutSnapshot,
}

/// Reads the memory, and clears the failure so that it is reported only once. Call this once.
pub fn recall() -> Memory {
    // SAFETY: this runs before any task, so nothing else uses the memory, and every bit pattern is a valid `Kept`.
    let kept = unsafe { &mut *region() };
    let Kept { magic, failures, cause, length, text, tries } = kept;
    let failed = match *magic == MAGIC {
        true => Cause::read(*cause),
        false => {
            (*magic, *failures, *tries) = (MAGIC, 0, LockoutSnapshot::NONE);
            return Memory { start: Start::Power, failure: None, tries };
        }
    };
    *cause = 0;
    let text = text.get(..*length as usize).and_then(|text| core::str::from_utf8(text).ok()).unwrap_or("");
    let start = match failed {
        None => Start::Asked,
        Some(Cause::Hang) => Start::Watchdog,
        Some(_) => Start::Failure,
    };
    Memory { start, failure: failed.map(|cause| (cause, text)), tries }
}

/// Records why the firmware fails, and returns the number of failures in a row. Call it only with interrupts disabled,
/// before a reset.
pub(crate) fn record_failure(cause: Cause, text: &str) -> u32 {
    let kept = region();
    let length = text.len().min(TEXT);
    // SAFETY: interrupts are disabled and no task runs again, so no borrow of the memory is used any more.
    unsafe {
        ptr::copy_nonoverlapping(text.as_ptr(), (&raw mut (*kept).text).cast(), length);
        (*kept).length = length as u32;
        (*kept).cause = cause as u32;
        (*kept).failures = (*kept).failures.saturating_add(1);
        (*kept).failures
    }
}

/// Ends the row of failures: the firmware runs.
pub(crate) fn clear_failures() {
    // SAFETY: nothing borrows this word, and besides this task only interrupt handlers that never return use it.
    unsafe { (*region()).failures = 0 };
}

fn region() -> *mut Kept {
    unsafe extern "C" {
        static mut _kept: Kept;
    }
    &raw mut _kept
}
