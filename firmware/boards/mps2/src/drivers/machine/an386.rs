//! QEMU's mps2-an386: a Cortex-M4. Its addresses, its interrupt numbers, and its stack guard.
//!
//! Arm DAI 0386 (application note AN386), section 3; QEMU's `hw/arm/mps2.c` follows it.

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

pub(crate) use waft_board::emulator::guard::start as guard_stack;
