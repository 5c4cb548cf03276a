//! One CMSDK APB UART: a byte each way. Arm DDI 0479, section 4.3.

use crate::registers::Registers;

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

/// 115 200 baud from 25 MHz. The emulator does not mind, but asks for 16 at least.
const BAUD: u32 = 217;

/// How often a full transmitter is looked at before a byte is given up: long enough for the slowest line, and an end if
/// nobody takes anything.
const PATIENCE: u32 = 1_000_000;

/// A UART.
#[derive(Clone, Copy)]
pub(crate) struct Uart(pub(crate) Registers);

/// An interrupt of a UART.
#[derive(Clone, Copy)]
pub(crate) enum Call {
    /// A byte came.
    Received,
    /// There is room for the next one.
    Sent,
}

impl Call {
    /// Its bit in the control register; in the interrupt register it lies two below.
    fn bit(self) -> u32 {
        match self {
            Self::Received => RECEIVED,
            Self::Sent => SENT,
        }
    }
}

impl Uart {
    /// Turns it on, without interrupts.
    pub(crate) fn start(self) {
        self.0.write(DIVIDER, BAUD);
        self.0.write(CONTROL, TRANSMIT | RECEIVE);
    }

    /// The byte that came.
    pub(crate) fn take(self) -> Option<u8> {
        (self.0.read(STATE) & RECEIVE_FULL != 0).then(|| self.0.read(DATA) as u8)
    }

    /// Sends a byte; `false`: there is no room yet.
    pub(crate) fn put(self, byte: u8) -> bool {
        let room = self.0.read(STATE) & TRANSMIT_FULL == 0;
        if room {
            self.0.write(DATA, byte.into());
        }
        room
    }

    /// Sends bytes, and waits where there is no room.
    pub(crate) fn put_all(self, bytes: &[u8]) {
        for byte in bytes {
            let _ = (0..PATIENCE).any(|_| self.put(*byte));
        }
    }

    /// Lets the UART call, or not. Only with interrupts off, or from its handler: both use the same register.
    pub(crate) fn let_call(self, call: Call, may: bool) {
        let control = self.0.read(CONTROL);
        self.0.write(CONTROL, if may { control | call.bit() } else { control & !call.bit() });
    }

    /// Says that a call was heard.
    pub(crate) fn heard(self, call: Call) {
        self.0.write(INTERRUPT, call.bit() >> 2);
    }
}
