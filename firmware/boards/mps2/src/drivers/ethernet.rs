//! The Ethernet controller: an SMSC LAN9118.
//!
//! It copies frames between the chip's FIFOs and the buffers of the driver, in words of 32 bits. Register numbers
//! and bits are those of SMSC's data sheet "LAN9118", sections 3.12 and 5.

use static_cell::ConstStaticCell;
use waft_board::emulator::ethernet::{self, Controller, FRAME};

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

const CHECKSUM: usize = 4;

/// The Ethernet device.
pub type Ethernet = ethernet::Ethernet<Lan9118>;

/// The chip.
#[derive(Debug)]
pub struct Lan9118(());

/// The Ethernet device, with the chip and its interrupt turned on. Call it once.
pub fn take() -> &'static mut Ethernet {
    static ETHERNET: ConstStaticCell<Ethernet> = ConstStaticCell::new(Ethernet::new(Lan9118(())));
    LAN9118.write(INT_EN, 0);
    LAN9118.write(IRQ_CFG, IRQ_ON);
    LAN9118.write(FIFO_INT, 0);
    LAN9118.write(TX_CFG, TX_ON);
    write_mac(MAC_CR, MAC_ON);
    Interrupt::Ethernet.enable();
    ETHERNET.take()
}

impl Controller for Lan9118 {
    /// The receive FIFO has 10,560 bytes.
    const BURST: usize = 6;

    /// The address that the chip read from its EEPROM.
    fn address(&self) -> [u8; 6] {
        let [a, b, c, d] = read_mac(ADDRL).to_le_bytes();
        let [e, f, ..] = read_mac(ADDRH).to_le_bytes();
        [a, b, c, d, e, f]
    }

    fn is_link_up(&mut self) -> bool {
        phy_status() & PHY_LINK != 0
    }

    fn receive(&mut self, received: &mut [u8; FRAME]) -> Option<usize> {
        while pending_frames() > 0 {
            let status = LAN9118.read(RX_STATUS);
            let length = (status >> 16 & 0x3FFF) as usize;
            match length.checked_sub(CHECKSUM) {
                Some(frame @ 1..=FRAME) if status & RX_ERROR == 0 => {
                    read_words(&mut received[..frame]);
                    skip_words(length.div_ceil(4) - frame.div_ceil(4));
                    return Some(frame);
                }
                _ => skip_words(length.div_ceil(4)),
            }
        }
        None
    }

    fn enable_interrupt(&mut self) {
        LAN9118.write(INT_STS, RX_READY);
        LAN9118.write(INT_EN, RX_READY);
    }

    fn send(&mut self, frame: &[u8]) {
        send(frame);
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
    ethernet::on_interrupt();
}
