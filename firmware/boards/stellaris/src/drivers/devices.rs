//! The addresses of the devices, their interrupts, and the vector table that assigns each its handler.
//!
//! Addresses and numbers: data sheet of the LM3S6965, tables 3-2 and 2-9; QEMU's `hw/arm/stellaris.c` follows it.

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;
use waft_board::emulator::Registers;

// SAFETY: on this board there is a device at this address, and none of its registers changes memory.
pub(super) const WATCHDOG: Registers = unsafe { Registers::at(0x4000_0000) };
// SAFETY: as above.
pub(super) const UART0: Registers = unsafe { Registers::at(0x4000_C000) };
// SAFETY: as above.
pub(super) const UART1: Registers = unsafe { Registers::at(0x4000_D000) };
// SAFETY: as above.
pub(super) const TIMER0: Registers = unsafe { Registers::at(0x4003_0000) };
// SAFETY: as above.
pub(super) const ETHERNET: Registers = unsafe { Registers::at(0x4004_8000) };

/// The clock of the core and its timers after a reset, in ticks per millisecond.
pub(super) const TICKS_A_MILLISECOND: u32 = 12_500;

/// An interrupt that has a handler in this firmware.
#[derive(Clone, Copy)]
#[repr(u16)]
pub(super) enum Interrupt {
    Uart0 = 5,
    Watchdog = 18,
    Timer0 = 19,
    Ethernet = 42,
}

impl Interrupt {
    /// Enables the interrupt.
    pub(super) fn enable(self) {
        // SAFETY: the caller has set up what the handler uses, and no code relies on an interrupt that stays masked.
        unsafe { NVIC::unmask(self) };
    }
}

// SAFETY: the numbers are indices into the table below, and each interrupt always has the same number.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self as u16
    }
}

const COUNT: usize = 43;

type Handler = unsafe extern "C" fn();

unsafe extern "C" {
    fn DefaultHandler();
    /// Defined in `watchdog`. It never returns.
    fn WatchdogHang();
}

/// The interrupt part of the vector table. cortex-m-rt's linker script expects this name and section.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [Handler; COUNT] = {
    let mut handlers: [Handler; COUNT] = [DefaultHandler; COUNT];
    handlers[Interrupt::Uart0 as usize] = super::uart::on_interrupt;
    handlers[Interrupt::Watchdog as usize] = WatchdogHang;
    handlers[Interrupt::Timer0 as usize] = super::timer::on_alarm;
    handlers[Interrupt::Ethernet as usize] = super::ethernet::on_interrupt;
    handlers
};
