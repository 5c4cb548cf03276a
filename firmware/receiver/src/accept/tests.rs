//! Tests of the backlog with scripted connections from several addresses and a clock that the tests advance.

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

use super::*;
use crate::tls::guard::Tcp;

/// A clock that the tests advance.
#[derive(Default)]
struct ManualClock(Cell<u64>);

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
enum End {
    Closed,
    Reset,
}

/// A peer that sends some bytes when it connects, and nothing afterwards.
struct Peer {
    from: IpAddr,
    /// Whether it completes the TCP handshake.
    establishes: bool,
    preface: RefCell<VecDeque<u8>>,
    received: RefCell<Vec<u8>>,
    end: Cell<Option<End>>,
    /// Whether the peer closes when the board does, or keeps the connection open.
    closes: Cell<bool>,
}

/// Peers whose SYN has not reached a socket yet.
type Arriving = RefCell<VecDeque<Rc<Peer>>>;

#[derive(Default)]
struct TestSocket {
    arriving: Rc<Arriving>,
    peer: Option<Rc<Peer>>,
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

    async fn listen(&mut self, _: Option<SocketAddr>) -> ListenEvent<SocketAddr> {
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
struct Fixture<const N: usize> {
    backlog: Backlog<'static, TestSocket, ManualClock, N>,
    clock: &'static ManualClock,
    arriving: Rc<Arriving>,
}

impl Fixture<3> {
    fn new() -> Self {
        Self::with_sockets()
    }
}

impl<const N: usize> Fixture<N> {
    fn with_sockets() -> Self {
        let clock: &ManualClock = Box::leak(Box::default());
        let arriving = Rc::<Arriving>::default();
        let sockets = [(); N].map(|()| TestSocket { arriving: arriving.clone(), peer: None });
        let (state, address) = (Box::leak(Box::new(OperatorState::new())), Box::leak(Box::default()));
        Self { backlog: Backlog::new(Box::leak(Box::new(sockets)), clock, state, address), clock, arriving }
    }

    /// Lets a peer with this address connect and send the preface.
    fn connects(&self, last: u8) -> Rc<Peer> {
        self.arrives(last, true, &preface())
    }

    /// Lets a peer begin to connect and, if it `establishes` the connection, send these bytes.
    fn arrives(&self, last: u8, establishes: bool, preface: &[u8]) -> Rc<Peer> {
        let preface = RefCell::new(preface.iter().copied().collect());
        let from = [192, 0, 2, last].into();
        let (received, end, closes) = (RefCell::default(), Cell::default(), Cell::new(true));
        let peer = Rc::new(Peer { from, establishes, preface, received, end, closes });
        self.arriving.borrow_mut().push_back(peer.clone());
        peer
    }

    fn passes(&self, milliseconds: u64) {
        self.clock.0.update(|now| now + milliseconds);
    }

    /// Polls until the board has nothing left to do now. Returns the connection that may have the next session, if any.
    fn next(&mut self) -> Option<usize> {
        let mut next = pin!(self.backlog.next(|| false));
        (0..20).find_map(|_| match poll_once(next.as_mut()) {
            Poll::Ready(at) => Some(at),
            Poll::Pending => None,
        })
    }

    /// Waits for the next session for that time, in one future, as the receiver does: what has a deadline must wake it.
    /// Returns whether a connection may have a session by then.
    fn waits(&mut self, milliseconds: u64) -> bool {
        let clock = self.clock;
        let mut next = pin!(self.backlog.next(|| false));
        (0..=milliseconds).any(|millisecond| {
            clock.0.update(|now| now + u64::from(millisecond > 0));
            (0..20).any(|_| poll_once(next.as_mut()).is_ready())
        })
    }

    /// Whether this peer may have the next session.
    fn is_next(&mut self, peer: &Rc<Peer>) -> bool {
        let at = self.next().expect("a connection may have a session");
        let socket = self.backlog.connections[at].socket.as_ref();
        socket.and_then(|socket| socket.peer.as_ref()).is_some_and(|next| Rc::ptr_eq(next, peer))
    }

    /// Runs a session whose handshake uses `cost` milliseconds of processor time and then fails.
    fn fails(&mut self, cost: u64) {
        let at = self.next().expect("a connection may have a session");
        let clock = self.clock;
        let session = async |_: &mut TestSocket, _: &ActiveSession| clock.0.update(|now| now + cost);
        assert!(poll_once(self.backlog.serve(at, session)).is_ready());
    }

    /// Runs a session whose peer stays silent. Returns the milliseconds after which it was ended, or `None` after
    /// `most`.
    fn keeps_waiting(&mut self, most: u64) -> Option<u64> {
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

const STRANGER: u8 = 1;
const SENDER: u8 = 2;

#[test]
fn failed_handshakes_are_charged() {
    let mut fixture = Fixture::new();
    for _ in 0..4 {
        fixture.connects(STRANGER);
        fixture.fails(1_000);
    }
    fixture.connects(STRANGER);
    assert_eq!(fixture.next(), None, "what was saved is kept for others");
    fixture.passes(2_000);
    assert!(fixture.next().is_some());
}

#[test]
fn a_session_that_is_authenticated_costs_nothing() {
    let mut fixture = Fixture::new();
    for _ in 0..100 {
        fixture.connects(SENDER);
        let at = fixture.next().expect("nothing is charged");
        let clock = fixture.clock;
        let session = async |_: &mut TestSocket, active: &ActiveSession| {
            clock.0.update(|now| now + 500);
            active.set_authenticated();
        };
        assert!(poll_once(fixture.backlog.serve(at, session)).is_ready());
    }
}

#[test]
fn a_peer_without_failures_comes_before_those_with() {
    let mut fixture = Fixture::new();
    for _ in 0..4 {
        fixture.connects(STRANGER);
        fixture.fails(1_000);
    }
    let stranger = fixture.connects(STRANGER);
    assert_eq!(fixture.next(), None);
    let sender = fixture.connects(SENDER);
    fixture.fails(1);
    assert_eq!(fixture.next(), None);
    assert_eq!([stranger, sender].map(|peer| peer.end.get()), [None, Some(End::Closed)], "the sender had the session");
}

#[test]
fn those_with_failures_make_room_for_one_without() {
    let mut fixture = Fixture::new();
    for _ in 0..4 {
        fixture.connects(STRANGER);
        fixture.fails(1_000);
    }
    // They wait at both sockets for sessions, and may not have a session yet.
    let strangers = [fixture.connects(STRANGER), fixture.connects(STRANGER)];
    assert_eq!(fixture.next(), None);
    let third = fixture.connects(STRANGER);
    assert_eq!(fixture.next(), None);
    assert_eq!(*third.received.borrow(), ClearRefusal::Busy.to_bytes());
    assert!(strangers.iter().all(|peer| peer.end.get().is_none()), "equals make no room");
    fixture.passes(GRACE_MS);
    let turned = fixture.connects(SENDER);
    assert_eq!(fixture.next(), None);
    assert_eq!(*turned.received.borrow(), ClearRefusal::Busy.to_bytes());
    assert_eq!(strangers.iter().filter(|peer| peer.end.get() == Some(End::Reset)).count(), 1);
    // The sender tries again.
    let sender = fixture.connects(SENDER);
    fixture.fails(1);
    assert_eq!(fixture.next(), None);
    assert_eq!(sender.end.get(), Some(End::Closed), "it had the session");
}

#[test]
fn among_equals_the_one_that_has_waited_longest_is_next() {
    let mut fixture = Fixture::<4>::with_sockets();
    let [first, second, third] = [1, 2, 3].map(|last| fixture.connects(last));
    assert!(fixture.is_next(&first));
    fixture.fails(0);
    assert!(fixture.is_next(&second));
    // During its session the fourth takes the socket of the first, which precedes that of the third.
    let fourth = fixture.connects(4);
    let at = fixture.next().expect("it was just asked");
    let is_over = Cell::new(false);
    let session = async |_: &mut TestSocket, _: &ActiveSession| {
        poll_fn(|_| if is_over.get() { Poll::Ready(()) } else { Poll::Pending }).await;
    };
    {
        let mut served = pin!(fixture.backlog.serve(at, session));
        assert!((0..10).all(|_| poll_once(served.as_mut()).is_pending()));
        is_over.set(true);
        assert!(poll_once(served.as_mut()).is_ready());
    }
    assert!(fixture.is_next(&third));
    fixture.fails(0);
    assert!(fixture.is_next(&fourth));
}

#[test]
fn of_those_with_failures_the_one_with_most_makes_room() {
    const WORSE: u8 = 3;
    let mut fixture = Fixture::new();
    for last in [STRANGER, WORSE, WORSE, WORSE] {
        fixture.connects(last);
        fixture.fails(1_000);
    }
    let (worse, stranger) = (fixture.connects(WORSE), fixture.connects(STRANGER));
    assert_eq!(fixture.next(), None);
    fixture.connects(SENDER);
    assert_eq!(fixture.next(), None);
    assert_eq!([worse, stranger].map(|peer| peer.end.get()), [Some(End::Reset), None]);
}

/// Fills both sockets for sessions with peers that wait and may not have a session yet.
fn with_two_that_wait() -> Fixture<3> {
    let mut fixture = Fixture::new();
    for _ in 0..4 {
        fixture.connects(STRANGER);
        fixture.fails(1_000);
    }
    fixture.connects(STRANGER);
    fixture.connects(STRANGER);
    assert_eq!(fixture.next(), None);
    fixture
}

#[test]
fn the_last_socket_is_soon_free_again() {
    let mut fixture = with_two_that_wait();
    let silent = fixture.arrives(SENDER, true, &[]);
    assert_eq!(fixture.next(), None);
    fixture.passes(GRACE_MS - 1);
    assert_eq!(fixture.next(), None);
    assert_eq!(silent.end.get(), None);
    fixture.passes(1);
    assert_eq!(fixture.next(), None);
    assert_eq!(silent.end.get(), Some(End::Reset));
}

#[test]
fn what_has_made_the_least_progress_makes_room() {
    let mut fixture = Fixture::<4>::with_sockets();
    let peers = [true, false, false].map(|establishes| {
        let peer = fixture.arrives(STRANGER, establishes, &preface()[..3]);
        assert_eq!(fixture.next(), None);
        peer
    });
    // The newest one has its time, and of the others the first has sent something.
    assert_eq!(peers.map(|peer| peer.end.get()), [None, Some(End::Reset), None]);
}

#[test]
fn among_equals_the_oldest_makes_room() {
    let mut fixture = Fixture::<4>::with_sockets();
    // The fourth takes the socket of the first, and so on: the oldest is not always at the first socket.
    let peers = [(); 5].map(|()| {
        let peer = fixture.arrives(STRANGER, true, &[]);
        assert_eq!(fixture.next(), None);
        peer
    });
    let reset = Some(End::Reset);
    assert_eq!(peers.map(|peer| peer.end.get()), [reset, reset, reset, None, None]);
}

#[test]
fn a_connection_without_progress_ends_at_its_limit() {
    for (establishes, limit) in [(false, CONNECT_MS), (true, PREFACE_MS)] {
        let mut fixture = Fixture::new();
        let silent = fixture.arrives(STRANGER, establishes, &[]);
        assert_eq!(fixture.next(), None);
        fixture.passes(limit - 1);
        assert_eq!(fixture.next(), None);
        assert_eq!(silent.end.get(), None);
        fixture.passes(1);
        assert_eq!(fixture.next(), None);
        assert_eq!(silent.end.get(), Some(End::Reset));
    }
}

#[test]
fn a_limit_ends_the_wait_for_something_else() {
    for (establishes, limit) in [(false, CONNECT_MS), (true, PREFACE_MS)] {
        let mut fixture = Fixture::new();
        let silent = fixture.arrives(STRANGER, establishes, &[]);
        assert!(!fixture.waits(limit));
        assert_eq!(silent.end.get(), Some(End::Reset));
    }
    // The last socket is free again, though nothing happens.
    let mut fixture = with_two_that_wait();
    let silent = fixture.arrives(SENDER, true, &[]);
    assert!(!fixture.waits(GRACE_MS));
    assert_eq!(silent.end.get(), Some(End::Reset));
}

/// The newest connection had its time, and no socket listens.
#[test]
fn room_is_made_when_the_time_of_the_newest_is_over() {
    let mut fixture = Fixture::<2>::with_sockets();
    let silent = fixture.arrives(STRANGER, true, &[]);
    assert!(!fixture.waits(GRACE_MS - 1));
    assert_eq!(silent.end.get(), None);
    assert!(!fixture.waits(1));
    assert_eq!(silent.end.get(), Some(End::Reset));
}

#[test]
fn a_connection_that_closes_has_time_and_is_the_first_to_make_room() {
    let mut fixture = Fixture::<4>::with_sockets();
    // Its session is over, and took longer than any limit. A reset could overtake the last message.
    let closing = fixture.connects(SENDER);
    closing.closes.set(false);
    fixture.fails(10 * PREFACE_MS);
    assert!(!fixture.waits(1_000));
    assert_eq!(closing.end.get(), None);
    let others = [false, true].map(|establishes| {
        let peer = fixture.arrives(STRANGER, establishes, &[]);
        assert_eq!(fixture.next(), None);
        peer
    });
    assert_eq!(closing.end.get(), Some(End::Reset));
    assert_eq!(others.map(|peer| peer.end.get()), [None, None]);
}

#[test]
fn a_peer_that_sends_more_than_a_preface_before_its_turn_is_reset() {
    let mut fixture = Fixture::new();
    for _ in 0..4 {
        fixture.connects(STRANGER);
        fixture.fails(1_000);
    }
    let waiting = fixture.connects(STRANGER);
    assert_eq!(fixture.next(), None);
    assert_eq!(waiting.end.get(), None);
    waiting.preface.borrow_mut().push_back(0);
    assert_eq!(fixture.next(), None);
    assert_eq!(waiting.end.get(), Some(End::Reset));
}

#[test]
fn an_address_from_which_a_sender_comes_has_no_failures_any_more() {
    let mut fixture = Fixture::new();
    for _ in 0..4 {
        fixture.connects(STRANGER);
        fixture.fails(1_000);
    }
    fixture.connects(STRANGER);
    assert_eq!(fixture.next(), None);
    fixture.passes(1_000);
    let at = fixture.next().expect("it has waited");
    let session = async |_: &mut TestSocket, active: &ActiveSession| active.set_authenticated();
    assert!(poll_once(fixture.backlog.serve(at, session)).is_ready());
    fixture.connects(SENDER);
    fixture.fails(1_000);
    let again = fixture.connects(STRANGER);
    assert!(fixture.is_next(&again));
}

/// The failures of others use up what the budget gains, so that a peer with failures of its own waits for long.
#[test]
fn a_connection_that_waits_for_its_turn_has_no_limit() {
    let mut fixture = Fixture::new();
    for _ in 0..4 {
        fixture.connects(STRANGER);
        fixture.fails(1_000);
    }
    let waiting = fixture.connects(STRANGER);
    let begun = fixture.clock.now();
    for other in 10.. {
        let other = fixture.connects(other);
        while !fixture.waits(100) {}
        assert!(fixture.is_next(&other));
        fixture.fails(1_000);
        assert_eq!(waiting.end.get(), None);
        if fixture.clock.now() > begun + 2 * PREFACE_MS {
            break;
        }
    }
    while !fixture.waits(100) {}
    assert!(fixture.is_next(&waiting));
}

#[test]
fn the_work_of_this_board_is_not_the_peers_delay() {
    const WORK_MS: u64 = 500;
    let mut fixture = Fixture::new();
    fixture.connects(STRANGER);
    fixture.connects(SENDER);
    let at = fixture.next().expect("a connection may have a session");
    let (clock, begun) = (fixture.clock, fixture.clock.now());
    let mut served = pin!(fixture.backlog.serve(at, async |_: &mut TestSocket, _: &ActiveSession| {
        clock.0.update(|now| now + WORK_MS);
        pending().await
    }));
    while (0..20).all(|_| poll_once(served.as_mut()).is_pending()) {
        clock.0.update(|now| now + 1);
    }
    assert_eq!(clock.now() - begun, WORK_MS + YIELD_MS);
}

#[test]
fn an_authenticated_session_resets_the_patience() {
    let mut fixture = Fixture::new();
    for round in 0..4 {
        fixture.connects(STRANGER);
        fixture.connects(SENDER);
        assert_eq!(fixture.keeps_waiting(10_000), Some(YIELD_MS), "{round}");
        if round == 2 {
            let at = fixture.next().expect("the other one waits");
            let mut is_polled = false;
            let session = async |_: &mut TestSocket, active: &ActiveSession| {
                active.set_authenticated();
                // The next poll comes after the other connections were looked at.
                poll_fn(|_| if core::mem::replace(&mut is_polled, true) { Poll::Ready(()) } else { Poll::Pending })
                    .await;
            };
            let mut served = pin!(fixture.backlog.serve(at, session));
            assert!((0..3).any(|_| poll_once(served.as_mut()).is_ready()));
        } else {
            fixture.fails(0);
        }
        fixture.passes(10_000);
    }
}

#[test]
fn those_that_wait_hear_busy_as_soon_as_a_peer_is_authenticated() {
    let mut fixture = Fixture::new();
    fixture.connects(SENDER);
    let other = fixture.connects(STRANGER);
    let at = fixture.next().expect("a connection may have a session");
    let is_authenticated = Cell::new(false);
    let session = async |_: &mut TestSocket, active: &ActiveSession| {
        poll_fn(|_| if is_authenticated.get() { Poll::Ready(()) } else { Poll::Pending }).await;
        active.set_authenticated();
        pending().await
    };
    let mut served = pin!(fixture.backlog.serve(at, session));
    for authenticated in [false, true] {
        is_authenticated.set(authenticated);
        assert!((0..5).all(|_| poll_once(served.as_mut()).is_pending()));
        assert_eq!(!other.received.borrow().is_empty(), authenticated);
    }
    assert_eq!(*other.received.borrow(), ClearRefusal::Busy.to_bytes());
}

#[test]
fn a_connection_that_is_left_from_an_earlier_run_is_reset() {
    let mut fixture = Fixture::new();
    let peer = fixture.connects(STRANGER);
    assert!(fixture.is_next(&peer));
    let Fixture { backlog: Backlog { connections, clock, state, address, .. }, .. } = fixture;
    let sockets = connections.map(|connection| core::mem::take(connection.socket.expect("no session runs")));
    let again = Backlog::<_, _, 3>::new(Box::leak(Box::new(sockets)), clock, state, address);
    assert_eq!(peer.end.get(), Some(End::Reset));
    assert!(again.connections.iter().all(|connection| connection.phase == Phase::Listening));
}

#[test]
fn a_session_that_yields_is_reset() {
    let mut fixture = Fixture::new();
    let (silent, _) = (fixture.connects(STRANGER), fixture.connects(SENDER));
    assert_eq!(fixture.keeps_waiting(10_000), Some(YIELD_MS));
    assert_eq!(silent.end.get(), Some(End::Reset), "it is not listened to any longer");
}

#[test]
fn where_nobody_else_waits_a_peer_has_longer() {
    let mut fixture = Fixture::new();
    fixture.connects(STRANGER);
    assert_eq!(fixture.keeps_waiting(2 * YIELD_MAX_MS), None);
}

#[test]
fn now_and_then_a_peer_has_longer() {
    let mut fixture = Fixture::new();
    let mut took = [0; 64];
    for took in &mut took {
        fixture.connects(STRANGER);
        fixture.connects(SENDER);
        *took = fixture.keeps_waiting(10_000).expect("another waits");
        // The session of the other peer ends without a reset; afterwards the budget recovers what was charged.
        fixture.fails(0);
        fixture.passes(10_000);
    }
    let times = |factor| took.iter().filter(|took| **took == factor * YIELD_MS).count();
    assert_eq!([1, 2, 4, 8].map(times), [48, 12, 3, 1], "{took:?}");
}
