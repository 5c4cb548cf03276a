//! Which connection makes room for a new one, and how long a connection may take.

use super::*;

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
