//! What can be known before a code is read out or a key is typed is found before. PROTOCOL.md, section 6, steps 2 and 4.

use std::rc::Rc;

use waft_core::limits::STEP_MS;
use waft_core::session::{SessionError, StoreError};
use waft_core::wire::message::{Cancel, Refusal};

use crate::actors::Moment;
use crate::memory::all_but_the_receipt;
use crate::scene::{Scene, UNKNOWN, refused};

const NO_SPACE: StoreError = StoreError::NoSpace { needed: 9, free: 3 };

#[test]
fn what_the_store_refuses_is_found_before_a_key_is_typed() {
    for error in [NO_SPACE, StoreError::NotEmpty, StoreError::NotWritable, StoreError::Older] {
        let mut scene = Scene::new();
        scene.store.refuses = Some(error);
        assert_eq!(scene.connect(), refused(error.refusal()));
        assert_eq!(scene.typist.asked, [], "{error:?}");
    }
}

#[test]
fn a_store_may_take_its_time_to_find_out() {
    let mut scene = Scene::new();
    scene.store.checked = Moment(Some((Rc::clone(&scene.clock), 3 * STEP_MS)));
    let ends = scene.connect();
    scene.assert_committed(ends);
}

#[test]
fn a_sender_that_cancels_is_heard_while_the_store_finds_out() {
    let mut scene = Scene::new();
    scene.store.checked = Moment(Some((Rc::clone(&scene.clock), 3 * STEP_MS)));
    scene.caller.leaves = Moment(Some((Rc::clone(&scene.clock), 1_000)));
    let reason = Cancel::Interrupted;
    assert_eq!(scene.connect(), (Err(SessionError::Cancelled(reason)), Err(SessionError::PeerCancelled(reason))));
    assert_eq!(scene.typist.asked, []);
}

/// The time that a store takes is not taken from the user's time to type the key.
#[test]
fn the_time_to_type_the_key_begins_when_it_is_asked_for() {
    let mut scene = Scene::new();
    let found_out = 4 * STEP_MS;
    scene.store.checked = Moment(Some((Rc::clone(&scene.clock), found_out)));
    scene.typist.types = Moment(Some((Rc::clone(&scene.clock), found_out + 299_000)));
    let ends = scene.connect();
    scene.assert_committed(ends);
}

#[test]
fn a_lost_receipt_is_given_whatever_the_store_finds() {
    let mut scene = Scene::new();
    assert_eq!(scene.connect_cut(u64::MAX, all_but_the_receipt()).0, Err(UNKNOWN));
    scene.store.refuses = Some(StoreError::NotEmpty);
    let (sender, receiver) = scene.connect();
    assert_eq!(sender, receiver);
    assert_eq!(sender.map(|receipt| receipt.digest), Ok(scene.source.root));
}

/// A scene whose receiver asks for a code that the sender's user would know.
fn attended() -> Scene {
    Scene::new().with_right_code()
}

#[test]
fn too_little_room_is_found_before_the_code_is_asked_for() {
    let mut scene = attended();
    let needed = scene.source.info.shape.total;
    scene.store.capacity.free = needed - 1;
    let (sender, receiver) = scene.connect();
    assert_eq!(sender, Err(SessionError::NoSpace { needed, free: needed - 1 }));
    assert_eq!(receiver, Err(SessionError::PeerCancelled(Cancel::Declined)));
    assert_eq!(scene.caller.asked, []);
    scene.store.capacity.free = needed;
    let ends = scene.connect();
    scene.assert_committed(ends);
}

/// What was sent before takes room, and need not be sent again.
#[test]
fn a_run_that_is_remembered_is_not_measured_by_the_room_that_is_left() {
    let mut scene = attended();
    let _ = scene.connect_cut(30_000, u64::MAX);
    scene.store.capacity.free = 0;
    let ends = scene.connect();
    scene.assert_committed(ends);
}

#[test]
fn a_sender_that_wants_the_key_typed_finds_before_the_code_that_it_would_not_be() {
    let mut scene = attended();
    scene.typed_only = true;
    scene.typed = false;
    let (sender, receiver) = scene.connect();
    assert_eq!(sender, Err(SessionError::KeyNotTyped));
    assert_eq!(receiver, Err(SessionError::PeerCancelled(Cancel::Declined)));
    assert_eq!(scene.caller.asked, []);
    scene.typed = true;
    let ends = scene.connect();
    scene.assert_committed(ends);
    assert_eq!(scene.typist.asked, [None]);
}

#[test]
fn a_closed_receiver_gives_receipts_and_takes_nothing() {
    let mut scene = Scene::new();
    assert_eq!(scene.connect_cut(u64::MAX, all_but_the_receipt()).0, Err(UNKNOWN));
    assert!(scene.peers.has_unconfirmed_receipt());
    scene.peers.close();
    let salt = std::mem::replace(&mut scene.salt, [9; 32]);
    assert_eq!(scene.connect(), refused(Refusal::Declined));
    scene.salt = salt;
    let ends = scene.connect();
    scene.assert_committed(ends);
    assert!(!scene.peers.has_unconfirmed_receipt(), "its sender closed behind it");
}
