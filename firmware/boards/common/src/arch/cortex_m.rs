//! The part of this crate that depends on the core, for a Cortex-M: its registers, its exceptions, and the frames of its
//! stack. The start-up code is that of cortex-m-rt. `riscv.rs` has the same functions for a RISC-V core.
//!
//! After a stack overflow there is no stack left, so the handler of a fault first resets the stack pointer to the top of
//! the stack. A core of ARMv8-M detects the overflow by its stack limit; for one of ARMv7-M, the memory below the stack must
//! not be accessible.

mod copy;

use core::arch::asm;

use cortex_m::peripheral::SCB;
use cortex_m_rt::exception;

use crate::failure::reset;
use crate::report::Cause;
use crate::stack;

/// What the start-up code writes to the whole stack.
pub(crate) use cortex_m_rt::STACK_PAINT_VALUE as PAINT;

/// `CFSR`: the stack pointer went below the stack limit. ARMv7-M never sets it.
const OVERFLOW: u32 = 1 << 20;

/// The index of the return address in the frame that the core pushes when it takes an exception.
const FRAME_RETURN: usize = 6;
const FRAME_WORDS: usize = 8;

/// The stack pointer.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    cortex_m::register::msp::read() as usize
}

/// The lowest address of the stack.
#[inline(always)]
pub(crate) fn stack_end() -> usize {
    unsafe extern "C" {
        static _stack_end: u32;
    }
    &raw const _stack_end as usize
}

/// Disables interrupts.
pub(crate) fn disable_interrupts() {
    cortex_m::interrupt::disable();
}

/// Enables interrupts.
///
/// # Safety
/// No code relies on interrupts that stay disabled.
#[cfg(feature = "emulator")]
pub(crate) unsafe fn enable_interrupts() {
    // SAFETY: the caller promises it.
    unsafe { cortex_m::interrupt::enable() };
}

/// Sleeps until an interrupt is pending, even if interrupts are disabled.
#[cfg(feature = "emulator")]
pub(crate) fn wait_for_interrupt() {
    cortex_m::asm::wfi();
}

/// Resets the chip.
pub(crate) fn restart() -> ! {
    SCB::sys_reset()
}

/// Calls the host, by semihosting. Arm IHI 0100 (semihosting), section 5.
///
/// # Safety
/// The parameter is what the operation expects: a value, or the address of a block of values that the host may access.
#[cfg(feature = "emulator")]
pub(crate) unsafe fn call_host(operation: usize, parameter: usize) -> usize {
    let result;
    // SAFETY: the caller promises that the host may access the parameter.
    unsafe {
        asm!("bkpt #0xAB", inout("r0") operation => result, in("r1") parameter, options(nostack, preserves_flags))
    };
    result
}

/// Defines an exception handler that calls a function of type `unsafe extern "C" fn(usize) -> !` with the stack pointer at
/// the time of the exception. If little or no stack is left below it, the stack pointer is reset to the top first.
#[macro_export]
macro_rules! last_handler {
    ($(#[$attribute:meta])* $name:ident => $function:path) => {
        $(#[$attribute])*
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name() -> ! {
            core::arch::naked_asm!(
                "mov r0, sp",
                "ldr r1, =_stack_end + 0x800",
                "cmp r0, r1",
                "bhs 1f",
                "ldr r1, =_stack_start",
                "mov sp, r1",
                "1: b {function}",
                function = sym $function,
            )
        }
    };
}

last_handler!(HardFault => fault);

unsafe extern "C" fn fault(stack_pointer: usize) -> ! {
    // SAFETY: only the status register is read.
    let status = unsafe { (*SCB::PTR).cfsr.read() };
    if stack_pointer < stack::end() || status & OVERFLOW != 0 {
        let size = stack::size();
        reset(Cause::StackOverflow, format_args!("{size} bytes were not enough"))
    }
    let at = interrupted(stack_pointer);
    reset(Cause::Fault, format_args!("at {at:#010x}, status {status:#010x}"))
}

/// Reports that the firmware hangs. For the interrupt of a watchdog: `last_handler!(NonMaskableInt => hang)`.
///
/// # Safety
/// It is called by a handler that [`last_handler`](crate::last_handler) defines, with the stack pointer at the time of the
/// exception.
pub unsafe extern "C" fn hang(stack_pointer: usize) -> ! {
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

#[exception]
unsafe fn DefaultHandler(number: i16) -> ! {
    panic!("interrupt {number} has no handler")
}

/// The addresses of the innermost calls, from the address of a stack frame.
///
/// ```text
/// frame -> | frame of the caller | return address |
/// ```
///
/// Rust keeps the address of the frame in r7.
#[derive(Clone)]
pub(crate) struct Calls {
    frame: usize,
    /// The lowest address at which the next frame can be.
    lowest: usize,
}

impl Calls {
    /// The calls that led to the caller.
    #[inline(always)]
    pub(crate) fn innermost() -> Self {
        let frame;
        // SAFETY: only a register is read.
        unsafe { asm!("mov {}, r7", out(reg) frame, options(nomem, nostack, preserves_flags)) };
        Self { frame, lowest: stack::end() }
    }
}

impl Iterator for Calls {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let (stack, frame) = (self.lowest..stack::end() + stack::size(), self.frame);
        if !frame.is_multiple_of(4) || !stack.contains(&frame) || !stack.contains(&(frame + 4)) {
            return None;
        }
        // SAFETY: both words lie within the stack.
        let [caller, returns_to] = unsafe { (frame as *const [usize; 2]).read_volatile() };
        // Frames of callers lie at higher addresses.
        (self.lowest, self.frame) = (frame + 4, caller);
        // The call is the instruction before.
        Some((returns_to & !1).wrapping_sub(2))
    }
}
