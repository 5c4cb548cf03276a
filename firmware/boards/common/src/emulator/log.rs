//! The log: defmt frames over a serial line, in the format that `defmt-print` reads.

use core::cell::{Cell, UnsafeCell};
use core::sync::atomic::{AtomicBool, Ordering};

use critical_section::{Mutex, RestoreState};

#[defmt::global_logger]
struct Log;

/// Whether a frame is being written.
static IS_FRAME_OPEN: AtomicBool = AtomicBool::new(false);
static FRAME: Frame = Frame(UnsafeCell::new((RestoreState::invalid(), defmt::Encoder::new())));

/// The encoder of the current frame, and whether interrupts were enabled before it.
struct Frame(UnsafeCell<(RestoreState, defmt::Encoder)>);

// SAFETY: the content is used only between `acquire` and `release`, with interrupts disabled, on the only core.
unsafe impl Sync for Frame {}

/// Writes bytes to a serial line, without waiting for a task.
pub type Line = fn(&[u8]);

/// The line of the log, if it was started.
static LINE: Mutex<Cell<Option<Line>>> = Mutex::new(Cell::new(None));

/// Starts the log, on this line.
pub fn start(line: Line) {
    critical_section::with(|token| LINE.borrow(token).set(Some(line)));
}

fn write(bytes: &[u8]) {
    if let Some(line) = critical_section::with(|token| LINE.borrow(token).get()) {
        line(bytes);
    }
}

/// Ends a frame that was interrupted by a failure. The interrupted code never continues.
pub fn end_interrupted_frame() {
    if IS_FRAME_OPEN.swap(false, Ordering::Relaxed) {
        // A zero byte ends the partial frame; the reader skips it.
        write(&[0]);
    }
}

// SAFETY: there is one frame at a time, because interrupts are disabled from `acquire` to `release` on the only core.
// Another `acquire` in between panics, as the trait requires.
unsafe impl defmt::Logger for Log {
    fn acquire() {
        // SAFETY: `release` restores the state that is stored here.
        let before = unsafe { critical_section::acquire() };
        assert!(!IS_FRAME_OPEN.swap(true, Ordering::Relaxed), "a log call within a log call");
        // SAFETY: `IS_FRAME_OPEN` was not set, so nothing else uses the frame.
        let frame = unsafe { &mut *FRAME.0.get() };
        frame.0 = before;
        frame.1.start_frame(write);
    }

    unsafe fn flush() {}

    unsafe fn release() {
        // SAFETY: the caller has called `acquire`.
        let frame = unsafe { &mut *FRAME.0.get() };
        frame.1.end_frame(write);
        IS_FRAME_OPEN.store(false, Ordering::Relaxed);
        // SAFETY: the state comes from the `acquire` that belongs to this release.
        unsafe { critical_section::release(frame.0) };
    }

    unsafe fn write(bytes: &[u8]) {
        // SAFETY: the caller has called `acquire`.
        let frame = unsafe { &mut *FRAME.0.get() };
        frame.1.write(bytes, write);
    }
}
