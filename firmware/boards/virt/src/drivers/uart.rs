//! The driver of the machine's only UART, a 16550. Its registers have 8 bits each: data sheet of the PC16550D, section 8.

use waft_board::emulator::{self, UartInterrupt};

use super::interrupts::Source;

const BASE: usize = 0x1000_0000;

/// Received bytes when read, bytes to send when written.
const DATA: usize = 0;
const INTERRUPT_ENABLE: usize = 1;
/// The interrupt when read, the control of the FIFOs when written.
const INTERRUPT_IDENTITY: usize = 2;
const FIFO_CONTROL: usize = 2;
const LINE_CONTROL: usize = 3;
const LINE_STATUS: usize = 5;

const RECEIVED: u8 = 1 << 0;
const SENT: u8 = 1 << 1;
const FIFOS_ON: u8 = 1 << 0;
/// 8 data bits, no parity, 1 stop bit.
const FORMAT: u8 = 3;
/// `LINE_STATUS`: a byte was received.
const HAS_DATA: u8 = 1 << 0;
/// `LINE_STATUS`: the transmitter has room.
const HAS_ROOM: u8 = 1 << 5;

/// The UART.
#[derive(Clone, Copy, Debug)]
pub struct Uart;

fn read(register: usize) -> u8 {
    // SAFETY: the UART is at this address, and none of its registers changes memory.
    unsafe { ((BASE + register) as *const u8).read_volatile() }
}

fn write(register: usize, value: u8) {
    // SAFETY: as in `read`.
    unsafe { ((BASE + register) as *mut u8).write_volatile(value) }
}

fn bit(interrupt: UartInterrupt) -> u8 {
    match interrupt {
        UartInterrupt::Received => RECEIVED,
        UartInterrupt::Sent => SENT,
    }
}

impl emulator::Uart for Uart {
    const CONSOLE: Self = Self;

    /// Keeps bytes that were received already. The emulator ignores the rate.
    fn start(self) {
        write(INTERRUPT_ENABLE, 0);
        write(LINE_CONTROL, FORMAT);
        write(FIFO_CONTROL, FIFOS_ON);
    }

    fn unmask(self) {
        Source::Uart.enable();
    }

    fn read(self) -> Option<u8> {
        (read(LINE_STATUS) & HAS_DATA != 0).then(|| read(DATA))
    }

    fn try_write(self, byte: u8) -> bool {
        let has_room = read(LINE_STATUS) & HAS_ROOM != 0;
        if has_room {
            write(DATA, byte);
        }
        has_room
    }

    fn set_enabled(self, interrupt: UartInterrupt, is_enabled: bool) {
        let (enabled, bit) = (read(INTERRUPT_ENABLE), bit(interrupt));
        write(INTERRUPT_ENABLE, if is_enabled { enabled | bit } else { enabled & !bit });
    }

    /// The interrupt for received bytes ends when they are read, the other one when it is identified.
    fn clear(self, interrupt: UartInterrupt) {
        if interrupt == UartInterrupt::Sent {
            read(INTERRUPT_IDENTITY);
        }
    }
}
