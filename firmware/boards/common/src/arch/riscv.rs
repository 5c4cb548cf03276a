//! The part of this crate that depends on the core, for a RISC-V core in machine mode: its registers, its exceptions, and
//! what a stack shows about calls. `cortex_m.rs` has the same functions for a Cortex-M.
//!
//! ```text
//! exception ──► the board's trap entry, on a stack with room ──► fault
//! a timer that nothing restarted ──► the board's trap entry  ──► hang
//! ```
//!
//! A board brings its start-up code, its trap entry and its linker script: esp-hal has its own, and `virt` those of
//! riscv-rt. This crate asks for three things of them:
//!
//! - They define `_waft_restart`, a function without arguments that resets the chip and never returns.
//! - They call [`stack::paint`] before anything that needs much stack, if the start-up code does not paint the stack.
//! - They call [`fault`] for each exception, with the stack pointer set to the top of the stack, because after a stack
//!   overflow nothing is left below it.
//!
//! Numbers and registers: The RISC-V Instruction Set Manual, volume II (privileged architecture), section 3.

use core::arch::asm;

use crate::failure::reset;
use crate::report::Cause;
use crate::stack;

/// What [`stack::paint`] writes to the stack.
pub(crate) const PAINT: u32 = 0xCCCC_CCCC;

/// The bytes below the stack that [`guard_stack`] protects: more than any stack frame has.
const GUARD: usize = 512 << 10;
/// `pmpcfg0`: entry 0 is locked, so that it also restricts machine mode, covers an aligned power of two (NAPOT), and permits
/// nothing.
const LOCKED_NAPOT: usize = 1 << 7 | 3 << 3;

/// `mcause`: a watchpoint, where the chip guards the end of the stack with one.
const BREAKPOINT: usize = 3;
/// `mcause`: accesses that physical memory protection rejects.
const LOAD_FAULT: usize = 5;
const STORE_FAULT: usize = 7;

unsafe extern "Rust" {
    /// Resets the chip. Defined by the board.
    safe fn _waft_restart() -> !;
}

unsafe extern "C" {
    static _waft_code: u16;
    static _waft_code_end: u16;
    static _waft_stack_end: u32;
}

