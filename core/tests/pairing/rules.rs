//! What each side refuses, and how it says so.

use embedded_io_async::{Read as _, Write as _};
use waft_core::limits::{
    IDLE_MS, LINGER_MS, MESSAGE_MAX, PAIRING_CONFIRM_MS, PAIRING_MS, PAIRING_PAUSE_S, PAIRING_TRIES,
};
use waft_core::pairing::message::{PairingGreeting, PairingHello, PairingMessage};
use waft_core::pairing::{Buffer, Failure, Incoming, Limiter, Outgoing, PairingCode, PairingError};
use waft_core::session::{Clock as _, Misbehaviour};
use waft_core::wire::preface::ClearRefusal;

use crate::attacks::{any_point, replay};
use crate::doubles::Seeded;
use crate::fixture::{CODE, Fixture, Known, listener_introduction, receive_preface};
use crate::simulation::{MemoryLink, VirtualClock, connect, run};

/// A message as a frame.
pub(crate) fn frame(message: &PairingMessage) -> Vec<u8> {
    let mut buffer = [0; MESSAGE_MAX];
    let payload = postcard::to_slice(message, &mut buffer).unwrap();
    [&[1, 0, 0, payload.len() as u8], &*payload].concat()
}

pub(crate) async fn send(link: &mut MemoryLink, message: &PairingMessage) {
    link.write_all(&frame(message)).await.unwrap();
}

/// Receives a message; `None` if the connection is closed.
pub(crate) async fn receive(link: &mut MemoryLink) -> Option<PairingMessage> {
    let mut header = [0; 4];
    link.read_exact(&mut header).await.ok()?;
    let mut payload = vec![0; u16::from_be_bytes([header[2], header[3]]).into()];
    link.read_exact(&mut payload).await.ok()?;
    Some(postcard::from_bytes(&payload).unwrap())
}

pub(crate) const HELLO: PairingMessage = PairingMessage::Hello(PairingHello { min: 1, max: 1, nonce: [3; 32] });
pub(crate) const GREETING: PairingMessage = PairingMessage::Greeting(PairingGreeting { version: 1, nonce: [4; 32] });

pub(crate) fn share(point: &[u8]) -> PairingMessage {
    PairingMessage::Share { point: point.try_into().unwrap() }
}

#[test]
fn a_dialer_reports_a_refusal_in_the_clear() {
    for refusal in [ClearRefusal::Busy, ClearRefusal::Purpose, ClearRefusal::PairingClosed, ClearRefusal::Other(9)] {
        let end = Fixture::new().dial_to(|mut link| async move { link.write_all(&refusal.to_bytes()).await.unwrap() });
        assert_eq!(end, Err(PairingError::Refused(refusal)));
    }
}

#[test]
fn a_dialer_notices_that_something_else_answers() {
    for answer in [&b"HTTP/1.1 400"[..], b"\x16\x03\x01\x02\0\x01", b"SSH-2.0-x", b"\x02\0\0\x11"] {
        let end = Fixture::new().dial_to(|mut link| async move { link.write_all(answer).await.unwrap() });
        assert_eq!(end, Err(PairingError::NotWaft), "{answer:?}");
    }
}

#[test]
fn both_sides_notice_that_the_other_speaks_another_version() {
    for (min, max) in [(2, 9), (0, 0), (3, 1)] {
        let end = Fixture::new().dial_to(|mut link| async move {
            send(&mut link, &PairingMessage::Hello(PairingHello { min, max, nonce: [0; 32] })).await;
            assert_eq!(receive(&mut link).await, Some(PairingMessage::Failed(Failure::Version)));
        });
        assert_eq!(end, Err(PairingError::Version), "{min}..={max}");
    }
    let end = Fixture::new().listen_to(|mut link| async move {
        assert!(matches!(receive(&mut link).await, Some(PairingMessage::Hello(PairingHello { min: 1, max: 1, .. }))));
        send(&mut link, &PairingMessage::Failed(Failure::Version)).await;
    });
    assert_eq!(end, Err(PairingError::Version));
}

#[test]
fn a_version_that_was_not_offered_is_refused() {
    let end = Fixture::new().listen_to(|mut link| async move {
        receive(&mut link).await;
        send(&mut link, &PairingMessage::Greeting(PairingGreeting { version: 2, nonce: [0; 32] })).await;
        assert_eq!(receive(&mut link).await, Some(PairingMessage::Failed(Failure::Protocol)));
    });
    assert_eq!(end, Err(PairingError::PeerMisbehaved(Misbehaviour::Field)));
}

