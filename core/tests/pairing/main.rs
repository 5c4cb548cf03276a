//! Tests of pairings. Both sides run in one thread, over a connection that breaks or is changed where the test says.

mod attacks;
#[path = "../session/doubles.rs"]
#[allow(dead_code)]
mod doubles;
mod example;
mod fixture;
mod rules;
#[path = "../session/simulation.rs"]
#[allow(dead_code)]
mod simulation;
#[path = "../session/source.rs"]
#[allow(dead_code)]
mod source;

use fixture::{Fixture, LONGEST, assert_paired};
use simulation::connect;
use waft_core::limits::{PAIRING_PAUSE_S, PAIRING_TRIES, PAIRING_WINDOW_MS};
use waft_core::pairing::PairingError;

#[test]
fn two_devices_with_the_same_code_have_each_others_certificate() {
    assert_paired(Fixture::new().pair());
}

#[test]
fn a_code_of_more_digits_pairs_as_well() {
    for code in ["1234567", "123456789012"] {
        let mut fixture = Fixture::new();
        (fixture.typed, fixture.shown) = (code, code);
        assert_paired(fixture.pair());
    }
}

#[test]
fn both_sides_notice_a_wrong_code() {
    for typed in ["123457", "023456", "1234560"] {
        let mut fixture = Fixture::new();
        fixture.typed = typed;
        assert_eq!(fixture.pair(), (Err(PairingError::WrongCode), Err(PairingError::WrongCode)), "{typed}");
    }
}

#[test]
fn three_wrong_codes_pause_the_listener_for_a_short_time() {
    let mut fixture = Fixture::new();
    fixture.typed = "654321";
    for _ in 0..PAIRING_TRIES {
        assert!(!fixture.is_paused());
        assert_eq!(fixture.pair().1, Err(PairingError::WrongCode));
    }
    fixture.typed = fixture::CODE;
    let paused = Err(PairingError::Paused { seconds: PAIRING_PAUSE_S });
    assert_eq!(fixture.pair(), (paused.clone(), paused));
    fixture.clock.advance(u64::from(PAIRING_PAUSE_S) * 1_000);
    assert_paired(fixture.pair());
    // A right code ends the series.
    for _ in 0..2 {
        fixture.typed = "654321";
        for _ in 1..PAIRING_TRIES {
            assert_eq!(fixture.pair().1, Err(PairingError::WrongCode));
            assert!(!fixture.is_paused());
        }
        fixture.typed = fixture::CODE;
        assert_paired(fixture.pair());
    }
}

#[test]
fn wrong_codes_that_are_far_apart_do_not_pause_the_listener() {
    let mut fixture = Fixture::new();
    fixture.typed = "654321";
    for _ in 0..3 * PAIRING_TRIES {
        let _ = fixture.pair();
        assert!(!fixture.is_paused());
        fixture.clock.advance(PAIRING_WINDOW_MS / 2 + 1);
    }
}

/// Cuts the connection after each byte. If the dialer reports success, so does the listener; if the listener reports a
/// confirmed success, so does the dialer; and nobody knows a wrong certificate.
#[test]
fn a_connection_that_breaks_at_any_byte_leaves_no_side_with_a_wrong_certificate() {
    let mut seen = [0; 4];
    for is_towards_dialer in [false, true] {
        for at in 0.. {
            let links = if is_towards_dialer { connect(u64::MAX, at) } else { connect(at, u64::MAX) };
            let mut fixture = Fixture::new();
            let ((dialed, sent), (listened, answered)) = fixture.run(links);
            assert!(dialed.is_err() || listened.is_ok(), "cut at {at}: {dialed:?}, {listened:?}");
            let is_confirmed = listened.as_ref().is_ok_and(|dialer| dialer.is_confirmed);
            assert!(!is_confirmed || dialed.is_ok(), "cut at {at}: {dialed:?}, {listened:?}");
            for (end, certificate) in [(&dialed, fixture::LISTENER), (&listened, fixture::DIALER)] {
                match end {
                    Ok(peer) => assert_eq!(peer.certificate, certificate),
                    Err(error) => assert_eq!(*error, PairingError::Disconnected, "cut at {at}"),
                }
            }
            assert!(!fixture.is_paused(), "a broken connection is no wrong code");
            seen[usize::from(dialed.is_ok()) + 2 * usize::from(listened.is_ok())] += 1;
            let crossed = if is_towards_dialer { answered } else { sent };
            if (crossed.len() as u64) < at {
                assert_paired((dialed, listened));
                break;
            }
        }
    }
    let [neither, dialer_only, listener_only, both] = seen;
    assert!(neither > 0 && listener_only > 0 && both > 0, "{seen:?}");
    assert_eq!(dialer_only, 0);
}

#[test]
fn a_side_whose_peer_falls_silent_gives_up() {
    let (_, answered) = Fixture::new().run(connect(u64::MAX, u64::MAX)).1;
    for length in 0..answered.len() {
        let mut fixture = Fixture::new();
        let said = answered[..length].to_vec();
        let end = fixture.dial_to(|link| attacks::replay(link, said));
        assert_eq!(end, Err(PairingError::TimedOut), "{length}");
        assert!(fixture.clock.now_ms() < LONGEST);
    }
}

/// A board holds the future of a side in static memory. It is as long as a frame of messages and a few keys.
#[test]
fn the_futures_are_small() {
    use waft_core::pairing::{Buffer, Incoming, Limiter, Outgoing, PairingCode};
    let (mut dialer_link, mut listener_link) = connect(u64::MAX, u64::MAX);
    let fixture = Fixture::new();
    let dial = async {
        let (mut buffer, mut rng) = (Buffer::new(), doubles::Seeded(1));
        let connecting = Outgoing::connect(&mut dialer_link, &mut buffer, &mut rng, &fixture.clock);
        let first = size_of_val(&connecting);
        let outgoing = connecting.await.ok().unwrap();
        let me = fixture::dialer_introduction(&fixture::DIALER);
        let pairing = outgoing.pair(PairingCode::parse("123456").unwrap(), &me, &mut rng);
        let second = size_of_val(&pairing);
        pairing.await.unwrap();
        drop(dialer_link);
        [first, second]
    };
    let listen = async {
        assert!(fixture::receive_preface(&mut listener_link).await);
        let (mut buffer, mut rng, mut limiter) = (Buffer::new(), doubles::Seeded(2), Limiter::new());
        let accepting = Incoming::accept(&mut listener_link, &mut buffer, &mut rng, &fixture.clock, &limiter);
        let first = size_of_val(&accepting);
        let incoming = accepting.await.ok().unwrap();
        let me = fixture::listener_introduction(&fixture::LISTENER);
        let pairing = incoming.pair(PairingCode::parse("123456").ok(), &me, &mut rng, &mut limiter);
        let second = size_of_val(&pairing);
        pairing.await.unwrap();
        drop(listener_link);
        [first, second]
    };
    let (dialer, listener) = simulation::run(&fixture.clock, embassy_futures::join::join(dial, listen));
    println!("futures: dialer {dialer:?}, listener {listener:?}; buffer {}", size_of::<Buffer>());
    assert!(dialer.into_iter().chain(listener).all(|size| size <= 2_048), "{dialer:?}, {listener:?}");
}