/// The stack pointer.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let pointer;
    // SAFETY: only a register is read.
    unsafe { asm!("mv {}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
    pointer
}

/// The lowest address of the stack that may be used.
#[inline(always)]
pub(crate) fn stack_end() -> usize {
    &raw const _waft_stack_end as usize
}

/// Disables interrupts.
pub(crate) fn disable_interrupts() {
    // SAFETY: only the bit MIE changes, and no code relies on interrupts that stay enabled. The compiler may not move
    // accesses to memory over this.
    unsafe { asm!("csrci mstatus, 8", options(nostack)) };
}

/// Enables interrupts.
///
/// # Safety
/// No code relies on interrupts that stay disabled.
#[cfg(feature = "emulator")]
pub(crate) unsafe fn enable_interrupts() {
    // SAFETY: only the bit MIE changes, which the caller permits.
    unsafe { asm!("csrsi mstatus, 8", options(nostack)) };
}

/// Sleeps until an interrupt is pending, even if interrupts are disabled.
#[cfg(feature = "emulator")]
pub(crate) fn wait_for_interrupt() {
    // SAFETY: the instruction only waits.
    unsafe { asm!("wfi", options(nostack)) };
}

/// Resets the chip.
pub(crate) fn restart() -> ! {
    _waft_restart()
}

/// Calls the host, by semihosting. RISC-V Semihosting, section 2.
///
/// # Safety
/// The parameter is what the operation expects: a value, or the address of a block of values that the host may access.
#[cfg(feature = "emulator")]
pub(crate) unsafe fn call_host(operation: usize, parameter: usize) -> usize {
    let result;
    // SAFETY: the caller promises that the host may access the parameter. The alignment keeps the three instructions, which
    // the emulator recognizes together, in one page.
    unsafe {
        asm!(
            ".option push",
            ".option norvc",
            ".balign 16",
            "slli x0, x0, 0x1f",
            "ebreak",
            "srai x0, x0, 7",
            ".option pop",
            inout("a0") operation => result,
            in("a1") parameter,
            options(nostack),
        );
    }
    result
}

/// Forbids every access to the 512 KiB below the stack, by the first entry of physical memory protection, so that a stack
/// overflow faults. The stack has to begin at a multiple of 512 KiB, and nothing may be in the forbidden area.
pub fn guard_stack() {
    let begin = stack::end() - GUARD;
    assert!(begin.is_multiple_of(GUARD), "the guarded area is aligned to its size");
    let address = begin >> 2 | (GUARD / 8 - 1);
    // SAFETY: this firmware uses nothing in the area. No other entry is in use.
    unsafe { asm!("csrw pmpaddr0, {}", "csrw pmpcfg0, {}", in(reg) address, in(reg) LOCKED_NAPOT, options(nostack)) };
}

/// Reports an exception at the address `at`, at which the stack pointer was `stack_pointer`.
pub fn fault(at: usize, stack_pointer: usize) -> ! {
    let (cause, value): (usize, usize);
    // SAFETY: only registers are read.
    unsafe { asm!("csrr {}, mcause", "csrr {}, mtval", out(reg) cause, out(reg) value, options(nomem, nostack)) };
    let below_stack = stack::end() - GUARD..stack::end();
    let is_overflow = matches!(cause, BREAKPOINT | LOAD_FAULT | STORE_FAULT) && below_stack.contains(&value);
    if stack_pointer < stack::end() || is_overflow {
        let size = stack::size();
        reset(Cause::StackOverflow, format_args!("{size} bytes were not enough"))
    }
    reset(Cause::Fault, format_args!("at {at:#010x}, cause {cause}, value {value:#010x}"))
}

/// Reports that the firmware hangs at the address `at`. For the interrupt of a watchdog.
pub fn hang(at: usize) -> ! {
    reset(Cause::Hang, format_args!("at {at:#010x}"))
}

/// The addresses of the innermost calls: each word of the stack that points behind a call in the program.
///
/// The compiler keeps no frame pointers for this target, so a word that an earlier call left in a frame can be among them.
#[derive(Clone)]
pub(crate) struct Calls {
    /// The address of the next word.
    word: usize,
}

impl Calls {
    /// The calls that led to the caller.
    #[inline(always)]
    pub(crate) fn innermost() -> Self {
        Self { word: stack_pointer().next_multiple_of(4).max(stack::end()) }
    }
}

impl Iterator for Calls {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let words = (self.word..stack::end() + stack::size()).step_by(4);
        // SAFETY: the words lie within the stack.
        let mut words = words.map(|at| (at, unsafe { (at as *const usize).read_volatile() }));
        let (at, call) = words.find_map(|(at, word)| call_before(word).map(|call| (at, call)))?;
        self.word = at + 4;
        Some(call)
    }
}

/// The address of the call that returns to this address, if the program has one there.
fn call_before(returns_to: usize) -> Option<usize> {
    let code = &raw const _waft_code as usize + 4..&raw const _waft_code_end as usize;
    if !code.contains(&returns_to) || !returns_to.is_multiple_of(2) {
        return None;
    }
    // SAFETY: both half words lie within the program.
    let [first, second] = [4, 2].map(|back| u32::from(unsafe { ((returns_to - back) as *const u16).read_volatile() }));
    // c.jal and c.jalr have two bytes.
    if second & 0xE003 == 0x2001 || second & 0xF07F == 0x9002 && second & 0x0F80 != 0 {
        return Some(returns_to - 2);
    }
    // jal and jalr whose return address goes to ra.
    let is_call = matches!(first & 0xFFF, 0x0EF | 0x0E7);
    is_call.then_some(returns_to - 4)
}
