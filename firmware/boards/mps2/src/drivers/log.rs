//! The log: defmt frames over UART1, in the format that `defmt-print` reads.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

use critical_section::RestoreState;

use super::registers::UART1;
use super::uart::Uart;

const UART: Uart = Uart(UART1);

#[defmt::global_logger]
struct Log;

/// Whether a frame is being written.
static IS_FRAME_OPEN: AtomicBool = AtomicBool::new(false);
static FRAME: Frame = Frame(UnsafeCell::new((RestoreState::invalid(), defmt::Encoder::new())));

/// The encoder of the current frame, and whether interrupts were enabled before it.
struct Frame(UnsafeCell<(RestoreState, defmt::Encoder)>);

// SAFETY: the content is used only between `acquire` and `release`, with interrupts disabled, on the only core.
unsafe impl Sync for Frame {}

/// Starts the UART of the log.
pub(crate) fn start() {
    UART.start();
}

/// Ends a frame that was interrupted by a failure. The interrupted code never continues.
pub(crate) fn end_interrupted_frame() {
    if IS_FRAME_OPEN.swap(false, Ordering::Relaxed) {
        // A zero byte ends the partial frame; the reader skips it.
        UART.write_all(&[0]);
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
        frame.1.start_frame(|bytes| UART.write_all(bytes));
    }

    unsafe fn flush() {}

    unsafe fn release() {
        // SAFETY: the caller has called `acquire`.
        let frame = unsafe { &mut *FRAME.0.get() };
        frame.1.end_frame(|bytes| UART.write_all(bytes));
        IS_FRAME_OPEN.store(false, Ordering::Relaxed);
        // SAFETY: the state comes from the `acquire` that belongs to this release.
        unsafe { critical_section::release(frame.0) };
    }

    unsafe fn write(bytes: &[u8]) {
        // SAFETY: the caller has called `acquire`.
        let frame = unsafe { &mut *FRAME.0.get() };
        frame.1.write(bytes, |bytes| UART.write_all(bytes));
    }
}
