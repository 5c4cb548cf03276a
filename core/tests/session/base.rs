//! Tests of transfers in which only what changed crosses: the receiver has a folder of the same sender.

use std::rc::Rc;

use embassy_futures::select::{Either, select};
use embedded_io_async::Write as _;
use serde::Serialize;
use waft_core::certificate::CertificateHash;
use waft_core::digest::Digest;
use waft_core::sealed::SoftCipher;
use waft_core::session::sender::{self, Peer, SendError};
use waft_core::session::{Misbehaviour, SessionError, receiver};
use waft_core::wire::message::{BaseFile, BaseFiles, Cancel, FromReceiver, OFFER_TAIL, Refusal};

use crate::doubles::{Base, archive_at, archive_of};
use crate::fixture::{Fixture, KEY, RECEIVER, key};
use crate::handmade::{frame, receive_frame};
use crate::primitives::{Derived, frames, hmac, typed_secret};
use crate::sender_rules::greeting;
use crate::simulation::{connect, run};

/// When the files of the second folder were modified.
const LATER: i64 = 1_700_000_060;

const LONG: &[u8] = &[7; 9_000];

/// A receiver that has a folder of the sender, and a second run of that sender with this folder.
fn update(files: &[(&str, &[u8])]) -> Fixture {
    let mut fixture = Fixture::new();
    fixture.source = archive_of(&[("a", b"alpha"), ("b", b"beta"), ("long", LONG), ("z", b"last")]);
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    fixture.source = archive_at(LATER, files);
    fixture.store.base = Some(Base::Stays);
    fixture.store.written = 0;
    next_run(&mut fixture);
    fixture
}

/// One file of four changed, and keeps its length.
fn one_changed() -> Fixture {
    update(&[("a", b"alpha"), ("b", b"BETA"), ("long", LONG), ("z", b"last")])
}

fn next_run(fixture: &mut Fixture) {
    (fixture.store.staged, fixture.store.owner) = (Vec::new(), None);
    fixture.salt[0] += 1;
    fixture.receiver_user.keys = [key(KEY)].into();
}

#[test]
fn only_a_changed_file_crosses() {
    let mut fixture = one_changed();
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    let shape = fixture.source.info.shape;
    assert_eq!(fixture.store.written, u64::from(shape.manifest) + 4 + 32 + 32, "manifest, file, digest and root");
    assert_eq!(fixture.store.taken + fixture.store.written, shape.total);
    let left_out: u64 = fixture
        .sender_user
        .events
        .iter()
        .filter_map(|event| if let sender::Event::LeftOut(bytes) = event { Some(*bytes) } else { None })
        .sum();
    assert_eq!(left_out, fixture.store.taken);
    assert!(fixture.receiver_user.events.iter().any(|event| matches!(event, receiver::Event::Taken(_))));
}

#[test]
fn files_that_are_new_or_longer_or_elsewhere_cross() {
    for (files, crosses) in [
        (&[("a", &b"alpha"[..]), ("b", b"beta"), ("long", LONG), ("y", b"new"), ("z", b"last")][..], 3 + 32),
        (&[("a", b"alpha"), ("b", b"longer"), ("long", LONG)], 6 + 32),
        (&[("a", b"beta"), ("long", LONG), ("none", b"")], 4 + 32 + 32),
        (&[("c", b"alpha")], 5 + 32),
    ] {
        let mut fixture = update(files);
        let ends = fixture.connect();
        fixture.assert_committed(ends);
        assert_eq!(fixture.store.written, u64::from(fixture.source.info.shape.manifest) + crosses + 32, "{files:?}");
    }
}

#[test]
fn nothing_is_revealed_to_another_sender() {
    let mut fixture = one_changed();
    fixture.store.committed_by = Some(CertificateHash([0; 32]));
    let (_, to_sender) = fixture.record::<SoftCipher>();
    assert!(frames(&to_sender).iter().all(|(_, payload)| !matches!(payload[0], 9 | 10)));
    // A receiver that has no folder at all says the same to it.
    let accept = |to_sender: &[u8]| frames(to_sender).into_iter().find(|(_, payload)| payload[0] == 4).unwrap().1.len();
    assert_eq!(accept(&to_sender), accept(&Fixture::new().record::<SoftCipher>().1));
    assert_eq!(fixture.store.written, fixture.source.info.shape.total);
}

#[test]
fn a_sender_may_send_everything() {
    let mut fixture = one_changed();
    fixture.source.uses_base = false;
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    assert_eq!((fixture.store.taken, fixture.store.written), (0, fixture.source.info.shape.total));
}

