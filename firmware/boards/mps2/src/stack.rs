//! The stack: what lies below it faults, and how deep it went can be told.
//!
//! It begins where RAM begins, so that nobody's data lies below. On a chip nothing at all would answer there; the
//! emulator ignores what is written, so the memory protection unit has to forbid it. How deep it went shows the paint
//! that the start-up code put on it.

use cortex_m::peripheral::MPU;
use cortex_m_rt::STACK_PAINT_VALUE;

/// The region below RAM: 256 MiB from here. A frame of any size that goes past the stack ends there.
const BELOW: u32 = 0x1000_0000;
/// The region's size as 2^(n+1) bytes, and that it counts. Its access bits stay 0: nobody may.
const SIZE_AND_ENABLE: u32 = 27 << 1 | 1;
/// The unit works, and privileged code may do everywhere else what it could before. Fault handlers it leaves alone.
const ENABLE: u32 = 1 << 2 | 1 << 0;

unsafe extern "C" {
    static _stack_end: u32;
    static _stack_start: u32;
}

/// Makes what lies below the stack forbidden ground.
pub(crate) fn guard() {
    // SAFETY: the region holds nothing that this firmware uses.
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

/// Bytes of the stack.
pub fn size() -> usize {
    &raw const _stack_start as usize - end()
}

/// Most bytes that were in use at once since the start.
pub fn peak() -> usize {
    let untouched = (0..size()).step_by(4).take_while(|offset| {
        // SAFETY: it lies within the stack's region, which belongs to nobody else; another's frame is read at worst.
        let word = unsafe { ((end() + offset) as *const u32).read_volatile() };
        word == STACK_PAINT_VALUE
    });
    size() - 4 * untouched.count()
}
