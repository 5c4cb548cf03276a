//! The interrupts of the devices, and the vector table that assigns each its handler.

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;

/// An interrupt that has a handler in this firmware.
#[derive(Clone, Copy)]
#[repr(u16)]
pub(crate) enum Interrupt {
    Uart0Received = 0,
    Uart0Sent = 1,
    Timer0 = 8,
    Timer1 = 9,
    Ethernet = 13,
}

impl Interrupt {
    /// Enables the interrupt.
    pub(crate) fn enable(self) {
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

const COUNT: usize = 32;

type Handler = unsafe extern "C" fn();

unsafe extern "C" {
    fn DefaultHandler();
}

/// The interrupt part of the vector table. cortex-m-rt's linker script expects this name and section.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [Handler; COUNT] = {
    let mut handlers: [Handler; COUNT] = [DefaultHandler; COUNT];
    handlers[Interrupt::Uart0Received as usize] = super::console::on_received;
    handlers[Interrupt::Uart0Sent as usize] = super::console::on_sent;
    handlers[Interrupt::Timer0 as usize] = super::timer::on_wrap;
    handlers[Interrupt::Timer1 as usize] = super::timer::on_alarm;
    handlers[Interrupt::Ethernet as usize] = super::ethernet::on_interrupt;
    handlers
};
