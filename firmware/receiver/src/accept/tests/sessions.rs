//! How long a session may keep other connections waiting, and what the board sends to them meanwhile.

use super::*;

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
