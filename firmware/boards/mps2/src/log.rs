//! The log: defmt over UART1, as frames that `defmt-print` reads.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

use critical_section::RestoreState;

use crate::registers::UART1;
use crate::uart::Uart;

const UART: Uart = Uart(UART1);

#[defmt::global_logger]
struct Log;

/// Whether a frame is being written.
static TAKEN: AtomicBool = AtomicBool::new(false);
static FRAME: Frame = Frame(UnsafeCell::new((RestoreState::invalid(), defmt::Encoder::new())));

/// The frame that is being written, and whether interrupts were on before.
struct Frame(UnsafeCell<(RestoreState, defmt::Encoder)>);

// SAFETY: it is used only between `acquire` and `release`, with interrupts off, and there is one core.
unsafe impl Sync for Frame {}

/// Turns the log on.
pub(crate) fn start() {
    UART.start();
}

/// Takes the log from whoever was writing a frame: they never will go on.
pub(crate) fn seize() {
    if TAKEN.swap(false, Ordering::Relaxed) {
        // Ends their frame, which a reader then skips.
        UART.put_all(&[0]);
    }
}

// SAFETY: one frame at a time: interrupts are off from `acquire` to `release`, and there is one core. A second
// `acquire` in between panics, as asked.
unsafe impl defmt::Logger for Log {
    fn acquire() {
        // SAFETY: `release` restores what is stored here.
        let before = unsafe { critical_section::acquire() };
        assert!(!TAKEN.swap(true, Ordering::Relaxed), "the log is written to while it is written to");
        // SAFETY: `TAKEN` was free, so nobody else uses the frame.
        let frame = unsafe { &mut *FRAME.0.get() };
        frame.0 = before;
        frame.1.start_frame(|bytes| UART.put_all(bytes));
    }

    unsafe fn flush() {}

    unsafe fn release() {
        // SAFETY: the caller acquired it.
        let frame = unsafe { &mut *FRAME.0.get() };
        frame.1.end_frame(|bytes| UART.put_all(bytes));
        TAKEN.store(false, Ordering::Relaxed);
        // SAFETY: it came from the `acquire` that this release belongs to.
        unsafe { critical_section::release(frame.0) };
    }

    unsafe fn write(bytes: &[u8]) {
        // SAFETY: the caller acquired it.
        let frame = unsafe { &mut *FRAME.0.get() };
        frame.1.write(bytes, |bytes| UART.put_all(bytes));
    }
}
