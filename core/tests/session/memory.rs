//! Tests of what a receiver remembers from one connection of a run to the next, and of the limits of that.

use std::rc::Rc;

use waft_core::certificate::CertificateHash;
use waft_core::limits::REMEMBER_MS;
use waft_core::sealed::SoftCipher;
use waft_core::session::sender::SendError;
use waft_core::session::{Misbehaviour, SessionError};
use waft_core::wire::message::{Cancel, Refusal};

use crate::doubles::archive_of;
use crate::fixture::{Fixture, KEY, Outcomes, UNKNOWN, key};

/// Number of bytes that a receiver sends, without the last byte of its receipt.
pub(crate) fn all_but_the_receipt() -> u64 {
    Fixture::new().record::<SoftCipher>().1.len() as u64 - 1
}

#[test]
fn a_lost_receipt_is_sent_again() {
    let mut fixture = Fixture::new();
    let (sender, receiver) = fixture.connect_cut(u64::MAX, all_but_the_receipt());
    assert_eq!(sender, Err(UNKNOWN));
    assert!(receiver.is_ok());
    let written = fixture.store.written;
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    assert_eq!((fixture.store.written, fixture.store.generation), (written, 1));
    assert_eq!(fixture.receiver_user.asked.len(), 1);
}

#[test]
fn a_lost_receipt_is_sent_again_even_if_the_store_no_longer_has_it() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.connect_cut(u64::MAX, all_but_the_receipt()).0, Err(UNKNOWN));
    // As in a target that has other files, too, from which the committed ones can no longer be distinguished.
    let committed = std::mem::take(&mut fixture.store.committed);
    fixture.store.staged.clear();
    let (sender, receiver) = fixture.connect();
    assert_eq!(sender, receiver.map_err(SendError::from));
    assert_eq!(sender.map(|receipt| receipt.digest), Ok(fixture.source.root));
    assert!(fixture.store.staged.is_empty(), "nothing was sent again");
    // Another run sends the folder again.
    fixture.salt = [9; 32];
    fixture.receiver_user.keys = [key(KEY)].into();
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    assert_eq!(fixture.store.committed, committed);
}

#[test]
fn a_run_has_only_one_folder() {
    let mut fixture = Fixture::new().with_right_code();
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    let committed = fixture.store.committed.clone();
    let first = std::mem::replace(&mut fixture.source, archive_of(&[("a", b"another")]));
    let misbehaved = Err(SessionError::PeerMisbehaved(Misbehaviour::Field));
    assert_eq!(fixture.connect(), (Err(SessionError::Refused(Refusal::Protocol).into()), misbehaved));
    assert_eq!((&fixture.store.committed, fixture.store.generation), (&committed, 1));
    // The refusal ended the run: for the first folder as well the sender needs a new code, which it does not have.
    fixture.source = first;
    assert_eq!(fixture.connect().0, Err(SessionError::Cancelled(Cancel::Interrupted).into()));
}

/// Breaks the connection after this number of milliseconds of a slow transfer.
fn break_after(fixture: &mut Fixture, ms: u64) {
    fixture.store.delay = Some((Rc::clone(&fixture.clock), 20_000, 0));
    let _ = fixture.sender_stops_at(fixture.clock.now_ms() + ms);
    fixture.store.delay = None;
}

#[test]
fn a_run_is_remembered_after_a_connection_that_was_longer_than_the_memory_lasts() {
    let mut fixture = Fixture::new().with_right_code();
    break_after(&mut fixture, REMEMBER_MS + 120_000);
    assert!(fixture.store.committed.is_empty() && !fixture.store.staged.is_empty());
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    assert_eq!((fixture.sender_user.asked.len(), fixture.receiver_user.asked.len()), (1, 1));
}

#[test]
fn a_run_is_forgotten_ten_minutes_after_its_connection_ended() {
    for (pause, asked) in [(REMEMBER_MS - 1_000, 1), (REMEMBER_MS + 1_000, 2)] {
        let mut fixture = Fixture::new();
        fixture.receiver_user.keys.push_back(key(KEY));
        let _ = fixture.connect_cut(30_000, u64::MAX);
        fixture.clock.advance(pause);
        let ends = fixture.connect();
        fixture.assert_committed(ends);
        assert_eq!(fixture.receiver_user.asked.len(), asked, "{pause}");
    }
}

