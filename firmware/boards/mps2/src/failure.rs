//! Failure handling: every failure of the firmware is printed, recorded for the next start, and ends in a reset.
//!
//! ```text
//! panic ------------------------+
//! any fault --- HardFault ------+--> reset: log, console, `retained` --> reset
//! watchdog ---- NonMaskableInt -+
//! ```
//!
//! A stack overflow leaves RAM at its low end, so the push that goes too far faults. The handler of that fault first
//! resets the stack pointer to the top of the stack.

use core::arch::naked_asm;
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m::peripheral::SCB;
use cortex_m_rt::exception;
use heapless::String;

use crate::retained::{self, Cause, TEXT};
use crate::{console, log, semihosting, stack, watchdog};

/// After this many failures in a row the emulator ends, because another restart would fail in the same way.
const FAILURES_MAX: u32 = 5;

/// The index of the return address in the frame that the core pushes when it takes an exception.
const FRAME_RETURN: usize = 6;
const FRAME_WORDS: usize = 8;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let place = info.location().map_or(("", 0), |place| (place.file(), place.line()));
    reset(Cause::Panic, format_args!("{}:{}: {}", place.0, place.1, info.message()))
}

#[exception]
unsafe fn DefaultHandler(number: i16) -> ! {
    panic!("interrupt {number} has no handler")
}

/// Calls `fault` with the stack pointer at the time of the fault. If little or no stack is left below it, the stack
/// pointer is reset to the top first.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn HardFault() -> ! {
    naked_asm!(
        "mov r0, sp",
        "ldr r1, =_stack_end + 0x800",
        "cmp r0, r1",
        "bhs 1f",
        "ldr r1, =_stack_start",
        "mov sp, r1",
        "1: b {fault}",
        fault = sym fault,
    )
}

/// Does the same for the watchdog's interrupt.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn NonMaskableInt() -> ! {
    naked_asm!(
        "mov r0, sp",
        "ldr r1, =_stack_end + 0x800",
        "cmp r0, r1",
        "bhs 1f",
        "ldr r1, =_stack_start",
        "mov sp, r1",
        "1: b {hang}",
        hang = sym hang,
    )
}

unsafe extern "C" fn fault(stack_pointer: usize) -> ! {
    // SAFETY: only the status registers are read.
    let status = unsafe { (*SCB::PTR).cfsr.read() };
    if stack_pointer < stack::end() {
        let size = stack::size();
        reset(Cause::StackOverflow, format_args!("{size} bytes were not enough"))
    }
    let at = interrupted(stack_pointer);
    reset(Cause::Fault, format_args!("at {at:#010x}, status {status:#010x}"))
}

unsafe extern "C" fn hang(stack_pointer: usize) -> ! {
    let at = interrupted(stack_pointer);
    reset(Cause::Hang, format_args!("at {at:#010x}"))
}

/// The address of the interrupted code, or 0 if the stack does not contain it.
fn interrupted(stack_pointer: usize) -> u32 {
    let stack = stack::end()..=stack::end() + stack::size() - 4 * FRAME_WORDS;
    if !stack.contains(&stack_pointer) || !stack_pointer.is_multiple_of(4) {
        return 0;
    }
    // SAFETY: the word lies within the stack.
    unsafe { ((stack_pointer + 4 * FRAME_RETURN) as *const u32).read_volatile() }
}

/// Prints the cause of a failure, records it for the next start, and resets the board.
fn reset(cause: Cause, text: fmt::Arguments<'_>) -> ! {
    /// Set once this function runs: a failure within it is not reported.
    static IS_RESETTING: AtomicBool = AtomicBool::new(false);
    cortex_m::interrupt::disable();
    watchdog::stop();
    if IS_RESETTING.swap(true, Ordering::Relaxed) {
        SCB::sys_reset();
    }
    let mut line: String<TEXT> = String::new();
    // A text that is too long is truncated.
    let _ = line.write_fmt(text);
    let failures = retained::record_failure(cause, &line);
    log::end_interrupted_frame();
    defmt::error!("{=str}: {=str}", cause.words(), line.as_str());
    console::print_blocking(format_args!("\r\nThe firmware failed ({}): {line}\r\n", cause.words()));
    if failures >= FAILURES_MAX {
        console::print_blocking(format_args!("It failed {failures} times in a row.\r\n"));
        semihosting::exit_with_failure();
    }
    SCB::sys_reset()
}
