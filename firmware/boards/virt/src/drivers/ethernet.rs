//! The network device: a VirtIO network card on one of the machine's eight MMIO slots.
//!
//! ```text
//! card ──► one of 8 receive buffers ──► the driver's buffer ──► embassy-net
//! embassy-net ──► the driver's buffer ──► one of 4 send buffers ──► card
//! ```
//!
//! `virtio-drivers` keeps the queues, in four pages of memory that the card reads and writes. Virtual I/O Device (VIRTIO)
//! 1.2, sections 4.2 and 5.1. Addresses of the slots: QEMU's `hw/riscv/virt.c`.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use static_cell::ConstStaticCell;
use virtio_drivers::device::net::VirtIONetRaw;
use virtio_drivers::transport::mmio::{MmioTransport, VirtIOHeader};
use virtio_drivers::transport::{DeviceType, Transport};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};
use waft_board::emulator::Registers;
use waft_board::emulator::ethernet::{self, Controller, FRAME};

use super::interrupts::Source;

const SLOTS: usize = 0x1000_1000;
const SLOT_SIZE: usize = 0x1000;
const NUMBER_OF_SLOTS: usize = 8;
/// Registers of a slot: the pending interrupts, and those to acknowledge.
const INTERRUPT_STATUS: usize = 0x60;
const INTERRUPT_ACKNOWLEDGE: usize = 0x64;

/// The number of buffers in each direction, and of entries in each queue.
const RECEIVE_BUFFERS: usize = 8;
const SEND_BUFFERS: usize = 4;
const QUEUE: usize = 8;
/// Bytes of a buffer: a frame with the header of VirtIO, and at least what `virtio-drivers` asks for.
const BUFFER: usize = 1536;
/// The pages of both queues.
const PAGES: usize = 4;

/// The Ethernet device.
pub type Ethernet = ethernet::Ethernet<Card>;

type Buffer = [u8; BUFFER];

/// A buffer, and the request to the card that uses it.
struct Slot {
    buffer: &'static mut Buffer,
    /// The token of the request, and the length of the buffer's part that belongs to it.
    request: Option<(u16, usize)>,
}

/// A network card.
pub struct Card {
    net: VirtIONetRaw<Memory, MmioTransport<'static>, QUEUE>,
    receive: [Slot; RECEIVE_BUFFERS],
    send: [Slot; SEND_BUFFERS],
}

/// The address of the card's slot, for the interrupt handler.
static SLOT: AtomicUsize = AtomicUsize::new(0);

/// The Ethernet device, with the card and its interrupt turned on. Call it once.
pub fn take() -> &'static mut Ethernet {
    static DEVICE: static_cell::StaticCell<Ethernet> = static_cell::StaticCell::new();
    DEVICE.init(ethernet::Ethernet::new(Card::start()))
}

impl Card {
    fn start() -> Self {
        static RECEIVE: ConstStaticCell<[Buffer; RECEIVE_BUFFERS]> =
            ConstStaticCell::new([[0; BUFFER]; RECEIVE_BUFFERS]);
        static SEND: ConstStaticCell<[Buffer; SEND_BUFFERS]> = ConstStaticCell::new([[0; BUFFER]; SEND_BUFFERS]);
        let (number, transport) = (0..NUMBER_OF_SLOTS)
            .find_map(|number| network_card(number).map(|transport| (number, transport)))
            .expect("the emulator was started with a network card");
        SLOT.store(SLOTS + number * SLOT_SIZE, Ordering::Relaxed);
        let net = VirtIONetRaw::new(transport).expect("the card has two queues of eight entries");
        let slot = |buffer| Slot { buffer, request: None };
        let mut card =
            Self { net, receive: RECEIVE.take().each_mut().map(slot), send: SEND.take().each_mut().map(slot) };
        (0..RECEIVE_BUFFERS).for_each(|index| card.offer(index));
        Source::Virtio(number as u32).enable();
        card
    }

    /// Offers a receive buffer to the card.
    fn offer(&mut self, index: usize) {
        let Slot { buffer, request } = &mut self.receive[index];
        // SAFETY: nothing accesses the buffer until `receive` has completed the request.
        let token = unsafe { self.net.receive_begin(&mut buffer[..]) };
        *request = Some((token.expect("the queue has an entry for each buffer"), BUFFER));
    }

    /// Takes back the send buffers with whose frames the card is done.
    fn reclaim(&mut self) {
        while let Some(token) = self.net.poll_transmit() {
            let slot = self.send.iter_mut().find(|slot| slot.request.is_some_and(|(used, _)| used == token));
            let Some(Slot { buffer, request }) = slot else { return };
            let length = request.take().map_or(0, |(_, length)| length);
            // SAFETY: it is the same part of the same buffer as in `send`.
            if unsafe { self.net.transmit_complete(token, &buffer[..length]) }.is_err() {
                return;
            }
        }
    }
}

