//! The driver of the UARTs, a variant of Arm's PL011. Arm DDI 0183, section 3.3. It does not use the FIFOs, so that each
//! byte raises an interrupt.

use waft_board::emulator::{self, Registers, UartInterrupt, console};

use super::devices::{Interrupt, UART0, UART1};

const DATA: usize = 0x00;
const FLAGS: usize = 0x18;
const INTEGER_DIVISOR: usize = 0x24;
const FRACTIONAL_DIVISOR: usize = 0x28;
const LINE_CONTROL: usize = 0x2C;
const CONTROL: usize = 0x30;
const INTERRUPT_MASK: usize = 0x38;
const MASKED_INTERRUPTS: usize = 0x40;
const INTERRUPT_CLEAR: usize = 0x44;

const RECEIVE_EMPTY: u32 = 1 << 4;
const TRANSMIT_FULL: u32 = 1 << 5;
/// `LINE_CONTROL`: words of 8 bits.
const WORD_8: u32 = 0b11 << 5;
/// `CONTROL`: UART, transmitter and receiver enabled.
const ENABLE: u32 = 1 << 9 | 1 << 8 | 1 << 0;

/// The divisor for 115,200 baud at 12.5 MHz: 6 + 50/64. The emulator ignores it.
const BAUD: (u32, u32) = (6, 50);

/// The UART of the log.
pub const LOG: Uart = Uart(UART1);

/// A UART.
#[derive(Clone, Copy, Debug)]
pub struct Uart(Registers);

/// The bit of an interrupt in all interrupt registers.
fn bit(interrupt: UartInterrupt) -> u32 {
    match interrupt {
        UartInterrupt::Received => 1 << 4,
        UartInterrupt::Sent => 1 << 5,
    }
}

impl emulator::Uart for Uart {
    const CONSOLE: Self = Self(UART0);

    fn start(self) {
        let Self(registers) = self;
        registers.write(INTERRUPT_MASK, 0);
        registers.write(INTEGER_DIVISOR, BAUD.0);
        registers.write(FRACTIONAL_DIVISOR, BAUD.1);
        registers.write(LINE_CONTROL, WORD_8);
        registers.write(CONTROL, ENABLE);
    }

    fn unmask(self) {
        Interrupt::Uart0.enable();
    }

    fn read(self) -> Option<u8> {
        (self.0.read(FLAGS) & RECEIVE_EMPTY == 0).then(|| self.0.read(DATA) as u8)
    }

    fn try_write(self, byte: u8) -> bool {
        let has_room = self.0.read(FLAGS) & TRANSMIT_FULL == 0;
        if has_room {
            self.0.write(DATA, byte.into());
        }
        has_room
    }

    fn set_enabled(self, interrupt: UartInterrupt, is_enabled: bool) {
        let (mask, bit) = (self.0.read(INTERRUPT_MASK), bit(interrupt));
        self.0.write(INTERRUPT_MASK, if is_enabled { mask | bit } else { mask & !bit });
    }

    fn clear(self, interrupt: UartInterrupt) {
        self.0.write(INTERRUPT_CLEAR, bit(interrupt));
    }
}

pub(super) extern "C" fn on_interrupt() {
    let raised = UART0.read(MASKED_INTERRUPTS);
    if raised & bit(UartInterrupt::Received) != 0 {
        console::on_received::<Uart>();
    }
    if raised & bit(UartInterrupt::Sent) != 0 {
        console::on_sent::<Uart>();
    }
}
