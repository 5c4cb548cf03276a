//! Attackers: strangers, impostors at either side, and whoever sits between the two.

use embedded_io_async::{Read as _, Write as _};
use p256::SecretKey;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use waft_core::limits::PAIRING_TRIES;
use waft_core::pairing::message::PairingMessage;
use waft_core::pairing::{Failure, PairingError};
use waft_core::session::Misbehaviour;

use crate::fixture::{DIALER, End, Fixture, LISTENER};
use crate::rules::{GREETING, HELLO, receive, send, share};
use crate::simulation::{MemoryLink, connect};

/// A valid share of somebody who does not know the code.
pub(crate) fn any_point() -> Vec<u8> {
    SecretKey::from_slice(&[7; 32]).unwrap().public_key().to_encoded_point(false).as_bytes().to_vec()
}

/// Points that are not valid shares, each as 65 bytes.
fn bad_points() -> Vec<Vec<u8>> {
    let good = any_point();
    let change = |at: usize, to: u8| {
        let mut point = good.clone();
        point[at] = to;
        point
    };
    let mut bad = vec![vec![0; 65], change(64, good[64] ^ 1)];
    // Compressed points and the hybrid form, padded to the length of a share.
    bad.extend([0, 2, 3, 5, 6, 7].map(|tag| change(0, tag)));
    bad.push([&[2 + (good[64] & 1)], &good[1..33], &[0; 32][..]].concat());
    bad
}

#[test]
fn a_share_that_is_no_point_is_refused_by_the_listener() {
    for point in bad_points() {
        let mut fixture = Fixture::new();
        let shown = format!("{point:02x?}");
        let end = fixture.listen_to(|mut link| async move {
            receive(&mut link).await;
            send(&mut link, &GREETING).await;
            send(&mut link, &share(&point)).await;
            assert!(matches!(receive(&mut link).await, Some(PairingMessage::Share { .. })));
            assert_eq!(receive(&mut link).await, Some(PairingMessage::Failed(Failure::Protocol)));
        });
        assert_eq!(end, Err(PairingError::Share), "{shown}");
    }
}

#[test]
fn a_share_that_is_no_point_is_refused_by_the_dialer() {
    for point in bad_points() {
        let shown = format!("{point:02x?}");
        let end = Fixture::new().dial_to(|mut link| async move {
            send(&mut link, &HELLO).await;
            receive(&mut link).await;
            receive(&mut link).await;
            send(&mut link, &share(&point)).await;
            assert_eq!(receive(&mut link).await, Some(PairingMessage::Failed(Failure::Protocol)));
        });
        assert_eq!(end, Err(PairingError::Share), "{shown}");
    }
}

#[test]
fn a_share_of_another_length_is_refused() {
    // The point at infinity and a compressed point: the rest of the message is missing.
    for point in [&[0][..], &any_point()[..33]] {
        let point = point.to_vec();
        let end = Fixture::new().listen_to(|mut link| async move {
            receive(&mut link).await;
            send(&mut link, &GREETING).await;
            let payload = [&[2], &point[..]].concat();
            link.write_all(&[&[1, 0, 0, payload.len() as u8], &payload[..]].concat()).await.unwrap();
            assert_eq!(receive(&mut link).await, Some(PairingMessage::Failed(Failure::Protocol)));
        });
        assert!(matches!(end, Err(PairingError::PeerMisbehaved(_))), "{end:?}");
    }
}

#[test]
fn a_dialer_refuses_its_own_messages() {
    // Its greeting.
    let end = Fixture::new().dial_to(|mut link| async move {
        send(&mut link, &HELLO).await;
        let own = receive(&mut link).await.unwrap();
        send(&mut link, &own).await;
    });
    assert_eq!(end, Err(PairingError::PeerMisbehaved(Misbehaviour::Unexpected)));
    // Its share, and then its tag.
    let end = Fixture::new().dial_to(|mut link| async move {
        send(&mut link, &HELLO).await;
        receive(&mut link).await;
        let own = receive(&mut link).await.unwrap();
        send(&mut link, &own).await;
        assert_eq!(receive(&mut link).await, Some(PairingMessage::Failed(Failure::Protocol)));
    });
    assert_eq!(end, Err(PairingError::Share));
    let end = Fixture::new().dial_to(|mut link| async move {
        send(&mut link, &HELLO).await;
        receive(&mut link).await;
        receive(&mut link).await;
        send(&mut link, &share(&any_point())).await;
        let own = receive(&mut link).await.unwrap();
        send(&mut link, &own).await;
    });
    assert_eq!(end, Err(PairingError::WrongCode), "a tag names its role");
}

#[test]
fn a_listener_reveals_no_tag_before_the_dialers_is_right() {
    let mut fixture = Fixture::new();
    let end = fixture.listen_to(|mut link| async move {
        receive(&mut link).await;
        send(&mut link, &GREETING).await;
        send(&mut link, &share(&any_point())).await;
        assert!(matches!(receive(&mut link).await, Some(PairingMessage::Share { .. })));
        send(&mut link, &PairingMessage::Confirm { tag: [0; 32] }).await;
        assert_eq!(receive(&mut link).await, Some(PairingMessage::Failed(Failure::WrongCode)));
        assert_eq!(receive(&mut link).await, None);
    });
    assert_eq!(end, Err(PairingError::WrongCode));
}

