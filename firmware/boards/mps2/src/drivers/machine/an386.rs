//! QEMU's mps2-an386: a Cortex-M4. Its addresses, its interrupt numbers, and its stack guard.
//!
//! Arm DAI 0386 (application note AN386), section 3; QEMU's `hw/arm/mps2.c` follows it.

use cortex_m::peripheral::MPU;

pub(crate) const TIMER0: usize = 0x4000_0000;
pub(crate) const TIMER1: usize = 0x4000_1000;
pub(crate) const UART0: usize = 0x4000_4000;
pub(crate) const UART1: usize = 0x4000_5000;
pub(crate) const WATCHDOG: usize = 0x4000_8000;
pub(crate) const LAN9118: usize = 0x4020_0000;

/// The 16 MiB of memory that the emulator backs with a file: PSRAM.
pub(crate) const FLASH: usize = 0x2100_0000;

pub(crate) const UART0_RECEIVED: u16 = 0;
pub(crate) const UART0_SENT: u16 = 1;
pub(crate) const TIMER0_WRAPPED: u16 = 8;
pub(crate) const TIMER1_EXPIRED: u16 = 9;
/// The highest number of an interrupt that this firmware uses.
pub(crate) const ETHERNET: u16 = 13;

/// The clock of timers, UARTs and watchdog, in MHz.
pub(crate) const CLOCK_MHZ: u32 = 25;

/// The start of the forbidden region below RAM. It has 256 MiB, so that the largest stack frame cannot jump over it.
const BELOW: u32 = 0x1000_0000;
/// `RASR`: a region of 2^(27+1) bytes, enabled. The access permissions stay 0, which forbids every access.
const SIZE_AND_ENABLE: u32 = 27 << 1 | 1;
/// `CTRL`: the unit is enabled, and elsewhere privileged code keeps its default access. It is off in fault handlers.
const ENABLE: u32 = 1 << 2 | 1 << 0;

/// Forbids every access to the region below the stack, so that a stack overflow is detected. The stack is at the start of
/// RAM, so there is no data below it. On a chip an access there faults; the emulator ignores it, so the memory protection
/// unit has to forbid it.
pub(crate) fn guard_stack() {
    // SAFETY: this firmware uses nothing in that region.
    unsafe {
        (*MPU::PTR).rbar.write(BELOW | 1 << 4);
        (*MPU::PTR).rasr.write(SIZE_AND_ENABLE);
        (*MPU::PTR).ctrl.write(ENABLE);
    }
    cortex_m::asm::dsb();
    cortex_m::asm::isb();
}
