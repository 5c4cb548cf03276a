//! Tests of the backlog with scripted connections. Here: the order of sessions and what a failed handshake costs.

mod fixture;
mod room;
mod sessions;

use std::boxed::Box;

use embassy_futures::poll_once;
use waft_core::wire::preface::preface;

use self::fixture::{End, Fixture, TestSocket};
use super::*;

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