impl Controller for Card {
    /// The card keeps further frames in the emulator, but the TCP window is smaller than this many.
    const BURST: usize = RECEIVE_BUFFERS;

    fn address(&self) -> [u8; 6] {
        self.net.mac_address()
    }

    fn receive(&mut self, frame: &mut [u8; FRAME]) -> Option<usize> {
        loop {
            let token = self.net.poll_receive()?;
            let index = self.receive.iter().position(|slot| slot.request.is_some_and(|(used, _)| used == token))?;
            let Slot { buffer, request } = &mut self.receive[index];
            *request = None;
            // SAFETY: it is the same buffer as in `offer`.
            let received = unsafe { self.net.receive_complete(token, &mut buffer[..]) };
            let received = received.ok().and_then(|(header, length)| {
                let content = buffer.get(header..header + length)?;
                frame.get_mut(..length)?.copy_from_slice(content);
                Some(length)
            });
            self.offer(index);
            if received.is_some() {
                return received;
            }
        }
    }

    /// The interrupt is always enabled.
    fn enable_interrupt(&mut self) {}

    /// If all buffers are in use, waits until the emulator has sent one of them.
    fn send(&mut self, frame: &[u8]) {
        let index = loop {
            self.reclaim();
            match self.send.iter().position(|slot| slot.request.is_none()) {
                Some(index) => break index,
                None => core::hint::spin_loop(),
            }
        };
        let Slot { buffer, request } = &mut self.send[index];
        let Ok(header) = self.net.fill_buffer_header(&mut buffer[..]) else { return };
        let length = header + frame.len();
        let Some(content) = buffer.get_mut(header..length) else { return };
        content.copy_from_slice(frame);
        // SAFETY: nothing accesses the buffer until `reclaim` has completed the request.
        *request = unsafe { self.net.transmit_begin(&buffer[..length]) }.ok().map(|token| (token, length));
    }
}

/// The device in a slot, if it is a network card.
fn network_card(number: usize) -> Option<MmioTransport<'static>> {
    let header = NonNull::new((SLOTS + number * SLOT_SIZE) as *mut VirtIOHeader)?;
    // SAFETY: on this machine there is a slot at this address, and this driver is the only one to use it.
    let transport = unsafe { MmioTransport::new(header, SLOT_SIZE) }.ok()?;
    (transport.device_type() == DeviceType::Network).then_some(transport)
}

/// Acknowledges the card's interrupt. Called by its handler.
pub(super) fn acknowledge() {
    // SAFETY: `start` stored the address of the card before it enabled the interrupt. These registers change no memory.
    let card = unsafe { Registers::at(SLOT.load(Ordering::Relaxed)) };
    card.write(INTERRUPT_ACKNOWLEDGE, card.read(INTERRUPT_STATUS));
}

/// The memory that the card and the driver share. Addresses are the same for both.
struct Memory;

/// Pages of memory, aligned as the queues need it.
#[repr(align(4096))]
struct Pages([[u8; PAGE_SIZE]; PAGES]);

// SAFETY: the pages come from a static that is taken only once, in one part after the other, and they begin with zeros.
unsafe impl Hal for Memory {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        static POOL: ConstStaticCell<Pages> = ConstStaticCell::new(Pages([[0; PAGE_SIZE]; PAGES]));
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        static BEGIN: AtomicUsize = AtomicUsize::new(0);
        if let Some(pool) = POOL.try_take() {
            BEGIN.store(pool.0.as_mut_ptr() as usize, Ordering::Relaxed);
        }
        let first = NEXT.fetch_add(pages, Ordering::Relaxed);
        assert!(first + pages <= PAGES, "both queues fit into the pages");
        let begin = BEGIN.load(Ordering::Relaxed) + first * PAGE_SIZE;
        (begin as PhysAddr, NonNull::new(begin as *mut u8).expect("no memory is at address 0"))
    }

    /// Never called: the card is in use until the reset.
    unsafe fn dma_dealloc(_address: PhysAddr, _memory: NonNull<u8>, _pages: usize) -> i32 {
        -1
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, _size: usize) -> NonNull<u8> {
        NonNull::new(address as usize as *mut u8).expect("no device is at address 0")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _direction: BufferDirection) -> PhysAddr {
        buffer.as_ptr().cast::<u8>() as usize as PhysAddr
    }

    unsafe fn unshare(_address: PhysAddr, _buffer: NonNull<[u8]>, _direction: BufferDirection) {}
}