#[test]
fn a_hello_of_a_later_version_may_be_longer() {
    let end = Fixture::new().dial_to(|mut link| async move {
        let hello = PairingMessage::Hello(PairingHello { min: 1, max: 2, nonce: [3; 32] });
        let mut bytes = [&frame(&hello)[..], &[7; 9]].concat();
        bytes[3] += 9;
        link.write_all(&bytes).await.unwrap();
        assert!(matches!(receive(&mut link).await, Some(PairingMessage::Greeting(_))));
        assert!(matches!(receive(&mut link).await, Some(PairingMessage::Share { .. })));
    });
    assert_eq!(end, Err(PairingError::Disconnected));
}

#[test]
fn malformed_and_unexpected_frames_are_refused() {
    let done = frame(&PairingMessage::Done { tag: [0; 32] });
    let share = frame(&share(&[4; 65]));
    for (bytes, misbehaviour) in [
        (&[0u8, 0, 0, 1, 0][..], Misbehaviour::Frame),
        (&[1, 0, 2, 1], Misbehaviour::Frame),
        (&[2, 0, 0, 17, 0], Misbehaviour::Frame),
        (&[1, 0, 0, 0], Misbehaviour::Message),
        (&[1, 0, 0, 1, 9], Misbehaviour::Message),
        (&done[..], Misbehaviour::Unexpected),
        // A share before `Greeting`.
        (&share[..], Misbehaviour::Unexpected),
        // Only `Hello` and `Greeting` may be longer.
        (&[1, 0, 0, 3, 5, 3, 0], Misbehaviour::Message),
    ] {
        let end = Fixture::new().listen_to(|mut link| async move {
            receive(&mut link).await;
            link.write_all(bytes).await.unwrap();
            assert_eq!(receive(&mut link).await, Some(PairingMessage::Failed(Failure::Protocol)));
        });
        assert_eq!(end, Err(PairingError::PeerMisbehaved(misbehaviour)), "{bytes:02x?}");
    }
}

#[test]
fn a_message_in_place_of_an_introduction_is_refused() {
    // The same dialer as in every run, whose introduction is replaced by a message.
    let mut fixture = Fixture::new();
    let ((_, sent), _) = fixture.run(connect(u64::MAX, u64::MAX));
    let before: usize = 8 + 4 + 34 + 4 + 66 + 4 + 33;
    let mut stream = sent[8..before].to_vec();
    stream.extend(frame(&PairingMessage::Confirm { tag: [0; 32] }));
    let end = Fixture::new().listen_to(|link| replay(link, stream));
    assert_eq!(end, Err(PairingError::PeerMisbehaved(Misbehaviour::Unexpected)));
}

#[test]
fn a_peer_with_our_own_certificate_is_refused_on_both_sides() {
    let mut fixture = Fixture::new();
    fixture.listener_certificate = fixture.dialer_certificate.clone();
    // The dialer reports it as a statement of the peer: `Failed` is not authenticated.
    let told = PairingError::PeerFailed(Failure::SameCertificate);
    assert_eq!(fixture.pair(), (Err(told), Err(PairingError::SameCertificate)));
}

#[test]
fn each_side_can_decline() {
    let clock = VirtualClock::default();
    let (mut dialer_link, mut listener_link) = connect(u64::MAX, u64::MAX);
    let dial = async {
        let mut buffer = Buffer::new();
        let outgoing = Outgoing::connect(&mut dialer_link, &mut buffer, &mut Seeded(1), &clock).await.ok().unwrap();
        outgoing.decline().await;
        drop(dialer_link);
    };
    let listen = async {
        assert!(receive_preface(&mut listener_link).await);
        let mut buffer = Buffer::new();
        let end = Incoming::accept(&mut listener_link, &mut buffer, &mut Seeded(2), &clock, &Limiter::new()).await;
        let error = end.err();
        drop(listener_link);
        error
    };
    let ((), error) = run(&clock, embassy_futures::join::join(dial, listen));
    assert_eq!(error, Some(PairingError::PeerFailed(Failure::Declined)));

    // A listener that has no code any more.
    let fixture = Fixture::new();
    let (mut dialer_link, mut listener_link) = connect(u64::MAX, u64::MAX);
    let dial = async {
        let end = fixture.dial(&mut dialer_link).await;
        drop(dialer_link);
        end
    };
    let listen = async {
        assert!(receive_preface(&mut listener_link).await);
        let (mut buffer, mut rng) = (Buffer::new(), Seeded(2));
        let incoming =
            Incoming::accept(&mut listener_link, &mut buffer, &mut rng, &fixture.clock, &fixture.limiter).await;
        let me = listener_introduction(&fixture.listener_certificate);
        let ended = incoming.ok().unwrap().pair(None, &me, &mut rng, &mut fixture.limiter.clone()).await;
        drop(listener_link);
        ended.err()
    };
    let (end, here) = run(&fixture.clock, embassy_futures::join::join(dial, listen));
    assert_eq!((end, here), (Err(PairingError::PeerFailed(Failure::Declined)), Some(PairingError::Declined)));
}

