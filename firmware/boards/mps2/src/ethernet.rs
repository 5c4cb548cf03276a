//! The Ethernet: an SMSC LAN9118, as a driver for embassy-net.
//!
//! Frames are copied between the chip's FIFOs and one buffer each way, by words of 32 bits. Numbers are those of SMSC's
//! data sheet "LAN9118", sections 3.12 and 5.

use core::task::Context;

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState};
use embassy_sync::waitqueue::AtomicWaker;

use crate::interrupts::Interrupt;
use crate::registers::LAN9118;

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

/// Interrupts on, active high, pushing the line.
const CALL: u32 = 0x111;
/// The status FIFO holds a frame.
const RECEIVED: u32 = 1 << 3;
const TX_ON: u32 = 1 << 1;
const BUSY: u32 = 1 << 31;
const READ: u32 = 1 << 30;
/// The frame was received with an error.
const BROKEN: u32 = 1 << 15;
/// A buffer that is a frame's first and last.
const WHOLE: u32 = 1 << 13 | 1 << 12;

/// The MAC's own registers, behind `MAC_CMD`.
const MAC_CR: u32 = 1;
const MAC_HIGH: u32 = 2;
const MAC_LOW: u32 = 3;
const MII_ACCESS: u32 = 6;
const MII_DATA: u32 = 7;
/// Both directions, full duplex.
const MAC_ON: u32 = 1 << 2 | 1 << 3 | 1 << 20;

/// The basic status register of the PHY with address 1.
const PHY_STATUS: u32 = 1 << 11 | 1 << 6;
const PHY_LINK: u32 = 1 << 2;

/// Longest frame, without its checksum, in bytes.
const FRAME: usize = 1514;
const CHECKSUM: usize = 4;
/// Full frames that the chip's receive FIFO, 10,560 bytes, can hold. What comes beyond is lost, so the stack must not
/// invite more; but with less the window shrinks, and with it the speed: to a hundredth for 1.
const BURST: usize = 6;

static CALLED: AtomicWaker = AtomicWaker::new();

/// The Ethernet.
#[derive(Debug)]
pub struct Ethernet {
    received: [u8; FRAME],
    sent: [u8; FRAME],
}

impl Ethernet {
    /// The Ethernet, before it is [started](Self::start).
    pub const fn new() -> Self {
        Self { received: [0; FRAME], sent: [0; FRAME] }
    }

    /// Turns it on.
    pub fn start(&mut self) {
        LAN9118.write(INT_EN, 0);
        LAN9118.write(IRQ_CFG, CALL);
        LAN9118.write(FIFO_INT, 0);
        LAN9118.write(TX_CFG, TX_ON);
        set_mac(MAC_CR, MAC_ON);
        Interrupt::Ethernet.enable();
    }

    /// Moves the next whole frame out of the chip; gives its length.
    fn next(&mut self) -> Option<usize> {
        while waiting() > 0 {
            let status = LAN9118.read(RX_STATUS);
            let length = (status >> 16 & 0x3FFF) as usize;
            match length.checked_sub(CHECKSUM) {
                Some(frame @ 1..=FRAME) if status & BROKEN == 0 => {
                    take(&mut self.received[..frame]);
                    skip(length.div_ceil(4) - frame.div_ceil(4));
                    return Some(frame);
                }
                _ => skip(length.div_ceil(4)),
            }
        }
        None
    }
}

impl Default for Ethernet {
    fn default() -> Self {
        Self::new()
    }
}

impl Driver for Ethernet {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(Received<'_>, Room<'_>)> {
        let length = self.next().or_else(|| {
            CALLED.register(context.waker());
            LAN9118.write(INT_STS, RECEIVED);
            LAN9118.write(INT_EN, RECEIVED);
            // It does not call for what came before it was told to.
            self.next()
        })?;
        Some((Received(&mut self.received[..length]), Room(&mut self.sent)))
    }

    /// Sending takes no time here, so there always is room.
    fn transmit(&mut self, _context: &mut Context<'_>) -> Option<Room<'_>> {
        Some(Room(&mut self.sent))
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

    /// As the chip read it from its EEPROM.
    fn hardware_address(&self) -> HardwareAddress {
        let [a, b, c, d] = mac(MAC_LOW).to_le_bytes();
        let [e, f, ..] = mac(MAC_HIGH).to_le_bytes();
        HardwareAddress::Ethernet([a, b, c, d, e, f])
    }
}

/// A frame that came.
#[derive(Debug)]
pub struct Received<'a>(&'a mut [u8]);

impl embassy_net_driver::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

/// Room for a frame.
#[derive(Debug)]
pub struct Room<'a>(&'a mut [u8; FRAME]);

impl embassy_net_driver::TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let frame = &mut self.0[..length];
        let result = write(frame);
        send(frame);
        result
    }
}

/// Frames in the chip.
fn waiting() -> u32 {
    LAN9118.read(RX_FIFO_INF) >> 16 & 0xFF
}

fn take(frame: &mut [u8]) {
    let (words, rest) = frame.as_chunks_mut();
    for word in words {
        *word = LAN9118.read(RX_DATA).to_le_bytes();
    }
    if !rest.is_empty() {
        rest.copy_from_slice(&LAN9118.read(RX_DATA).to_le_bytes()[..rest.len()]);
    }
}

/// Discards the next words.
fn skip(words: usize) {
    for _ in 0..words {
        LAN9118.read(RX_DATA);
    }
}

fn send(frame: &[u8]) {
    let length = frame.len() as u32;
    LAN9118.write(TX_DATA, WHOLE | length);
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
    // What became of frames before is not asked for, but must not pile up.
    while LAN9118.read(TX_FIFO_INF) >> 16 & 0xFF > 0 {
        LAN9118.read(TX_STATUS);
    }
}

fn mac(register: u32) -> u32 {
    command(BUSY | READ | register);
    LAN9118.read(MAC_DATA)
}

fn set_mac(register: u32, value: u32) {
    LAN9118.write(MAC_DATA, value);
    command(BUSY | register);
}

fn command(command: u32) {
    LAN9118.write(MAC_CMD, command);
    while LAN9118.read(MAC_CMD) & BUSY != 0 {}
}

fn phy_status() -> u32 {
    set_mac(MII_ACCESS, PHY_STATUS);
    mac(MII_DATA)
}

pub(crate) extern "C" fn on_interrupt() {
    LAN9118.write(INT_EN, 0);
    CALLED.wake();
}
