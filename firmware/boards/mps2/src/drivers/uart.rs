//! The driver of a CMSDK APB UART, which buffers one byte in each direction. Arm DDI 0479, section 4.3.

use super::registers::{Registers, TICKS_A_MICROSECOND};

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

/// How many times a full transmitter is polled before a byte is dropped. This is long enough for the slowest line, and
/// ends the wait if the other side reads nothing.
const WRITE_ATTEMPTS: u32 = 1_000_000;

/// A UART.
#[derive(Clone, Copy)]
pub(crate) struct Uart(pub(crate) Registers);

/// An interrupt of a UART.
#[derive(Clone, Copy)]
pub(crate) enum UartInterrupt {
    /// A byte was received.
    Received,
    /// The transmitter has room for a byte.
    Sent,
}

impl UartInterrupt {
    /// The bit in the control register. In the interrupt register the bit is two positions lower.
    fn bit(self) -> u32 {
        match self {
            Self::Received => RECEIVED,
            Self::Sent => SENT,
        }
    }
}

impl Uart {
    /// Turns on the UART, with its interrupts disabled.
    pub(crate) fn start(self) {
        self.0.write(DIVIDER, BAUD);
        self.0.write(CONTROL, TRANSMIT | RECEIVE);
    }

    /// Reads a received byte, if there is one.
    pub(crate) fn read(self) -> Option<u8> {
        (self.0.read(STATE) & RECEIVE_FULL != 0).then(|| self.0.read(DATA) as u8)
    }

    /// Sends a byte. Returns `false` if the transmitter is full.
    pub(crate) fn try_write(self, byte: u8) -> bool {
        let has_room = self.0.read(STATE) & TRANSMIT_FULL == 0;
        if has_room {
            self.0.write(DATA, byte.into());
        }
        has_room
    }

    /// Sends bytes, and polls while the transmitter is full.
    pub(crate) fn write_all(self, bytes: &[u8]) {
        for byte in bytes {
            let _ = (0..WRITE_ATTEMPTS).any(|_| self.try_write(*byte));
        }
    }

    /// Enables or disables an interrupt. Call it only with interrupts disabled or from a handler of this UART, because
    /// both interrupts share the register.
    pub(crate) fn set_enabled(self, interrupt: UartInterrupt, is_enabled: bool) {
        let control = self.0.read(CONTROL);
        self.0.write(CONTROL, if is_enabled { control | interrupt.bit() } else { control & !interrupt.bit() });
    }

    /// Clears an interrupt.
    pub(crate) fn clear(self, interrupt: UartInterrupt) {
        self.0.write(INTERRUPT, interrupt.bit() >> 2);
    }
}