#[test]
fn a_listener_gives_up_on_a_silent_dialer_and_says_so() {
    let mut fixture = Fixture::new();
    let end = fixture.listen_to(|mut link| async move {
        receive(&mut link).await;
        assert_eq!(receive(&mut link).await, Some(PairingMessage::Failed(Failure::TimedOut)));
    });
    assert_eq!((end, fixture.clock.now()), (Err(PairingError::TimedOut), IDLE_MS));
}

#[test]
fn a_dialer_that_does_not_confirm_holds_the_code_only_for_a_short_time() {
    let mut fixture = Fixture::new();
    let end = fixture.listen_to(|mut link| async move {
        receive(&mut link).await;
        send(&mut link, &GREETING).await;
        send(&mut link, &share(&any_point())).await;
        assert!(matches!(receive(&mut link).await, Some(PairingMessage::Share { .. })));
        // Not silent, but never complete.
        link.write_all(&[1, 0, 0, 33, 3]).await.unwrap();
        assert_eq!(receive(&mut link).await, Some(PairingMessage::Failed(Failure::TimedOut)));
    });
    assert_eq!((end, fixture.clock.now()), (Err(PairingError::TimedOut), PAIRING_CONFIRM_MS));
}

#[test]
fn a_pause_is_for_connections_that_wait_as_well() {
    let (fixture, mut others) = (Fixture::new(), Fixture::new());
    others.typed = "654321";
    (0..PAIRING_TRIES).for_each(|_| drop(others.pair()));
    let (mut dialer_link, mut listener_link) = connect(u64::MAX, u64::MAX);
    let listen = async {
        assert!(receive_preface(&mut listener_link).await);
        let (mut buffer, mut rng, mut limiter) = (Buffer::new(), Seeded(2), Limiter::new());
        let incoming = Incoming::accept(&mut listener_link, &mut buffer, &mut rng, &fixture.clock, &limiter).await;
        // Meanwhile other connections had wrong codes.
        limiter.clone_from(&others.limiter);
        let me = listener_introduction(&fixture.listener_certificate);
        let code = PairingCode::parse(CODE).unwrap();
        let end = incoming.ok().unwrap().pair(Some(code), &me, &mut rng, &mut limiter).await.map(Known::from);
        drop(listener_link);
        end
    };
    let dial = async {
        let end = fixture.dial(&mut dialer_link).await;
        drop(dialer_link);
        end
    };
    let (listened, dialed) = run(&fixture.clock, embassy_futures::join::join(listen, dial));
    let seconds = PAIRING_PAUSE_S;
    assert_eq!(listened, Err(PairingError::Paused { seconds }));
    // Too late for the listener's own finding: the dialer's code is spent.
    assert_eq!(dialed, Err(PairingError::PeerFailed(Failure::Paused { seconds })));
}

#[test]
fn a_dialer_that_sends_a_byte_now_and_then_does_not_hold_the_listener() {
    let mut fixture = Fixture::new();
    let clock = std::rc::Rc::new(VirtualClock::default());
    let (mut dialer_link, mut listener_link) = connect(u64::MAX, u64::MAX);
    let (mut buffer, mut rng, limiter) = (Buffer::new(), Seeded(2), Limiter::new());
    let listen = Incoming::accept(&mut listener_link, &mut buffer, &mut rng, &*clock, &limiter);
    let trickle = async {
        for byte in [1, 0, 0, 34].into_iter().chain([1; 34]) {
            clock.sleep_until(clock.now() + IDLE_MS / 2).await;
            if dialer_link.write_all(&[byte]).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await
    };
    let end = run(&clock, embassy_futures::select::select(listen, trickle));
    let embassy_futures::select::Either::First(end) = end else { unreachable!() };
    assert_eq!(end.err(), Some(PairingError::TimedOut));
    assert!(clock.now() <= PAIRING_MS + LINGER_MS, "{} ms", clock.now());
    fixture.limiter = limiter;
    assert!(!fixture.is_paused());
}
