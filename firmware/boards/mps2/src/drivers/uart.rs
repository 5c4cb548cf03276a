//! The driver of a CMSDK APB UART, which buffers one byte in each direction. Arm DDI 0479, section 4.3.

use waft_board::emulator::{self, Registers, UartInterrupt};

use super::interrupts::Interrupt;
use super::registers::{TICKS_A_MICROSECOND, UART0, UART1};

const DATA: usize = 0x0;
const STATE: usize = 0x4;
const CONTROL: usize = 0x8;
const INTERRUPT: usize = 0xC;
const DIVIDER: usize = 0x10;

const TRANSMIT_FULL: u32 = 1 << 0;
const RECEIVE_FULL: u32 = 1 << 1;

const TRANSMIT: u32 = 1 << 0;
const RECEIVE: u32 = 1 << 1;
const SENT: u32 = 1 << 2;
const RECEIVED: u32 = 1 << 3;

/// The divider for 115,200 baud. The emulator ignores the rate but requires a divider of at least 16.
const BAUD: u32 = (TICKS_A_MICROSECOND * 1_000_000 + 57_600) / 115_200;

/// A UART.
#[derive(Clone, Copy, Debug)]
pub struct Uart(Registers);

/// The UART of the log.
pub(crate) const LOG: Uart = Uart(UART1);

/// The bit of an interrupt in the control register. In the interrupt register the bit is two positions lower.
fn bit(interrupt: UartInterrupt) -> u32 {
    match interrupt {
        UartInterrupt::Received => RECEIVED,
        UartInterrupt::Sent => SENT,
    }
}

impl emulator::Uart for Uart {
    const CONSOLE: Self = Self(UART0);

    fn start(self) {
        self.0.write(DIVIDER, BAUD);
        self.0.write(CONTROL, TRANSMIT | RECEIVE);
    }

    fn unmask(self) {
        Interrupt::Uart0Received.enable();
        Interrupt::Uart0Sent.enable();
    }

    fn read(self) -> Option<u8> {
        (self.0.read(STATE) & RECEIVE_FULL != 0).then(|| self.0.read(DATA) as u8)
    }

    fn try_write(self, byte: u8) -> bool {
        let has_room = self.0.read(STATE) & TRANSMIT_FULL == 0;
        if has_room {
            self.0.write(DATA, byte.into());
        }
        has_room
    }

    fn set_enabled(self, interrupt: UartInterrupt, is_enabled: bool) {
        let (control, bit) = (self.0.read(CONTROL), bit(interrupt));
        self.0.write(CONTROL, if is_enabled { control | bit } else { control & !bit });
    }

    fn clear(self, interrupt: UartInterrupt) {
        self.0.write(INTERRUPT, bit(interrupt) >> 2);
    }
}
