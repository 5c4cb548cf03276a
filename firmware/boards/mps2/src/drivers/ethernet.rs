//! The Ethernet driver for embassy-net: an SMSC LAN9118.
//!
//! It copies frames between the chip's FIFOs and one buffer for each direction, in words of 32 bits. Register numbers
//! and bits are those of SMSC's data sheet "LAN9118", sections 3.12 and 5.

use core::task::Context;

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState};
use embassy_sync::waitqueue::AtomicWaker;
use static_cell::ConstStaticCell;

use super::interrupts::Interrupt;
use super::registers::LAN9118;

const RX_DATA: usize = 0x00;
const TX_DATA: usize = 0x20;
const RX_STATUS: usize = 0x40;
const TX_STATUS: usize = 0x48;
const IRQ_CFG: usize = 0x54;
const INT_STS: usize = 0x58;
const INT_EN: usize = 0x5C;
const FIFO_INT: usize = 0x68;
const TX_CFG: usize = 0x70;
const RX_FIFO_INF: usize = 0x7C;
const TX_FIFO_INF: usize = 0x80;
const MAC_CMD: usize = 0xA4;
const MAC_DATA: usize = 0xA8;

/// `IRQ_CFG`: interrupts enabled, active high, push-pull.
const IRQ_ON: u32 = 0x111;
/// `INT_STS`: the receive status FIFO holds a frame.
const RX_READY: u32 = 1 << 3;
const TX_ON: u32 = 1 << 1;
const MAC_BUSY: u32 = 1 << 31;
const MAC_READ: u32 = 1 << 30;
/// Receive status: the frame has an error.
const RX_ERROR: u32 = 1 << 15;
/// Transmit command: this buffer is both the first and the last of its frame.
const WHOLE_FRAME: u32 = 1 << 13 | 1 << 12;

/// The MAC's own registers, which are accessed through `MAC_CMD`.
const MAC_CR: u32 = 1;
const ADDRH: u32 = 2;
const ADDRL: u32 = 3;
const MII_ACCESS: u32 = 6;
const MII_DATA: u32 = 7;
/// `MAC_CR`: transmitter and receiver enabled, full duplex.
const MAC_ON: u32 = 1 << 2 | 1 << 3 | 1 << 20;

/// `MII_ACCESS`: the basic status register of the PHY with address 1.
const PHY_STATUS: u32 = 1 << 11 | 1 << 6;
const PHY_LINK: u32 = 1 << 2;

/// The longest frame without its checksum, in bytes.
const FRAME: usize = 1514;
const CHECKSUM: usize = 4;
/// The number of full frames that the chip's receive FIFO of 10,560 bytes can hold. Frames beyond that are lost, so the
/// TCP window must not allow more of them. A smaller number shrinks the window and with it the speed: with 1, to a
/// hundredth.
const BURST: usize = 6;

static INTERRUPTED: AtomicWaker = AtomicWaker::new();

/// The Ethernet device, with a buffer for each direction.
#[derive(Debug)]
pub struct Ethernet {
    received: [u8; FRAME],
    sent: [u8; FRAME],
}

impl Ethernet {
    /// The device, with the chip and its interrupt turned on. Call it once.
    pub fn take() -> &'static mut Self {
        static ETHERNET: ConstStaticCell<Ethernet> =
            ConstStaticCell::new(Ethernet { received: [0; FRAME], sent: [0; FRAME] });
        LAN9118.write(INT_EN, 0);
        LAN9118.write(IRQ_CFG, IRQ_ON);
        LAN9118.write(FIFO_INT, 0);
        LAN9118.write(TX_CFG, TX_ON);
        write_mac(MAC_CR, MAC_ON);
        Interrupt::Ethernet.enable();
        ETHERNET.take()
    }

    /// Moves the next frame without an error out of the chip and returns its length.
    fn receive_frame(&mut self) -> Option<usize> {
        while pending_frames() > 0 {
            let status = LAN9118.read(RX_STATUS);
            let length = (status >> 16 & 0x3FFF) as usize;
            match length.checked_sub(CHECKSUM) {
                Some(frame @ 1..=FRAME) if status & RX_ERROR == 0 => {
                    read_words(&mut self.received[..frame]);
                    skip_words(length.div_ceil(4) - frame.div_ceil(4));
                    return Some(frame);
                }
                _ => skip_words(length.div_ceil(4)),
            }
        }
        None
    }
}

