//! Stack overflow detection on cores of ARMv7-M. Those of ARMv8-M have a stack limit, and another memory protection unit.
//!
//! The stack is at the start of RAM, so there is no data below it. On a chip an access there faults; the emulator
//! ignores it, so the memory protection unit has to forbid it. Its registers: Armv7-M, section B3.5.

use cortex_m::peripheral::MPU;

/// Indices of the unit's registers.
const CTRL: usize = 1;
const RBAR: usize = 3;
const RASR: usize = 4;

/// `RBAR`: the start of the forbidden region below RAM, as region 0. It has 256 MiB, so that the largest stack frame cannot
/// jump over it.
const BELOW: u32 = 0x1000_0000 | 1 << 4;
/// `RASR`: a region of 2^(27+1) bytes, enabled. The access permissions stay 0, which forbids every access.
const SIZE_AND_ENABLE: u32 = 27 << 1 | 1;
/// `CTRL`: the unit is enabled, and elsewhere privileged code keeps its default access. It is off in fault handlers.
const ENABLE: u32 = 1 << 2 | 1 << 0;

/// Forbids every access to the region below the stack. Call it only on a core of ARMv7-M.
pub fn start() {
    let registers = MPU::PTR.cast::<u32>().cast_mut();
    for (register, value) in [(RBAR, BELOW), (RASR, SIZE_AND_ENABLE), (CTRL, ENABLE)] {
        // SAFETY: the unit has a register of 32 bits there, and this firmware uses nothing in the forbidden region.
        unsafe { registers.add(register).write_volatile(value) };
    }
    cortex_m::asm::dsb();
    cortex_m::asm::isb();
}
