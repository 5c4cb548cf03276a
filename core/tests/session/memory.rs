//! Tests of what a receiver remembers from one connection of a run to the next, and of the limits of that.

use std::rc::Rc;

use waft_core::certificate::CertificateHash;
use waft_core::limits::REMEMBER_MS;
use waft_core::sealed::cipher::SoftCipher;
use waft_core::session::{Misbehaviour, SessionError};
use waft_core::wire::message::{Cancel, Refusal};

use crate::actors::archive_of;
use crate::scene::{Ends, KEY, Scene, UNKNOWN, key};

/// Number of bytes that a receiver sends, without the last byte of its receipt.
pub(crate) fn all_but_the_receipt() -> u64 {
    Scene::new().record::<SoftCipher>().1.len() as u64 - 1
}

#[test]
fn a_lost_receipt_is_sent_again() {
    let mut scene = Scene::new();
    let (sender, receiver) = scene.connect_cut(u64::MAX, all_but_the_receipt());
    assert_eq!(sender, Err(UNKNOWN));
    assert!(receiver.is_ok());
    let written = scene.store.written;
    let ends = scene.connect();
    scene.assert_committed(ends);
    assert_eq!((scene.store.written, scene.store.generation), (written, 1));
    assert_eq!(scene.receiver_user.asked.len(), 1);
}

#[test]
fn a_lost_receipt_is_sent_again_even_if_the_store_no_longer_has_it() {
    let mut scene = Scene::new();
    assert_eq!(scene.connect_cut(u64::MAX, all_but_the_receipt()).0, Err(UNKNOWN));
    // As in a target that has other files as well, from which the committed ones can no longer be distinguished.
    let committed = std::mem::take(&mut scene.store.committed);
    scene.store.staged.clear();
    let (sender, receiver) = scene.connect();
    assert_eq!(sender, receiver);
    assert_eq!(sender.map(|receipt| receipt.digest), Ok(scene.source.root));
    assert!(scene.store.staged.is_empty(), "nothing was sent again");
    // Another run sends the folder again.
    scene.salt = [9; 32];
    scene.receiver_user.keys = [key(KEY)].into();
    let ends = scene.connect();
    scene.assert_committed(ends);
    assert_eq!(scene.store.committed, committed);
}

#[test]
fn a_run_has_only_one_folder() {
    let mut scene = Scene::new().with_right_code();
    let ends = scene.connect();
    scene.assert_committed(ends);
    let committed = scene.store.committed.clone();
    let first = std::mem::replace(&mut scene.source, archive_of(&[("a", b"another")]));
    let misbehaved = Err(SessionError::PeerMisbehaved(Misbehaviour::Field));
    assert_eq!(scene.connect(), (Err(SessionError::Refused(Refusal::Protocol)), misbehaved));
    assert_eq!((&scene.store.committed, scene.store.generation), (&committed, 1));
    // The refusal ended the run: for the first folder as well the sender needs a new code, which it does not have.
    scene.source = first;
    assert_eq!(scene.connect().0, Err(SessionError::Cancelled(Cancel::Interrupted)));
}

/// Breaks the connection after this number of milliseconds of a slow transfer.
fn break_after(scene: &mut Scene, ms: u64) {
    scene.store.takes = Some((Rc::clone(&scene.clock), 20_000, 0));
    let _ = scene.sender_stops_at(scene.clock.now_ms() + ms);
    scene.store.takes = None;
}

#[test]
fn a_run_is_remembered_after_a_connection_that_was_longer_than_the_memory_lasts() {
    let mut scene = Scene::new().with_right_code();
    break_after(&mut scene, REMEMBER_MS + 120_000);
    assert!(scene.store.committed.is_empty() && !scene.store.staged.is_empty());
    let ends = scene.connect();
    scene.assert_committed(ends);
    assert_eq!((scene.sender_user.asked.len(), scene.receiver_user.asked.len()), (1, 1));
}

#[test]
fn a_run_is_forgotten_ten_minutes_after_its_connection_ended() {
    for (pause, asked) in [(REMEMBER_MS - 1_000, 1), (REMEMBER_MS + 1_000, 2)] {
        let mut scene = Scene::new();
        scene.receiver_user.keys.push_back(key(KEY));
        let _ = scene.connect_cut(30_000, u64::MAX);
        scene.clock.advance(pause);
        let ends = scene.connect();
        scene.assert_committed(ends);
        assert_eq!(scene.receiver_user.asked.len(), asked, "{pause}");
    }
}

