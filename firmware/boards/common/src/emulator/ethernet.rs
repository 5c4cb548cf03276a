//! An Ethernet device as a driver for embassy-net: one buffer for each direction, between embassy-net and the controller.
//!
//! A board implements [`Controller`] for its chip, and calls [`on_interrupt`] when the controller has received a frame.

use core::task::Context;

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState};
use embassy_sync::waitqueue::AtomicWaker;

/// The longest frame without its checksum, in bytes.
pub const FRAME: usize = 1514;

static INTERRUPTED: AtomicWaker = AtomicWaker::new();

/// A controller of an Ethernet.
pub trait Controller {
    /// The number of full frames that the controller holds. Frames beyond that are lost, so the TCP window must not allow
    /// more of them. A smaller number shrinks the window and with it the speed: with 1, to a hundredth.
    const BURST: usize;

    /// The address of the device.
    fn address(&self) -> [u8; 6];

    /// Whether the link is up.
    fn is_link_up(&mut self) -> bool {
        true
    }

    /// Moves the next received frame into the buffer, and returns its length. Frames with errors and frames that are too
    /// long are dropped.
    fn receive(&mut self, frame: &mut [u8; FRAME]) -> Option<usize>;

    /// Enables the interrupt for received frames. A frame that is there already may raise none.
    fn enable_interrupt(&mut self);

    /// Sends a frame.
    fn send(&mut self, frame: &[u8]);
}

/// An Ethernet device, with a buffer for each direction.
#[derive(Debug)]
pub struct Ethernet<C> {
    controller: C,
    received: [u8; FRAME],
    sent: [u8; FRAME],
}

impl<C: Controller> Ethernet<C> {
    /// The device with this controller, which has been turned on.
    pub const fn new(controller: C) -> Self {
        Self { controller, received: [0; FRAME], sent: [0; FRAME] }
    }
}

/// Wakes the task that waits for frames. Call it as the interrupt handler, with the controller's interrupt disabled or
/// acknowledged.
pub fn on_interrupt() {
    INTERRUPTED.wake();
}

impl<C: Controller> Driver for Ethernet<C> {
    type RxToken<'a>
        = RxFrame<'a>
    where
        C: 'a;
    type TxToken<'a>
        = TxBuffer<'a, C>
    where
        C: 'a;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(RxFrame<'_>, TxBuffer<'_, C>)> {
        let Self { controller, received, sent } = self;
        let length = controller.receive(received).or_else(|| {
            INTERRUPTED.register(context.waker());
            controller.enable_interrupt();
            // A frame that arrived before the interrupt was enabled raises no interrupt.
            controller.receive(received)
        })?;
        Some((RxFrame(&mut received[..length]), TxBuffer(controller, sent)))
    }

    /// Always has room: a frame is passed to the controller as soon as it is complete.
    fn transmit(&mut self, _context: &mut Context<'_>) -> Option<TxBuffer<'_, C>> {
        Some(TxBuffer(&mut self.controller, &mut self.sent))
    }

    fn link_state(&mut self, _context: &mut Context<'_>) -> LinkState {
        if self.controller.is_link_up() { LinkState::Up } else { LinkState::Down }
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = FRAME;
        capabilities.max_burst_size = Some(C::BURST);
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.controller.address())
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
pub struct TxBuffer<'a, C>(&'a mut C, &'a mut [u8; FRAME]);

impl<C: Controller> embassy_net_driver::TxToken for TxBuffer<'_, C> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let frame = &mut self.1[..length];
        let result = write(frame);
        self.0.send(frame);
        result
    }
}