#[test]
fn strangers_that_confirm_nothing_do_not_pause_the_listener() {
    let mut fixture = Fixture::new();
    for _ in 0..3 * PAIRING_TRIES {
        let end = fixture.listen_to(|mut link| async move {
            receive(&mut link).await;
            send(&mut link, &GREETING).await;
            send(&mut link, &share(&any_point())).await;
            receive(&mut link).await;
        });
        assert_eq!(end, Err(PairingError::Disconnected));
        let end = fixture.listen_to(|link| async move { drop(link) });
        assert_eq!(end, Err(PairingError::Disconnected));
    }
    assert!(!fixture.is_paused());
}

#[test]
fn an_impostor_in_place_of_the_listener_gets_one_tag_and_no_introduction() {
    let end = Fixture::new().dial_to(|mut link| async move {
        send(&mut link, &HELLO).await;
        receive(&mut link).await;
        receive(&mut link).await;
        send(&mut link, &share(&any_point())).await;
        assert!(matches!(receive(&mut link).await, Some(PairingMessage::Confirm { .. })));
        send(&mut link, &PairingMessage::Confirm { tag: [0; 32] }).await;
        assert_eq!(receive(&mut link).await, Some(PairingMessage::Failed(Failure::WrongCode)));
        assert_eq!(receive(&mut link).await, None);
    });
    assert_eq!(end, Err(PairingError::WrongCode));
}

/// Every byte that crosses is changed once, in both directions. No side gets a wrong certificate, and the promises
/// about the other side hold.
#[test]
fn a_changed_byte_gives_nobody_a_wrong_certificate() {
    let ((_, sent), (_, answered)) = Fixture::new().run(connect(u64::MAX, u64::MAX));
    for (is_towards_dialer, length) in [(false, sent.len()), (true, answered.len())] {
        for at in 0..length {
            let (mut dialer_link, mut listener_link) = connect(u64::MAX, u64::MAX);
            let link = if is_towards_dialer { &mut listener_link } else { &mut dialer_link };
            link.edits.push((at, 0x01));
            let ((dialed, _), (listened, _)) = Fixture::new().run((dialer_link, listener_link));
            let shown = format!("{at} of {length}: {dialed:?}, {listened:?}");
            // A changed `Done` is the only change that the dialer cannot notice.
            let is_done = !is_towards_dialer && at >= length - 37;
            assert_eq!(dialed.is_ok(), is_done, "{shown}");
            for (end, certificate) in [(&dialed, LISTENER), (&listened, DIALER)] {
                assert!(end.as_ref().is_ok_and(|peer| peer.certificate == certificate) || end.is_err(), "{shown}");
            }
            assert!(!listened.is_ok_and(|dialer| dialer.is_confirmed), "{shown}");
        }
    }
}

/// Sends recorded bytes, and discards the answers until the peer closes.
pub(crate) async fn replay(mut link: MemoryLink, bytes: Vec<u8>) {
    link.write_all(&bytes).await.unwrap();
    let mut sink = [0; 64];
    while link.read(&mut sink).await.is_ok_and(|count| count > 0) {}
}

#[test]
fn a_recorded_pairing_cannot_be_replayed() {
    let ((_, sent), (_, answered)) = Fixture::new().run(connect(u64::MAX, u64::MAX));
    // The listener has a new nonce and a new scalar, even where its code is the same.
    let mut fixture = Fixture::new();
    fixture.seeds = (1, 3);
    let recorded = sent[8..].to_vec();
    let end: End = fixture.listen_to(|link| replay(link, recorded));
    assert_eq!(end, Err(PairingError::WrongCode));
    fixture.seeds = (4, 2);
    let end = fixture.dial_to(|link| replay(link, answered));
    assert_eq!(end, Err(PairingError::WrongCode));
}

/// Somebody in between who has both codes is the peer of both; somebody who has neither runs two attempts that fail.
#[test]
fn somebody_in_between_with_a_wrong_guess_is_noticed_on_both_sides() {
    let (mut towards_listener, mut towards_dialer) = (Fixture::new(), Fixture::new());
    towards_listener.typed = "000000";
    towards_listener.dialer_certificate = vec![0xee; 32];
    towards_dialer.shown = "000000";
    towards_dialer.listener_certificate = vec![0xee; 32];
    assert_eq!(towards_listener.pair().1, Err(PairingError::WrongCode));
    assert_eq!(towards_dialer.pair().0, Err(PairingError::WrongCode));
}

/// The introductions of two pairings with the same code cannot be exchanged, nor one side's be sent back to it.
#[test]
fn introductions_cannot_be_swapped() {
    let ((_, sent), (_, answered)) = Fixture::new().run(connect(u64::MAX, u64::MAX));
    let mut other = Fixture::new();
    other.seeds = (5, 6);
    other.dialer_certificate = vec![0xee; 32];
    let ((_, others), _) = other.run(connect(u64::MAX, u64::MAX));
    let (start, end) = (8 + 4 + 34 + 4 + 66 + 4 + 33, sent.len() - 37);
    let own = &answered[answered.len() - (end - start)..];
    for introduction in [&others[start..end], own] {
        let stream = [&sent[8..start], introduction, &sent[end..]].concat();
        let end = Fixture::new().listen_to(|link| replay(link, stream));
        assert_eq!(end, Err(PairingError::Forged));
    }
    // The same replay with the right introduction pairs: only the introduction was wrong.
    let stream = sent[8..].to_vec();
    assert!(Fixture::new().listen_to(|link| replay(link, stream)).is_ok());
}
