//! Stack overflow detection.
//!
//! The stack is at the start of RAM, so there is no data below it. On a chip an access there faults; the emulator
//! ignores it, so the memory protection unit has to forbid it.

use cortex_m::peripheral::MPU;

/// The start of the forbidden region below RAM. It has 256 MiB, so that the largest stack frame cannot jump over it.
const BELOW: u32 = 0x1000_0000;
/// `RASR`: a region of 2^(27+1) bytes, enabled. The access permissions stay 0, which forbids every access.
const SIZE_AND_ENABLE: u32 = 27 << 1 | 1;
/// `CTRL`: the unit is enabled, and elsewhere privileged code keeps its default access. It is off in fault handlers.
const ENABLE: u32 = 1 << 2 | 1 << 0;

/// Forbids every access to the region below the stack.
pub(crate) fn start() {
    // SAFETY: this firmware uses nothing in that region.
    unsafe {
        (*MPU::PTR).rbar.write(BELOW | 1 << 4);
        (*MPU::PTR).rasr.write(SIZE_AND_ENABLE);
        (*MPU::PTR).ctrl.write(ENABLE);
    }
    cortex_m::asm::dsb();
    cortex_m::asm::isb();
}
