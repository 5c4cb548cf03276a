//! The end of the firmware: whatever goes wrong is told, noted, and ends in a reset.
//!
//! ```text
//! panic ------------------------+
//! any fault --- HardFault ------+--> end: log, console, `kept` --> reset
//! watchdog ---- NonMaskableInt -+
//! ```
//!
//! A stack that is too deep leaves RAM at its low end, and the next push is a fault. Its handler begins with the stack
//! at its top again.

use core::arch::naked_asm;
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m::peripheral::SCB;
use cortex_m_rt::exception;
use heapless::String;

use crate::kept::{self, Cause, TEXT};
use crate::{console, log, semihosting, stack, watchdog};

/// So many failures in a row, and the emulator ends: a board that comes back to fail again helps nobody here.
const PATIENCE: u32 = 5;

/// What the core pushes when it takes an exception; the return address is among it.
const FRAME_RETURN: usize = 6;
const FRAME_WORDS: usize = 8;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let place = info.location().map_or(("", 0), |place| (place.file(), place.line()));
    end(Cause::Panic, format_args!("{}:{}: {}", place.0, place.1, info.message()))
}

#[exception]
unsafe fn DefaultHandler(number: i16) -> ! {
    panic!("nobody answers interrupt {number}")
}

/// Gives `fault` the stack pointer as it was. Where little or nothing is left below it, the stack begins anew first.
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

/// The same for the watchdog's call.
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
        end(Cause::StackOverflow, format_args!("{size} bytes were not enough"))
    }
    let at = interrupted(stack_pointer);
    end(Cause::Fault, format_args!("at {at:#010x}, status {status:#010x}"))
}

unsafe extern "C" fn hang(stack_pointer: usize) -> ! {
    let at = interrupted(stack_pointer);
    end(Cause::Hang, format_args!("at {at:#010x}"))
}

/// The address of the code that was interrupted; 0 where the stack does not say.
fn interrupted(stack_pointer: usize) -> u32 {
    let stack = stack::end()..=stack::end() + stack::size() - 4 * FRAME_WORDS;
    if !stack.contains(&stack_pointer) || !stack_pointer.is_multiple_of(4) {
        return 0;
    }
    // SAFETY: the word lies within the stack.
    unsafe { ((stack_pointer + 4 * FRAME_RETURN) as *const u32).read_volatile() }
}

/// Tells why the firmware ends, notes it for the next start, and resets the board.
fn end(cause: Cause, text: fmt::Arguments<'_>) -> ! {
    /// What fails while this runs is not told as well.
    static ENDING: AtomicBool = AtomicBool::new(false);
    cortex_m::interrupt::disable();
    watchdog::stop();
    if ENDING.swap(true, Ordering::Relaxed) {
        SCB::sys_reset();
    }
    let mut line: String<TEXT> = String::new();
    // A long text is cut off.
    let _ = line.write_fmt(text);
    let failures = kept::note(cause, &line);
    log::seize();
    defmt::error!("{=str}: {=str}", cause.words(), line.as_str());
    console::say_now(format_args!("\r\nThe firmware failed ({}): {line}\r\n", cause.words()));
    if failures >= PATIENCE {
        console::say_now(format_args!("It failed {failures} times in a row.\r\n"));
        semihosting::fail();
    }
    SCB::sys_reset()
}
