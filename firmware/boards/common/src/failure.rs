//! Failure handling: every failure of the firmware is logged, reported at the next start, and ends in a reset.
//!
//! ```text
//! panic -----------------------------+
//! any fault --- HardFault -----------+--> reset: `retained` memory, log, the board's hooks --> reset of the chip
//! watchdog ---- the board's handler -+
//! ```
//!
//! The report of a panic contains the addresses of the innermost calls, which `addr2line` translates to functions, files
//! and lines. Its message and place are not stored: with them an image takes 40 KiB more, for the texts, for the code that
//! formats them, and for the arguments of every check that may panic. The feature `panic-text` adds them.
//!
//! After a stack overflow there is no stack left, so the handler of the fault first resets the stack pointer to the top of
//! the stack. A core of ARMv8-M detects the overflow by its stack limit; for one of ARMv7-M, the memory below the stack must
//! not be accessible.

use core::arch::asm;
use core::cell::Cell;
use core::fmt;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m::peripheral::SCB;
use cortex_m_rt::exception;
use critical_section::Mutex;

use crate::report::Cause;
use crate::{retained, stack};

/// `CFSR`: the stack pointer went below the stack limit. ARMv7-M never sets it.
const OVERFLOW: u32 = 1 << 20;

/// The index of the return address in the frame that the core pushes when it takes an exception.
const FRAME_RETURN: usize = 6;
const FRAME_WORDS: usize = 8;

/// The most calls in the report of a panic. The innermost ones are those of the panic itself.
const CALLS_MAX: usize = 10;

/// What a board does with a failure, with interrupts disabled. A board without hooks stores it, logs it, and resets.
#[derive(Clone, Copy)]
pub struct Hooks {
    /// Called first, and again if handling the failure fails.
    pub begin: fn(),
    /// Called with the failure before the reset.
    pub report: fn(&Failure),
}

/// A failure that ends in a reset.
pub struct Failure {
    /// Why the firmware failed.
    pub cause: Cause,
    /// Where, and how.
    pub text: &'static str,
    /// The number of failures in a row.
    pub in_a_row: u32,
}

static HOOKS: Mutex<Cell<Option<Hooks>>> = Mutex::new(Cell::new(None));

/// Sets what the board does with a failure.
pub fn set_hooks(hooks: Hooks) {
    critical_section::with(|token| HOOKS.borrow(token).set(Some(hooks)));
}

/// Stores and logs a failure, and resets the chip.
pub fn reset(cause: Cause, text: fmt::Arguments<'_>) -> ! {
    /// Set once this function runs: a failure within it is not reported, so that the first report is kept.
    static IS_RESETTING: AtomicBool = AtomicBool::new(false);
    cortex_m::interrupt::disable();
    let hooks = critical_section::with(|token| HOOKS.borrow(token).get());
    if let Some(hooks) = hooks {
        (hooks.begin)();
    }
    if IS_RESETTING.swap(true, Ordering::Relaxed) {
        SCB::sys_reset();
    }
    // SAFETY: interrupts are disabled, and this function never returns.
    let (text, in_a_row) = unsafe { retained::record_failure(cause, text) };
    defmt::error!("{=str}: {=str}", cause.name(), text);
    defmt::flush();
    if let Some(hooks) = hooks {
        (hooks.report)(&Failure { cause, text, in_a_row });
    }
    SCB::sys_reset()
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
/// It is called by a handler that [`last_handler`] defines, with the stack pointer at the time of the exception.
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

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let calls = Calls::innermost();
    // Without the feature nothing may use `info`: only then the linker drops all that panics pass in it.
    if cfg!(feature = "panic-text") {
        let place = info.location().map_or(("", 0), |place| (place.file(), place.line()));
        reset(Cause::Panic, format_args!("{}:{}: {}, {calls}", place.0, place.1, info.message()))
    }
    reset(Cause::Panic, format_args!("{calls}"))
}

/// The innermost calls, from the address of a stack frame.
///
/// ```text
/// frame -> | frame of the caller | return address |
/// ```
///
/// For Cortex-M, Rust keeps the address of the frame in r7.
struct Calls {
    frame: usize,
}

impl Calls {
    /// The calls that led to the caller.
    #[inline(always)]
    fn innermost() -> Self {
        let frame;
        // SAFETY: only a register is read.
        unsafe { asm!("mov {}, r7", out(reg) frame, options(nomem, nostack, preserves_flags)) };
        Self { frame }
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut stack = stack::end()..stack::end() + stack::size();
        let mut frame = self.frame;
        f.write_str("calls")?;
        for _ in 0..CALLS_MAX {
            // Frames of callers lie at higher addresses.
            if !frame.is_multiple_of(4) || !stack.contains(&frame) || !stack.contains(&(frame + 4)) {
                break;
            }
            // SAFETY: both words lie within the stack.
            let [caller, returns_to] = unsafe { (frame as *const [usize; 2]).read_volatile() };
            // The call is the instruction before.
            write!(f, " {:#x}", (returns_to & !1).wrapping_sub(2))?;
            stack.start = frame + 4;
            frame = caller;
        }
        Ok(())
    }
}

#[exception]
unsafe fn DefaultHandler(number: i16) -> ! {
    panic!("interrupt {number} has no handler")
}
