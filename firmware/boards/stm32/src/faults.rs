//! Failure handling: stores a failure report in memory that survives a reset, logs it, and resets the chip.
//!
//! It handles panics, faults of the core, stack overflows, and interrupts without a handler.

use core::arch::naked_asm;
use core::cell::UnsafeCell;
use core::fmt;
use core::mem::MaybeUninit;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m::peripheral::SCB;
use cortex_m_rt::{ExceptionFrame, exception};
use defmt_rtt as _;
use waft_core::session::peers::LockoutSnapshot;
use waft_stm32::report::FailureReport;

/// `CFSR`: the stack pointer went below its limit.
const OVERFLOW: u32 = 1 << 20;

/// Memory that survives a reset but not a loss of power.
struct Retained {
    lockouts: UnsafeCell<MaybeUninit<LockoutSnapshot>>,
    report: UnsafeCell<MaybeUninit<FailureReport>>,
}

// SAFETY: `take_retained` returns `lockouts` once. `report` is read there, before anything can fail, and written in
// `reset`, which runs alone.
unsafe impl Sync for Retained {}

#[unsafe(link_section = ".uninit.retained")]
static RETAINED: Retained =
    Retained { lockouts: UnsafeCell::new(MaybeUninit::uninit()), report: UnsafeCell::new(MaybeUninit::uninit()) };

/// Returns the lockouts of senders and the last failure report, which is cleared in the memory.
pub(crate) fn take_retained() -> (&'static mut LockoutSnapshot, FailureReport) {
    static IS_TAKEN: AtomicBool = AtomicBool::new(false);
    assert!(!IS_TAKEN.swap(true, Ordering::Relaxed), "the retained memory is read once");
    // SAFETY: there is no other reference to `lockouts`, and only `reset` accesses `report`, which does not return.
    // Every bit pattern is a valid value of both types. The reads are volatile because the values are from before the
    // reset.
    unsafe {
        let lockouts = RETAINED.lockouts.get().cast::<LockoutSnapshot>();
        lockouts.write(lockouts.read_volatile());
        let report = RETAINED.report.get().cast::<FailureReport>();
        let last = report.read_volatile();
        report.write_volatile(FailureReport::EMPTY);
        (&mut *lockouts, last)
    }
}

/// Stores a failure report, and resets the chip.
pub(crate) fn reset(text: fmt::Arguments<'_>) -> ! {
    static IS_RESETTING: AtomicBool = AtomicBool::new(false);
    cortex_m::interrupt::disable();
    // A failure from here on, for example in the log, calls this function again. The first report is kept.
    if !IS_RESETTING.swap(true, Ordering::Relaxed) {
        // SAFETY: interrupts are disabled, and only the first call gets here.
        unsafe { RETAINED.report.get().cast::<FailureReport>().write_volatile(FailureReport::new(text)) };
        defmt::error!("{}", defmt::Display2Format(&text));
        defmt::flush();
    }
    SCB::sys_reset()
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let place = info.location().map_or(("", 0), |place| (place.file(), place.line()));
    reset(format_args!("{}, line {}: {}", place.0, place.1, info.message()))
}

/// After an overflow the stack pointer is at its limit, so this handler first lowers the limit to the end of the static
/// data. `build.rs` reserves the room in between.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn HardFault() -> ! {
    naked_asm!("ldr r0, =__euninit", "msr MSPLIM, r0", "mov r0, sp", "b {fault}", fault = sym fault)
}

unsafe extern "C" fn fault(frame: &ExceptionFrame) -> ! {
    // SAFETY: this is a valid register of the core, and it is only read.
    let status = unsafe { (*SCB::PTR).cfsr.read() };
    match status & OVERFLOW {
        // The core may have had no room to push an exception frame.
        OVERFLOW => reset(format_args!("the stack overflowed")),
        _ => reset(format_args!("a fault at {:08X}, status {status:08X}", frame.pc())),
    }
}

#[exception]
unsafe fn DefaultHandler(number: i16) {
    reset(format_args!("interrupt {number} has no handler"))
}
