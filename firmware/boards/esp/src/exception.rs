//! What `waft-board` expects of the board: the reset of the chip, and a report of each exception.

use core::arch::{asm, naked_asm};

/// `mcause`: esp-hal's trap entry found the stack pointer below the memory, and has changed it.
const NO_STACK: usize = 14;
/// The bits of `mcause` with the number of the exception.
const NUMBER: usize = 0x1F;

/// Resets the chip.
#[unsafe(no_mangle)]
fn _waft_restart() -> ! {
    esp_hal::system::software_reset()
}

/// Called by esp-hal's trap entry for each exception. One of them is the watchpoint at the end of the stack, so this goes on
/// at the top of the main stack.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn ExceptionHandler() -> ! {
    naked_asm!("csrr a0, mepc", "la sp, _stack_start", "j {report}", report = sym report)
}

/// Reports an exception. Threads of the radio have stacks of their own, so the stack pointer does not show an overflow, but the
/// cause does.
extern "C" fn report(at: usize) -> ! {
    let cause: usize;
    // SAFETY: only a register is read.
    unsafe { asm!("csrr {}, mcause", out(reg) cause, options(nomem, nostack)) };
    let stack_pointer = if cause & NUMBER == NO_STACK { 0 } else { usize::MAX };
    waft_board::failure::fault(at, stack_pointer)
}
