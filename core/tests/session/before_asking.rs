//! Tests that errors which can be found before a user types a code or a key are found before. PROTOCOL.md, section 6,
//! steps 2 and 4.

use std::rc::Rc;

use waft_core::limits::IDLE_MS;
use waft_core::session::sender::{KeyRule, SendError};
use waft_core::session::{SessionError, StoreError};
use waft_core::wire::message::{Cancel, Kibibytes, Refusal};

use crate::doubles::Moment;
use crate::fixture::{Fixture, UNKNOWN, refused};
use crate::memory::all_but_the_receipt;

const NO_SPACE: StoreError = StoreError::NoSpace { missing: Kibibytes(9) };

#[test]
fn the_store_refuses_an_offer_before_the_key_is_typed() {
    for error in [NO_SPACE, StoreError::NotEmpty, StoreError::NotWritable, StoreError::Older] {
        let mut fixture = Fixture::new();
        fixture.store.refuses = Some(error);
        assert_eq!(fixture.connect(), refused(error.refusal()));
        assert_eq!(fixture.receiver_user.asked, [], "{error:?}");
    }
}

#[test]
fn the_sender_waits_while_the_store_checks_an_offer() {
    let mut fixture = Fixture::new();
    fixture.store.checked = Moment(Some((Rc::clone(&fixture.clock), 3 * IDLE_MS)));
    let ends = fixture.connect();
    fixture.assert_committed(ends);
}

#[test]
fn a_sender_can_cancel_while_the_store_checks_an_offer() {
    let mut fixture = Fixture::new();
    fixture.store.checked = Moment(Some((Rc::clone(&fixture.clock), 3 * IDLE_MS)));
    fixture.sender_user.interrupts_at = Moment(Some((Rc::clone(&fixture.clock), 1_000)));
    let reason = Cancel::Interrupted;
    assert_eq!(
        fixture.connect(),
        (Err(SessionError::Cancelled(reason).into()), Err(SessionError::PeerCancelled(reason)))
    );
    assert_eq!(fixture.receiver_user.asked, []);
}

/// The time that the store takes does not shorten the user's time to type the key.
#[test]
fn the_time_to_type_the_key_begins_when_it_is_asked_for() {
    let mut fixture = Fixture::new();
    let checked_at = 4 * IDLE_MS;
    fixture.store.checked = Moment(Some((Rc::clone(&fixture.clock), checked_at)));
    fixture.receiver_user.types_at = Moment(Some((Rc::clone(&fixture.clock), checked_at + 299_000)));
    let ends = fixture.connect();
    fixture.assert_committed(ends);
}

#[test]
fn a_lost_receipt_is_sent_even_if_the_store_would_refuse() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.connect_cut(u64::MAX, all_but_the_receipt()).0, Err(UNKNOWN));
    fixture.store.refuses = Some(StoreError::NotEmpty);
    let (sender, receiver) = fixture.connect();
    assert_eq!(sender, receiver.map_err(SendError::from));
    assert_eq!(sender.map(|receipt| receipt.digest), Ok(fixture.source.root));
}

/// A fixture whose receiver needs a code, which the sender's user would type.
fn attended() -> Fixture {
    Fixture::new().with_right_code()
}

#[test]
fn too_little_space_is_found_before_the_user_types_the_code() {
    let mut fixture = attended();
    let needed = fixture.source.info.shape.total;
    fixture.store.capacity.free = needed - 1;
    let (sender, receiver) = fixture.connect();
    assert_eq!(sender, Err(SendError::NoSpace { missing: Kibibytes(1) }));
    assert_eq!(receiver, Err(SessionError::PeerCancelled(Cancel::Declined)));
    assert_eq!(fixture.sender_user.asked, []);
    fixture.store.capacity.free = needed;
    let ends = fixture.connect();
    fixture.assert_committed(ends);
}

/// The prefix that was sent before takes space, but need not be sent again.
#[test]
fn a_remembered_run_is_not_refused_for_too_little_space() {
    let mut fixture = attended();
    let _ = fixture.connect_cut(30_000, u64::MAX);
    fixture.store.capacity.free = 0;
    let ends = fixture.connect();
    fixture.assert_committed(ends);
}

#[test]
fn a_sender_that_requires_a_typed_key_declines_before_the_user_types_the_code() {
    let mut fixture = attended();
    fixture.keys = KeyRule::TypedOnly;
    fixture.typed = false;
    let (sender, receiver) = fixture.connect();
    assert_eq!(sender, Err(SendError::KeyNotTyped));
    assert_eq!(receiver, Err(SessionError::PeerCancelled(Cancel::Declined)));
    assert_eq!(fixture.sender_user.asked, []);
    fixture.typed = true;
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    assert_eq!(fixture.receiver_user.asked, [None]);
}

#[test]
fn a_sender_that_requires_a_sealed_key_declines_before_the_user_types_the_code() {
    let mut fixture = attended();
    fixture.keys = KeyRule::SealedOnly;
    let (sender, receiver) = fixture.connect();
    assert_eq!(sender, Err(SendError::KeyNotSealed));
    assert_eq!(receiver, Err(SessionError::PeerCancelled(Cancel::Declined)));
    assert_eq!((&fixture.sender_user.asked[..], &fixture.receiver_user.asked[..]), (&[][..], &[][..]));
    fixture.typed = false;
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    assert_eq!(fixture.receiver_user.asked, []);
}

#[test]
fn the_sender_decides_between_the_key_modes_of_a_receiver_that_offers_both() {
    for (keys, is_asked) in [(KeyRule::Any, true), (KeyRule::TypedOnly, true), (KeyRule::SealedOnly, false)] {
        let mut fixture = Fixture::new();
        (fixture.either, fixture.keys) = (true, keys);
        let ends = fixture.connect();
        fixture.assert_committed(ends);
        assert_eq!(!fixture.receiver_user.asked.is_empty(), is_asked, "{keys:?}");
    }
}

/// A run whose key was typed goes on without another question, and one whose key was sealed as well.
#[test]
fn a_broken_run_goes_on_in_the_same_key_mode() {
    for (keys, asked) in [(KeyRule::Any, 1), (KeyRule::SealedOnly, 0)] {
        let mut fixture = Fixture::new();
        (fixture.either, fixture.keys) = (true, keys);
        let _ = fixture.connect_cut(30_000, u64::MAX);
        let ends = fixture.connect();
        fixture.assert_committed(ends);
        assert_eq!(fixture.receiver_user.asked.len(), asked, "{keys:?}");
    }
}

#[test]
fn a_closed_receiver_sends_receipts_and_accepts_nothing() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.connect_cut(u64::MAX, all_but_the_receipt()).0, Err(UNKNOWN));
    assert!(fixture.peers.has_unconfirmed_receipt());
    fixture.peers.close();
    let salt = std::mem::replace(&mut fixture.salt, [9; 32]);
    assert_eq!(fixture.connect(), refused(Refusal::Declined));
    fixture.salt = salt;
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    assert!(!fixture.peers.has_unconfirmed_receipt(), "its sender closed the connection in good order");
}
