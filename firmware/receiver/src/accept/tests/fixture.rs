//! Scripted connections from several addresses, a clock that the tests advance, and a backlog between them.

use core::convert::Infallible;
use core::net::{IpAddr, SocketAddr};
use core::task::Poll;
use std::collections::VecDeque;
use std::rc::Rc;
use std::vec::Vec;
use std::{boxed::Box, cell::RefCell};

use embassy_futures::poll_once;
use embedded_io_async::{ErrorType, Read, Write};
use waft_core::wire::preface::preface;

use crate::accept::*;
use crate::tls::guard::Tcp;

/// A clock that the tests advance.
#[derive(Default)]
pub(super) struct ManualClock(pub(super) Cell<u64>);

impl Clock for ManualClock {
    fn now(&self) -> u64 {
        self.0.get()
    }

    async fn sleep_until(&self, at: u64) {
        poll_fn(|_| if self.0.get() >= at { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

/// How the board ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Closed,
    Reset,
}

/// A peer that sends some bytes when it connects, and nothing afterwards.
pub(super) struct Peer {
    pub(super) from: IpAddr,
    /// Whether it completes the TCP handshake.
    pub(super) establishes: bool,
    pub(super) preface: RefCell<VecDeque<u8>>,
    pub(super) received: RefCell<Vec<u8>>,
    pub(super) end: Cell<Option<End>>,
    /// Whether the peer closes when the board does, or keeps the connection open.
    pub(super) closes: Cell<bool>,
}

/// Peers whose SYN has not reached a socket yet.
pub(super) type Arriving = RefCell<VecDeque<Rc<Peer>>>;

#[derive(Default)]
pub(super) struct TestSocket {
    pub(super) arriving: Rc<Arriving>,
    pub(super) peer: Option<Rc<Peer>>,
}

impl TestSocket {
    fn peer(&self) -> &Peer {
        self.peer.as_ref().expect("a peer is connected")
    }

    fn end(&mut self, end: End) {
        if let Some(peer) = self.peer.take() {
            peer.end.set(Some(end));
        }
    }
}

impl ErrorType for TestSocket {
    type Error = Infallible;
}

impl Read for TestSocket {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        self.readable().await?;
        let mut preface = self.peer().preface.borrow_mut();
        let count = buffer.len().min(preface.len());
        buffer.iter_mut().zip(preface.drain(..count)).for_each(|(place, byte)| *place = byte);
        Ok(count)
    }
}

impl Write for TestSocket {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.peer().received.borrow_mut().extend(bytes);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Tcp for TestSocket {
    async fn readable(&mut self) -> Result<(), Infallible> {
        poll_fn(|_| if self.peer().preface.borrow().is_empty() { Poll::Pending } else { Poll::Ready(Ok(())) }).await
    }
}

impl Socket for TestSocket {
    type Address = SocketAddr;

    async fn listen(&mut self, _: Watch<SocketAddr>) -> ListenEvent<SocketAddr> {
        self.peer = Some(
            poll_fn(|_| match self.arriving.borrow_mut().pop_front() {
                Some(peer) => Poll::Ready(peer),
                None => Poll::Pending,
            })
            .await,
        );
        ListenEvent::Connecting
    }

    async fn establish(&mut self) -> bool {
        poll_fn(|_| if self.peer().establishes { Poll::Ready(true) } else { Poll::Pending }).await
    }

    fn source(&self) -> Option<IpAddr> {
        self.peer.as_ref().map(|peer| peer.from)
    }

    async fn close(&mut self) {
        poll_fn(|_| match &self.peer {
            Some(peer) if !peer.closes.get() => Poll::Pending,
            _ => Poll::Ready(()),
        })
        .await;
        self.end(End::Closed);
    }

    fn abort(&mut self) {
        self.end(End::Reset);
    }
}

/// A board with `N - 1` sockets for sessions, and the last one, which only refuses.
pub(super) struct Fixture<const N: usize> {
    pub(super) backlog: Backlog<'static, TestSocket, ManualClock, N>,
    pub(super) clock: &'static ManualClock,
    pub(super) arriving: Rc<Arriving>,
}

impl Fixture<3> {
    pub(super) fn new() -> Self {
        Self::with_sockets()
    }
}

impl<const N: usize> Fixture<N> {
    pub(super) fn with_sockets() -> Self {
        let clock: &ManualClock = Box::leak(Box::default());
        let arriving = Rc::<Arriving>::default();
        let sockets = [(); N].map(|()| TestSocket { arriving: arriving.clone(), peer: None });
        let (state, address) = (Box::leak(Box::new(OperatorState::new())), Box::leak(Box::default()));
        Self { backlog: Backlog::new(Box::leak(Box::new(sockets)), clock, state, address), clock, arriving }
    }

    /// Lets a peer with this address connect and send the preface.
    pub(super) fn connects(&self, last: u8) -> Rc<Peer> {
        self.arrives(last, true, &preface())
    }

    /// Lets a peer begin to connect and, if it `establishes` the connection, send these bytes.
    pub(super) fn arrives(&self, last: u8, establishes: bool, preface: &[u8]) -> Rc<Peer> {
        let preface = RefCell::new(preface.iter().copied().collect());
        let from = [192, 0, 2, last].into();
        let (received, end, closes) = (RefCell::default(), Cell::default(), Cell::new(true));
        let peer = Rc::new(Peer { from, establishes, preface, received, end, closes });
        self.arriving.borrow_mut().push_back(peer.clone());
        peer
    }

    pub(super) fn passes(&self, milliseconds: u64) {
        self.clock.0.update(|now| now + milliseconds);
    }

    /// Polls until the board has nothing left to do now. Returns the connection that may have the next session, if any.
    pub(super) fn next(&mut self) -> Option<usize> {
        let mut next = pin!(self.backlog.next(|| false));
        (0..20).find_map(|_| match poll_once(next.as_mut()) {
            Poll::Ready(at) => Some(at),
            Poll::Pending => None,
        })
    }

    /// Waits for the next session for that time, in one future, as the receiver does: what has a deadline must wake it.
    /// Returns whether a connection may have a session by then.
    pub(super) fn waits(&mut self, milliseconds: u64) -> bool {
        let clock = self.clock;
        let mut next = pin!(self.backlog.next(|| false));
        (0..=milliseconds).any(|millisecond| {
            clock.0.update(|now| now + u64::from(millisecond > 0));
            (0..20).any(|_| poll_once(next.as_mut()).is_ready())
        })
    }

    /// Whether this peer may have the next session.
    pub(super) fn is_next(&mut self, peer: &Rc<Peer>) -> bool {
        let at = self.next().expect("a connection may have a session");
        let socket = self.backlog.connections[at].socket.as_ref();
        socket.and_then(|socket| socket.peer.as_ref()).is_some_and(|next| Rc::ptr_eq(next, peer))
    }

    /// Runs a session whose handshake uses `cost` milliseconds of processor time and then fails.
    pub(super) fn fails(&mut self, cost: u64) {
        let at = self.next().expect("a connection may have a session");
        let clock = self.clock;
        let session = async |_: &mut TestSocket, _: &ActiveSession| clock.0.update(|now| now + cost);
        assert!(poll_once(self.backlog.serve(at, session)).is_ready());
    }

    /// Runs a session whose peer stays silent. Returns the milliseconds after which it was ended, or `None` after
    /// `most`.
    pub(super) fn keeps_waiting(&mut self, most: u64) -> Option<u64> {
        let at = self.next().expect("a connection may have a session");
        let (clock, begun) = (self.clock, self.clock.now());
        let mut held = pin!(self.backlog.serve(at, async |_: &mut TestSocket, _: &ActiveSession| pending().await));
        loop {
            if (0..20).any(|_| poll_once(held.as_mut()).is_ready()) {
                return Some(clock.now() - begun);
            }
            if clock.now() - begun >= most {
                return None;
            }
            clock.0.update(|now| now + 1);
        }
    }
}
