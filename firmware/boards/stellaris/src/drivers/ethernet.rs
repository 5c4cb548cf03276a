//! The Ethernet controller of the LM3S6965.
//!
//! It copies frames between the controller's FIFOs and the buffers of the driver, in words of 32 bits. Register
//! numbers and bits: data sheet of the LM3S6965, section 15.5.
//!
//! ```text
//! receive FIFO    length of all 2   frame   checksum 4   padding to a word
//! transmit FIFO   payload length 2  frame                padding to a word; the controller adds the checksum
//! ```
//!
//! The emulator does not model the PHY, so the link is always up.

use static_cell::ConstStaticCell;
use waft_board::emulator::ethernet::{self, Controller, FRAME};

use super::devices::{ETHERNET, Interrupt};

const INTERRUPT: usize = 0x00;
const INTERRUPT_MASK: usize = 0x04;
const RECEIVE_CONTROL: usize = 0x08;
const TRANSMIT_CONTROL: usize = 0x0C;
const DATA: usize = 0x10;
const ADDRESS_LOW: usize = 0x14;
const ADDRESS_HIGH: usize = 0x18;
const PACKETS: usize = 0x34;
const TRANSMIT: usize = 0x38;

/// A frame was received.
const RECEIVED: u32 = 1 << 0;
/// `RECEIVE_CONTROL`: clears the FIFO, rejects frames with a wrong checksum, enabled.
const RECEIVE_ON: u32 = 1 << 4 | 1 << 3 | 1 << 0;
/// `TRANSMIT_CONTROL`: full duplex, adds the checksum, pads short frames, enabled.
const TRANSMIT_ON: u32 = 1 << 4 | 1 << 2 | 1 << 1 | 1 << 0;

/// The bytes in the FIFO before a frame.
const LENGTH: usize = 2;
/// The bytes in the FIFO before and after a received frame.
const AROUND: usize = LENGTH + 4;
/// The destination, the source and the type of a frame, which its payload length does not count.
const HEADER: usize = 14;

/// The Ethernet device.
pub type Ethernet = ethernet::Ethernet<Lm3s>;

/// The controller.
#[derive(Debug)]
pub struct Lm3s(());

/// The Ethernet device, with the controller and its interrupt turned on. Call it once.
pub fn take() -> &'static mut Ethernet {
    static BUFFERS: ConstStaticCell<Ethernet> = ConstStaticCell::new(Ethernet::new(Lm3s(())));
    ETHERNET.write(INTERRUPT_MASK, 0);
    ETHERNET.write(RECEIVE_CONTROL, RECEIVE_ON);
    ETHERNET.write(TRANSMIT_CONTROL, TRANSMIT_ON);
    Interrupt::Ethernet.enable();
    BUFFERS.take()
}

impl Controller for Lm3s {
    /// The emulator's FIFO holds 31 full frames, the chip's only one; the TCP window is smaller than this many.
    const BURST: usize = 4;

    /// The address that the emulator stored in the controller.
    fn address(&self) -> [u8; 6] {
        let [a, b, c, d] = ETHERNET.read(ADDRESS_LOW).to_le_bytes();
        let [e, f, ..] = ETHERNET.read(ADDRESS_HIGH).to_le_bytes();
        [a, b, c, d, e, f]
    }

    fn receive(&mut self, received: &mut [u8; FRAME]) -> Option<usize> {
        while ETHERNET.read(PACKETS) > 0 {
            let [low, high, first, second] = ETHERNET.read(DATA).to_le_bytes();
            let length = usize::from(u16::from_le_bytes([low, high]));
            // One word was read. The FIFO goes on with the next frame once the last word of this one was read.
            let rest = length.div_ceil(4).saturating_sub(1);
            let frame = length.saturating_sub(AROUND);
            if !(HEADER..=FRAME).contains(&frame) {
                skip_words(rest);
                continue;
            }
            let (start, others) = received[..frame].split_at_mut(LENGTH);
            start.copy_from_slice(&[first, second]);
            let read = read_words(others);
            skip_words(rest - read);
            return Some(frame);
        }
        None
    }

    fn enable_interrupt(&mut self) {
        ETHERNET.write(INTERRUPT, RECEIVED);
        ETHERNET.write(INTERRUPT_MASK, RECEIVED);
    }

    fn send(&mut self, frame: &[u8]) {
        send(frame);
    }
}

/// Fills `bytes` from the FIFO, and returns the number of words that were read.
fn read_words(bytes: &mut [u8]) -> usize {
    for word in bytes.chunks_mut(4) {
        let read = ETHERNET.read(DATA).to_le_bytes();
        word.copy_from_slice(&read[..word.len()]);
    }
    bytes.len().div_ceil(4)
}

/// Discards the next words.
fn skip_words(words: usize) {
    for _ in 0..words {
        ETHERNET.read(DATA);
    }
}

/// Sends a frame of at least [`HEADER`] bytes.
fn send(frame: &[u8]) {
    let [low, high] = (frame.len().saturating_sub(HEADER) as u16).to_le_bytes();
    let (start, others) = frame.split_at(LENGTH);
    ETHERNET.write(DATA, u32::from_le_bytes([low, high, start[0], start[1]]));
    for bytes in others.chunks(4) {
        let mut word = [0; 4];
        word[..bytes.len()].copy_from_slice(bytes);
        ETHERNET.write(DATA, u32::from_le_bytes(word));
    }
    ETHERNET.write(TRANSMIT, 1);
}

pub(super) extern "C" fn on_interrupt() {
    ETHERNET.write(INTERRUPT_MASK, 0);
    ethernet::on_interrupt();
}
