//! QEMU's mps2-an505: a Cortex-M33 with TrustZone. Its addresses and its interrupt numbers.
//!
//! Arm DAI 0505 (application note AN505), section 4, and Arm ECM0601256 (IoT Kit); QEMU's `hw/arm/mps2-tz.c` and
//! `hw/arm/armsse.c` follow them.
//!
//! The firmware runs in the secure state. It leaves the security attribution unit off, so every address is secure, and the
//! peripheral protection controllers admit secure accesses only, as after each reset. Each device has two addresses: one
//! in a non-secure range (0x4...), and the same plus 0x1000_0000. Either works; only the secure watchdog has one.

pub(crate) const TIMER0: usize = 0x4000_0000;
pub(crate) const TIMER1: usize = 0x4000_1000;
pub(crate) const UART0: usize = 0x4020_0000;
pub(crate) const UART1: usize = 0x4020_1000;
/// The secure watchdog. The other one, at 0x4008_1000, raises no non-maskable interrupt.
pub(crate) const WATCHDOG: usize = 0x5008_1000;
pub(crate) const LAN9118: usize = 0x4200_0000;

/// The 16 MiB of memory that the emulator backs with a file: PSRAM.
pub(crate) const FLASH: usize = 0x8000_0000;

pub(crate) const UART0_RECEIVED: u16 = 32;
pub(crate) const UART0_SENT: u16 = 33;
pub(crate) const TIMER0_WRAPPED: u16 = 3;
pub(crate) const TIMER1_EXPIRED: u16 = 4;
/// The highest number of an interrupt that this firmware uses.
pub(crate) const ETHERNET: u16 = 48;

/// The clock of timers, UARTs and watchdog, in MHz.
pub(crate) const CLOCK_MHZ: u32 = 20;

/// Does nothing: this core has a stack limit, and cortex-m-rt sets it.
pub(crate) fn guard_stack() {}
