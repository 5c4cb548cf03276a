//! A driver that wraps a board's Ethernet driver and protects it from floods: it teaches the TCP/IP stack the Ethernet
//! address of each peer that starts to connect, and limits how many frames the stack receives without a pause.
//!
//! smoltcp 0.13 learns the addresses of its neighbors only by ARP. It sends one ARP request per second, and a socket
//! whose peer is unresolved sends nothing for a second, not even to the next peer. So a few SYNs with false source
//! addresses would block every sender. The SYN itself holds the Ethernet address, so this driver inserts, after each
//! SYN, an ARP reply with the same information:
//!
//! ```text
//! SYN   destination 6, source 6, 08 00, IPv4 header (source at 12, destination at 16), TCP header (flags at 13)
//! ARP   destination 6, source 6, 08 06, 00 01 08 00 06 04, 00 02, sender 6 + 4, target 6 + 4
//! ```
//!
//! An attacker gains nothing by this, because it can send such an ARP reply itself. RFC 826, RFC 9293.
//!
//! smoltcp receives frames as long as the driver has any, and no other task runs meanwhile. If frames arrive faster
//! than smoltcp handles them, this would never end. So after [`BURST`] frames this driver reports none, and wakes its
//! task to continue after the other tasks.

use core::cell::Cell;
use core::task::Context;

use embassy_net::driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken};

/// Bytes of an Ethernet frame with an ARP packet for IPv4.
const ARP_FRAME: usize = 42;
/// Bytes of the Ethernet header.
const ETHERNET_HEADER: usize = 14;

/// The number of frames that are received before other tasks run.
const BURST: u8 = 16;

/// A driver that inserts ARP replies into the received frames, and limits bursts.
#[derive(Debug)]
pub struct FloodGuard<D> {
    inner: D,
    pending_reply: Cell<Option<[u8; ARP_FRAME]>>,
    /// The number of frames that were received since other tasks ran.
    burst: u8,
}

impl<D: Driver> FloodGuard<D> {
    /// Wraps `inner`.
    pub const fn new(inner: D) -> Self {
        Self { inner, pending_reply: Cell::new(None), burst: 0 }
    }
}

impl<D: Driver> Driver for FloodGuard<D> {
    type RxToken<'a>
        = Received<'a, D::RxToken<'a>>
    where
        Self: 'a;
    type TxToken<'a>
        = D::TxToken<'a>
    where
        Self: 'a;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        if let Some(frame) = self.pending_reply.take() {
            return Some((Received::ArpReply(frame), self.inner.transmit(context)?));
        }
        if self.burst == BURST {
            self.burst = 0;
            context.waker().wake_by_ref();
            return None;
        }
        let received = self.inner.receive(context);
        self.burst = if received.is_some() { self.burst + 1 } else { 0 };
        let (frame, tx_token) = received?;
        Some((Received::Frame(frame, &self.pending_reply), tx_token))
    }

    fn transmit(&mut self, context: &mut Context<'_>) -> Option<Self::TxToken<'_>> {
        self.inner.transmit(context)
    }

    fn link_state(&mut self, context: &mut Context<'_>) -> LinkState {
        self.inner.link_state(context)
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn hardware_address(&self) -> HardwareAddress {
        self.inner.hardware_address()
    }
}

/// A received frame.
#[derive(Debug)]
pub enum Received<'a, R> {
    /// A frame from the wrapped driver, and where to store the reply that is made from it.
    Frame(R, &'a Cell<Option<[u8; ARP_FRAME]>>),
    /// An inserted ARP reply.
    ArpReply([u8; ARP_FRAME]),
}

impl<R: RxToken> RxToken for Received<'_, R> {
    fn consume<T, F: FnOnce(&mut [u8]) -> T>(self, read: F) -> T {
        match self {
            Self::Frame(inner, pending_reply) => inner.consume(|frame| {
                pending_reply.set(arp_reply(frame));
                read(frame)
            }),
            Self::ArpReply(mut frame) => read(&mut frame),
        }
    }
}