/// Cuts every connection anywhere. No user is asked again, and what is stored already is neither sent nor taken again.
#[test]
fn a_transfer_resumes_after_a_cut_anywhere() {
    for (to_receiver, step) in [(true, 3), (false, 7)] {
        for at in (0..).step_by(step) {
            let mut fixture = one_changed();
            let first = match to_receiver {
                true => fixture.connect_cut(at, u64::MAX),
                false => fixture.connect_cut(u64::MAX, at),
            };
            if first.0.is_ok() {
                assert!(at > 100);
                break;
            }
            let held = fixture.store.staged.len() as u64;
            let (written, asked) = (fixture.store.written, fixture.receiver_user.asked.len());
            fixture.receiver_user.keys = [key(KEY)].into();
            let ends = fixture.connect();
            fixture.assert_committed(ends);
            if held > u64::from(fixture.source.info.shape.manifest) {
                assert_eq!(fixture.receiver_user.asked.len(), asked, "cut at {at}");
                let crossed = fixture.store.written - written;
                assert!(crossed <= 4 + 32 + 32, "cut at {at}: {crossed}");
            }
        }
    }
}

#[test]
fn a_resumed_file_is_taken_from_its_middle() {
    let mut fixture = one_changed();
    let archive = &fixture.source.archive;
    let middle = archive.windows(9).position(|bytes| bytes == [7; 9]).unwrap() + 5_000;
    fixture.store.staged = archive[..middle].to_vec();
    fixture.hold_staged();
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    assert_eq!(fixture.store.written, 32, "only the root");
}

#[test]
fn after_a_base_was_lost_everything_is_sent_and_no_user_is_asked() {
    for base in [Base::Goes, Base::Changes] {
        let mut fixture = one_changed();
        fixture.store.base = Some(base);
        let asked = fixture.receiver_user.asked.len();
        let lost = Cancel::BaseLost;
        let ends = (Err(SessionError::PeerCancelled(lost).into()), Err(SessionError::Cancelled(lost)));
        assert_eq!(fixture.connect(), ends);
        fixture.source.uses_base = false;
        fixture.source.left_out.clear();
        let ends = fixture.connect();
        fixture.assert_committed(ends);
        assert_eq!(fixture.receiver_user.asked.len(), asked + 1);
    }
}

#[test]
fn a_sender_that_leaves_out_what_was_not_listed_is_refused() {
    let new = || update(&[("a", b"alpha"), ("b", b"longer"), ("long", LONG), ("z", b"last")]);
    let fixture = new();
    let total = fixture.source.info.shape.total;
    let manifest = u64::from(fixture.source.info.shape.manifest);
    let a = manifest..manifest + 5 + 32;
    let root = total - 32..total;
    for (lie, how) in [
        // A part of a file, a file and the beginning of the next, the root.
        (a.start..a.end - 1, Misbehaviour::LeftOut),
        (a.start..a.end + 1, Misbehaviour::LeftOut),
        (a.start + 1..a.end + 1, Misbehaviour::LeftOut),
        (root.clone(), Misbehaviour::LeftOut),
        (root.start..total + 1, Misbehaviour::Field),
        (a.start..u64::MAX, Misbehaviour::Field),
        (a.start..a.start, Misbehaviour::Field),
    ] {
        let mut fixture = new();
        let before = fixture.store.committed.clone();
        fixture.source.left_out.push(lie.clone());
        let (sender, receiver) = fixture.connect();
        assert_eq!(receiver, Err(SessionError::PeerMisbehaved(how)), "{lie:?}");
        assert_eq!(sender, Err(SessionError::Refused(Refusal::Protocol).into()), "{lie:?}");
        assert!(fixture.store.committed == before && fixture.store.staged.is_empty());
    }
}

/// The sender says that a file is equal that is not.
#[test]
fn a_changed_file_that_is_left_out_is_not_committed() {
    let mut fixture = one_changed();
    let before = fixture.store.committed.clone();
    let manifest = u64::from(fixture.source.info.shape.manifest);
    fixture.source.left_out.push(manifest + 37..manifest + 37 + 36);
    let (sender, _) = fixture.connect();
    assert!(sender.is_err());
    assert_eq!(fixture.store.committed, before);
}

/// A message that is no chunk and no `LeaveOut`, where one has to come.
#[test]
fn everything_between_the_sides_is_checked() {
    let (to_receiver, to_sender) = one_changed().record::<SoftCipher>();
    for (side, bytes) in [(0, &to_receiver), (1, &to_sender)] {
        // From `Resume` or the list of files on.
        let from = bytes.len().saturating_sub(350);
        for at in from..bytes.len() {
            let mut fixture = one_changed();
            let before = fixture.store.committed.clone();
            fixture.edit = Some((side, at, 0x10));
            let (sender, receiver) = fixture.connect();
            let committed = &fixture.store.committed;
            assert!(*committed == before || *committed == fixture.source.archive, "{side} {at}");
            assert_eq!(receiver.is_ok(), *committed != before, "{side} {at}: {receiver:?}");
            assert!(sender.is_err() || receiver.is_ok(), "{side} {at}");
        }
    }
}

fn payload(message: &impl Serialize) -> Vec<u8> {
    postcard::to_slice(message, &mut [0; 512]).unwrap().to_vec()
}

