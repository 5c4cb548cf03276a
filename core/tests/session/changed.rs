//! Tests of sessions in which one byte is changed between the sides.

use std::ops::Range;

use waft_core::sealed::SoftCipher;
use waft_core::session::sender::SendError;
use waft_core::session::{Misbehaviour, SessionError};
use waft_core::wire::message::Cancel;

use crate::doubles::archive_of;
use crate::fixture::{Fixture, Outcomes};

/// Bits that are flipped in each byte, one after the other.
const FLIPS: [u8; 3] = [1, 2, 0x80];

/// The numbers of messages from the receiver.
const WORKING: u8 = 3;
const ACCEPT: u8 = 4;
const COMMITTED: u8 = 6;

fn fixture() -> Fixture {
    let mut fixture = Fixture::new().with_right_code();
    fixture.source = archive_of(&[("a", b"alpha"), ("b", b"beta")]);
    fixture
}

/// The range of each frame, and the first byte of its payload.
fn frames(bytes: &[u8]) -> Vec<(Range<usize>, u8)> {
    let (mut frames, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let length = u32::from_be_bytes([0, bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize;
        frames.push((at..at + 4 + length, bytes[at + 4]));
        at += 4 + length;
    }
    frames
}

/// Flips each of the bits in each byte that one side sends (0: the sender), and passes the results to `look`.
fn change(side: u8, places: impl IntoIterator<Item = usize>, look: impl Fn(&str, &Fixture, Outcomes)) {
    for position in places {
        for flip in FLIPS {
            let mut fixture = fixture();
            fixture.edit = Some((side, position, flip));
            let ends = fixture.connect();
            look(&format!("byte {position} of side {side}, flipped by {flip}: {ends:?}"), &fixture, ends);
        }
    }
}

fn assert_refused(what: &str, fixture: &Fixture, ends: Outcomes) {
    assert!(ends.0.is_err() && ends.1.is_err(), "{what}");
    assert!(fixture.store.committed.is_empty(), "{what}");
}

#[test]
fn any_changed_byte_of_a_sender_is_refused() {
    let (to_receiver, _) = fixture().record::<SoftCipher>();
    change(0, 0..to_receiver.len(), assert_refused);
}

#[test]
fn any_changed_byte_of_a_receiver_is_refused_or_harmless() {
    let (_, to_sender) = fixture().record::<SoftCipher>();
    let frames = frames(&to_sender);
    for message in [ACCEPT, COMMITTED] {
        assert!(frames.iter().any(|(_, first)| *first == message), "{frames:?}");
    }
    for (places, message) in frames {
        change(1, places, |what, fixture, ends| match message {
            // Neither is in the transcript. When `Committed` is sent, the folder is in place.
            WORKING | COMMITTED => {
                let (archive, committed) = (&fixture.source.archive, &fixture.store.committed);
                assert!(committed == archive || (message == WORKING && committed.is_empty()), "{what}");
                assert_eq!(ends.1.is_ok(), committed == archive, "{what}");
                if let Ok(receipt) = ends.0 {
                    assert_eq!(committed, archive, "{what}");
                    let received = ends.1.expect("a committed archive was received");
                    assert_eq!((receipt.digest, receipt.files), (fixture.source.root, received.files), "{what}");
                    assert_eq!(receipt.bytes, received.bytes, "{what}");
                }
            }
            _ => assert_refused(what, fixture, ends),
        });
    }
}

#[test]
fn a_receiver_that_cannot_prove_that_it_has_the_key_gets_nothing() {
    let (_, to_sender) = fixture().record::<SoftCipher>();
    let (accept, _) = frames(&to_sender).into_iter().find(|(_, first)| *first == ACCEPT).unwrap();
    // The header, the number of the message, an offset of one byte, a digest, whether there is a base, and a MAC.
    assert_eq!(accept.len(), 4 + 1 + 1 + 32 + 1 + 32);
    let base = accept.start + 6 + 32;
    change(1, (accept.start + 6..base).chain(base + 1..accept.end), |what, fixture, ends| {
        assert_eq!(ends.0, Err(SessionError::PeerMisbehaved(Misbehaviour::AcceptMac).into()), "{what}");
        assert_refused(what, fixture, ends);
        assert_eq!(fixture.store.written, 0, "{what}");
    });
}

#[test]
fn a_receiver_gets_cancel_if_its_receipt_is_for_another_folder() {
    let (to_receiver, to_sender) = fixture().record::<SoftCipher>();
    let (committed, _) = frames(&to_sender).into_iter().find(|(_, first)| *first == COMMITTED).unwrap();
    // The digest, the number of files, and the length.
    for position in [5, 5 + 32, 5 + 32 + 1] {
        let mut fixture = fixture();
        fixture.edit = Some((1, committed.start + position, 1));
        let (ends, (sent, _)) = fixture.run::<SoftCipher>(u64::MAX, u64::MAX);
        assert_eq!(ends.0, Err(SendError::WrongReceipt), "{position}");
        let protocol = [1, 0, 0, 2, 4, Cancel::Protocol as u8];
        assert_eq!(sent[to_receiver.len()..], protocol, "{position}");
    }
}
