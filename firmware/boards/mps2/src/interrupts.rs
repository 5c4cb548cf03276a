//! The interrupts by which devices call, and the table that says who answers.

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;

/// An interrupt that something here answers.
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
    /// Lets the device call.
    pub(crate) fn enable(self) {
        // SAFETY: whoever enables one has set up what its handler uses, and no code relies on an interrupt that is
        // masked for good.
        unsafe { NVIC::unmask(self) };
    }
}

// SAFETY: the numbers are those of the table below, and always the same for the same interrupt.
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

/// Its place and name are those that cortex-m-rt's linker script looks for.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [Handler; COUNT] = {
    let mut handlers: [Handler; COUNT] = [DefaultHandler; COUNT];
    handlers[Interrupt::Uart0Received as usize] = crate::console::on_received;
    handlers[Interrupt::Uart0Sent as usize] = crate::console::on_sent;
    handlers[Interrupt::Timer0 as usize] = crate::timer::on_wrap;
    handlers[Interrupt::Timer1 as usize] = crate::timer::on_alarm;
    handlers[Interrupt::Ethernet as usize] = crate::ethernet::on_interrupt;
    handlers
};