/// Runs a sender whose receiver lists these files, and ends the list with a right or wrong MAC. Returns the sender's error
/// and what it left out.
fn run_with_list(files: &[(u32, Digest)], is_right: bool) -> (SendError, Vec<(u64, u64)>) {
    let mut fixture = one_changed();
    let manifest = fixture.source.archive[..fixture.source.info.shape.manifest as usize].to_vec();
    let secret = typed_secret(KEY, &fixture.salt, 1_000);
    let clock = Rc::clone(&fixture.clock);
    let (mut sender_link, mut receiver_link) = connect(u64::MAX, u64::MAX);
    let (mut sending, _) = fixture.sides();
    let receiver = async {
        let hello = receive_frame(&mut receiver_link).await;
        let greeting = payload(&FromReceiver::Greeting(greeting()));
        receiver_link.write_all(&frame(1, &greeting)).await.unwrap();
        let offer = receive_frame(&mut receiver_link).await;
        let body = &offer[..offer.len() - OFFER_TAIL];
        let derived = Derived::new(&secret, [&hello, &greeting, body], &manifest);
        receiver_link.write_all(&frame(1, &derived.accept_with(b"", true))).await.unwrap();
        // `Resume` and the manifest.
        receive_frame(&mut receiver_link).await;
        receive_frame(&mut receiver_link).await;
        let mut parts: Vec<[u8; 36]> = Vec::new();
        let mut next = 0;
        for (file, digest) in files {
            let listed = BaseFile { skipped: file.wrapping_sub(next), digest: *digest };
            let files = BaseFiles::from_slice(&[listed]).unwrap();
            receiver_link.write_all(&frame(1, &payload(&FromReceiver::BaseFiles { files }))).await.unwrap();
            parts.push([&file.to_be_bytes()[..], &digest.0].concat().try_into().unwrap());
            next = file.wrapping_add(1);
        }
        let key = derived.keys.expand::<32>("waft/1 base");
        let mut mac = hmac(&key, &parts.iter().map(|part| &part[..]).collect::<Vec<_>>());
        mac[31] ^= u8::from(!is_right);
        receiver_link.write_all(&frame(1, &payload(&FromReceiver::BaseEnd { mac }))).await.unwrap();
        loop {
            receive_frame(&mut receiver_link).await;
        }
    };
    let mut sender = sending.sender::<SoftCipher>();
    let peer = Peer { certificate: RECEIVER, hpke: None };
    let Either::First(end) = run(&clock, select(sender.send(&mut sender_link, &peer), receiver));
    let left_out = frames(&sender_link.written).into_iter().filter(|(kind, payload)| (*kind, payload[0]) == (1, 6));
    let left_out = left_out.map(|(_, payload)| postcard::from_bytes(&payload[1..]).unwrap()).collect();
    (end.unwrap_err(), left_out)
}

#[test]
fn a_receiver_that_lies_about_digests_gets_the_files() {
    let total = one_changed().source.info.shape.total;
    // The receiver never commits, so the sender waits for it in vain.
    let (_, left_out) = run_with_list(&[(0, Digest::of(b"another")), (2, Digest::of(b"another"))], true);
    assert_eq!(left_out, [(total, 0)]);
    let (_, left_out) = run_with_list(&[(0, Digest::of(b"alpha"))], true);
    assert_eq!(left_out.len(), 2);
    assert_eq!(left_out[0].1, 5 + 32);
}

#[test]
fn a_list_that_is_not_authentic_or_out_of_range_is_a_protocol_error() {
    let alpha = Digest::of(b"alpha");
    for (files, is_right, how) in [
        (&[(0, alpha)][..], false, Misbehaviour::BaseMac),
        (&[], false, Misbehaviour::BaseMac),
        (&[(4, alpha)], true, Misbehaviour::Field),
        (&[(3, alpha), (4, alpha)], true, Misbehaviour::Field),
        (&[(u32::MAX, alpha)], true, Misbehaviour::Field),
        // Backwards: the number of skipped files wraps.
        (&[(1, alpha), (0, alpha)], true, Misbehaviour::Field),
    ] {
        let (error, left_out) = run_with_list(files, is_right);
        assert_eq!((error, left_out), (SessionError::PeerMisbehaved(how).into(), vec![]), "{files:?}");
    }
}

/// Among many files, every second of which changed, the list takes several messages, and many ranges are left out.
#[test]
fn many_files_are_listed_in_several_messages() {
    let names: Vec<String> = (0..60).map(|number| format!("{number:02}")).collect();
    let old: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"old"[..])).collect();
    let new: Vec<(&str, &[u8])> = names
        .iter()
        .enumerate()
        .map(|(at, name)| (name.as_str(), if at % 2 == 0 { &b"new"[..] } else { b"old" }))
        .collect();
    let mut fixture = Fixture::new();
    fixture.source = archive_of(&old);
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    fixture.source = archive_at(LATER, &new);
    fixture.store.base = Some(Base::Stays);
    next_run(&mut fixture);
    let (to_receiver, to_sender) = fixture.record::<SoftCipher>();
    let count = |bytes: &[u8], number| {
        frames(bytes).iter().filter(|(kind, payload)| (*kind, payload[0]) == (1, number)).count()
    };
    assert_eq!((count(&to_sender, 9), count(&to_receiver, 6)), (8, 31));
    assert_eq!(fixture.store.taken, 30 * (3 + 32));
}