/// The user agreed to a number of files and bytes from this sender.
#[test]
fn a_key_that_was_typed_for_one_offer_is_not_used_for_another() {
    for other in [&[("a", &[0u8; 60_000][..])][..], &[("b", b"alpha")], &[("a", b"alpha"), ("b", b"")]] {
        let mut fixture = Fixture::new();
        fixture.source = archive_of(&[("a", b"alpha")]);
        // The connection breaks after the key was proved, before `Accept`.
        let sent = fixture.accept_begins();
        fixture.connect_cut(u64::MAX, sent).0.unwrap_err();
        assert_eq!(fixture.receiver_user.asked.len(), 1);
        let (entries, written) = (other.len(), fixture.store.written);
        fixture.source = archive_of(other);
        let (_, received) = fixture.connect();
        if entries == 1 && other[0].0 == "b" {
            // The counts and lengths to which the user agreed are the same; the user has seen no names.
            assert!(received.is_ok(), "{received:?}");
        } else {
            assert_eq!(received, Err(SessionError::PeerMisbehaved(Misbehaviour::Field)));
            assert_eq!(fixture.store.written, written, "nothing of it was stored");
        }
    }
}

#[test]
fn a_second_run_leaves_the_first_remembered() {
    let mut fixture = Fixture::new().with_right_code();
    let _ = fixture.connect_cut(30_000, u64::MAX);
    // Another terminal of the same sender sends something else meanwhile.
    let first = (fixture.salt, std::mem::replace(&mut fixture.source, archive_of(&[("x", b"other")])));
    let staged = (std::mem::take(&mut fixture.store.staged), fixture.store.owner.take());
    fixture.salt = [9; 32];
    fixture = fixture.with_right_code();
    fixture.receiver_user.keys.push_back(key(KEY));
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    (fixture.store.staged, fixture.store.owner) = staged;
    (fixture.salt, fixture.source) = first;
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    let asked = (fixture.sender_user.asked.len(), fixture.receiver_user.asked.len());
    assert_eq!(asked, (2, 2), "no user is asked for the first run again");
}

#[test]
fn a_committed_folder_is_a_prefix_for_its_own_sender_only() {
    let mut fixture = Fixture::new();
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    fixture.store.committed_by = Some(CertificateHash([0; 32]));
    (fixture.store.staged, fixture.store.owner) = (Vec::new(), None);
    fixture.salt = [8; 32];
    fixture.receiver_user.keys.push_back(key(KEY));
    let written = fixture.store.written;
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    assert_eq!(fixture.store.written - written, fixture.source.info.shape.total);
}

/// Even if the store cannot return the manifest of a folder that it had before.
#[test]
fn a_run_whose_folder_was_there_already_is_remembered_as_committed() {
    let mut fixture = Fixture::new();
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    fixture.store.returns_no_manifest = true;
    fixture.salt = [8; 32];
    fixture.receiver_user.keys.push_back(key(KEY));
    let sent = fixture.store.generation;
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    assert_eq!((fixture.store.generation, fixture.receiver_user.asked.len()), (sent, 2));
    // The receipt is sent again, even if the target has changed since.
    fixture.store.committed.clear();
    fixture.store.staged.clear();
    let (sent, received) = fixture.connect();
    assert_eq!((sent.is_ok(), received.is_ok(), fixture.receiver_user.asked.len()), (true, true, 2));
    // Another folder of the same shape is refused in the same run.
    let ends: Outcomes = {
        let mut bytes = 0u32.to_le_bytes().repeat(20_000);
        bytes[0] = 1;
        fixture.source = archive_of(&[("a", b"alpha"), ("b", &bytes), ("d", b"")]);
        fixture.connect()
    };
    assert_eq!(ends.1, Err(SessionError::PeerMisbehaved(Misbehaviour::Field)));
}

#[test]
fn nothing_is_committed_if_the_store_returns_no_manifest() {
    let mut fixture = Fixture::new();
    fixture.store.returns_no_manifest = true;
    assert_eq!(fixture.connect().1, Err(SessionError::Refused(Refusal::Archive)));
    assert_eq!(fixture.store.generation, 0);
}