/// The user agreed to a number of files and bytes from this sender.
#[test]
fn a_key_that_was_typed_for_one_offer_is_not_used_for_another() {
    for other in [&[("a", &[0u8; 60_000][..])][..], &[("b", b"alpha")], &[("a", b"alpha"), ("b", b"")]] {
        let mut scene = Scene::new();
        scene.source = archive_of(&[("a", b"alpha")]);
        // The connection breaks after the key was proved, before `Accept`.
        let said = scene.accept_begins();
        scene.connect_cut(u64::MAX, said).0.unwrap_err();
        assert_eq!(scene.receiver_user.asked.len(), 1);
        let (entries, written) = (other.len(), scene.store.written);
        scene.source = archive_of(other);
        let (_, received) = scene.connect();
        if entries == 1 && other[0].0 == "b" {
            // The counts and lengths to which the user agreed are the same; the user has seen no names.
            assert!(received.is_ok(), "{received:?}");
        } else {
            assert_eq!(received, Err(SessionError::PeerMisbehaved(Misbehaviour::Field)));
            assert_eq!(scene.store.written, written, "nothing of it was stored");
        }
    }
}

#[test]
fn a_second_run_leaves_the_first_remembered() {
    let mut scene = Scene::new().with_right_code();
    let _ = scene.connect_cut(30_000, u64::MAX);
    // Another terminal of the same sender sends something else meanwhile.
    let first = (scene.salt, std::mem::replace(&mut scene.source, archive_of(&[("x", b"other")])));
    let staged = (std::mem::take(&mut scene.store.staged), scene.store.owner.take());
    scene.salt = [9; 32];
    scene = scene.with_right_code();
    scene.receiver_user.keys.push_back(key(KEY));
    let ends = scene.connect();
    scene.assert_committed(ends);
    (scene.store.staged, scene.store.owner) = staged;
    (scene.salt, scene.source) = first;
    let ends = scene.connect();
    scene.assert_committed(ends);
    let asked = (scene.sender_user.asked.len(), scene.receiver_user.asked.len());
    assert_eq!(asked, (2, 2), "no user is asked for the first run again");
}

#[test]
fn a_committed_folder_is_a_prefix_for_its_own_sender_only() {
    let mut scene = Scene::new();
    let ends = scene.connect();
    scene.assert_committed(ends);
    scene.store.committed_by = Some(CertificateHash([0; 32]));
    (scene.store.staged, scene.store.owner) = (Vec::new(), None);
    scene.salt = [8; 32];
    scene.receiver_user.keys.push_back(key(KEY));
    let written = scene.store.written;
    let ends = scene.connect();
    scene.assert_committed(ends);
    assert_eq!(scene.store.written - written, scene.source.info.shape.total);
}

/// Even if the store cannot return the manifest of a folder that it had before.
#[test]
fn a_run_whose_folder_was_there_already_is_remembered_as_committed() {
    let mut scene = Scene::new();
    let ends = scene.connect();
    scene.assert_committed(ends);
    scene.store.knows_no_manifest = true;
    scene.salt = [8; 32];
    scene.receiver_user.keys.push_back(key(KEY));
    let said = scene.store.generation;
    let ends = scene.connect();
    scene.assert_committed(ends);
    assert_eq!((scene.store.generation, scene.receiver_user.asked.len()), (said, 2));
    // The receipt is sent again, even if the target has changed since.
    scene.store.committed.clear();
    scene.store.staged.clear();
    let (sent, received) = scene.connect();
    assert_eq!((sent.is_ok(), received.is_ok(), scene.receiver_user.asked.len()), (true, true, 2));
    // Another folder of the same shape is refused in the same run.
    let ends: Ends = {
        let mut bytes = 0u32.to_le_bytes().repeat(20_000);
        bytes[0] = 1;
        scene.source = archive_of(&[("a", b"alpha"), ("b", &bytes), ("d", b"")]);
        scene.connect()
    };
    assert_eq!(ends.1, Err(SessionError::PeerMisbehaved(Misbehaviour::Field)));
}

#[test]
fn nothing_is_committed_if_the_store_returns_no_manifest() {
    let mut scene = Scene::new();
    scene.store.knows_no_manifest = true;
    assert_eq!(scene.connect().1, Err(SessionError::Refused(Refusal::Archive)));
    assert_eq!(scene.store.generation, 0);
}
