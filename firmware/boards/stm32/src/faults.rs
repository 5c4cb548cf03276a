//! Where everything ends that went wrong: last words into memory that a reset leaves alone, into the log, then a reset.
//!
//! A panic comes here, a fault of the core, an overflow of the stack, and an interrupt that nobody serves.

use core::arch::naked_asm;
use core::cell::UnsafeCell;
use core::fmt;
use core::mem::MaybeUninit;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m::peripheral::SCB;
use cortex_m_rt::{ExceptionFrame, exception};
use defmt_rtt as _;
use waft_core::session::desk::Tries;
use waft_stm32::last::LastWords;

/// In CFSR: the stack went below its limit.
const OVERFLOW: u32 = 1 << 20;

/// Memory that a reset leaves alone, and power does not.
struct Kept {
    tries: UnsafeCell<MaybeUninit<Tries>>,
    words: UnsafeCell<MaybeUninit<LastWords>>,
}

// SAFETY: `recall` gives `tries` out once. `words` are read there, before anything can fail, and written in `end`,
// which runs alone.
unsafe impl Sync for Kept {}

#[unsafe(link_section = ".uninit.kept")]
static KEPT: Kept =
    Kept { tries: UnsafeCell::new(MaybeUninit::uninit()), words: UnsafeCell::new(MaybeUninit::uninit()) };

/// What was kept: the senders' wrong codes, and the last words, which are forgotten by this.
pub(crate) fn recall() -> (&'static mut Tries, LastWords) {
    static RECALLED: AtomicBool = AtomicBool::new(false);
    assert!(!RECALLED.swap(true, Ordering::Relaxed), "what is kept is recalled once");
    // SAFETY: nobody else has or gets a reference to `tries`, and `words` are touched by `end` alone, which does not
    // return. Both types are bytes and numbers, valid whatever the memory holds; volatile, since who wrote them is no
    // longer running.
    unsafe {
        let tries = KEPT.tries.get().cast::<Tries>();
        tries.write(tries.read_volatile());
        let words = KEPT.words.get().cast::<LastWords>();
        let said = words.read_volatile();
        words.write_volatile(LastWords::NONE);
        (&mut *tries, said)
    }
}

/// Leaves last words, and resets the chip.
pub(crate) fn end(words: fmt::Arguments<'_>) -> ! {
    static ENDING: AtomicBool = AtomicBool::new(false);
    cortex_m::interrupt::disable();
    // What goes wrong from here on, as in the log, comes back here: the first words count.
    if !ENDING.swap(true, Ordering::Relaxed) {
        // SAFETY: interrupts are off, and only the first to come gets here.
        unsafe { KEPT.words.get().cast::<LastWords>().write_volatile(LastWords::say(words)) };
        defmt::error!("{}", defmt::Display2Format(&words));
        defmt::flush();
    }
    SCB::sys_reset()
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let place = info.location().map_or(("", 0), |place| (place.file(), place.line()));
    end(format_args!("{}, line {}: {}", place.0, place.1, info.message()))
}

/// After an overflow the stack is at its limit, so first of all the limit goes down to the end of what is stored there.
/// `build.rs` keeps room in between.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn HardFault() -> ! {
    naked_asm!("ldr r0, =__euninit", "msr MSPLIM, r0", "mov r0, sp", "b {fault}", fault = sym fault)
}

unsafe extern "C" fn fault(frame: &ExceptionFrame) -> ! {
    // SAFETY: the address is that of the core's own registers, and this one is only read.
    let status = unsafe { (*SCB::PTR).cfsr.read() };
    match status & OVERFLOW {
        // There may have been no room for a frame.
        OVERFLOW => end(format_args!("the stack overflowed")),
        _ => end(format_args!("a fault at {:08X}, status {status:08X}", frame.pc())),
    }
}

#[exception]
unsafe fn DefaultHandler(number: i16) {
    end(format_args!("nobody serves interrupt {number}"))
}
