//! A driver around a board's own, which tells TCP/IP the Ethernet address of each peer that begins to connect, and
//! gives it only so many frames at once.
//!
//! smoltcp 0.13 learns the addresses of its neighbours from ARP alone. It asks for one address a second, and a socket
//! whose peer is not found says nothing for a second, even to the next peer: SYNs from false addresses, and few of
//! them, would keep every sender out. The address stands in the SYN itself. So behind each SYN an ARP reply is put in
//! that says the same:
//!
//! ```text
//! SYN   to 6, from 6, 08 00, IPv4 header (source at 12, destination at 16), TCP header (flags at 13)
//! ARP   to 6, from 6, 08 06, 00 01 08 00 06 04, 00 02, sender 6 + 4, target 6 + 4
//! ```
//!
//! Nobody gets more by it than by sending that reply. RFC 826, RFC 9293.
//!
//! smoltcp takes frames for as long as there are any, and no other task runs meanwhile. Where frames come faster than
//! it can handle them, that would be for ever. So after [`BURST`] frames there seems to be none, and its task is woken
//! again behind the others.

use core::cell::Cell;
use core::task::Context;

use embassy_net::driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken};

/// Bytes of an ARP packet for IPv4 on an Ethernet, with the header before it.
const ARP: usize = 42;
/// Ethernet's header.
const ETHERNET: usize = 14;

/// Frames that are given before other tasks run.
const BURST: u8 = 16;

/// A driver around a board's own.
#[derive(Debug)]
pub struct Neighbours<D> {
    inner: D,
    learned: Cell<Option<[u8; ARP]>>,
    /// Frames that were given since other tasks ran.
    given: u8,
}

impl<D: Driver> Neighbours<D> {
    /// Puts this driver around `inner`.
    pub const fn new(inner: D) -> Self {
        Self { inner, learned: Cell::new(None), given: 0 }
    }
}

impl<D: Driver> Driver for Neighbours<D> {
    type RxToken<'a>
        = Received<'a, D::RxToken<'a>>
    where
        Self: 'a;
    type TxToken<'a>
        = D::TxToken<'a>
    where
        Self: 'a;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        if let Some(frame) = self.learned.take() {
            return Some((Received::Learned(frame), self.inner.transmit(context)?));
        }
        if self.given == BURST {
            self.given = 0;
            context.waker().wake_by_ref();
            return None;
        }
        let received = self.inner.receive(context);
        self.given = if received.is_some() { self.given + 1 } else { 0 };
        let (frame, answer) = received?;
        Some((Received::Frame(frame, &self.learned), answer))
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

/// A frame that came, or what was learned from the one before.
#[derive(Debug)]
pub enum Received<'a, R> {
    /// It came.
    Frame(R, &'a Cell<Option<[u8; ARP]>>),
    /// It was made here.
    Learned([u8; ARP]),
}

impl<R: RxToken> RxToken for Received<'_, R> {
    fn consume<T, F: FnOnce(&mut [u8]) -> T>(self, read: F) -> T {
        match self {
            Self::Frame(inner, learned) => inner.consume(|frame| {
                learned.set(reply(frame));
                read(frame)
            }),
            Self::Learned(mut frame) => read(&mut frame),
        }
    }
}

/// What a SYN says of its sender, as an ARP reply.
fn reply(frame: &[u8]) -> Option<[u8; ARP]> {
    const SYN: u8 = 0x02;
    const ACK: u8 = 0x10;
    const TCP: u8 = 6;
    let (ethernet, ip) = frame.split_first_chunk::<ETHERNET>()?;
    let header = 4 * usize::from(*ip.first()? & 0xF);
    let is_tcp = ethernet[12..] == [0x08, 0x00] && *ip.get(9)? == TCP;
    if !is_tcp || *ip.get(header + 13)? & (SYN | ACK) != SYN {
        return None;
    }
    let (to, from) = ethernet[..12].split_at(6);
    let (source, destination) = ip.get(12..20)?.split_at(4);
    let mut arp = [0; ARP];
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

    /// Frames without end.
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

    /// Counts how often a task is woken.
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
        let (mut driver, mut context) = (Neighbours::new(Flood), Context::from_waker(&waker));
        for polls in 1..=3 {
            let frames = (0..1_000).take_while(|_| driver.receive(&mut context).is_some()).count();
            assert_eq!(frames, BURST.into());
            assert_eq!(woken.0.load(Ordering::Relaxed), polls, "it is polled again behind the others");
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
    fn a_syn_tells_where_its_sender_is() {
        let arp = reply(&segment(0x02)).unwrap();
        assert_eq!(arp[..22], [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
        assert_eq!(arp[22..], [2, 0, 0, 0, 0, 9, 10, 0, 0, 9, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1]);
    }

    #[test]
    fn nothing_else_does_whatever_its_length() {
        assert_eq!([reply(&segment(0x12)), reply(&segment(0x10)), reply(&segment(0x04))], [None; 3]);
        let mut other = segment(0x02);
        for length in 0..48 {
            assert_eq!(reply(&other[..length]), None);
        }
        other[23] = 17;
        assert_eq!(reply(&other), None);
        other[14] = 0x4F;
        other[23] = 6;
        assert_eq!(reply(&other), None, "its header is longer than it is");
    }
}