/// Makes an ARP reply from a SYN. Returns `None` for every other frame.
fn arp_reply(frame: &[u8]) -> Option<[u8; ARP_FRAME]> {
    const SYN: u8 = 0x02;
    const ACK: u8 = 0x10;
    const TCP: u8 = 6;
    let (ethernet, ip) = frame.split_first_chunk::<ETHERNET_HEADER>()?;
    let header = 4 * usize::from(*ip.first()? & 0xF);
    let is_tcp = ethernet[12..] == [0x08, 0x00] && *ip.get(9)? == TCP;
    if !is_tcp || *ip.get(header + 13)? & (SYN | ACK) != SYN {
        return None;
    }
    let (to, from) = ethernet[..12].split_at(6);
    let (source, destination) = ip.get(12..20)?.split_at(4);
    let mut arp = [0; ARP_FRAME];
    let fixed = [0x08, 0x06, 0x00, 0x01, 0x08, 0x00, 6, 4, 0, 2];
    let fields = [to, from, &fixed, from, source, to, destination].into_iter().flatten();
    arp.iter_mut().zip(fields).for_each(|(byte, field)| *byte = *field);
    Some(arp)
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::Arc;
    use std::task::Wake;
    use std::vec::Vec;

    use embassy_net::driver::TxToken;

    use super::*;

    /// A driver with an endless supply of frames.
    struct Flood;

    impl RxToken for Flood {
        fn consume<T, F: FnOnce(&mut [u8]) -> T>(self, read: F) -> T {
            read(&mut [0; 60])
        }
    }

    impl TxToken for Flood {
        fn consume<T, F: FnOnce(&mut [u8]) -> T>(self, length: usize, write: F) -> T {
            write(&mut std::vec![0; length])
        }
    }

    impl Driver for Flood {
        type RxToken<'a> = Self;
        type TxToken<'a> = Self;

        fn receive(&mut self, _: &mut Context<'_>) -> Option<(Self, Self)> {
            Some((Self, Self))
        }

        fn transmit(&mut self, _: &mut Context<'_>) -> Option<Self> {
            Some(Self)
        }

        fn link_state(&mut self, _: &mut Context<'_>) -> LinkState {
            LinkState::Up
        }

        fn capabilities(&self) -> Capabilities {
            Capabilities::default()
        }

        fn hardware_address(&self) -> HardwareAddress {
            HardwareAddress::Ethernet([2; 6])
        }
    }

    /// Counts how many times a task is woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_flood_of_frames_lets_other_tasks_run() {
        let woken = Arc::new(Woken::default());
        let waker = woken.clone().into();
        let (mut driver, mut context) = (FloodGuard::new(Flood), Context::from_waker(&waker));
        for polls in 1..=3 {
            let frames = (0..1_000).take_while(|_| driver.receive(&mut context).is_some()).count();
            assert_eq!(frames, BURST.into());
            assert_eq!(woken.0.load(Ordering::Relaxed), polls, "the driver asks to be polled again");
        }
    }

    fn segment(flags: u8) -> Vec<u8> {
        let mut frame = Vec::from([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 8, 0, 0x45]);
        frame.resize(54, 0);
        frame[23] = 6;
        frame[26..34].copy_from_slice(&[10, 0, 0, 9, 10, 0, 0, 1]);
        frame[47] = flags;
        frame
    }

    #[test]
    fn a_syn_becomes_an_arp_reply() {
        let arp = arp_reply(&segment(0x02)).unwrap();
        assert_eq!(arp[..22], [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
        assert_eq!(arp[22..], [2, 0, 0, 0, 0, 9, 10, 0, 0, 9, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1]);
    }

    #[test]
    fn other_frames_become_none_at_any_length() {
        assert_eq!([arp_reply(&segment(0x12)), arp_reply(&segment(0x10)), arp_reply(&segment(0x04))], [None; 3]);
        let mut other = segment(0x02);
        for length in 0..48 {
            assert_eq!(arp_reply(&other[..length]), None);
        }
        other[23] = 17;
        assert_eq!(arp_reply(&other), None);
        other[14] = 0x4F;
        other[23] = 6;
        assert_eq!(arp_reply(&other), None, "the IPv4 header is longer than the packet");
    }
}
