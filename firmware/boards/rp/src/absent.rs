//! A network device that may be absent, for example because its chip does not answer. Without it, the console and the
//! folder in the flash still work.

use core::task::Context;

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState};

/// The address of an absent device. It is never sent.
const ADDRESS: HardwareAddress = HardwareAddress::Ethernet([0b10, 0, 0, 0, 0, 0]);
/// Bytes of an Ethernet frame without its check sequence.
const FRAME: usize = 1514;

/// A network device, or an absent one, whose link is always down.
#[derive(Debug)]
pub struct Optional<D>(pub Option<D>);

impl<D: Driver> Driver for Optional<D> {
    type RxToken<'a>
        = D::RxToken<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = D::TxToken<'a>
    where
        Self: 'a;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        self.0.as_mut()?.receive(context)
    }

    fn transmit(&mut self, context: &mut Context<'_>) -> Option<Self::TxToken<'_>> {
        self.0.as_mut()?.transmit(context)
    }

    fn link_state(&mut self, context: &mut Context<'_>) -> LinkState {
        self.0.as_mut().map_or(LinkState::Down, |device| device.link_state(context))
    }

    fn capabilities(&self) -> Capabilities {
        self.0.as_ref().map(D::capabilities).unwrap_or_else(|| {
            let mut none = Capabilities::default();
            none.max_transmission_unit = FRAME;
            none
        })
    }

    fn hardware_address(&self) -> HardwareAddress {
        self.0.as_ref().map_or(ADDRESS, D::hardware_address)
    }
}

#[cfg(test)]
mod tests {
    use core::task::Waker;

    use embassy_net_driver::{RxToken, TxToken};

    use super::*;

    const PRESENT: HardwareAddress = HardwareAddress::Ethernet([2, 3, 4, 5, 6, 7]);

    /// A device that always has a frame, whose length is 3.
    struct Device;
    struct Received;
    struct ToSend;

    impl RxToken for Received {
        fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, take: F) -> R {
            take(&mut [0; 3])
        }
    }

    impl TxToken for ToSend {
        fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
            fill(&mut std::vec![0; length])
        }
    }

    impl Driver for Device {
        type RxToken<'a> = Received;
        type TxToken<'a> = ToSend;

        fn receive(&mut self, _: &mut Context<'_>) -> Option<(Received, ToSend)> {
            Some((Received, ToSend))
        }

        fn transmit(&mut self, _: &mut Context<'_>) -> Option<ToSend> {
            Some(ToSend)
        }

        fn link_state(&mut self, _: &mut Context<'_>) -> LinkState {
            LinkState::Up
        }

        fn capabilities(&self) -> Capabilities {
            let mut capabilities = Capabilities::default();
            capabilities.max_transmission_unit = 9000;
            capabilities
        }

        fn hardware_address(&self) -> HardwareAddress {
            PRESENT
        }
    }

    #[test]
    fn a_present_device_is_used() {
        let context = &mut Context::from_waker(Waker::noop());
        let mut device = Optional(Some(Device));
        assert_eq!(Some(3), device.receive(context).map(|(frame, _)| frame.consume(|bytes| bytes.len())));
        assert_eq!(Some(7), device.transmit(context).map(|frame| frame.consume(7, |bytes| bytes.len())));
        assert!(device.link_state(context) == LinkState::Up);
        assert_eq!((9000, PRESENT), (device.capabilities().max_transmission_unit, device.hardware_address()));
    }

    #[test]
    fn an_absent_device_has_no_link_and_no_frames() {
        let context = &mut Context::from_waker(Waker::noop());
        let mut device = Optional::<Device>(None);
        assert!(device.receive(context).is_none() && device.transmit(context).is_none());
        assert!(device.link_state(context) == LinkState::Down);
        assert_eq!((FRAME, ADDRESS), (device.capabilities().max_transmission_unit, device.hardware_address()));
    }
}
