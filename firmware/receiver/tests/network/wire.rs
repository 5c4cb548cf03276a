//! A simulated Ethernet: frames travel from one port to the other, and tests can inject frames.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Waker};

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};

/// The longest frame, without its checksum.
const FRAME: usize = 1514;
/// The number of frames that a port buffers. More are lost, as on a chip.
const HELD: usize = 64;

/// One end of the wire.
#[derive(Clone)]
pub(crate) struct Port {
    here: Rc<Queue>,
    there: Rc<Queue>,
    mac: [u8; 6],
    is_plugged: Rc<Cell<bool>>,
    /// Whether frames are lost silently.
    is_lost: Rc<Cell<bool>>,
    link: Rc<RefCell<Option<Waker>>>,
}

#[derive(Default)]
struct Queue {
    frames: RefCell<VecDeque<Vec<u8>>>,
    waker: RefCell<Option<Waker>>,
}

impl Queue {
    fn push(&self, frame: Vec<u8>) {
        let mut frames = self.frames.borrow_mut();
        if frames.len() < HELD {
            frames.push_back(frame);
        }
        drop(frames);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// Creates a wire between two Ethernet addresses.
pub(crate) fn wire(macs: [[u8; 6]; 2]) -> [Port; 2] {
    let queues: [Rc<Queue>; 2] = Default::default();
    let (is_plugged, is_lost) = (Rc::new(Cell::new(true)), Rc::default());
    [0, 1].map(|end| Port {
        here: queues[end].clone(),
        there: queues[1 - end].clone(),
        mac: macs[end],
        is_plugged: is_plugged.clone(),
        is_lost: Rc::clone(&is_lost),
        link: Rc::default(),
    })
}

impl Port {
    /// Sends a frame to the other end, whatever its source address is.
    pub(crate) fn send(&self, frame: Vec<u8>) {
        if self.is_plugged.get() && !self.is_lost.get() {
            self.there.push(frame);
        }
    }

    /// From now on all frames are lost, as if this end had lost its power.
    pub(crate) fn die(&self) {
        self.is_lost.set(true);
    }

    /// Unplugs the cable, or plugs it in.
    pub(crate) fn plug(&self, is_plugged: bool) {
        self.is_plugged.set(is_plugged);
        if let Some(waker) = self.link.borrow_mut().take() {
            waker.wake();
        }
    }
}

impl Driver for Port {
    type RxToken<'a> = Received;
    type TxToken<'a> = Room;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(Received, Room)> {
        let frame = self.here.frames.borrow_mut().pop_front();
        match frame {
            Some(frame) => Some((Received(frame), Room(self.clone()))),
            None => {
                *self.here.waker.borrow_mut() = Some(context.waker().clone());
                None
            }
        }
    }

    fn transmit(&mut self, _: &mut Context<'_>) -> Option<Room> {
        Some(Room(self.clone()))
    }

    fn link_state(&mut self, context: &mut Context<'_>) -> LinkState {
        *self.link.borrow_mut() = Some(context.waker().clone());
        if self.is_plugged.get() { LinkState::Up } else { LinkState::Down }
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = FRAME;
        // The same as for the chip of the emulated board.
        capabilities.max_burst_size = Some(6);
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.mac)
    }
}

pub(crate) struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, read: F) -> R {
        read(&mut self.0)
    }
}

pub(crate) struct Room(Port);

impl TxToken for Room {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = vec![0; length];
        let result = write(&mut frame);
        self.0.send(frame);
        result
    }
}

/// A SYN with a source address that does not exist.
pub(crate) fn syn(to: ([u8; 6], [u8; 4], u16), from: ([u8; 4], u16)) -> Vec<u8> {
    let ((mac, to, port), (from, source)) = (to, from);
    let mut tcp =
        [&source.to_be_bytes()[..], &port.to_be_bytes(), &[0, 0, 0, 7, 0, 0, 0, 0, 0x50, 2, 4, 0, 0, 0, 0, 0]].concat();
    let pseudo = [&from[..], &to, &[0, 6, 0, 20], &tcp].concat();
    let sum = checksum(&pseudo);
    tcp[16..18].copy_from_slice(&sum);
    let mut ip = [&[0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0][..], &from, &to].concat();
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum);
    [&mac[..], &[2, 0, 0, 0, 0, 99], &[8, 0], &ip, &tcp].concat()
}

/// The Internet checksum of RFC 1071.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |low| u32::from(*low)));
    let sum: u32 = words.sum();
    let folded = (sum & 0xFFFF) + (sum >> 16);
    (!((folded & 0xFFFF) + (folded >> 16)) as u16).to_be_bytes()
}
