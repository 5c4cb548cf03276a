//! Memory that a reset leaves alone: why the firmware failed, and the wrong codes of senders.
//!
//! ```text
//! kept + 0  magic         else power just came, and the rest is noise
//!      + 4  failures in a row
//!      + 8  cause, 0 where nothing failed; then how long the text is, and the text
//!      ...  wrong codes   with a checksum of their own
//! ```
//!
//! The region lies outside of what the linker fills: the emulator loads the firmware anew at every reset, and clears
//! what the firmware has cleared.

use core::ptr;

use waft_core::session::desk::Tries;
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
    tries: Tries,
}

// The region's length in `mps2.toml`.
const _: () = assert!(size_of::<Kept>() <= 0x400);

/// Why the firmware ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Cause {
    /// It found a mistake of its own.
    Panic = 1,
    /// It did what the core does not do.
    Fault = 2,
    /// It went deeper than its stack.
    StackOverflow = 3,
    /// It hung.
    Hang = 4,
}

impl Cause {
    fn read(number: u32) -> Option<Self> {
        [Self::Panic, Self::Fault, Self::StackOverflow, Self::Hang].into_iter().find(|cause| *cause as u32 == number)
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Fault => "fault",
            Self::StackOverflow => "stack overflow",
            Self::Hang => "hang",
        }
    }
}

/// What the memory says after a reset.
#[derive(Debug)]
pub struct Memory {
    /// Why the board started.
    pub start: Start,
    /// Why the firmware ended before, if it failed.
    pub failure: Option<(Cause, &'static str)>,
    /// The wrong codes.
    pub tries: &'static mut Tries,
}

/// Reads the memory; the failure in it is told once. Call it once.
pub fn recall() -> Memory {
    // SAFETY: this runs before any task, so that nobody else uses the memory, and every pattern of bits is a `Kept`.
    let kept = unsafe { &mut *region() };
    let Kept { magic, failures, cause, length, text, tries } = kept;
    let failed = match *magic == MAGIC {
        true => Cause::read(*cause),
        false => {
            (*magic, *failures, *tries) = (MAGIC, 0, Tries::NONE);
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

/// Notes why the firmware ends. Gives how often in a row it did so. Only with interrupts off, before a reset.
pub(crate) fn note(cause: Cause, text: &str) -> u32 {
    let kept = region();
    let length = text.len().min(TEXT);
    // SAFETY: interrupts are off and nothing returns to the tasks, so that whoever borrowed from the memory is gone.
    unsafe {
        ptr::copy_nonoverlapping(text.as_ptr(), (&raw mut (*kept).text).cast(), length);
        (*kept).length = length as u32;
        (*kept).cause = cause as u32;
        (*kept).failures = (*kept).failures.saturating_add(1);
        (*kept).failures
    }
}

/// The firmware runs: the failures before were not in a row.
pub(crate) fn is_well() {
    // SAFETY: this word is borrowed by nobody, and only interrupts that never return use it beside this task.
    unsafe { (*region()).failures = 0 };
}

fn region() -> *mut Kept {
    unsafe extern "C" {
        static mut _kept: Kept;
    }
    &raw mut _kept
}
