//! The interrupts of the devices, and the vector table that assigns each its handler.

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;
use waft_board::emulator::console;

use super::uart::Uart;

use super::machine;

/// An interrupt that has a handler in this firmware.
#[derive(Clone, Copy)]
#[repr(u16)]
pub(crate) enum Interrupt {
    Uart0Received = machine::UART0_RECEIVED,
    Uart0Sent = machine::UART0_SENT,
    Timer0 = machine::TIMER0_WRAPPED,
    Timer1 = machine::TIMER1_EXPIRED,
    Ethernet = machine::ETHERNET,
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

/// Entries of the table. Interrupts with higher numbers stay disabled.
const COUNT: usize = machine::ETHERNET as usize + 1;

type Handler = unsafe extern "C" fn();

unsafe extern "C" {
    fn DefaultHandler();
}

/// The interrupt part of the vector table. cortex-m-rt's linker script expects this name and section.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [Handler; COUNT] = {
    let mut handlers: [Handler; COUNT] = [DefaultHandler; COUNT];
    handlers[Interrupt::Uart0Received as usize] = console::on_received::<Uart>;
    handlers[Interrupt::Uart0Sent as usize] = console::on_sent::<Uart>;
    handlers[Interrupt::Timer0 as usize] = super::timer::on_wrap;
    handlers[Interrupt::Timer1 as usize] = super::timer::on_alarm;
    handlers[Interrupt::Ethernet as usize] = super::ethernet::on_interrupt;
    handlers
};