impl Driver for Ethernet {
    type RxToken<'a> = RxFrame<'a>;
    type TxToken<'a> = TxBuffer<'a>;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(RxFrame<'_>, TxBuffer<'_>)> {
        let length = self.receive_frame().or_else(|| {
            INTERRUPTED.register(context.waker());
            LAN9118.write(INT_STS, RX_READY);
            LAN9118.write(INT_EN, RX_READY);
            // A frame that arrived before the interrupt was enabled raises no interrupt.
            self.receive_frame()
        })?;
        Some((RxFrame(&mut self.received[..length]), TxBuffer(&mut self.sent)))
    }

    /// Always has room: a frame is written to the chip as soon as it is complete.
    fn transmit(&mut self, _context: &mut Context<'_>) -> Option<TxBuffer<'_>> {
        Some(TxBuffer(&mut self.sent))
    }

    fn link_state(&mut self, _context: &mut Context<'_>) -> LinkState {
        if phy_status() & PHY_LINK == 0 { LinkState::Down } else { LinkState::Up }
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = FRAME;
        capabilities.max_burst_size = Some(BURST);
        capabilities
    }

    /// The address that the chip read from its EEPROM.
    fn hardware_address(&self) -> HardwareAddress {
        let [a, b, c, d] = read_mac(ADDRL).to_le_bytes();
        let [e, f, ..] = read_mac(ADDRH).to_le_bytes();
        HardwareAddress::Ethernet([a, b, c, d, e, f])
    }
}

/// A received frame.
#[derive(Debug)]
pub struct RxFrame<'a>(&'a mut [u8]);

impl embassy_net_driver::RxToken for RxFrame<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

/// The buffer for a frame to send.
#[derive(Debug)]
pub struct TxBuffer<'a>(&'a mut [u8; FRAME]);

impl embassy_net_driver::TxToken for TxBuffer<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let frame = &mut self.0[..length];
        let result = write(frame);
        send(frame);
        result
    }
}

/// The number of frames that wait in the chip.
fn pending_frames() -> u32 {
    LAN9118.read(RX_FIFO_INF) >> 16 & 0xFF
}

fn read_words(frame: &mut [u8]) {
    let next_word = || LAN9118.read(RX_DATA).to_le_bytes();
    let (words, rest) = frame.as_chunks_mut();
    let (fours, words) = words.as_chunks_mut();
    // Four words at once, because the loop itself takes longer than a read.
    for [a, b, c, d] in fours {
        (*a, *b, *c, *d) = (next_word(), next_word(), next_word(), next_word());
    }
    words.iter_mut().for_each(|word| *word = next_word());
    if !rest.is_empty() {
        rest.copy_from_slice(&LAN9118.read(RX_DATA).to_le_bytes()[..rest.len()]);
    }
}

/// Discards the next words.
fn skip_words(words: usize) {
    for _ in 0..words {
        LAN9118.read(RX_DATA);
    }
}

fn send(frame: &[u8]) {
    let length = frame.len() as u32;
    LAN9118.write(TX_DATA, WHOLE_FRAME | length);
    LAN9118.write(TX_DATA, length);
    let (words, rest) = frame.as_chunks();
    for word in words {
        LAN9118.write(TX_DATA, u32::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        let mut word = [0; 4];
        word[..rest.len()].copy_from_slice(rest);
        LAN9118.write(TX_DATA, u32::from_le_bytes(word));
    }
    // The status of sent frames is not used, but its FIFO must not fill up.
    while LAN9118.read(TX_FIFO_INF) >> 16 & 0xFF > 0 {
        LAN9118.read(TX_STATUS);
    }
}

fn read_mac(register: u32) -> u32 {
    mac_command(MAC_BUSY | MAC_READ | register);
    LAN9118.read(MAC_DATA)
}

fn write_mac(register: u32, value: u32) {
    LAN9118.write(MAC_DATA, value);
    mac_command(MAC_BUSY | register);
}

fn mac_command(command: u32) {
    LAN9118.write(MAC_CMD, command);
    while LAN9118.read(MAC_CMD) & MAC_BUSY != 0 {}
}

fn phy_status() -> u32 {
    write_mac(MII_ACCESS, PHY_STATUS);
    read_mac(MII_DATA)
}

pub(crate) extern "C" fn on_interrupt() {
    LAN9118.write(INT_EN, 0);
    INTERRUPTED.wake();
}
