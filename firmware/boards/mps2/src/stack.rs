//! Stack overflow detection and the peak usage of the stack.
//!
//! The stack is at the start of RAM, so there is no data below it. On a chip an access there faults; the emulator
//! ignores it, so the memory protection unit has to forbid it. The peak usage is found by the paint that the start-up
//! code writes to the whole stack.

use cortex_m::peripheral::MPU;
use cortex_m_rt::STACK_PAINT_VALUE;

/// The start of the forbidden region below RAM. It has 256 MiB, so that the largest stack frame cannot jump over it.
const BELOW: u32 = 0x1000_0000;
/// `RASR`: a region of 2^(27+1) bytes, enabled. The access permissions stay 0, which forbids every access.
const SIZE_AND_ENABLE: u32 = 27 << 1 | 1;
/// `CTRL`: the unit is enabled, and elsewhere privileged code keeps its default access. It is off in fault handlers.
const ENABLE: u32 = 1 << 2 | 1 << 0;

unsafe extern "C" {
    static _stack_end: u32;
    static _stack_start: u32;
}

/// Forbids every access to the region below the stack.
pub(crate) fn guard() {
    // SAFETY: this firmware uses nothing in that region.
    unsafe {
        (*MPU::PTR).rbar.write(BELOW | 1 << 4);
        (*MPU::PTR).rasr.write(SIZE_AND_ENABLE);
        (*MPU::PTR).ctrl.write(ENABLE);
    }
    cortex_m::asm::dsb();
    cortex_m::asm::isb();
}

/// The lowest address of the stack.
pub(crate) fn end() -> usize {
    &raw const _stack_end as usize
}

/// The size of the stack, in bytes.
pub fn size() -> usize {
    &raw const _stack_start as usize - end()
}

/// The largest number of bytes in use at once since the start.
pub fn peak() -> usize {
    let untouched = (0..size()).step_by(4).take_while(|offset| {
        // SAFETY: the address is within the stack, and reading a word of any stack frame does no harm.
        let word = unsafe { ((end() + offset) as *const u32).read_volatile() };
        word == STACK_PAINT_VALUE
    });
    size() - 4 * untouched.count()
}
