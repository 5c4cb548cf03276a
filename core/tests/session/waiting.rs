//! Tests of long work, silent peers and interruptions, on either side and in every phase.

use std::rc::Rc;

use waft_core::limits::{CODE_MS, IDLE_MS, LINGER_MS, WORKING_CAP_MS};
use waft_core::sealed::cipher::SoftCipher;
use waft_core::session::{SessionError, receiver, sender};
use waft_core::wire::message::{Cancel, Stage};

use crate::actors::{Moment, archive_of};
use crate::scene::{Scene, UNKNOWN};

/// A scene whose store takes this number of milliseconds for each write and for a commit.
fn slow_store(write: u64, commit: u64) -> Scene {
    let mut scene = Scene::new();
    scene.store.takes = Some((Rc::clone(&scene.clock), write, commit));
    scene
}

#[test]
fn a_commit_goes_on_when_the_sender_is_gone() {
    for takes in [8_000, 600_000] {
        let mut scene = slow_store(0, takes);
        let received = scene.sender_stops_at(1_000);
        assert_eq!(scene.store.committed, scene.source.archive, "{takes}");
        assert!(received.is_ok(), "{takes}: {received:?}");
        // The sender's next connection gets the receipt, and no user is asked again.
        scene.store.takes = None;
        let ends = scene.connect();
        scene.assert_committed(ends);
        assert_eq!((scene.store.generation, scene.receiver_user.asked.len()), (1, 1));
    }
}

#[test]
fn a_commit_goes_on_when_the_connection_stalls() {
    let said = Scene::new().record::<SoftCipher>().1.len();
    let receipt = 4 + 1 + 32 + 1 + 3 + 1;
    // In the middle of the first `Working(Verifying)`.
    let mut scene = slow_store(0, 60_000);
    let (sent, received) = scene.connect_stalled(1, said - receipt + 2, u64::MAX);
    assert_eq!(sent, Err(UNKNOWN));
    assert!(received.is_ok(), "{received:?}");
    assert_eq!(scene.store.committed, scene.source.archive);
}

#[test]
fn nothing_is_sent_after_an_unfinished_frame() {
    // The sender gives up in the middle of a chunk; afterwards its link would accept bytes again.
    let mut scene = Scene::new();
    let (sent, received) = scene.connect_stalled(0, 30_000, IDLE_MS + 1);
    assert_eq!((sent, received), (Err(SessionError::TimedOut), Err(SessionError::Disconnected)));
    assert!(scene.clock.now_ms() <= IDLE_MS + LINGER_MS, "it does not wait for a message that cannot be sent");
    assert!(scene.store.staged.len() > 20_000, "an honest sender's prefix is kept");
    let ends = scene.connect();
    scene.assert_committed(ends);
    assert_eq!(scene.receiver_user.asked.len(), 1, "its key is remembered");

    // The receiver gives up in the middle of a message.
    let said = Scene::new().record::<SoftCipher>().1;
    let mut scene = slow_store(IDLE_MS, 0);
    let accept = said.windows(5).position(|bytes| bytes[0] == 1 && bytes[4] == 4).unwrap();
    let (sent, received) = scene.connect_stalled(1, accept + 6, IDLE_MS + 1);
    assert_eq!((sent, received), (Err(SessionError::TimedOut), Err(SessionError::TimedOut)));
}

#[test]
fn the_sender_waits_for_storage_that_is_slow_in_every_write() {
    // One chunk takes less than the deadline, several take more: the sender's buffers are always full.
    let mut scene = slow_store(10_000, 100_000);
    let ends = scene.connect();
    scene.assert_committed(ends);
    assert!(scene.sender_user.events.contains(&sender::Event::Working(Stage::Storing)));
    assert!(scene.sender_user.events.contains(&sender::Event::Working(Stage::Verifying)));
}

#[test]
fn the_sender_waits_for_storage_that_is_slow_in_one_write() {
    let mut scene = slow_store(5 * IDLE_MS, 0);
    scene.source = archive_of(&[("a", &[1; 5_000])]);
    let ends = scene.connect();
    scene.assert_committed(ends);
}

#[test]
fn the_sender_gives_up_at_the_cap_if_the_storage_never_ends() {
    let mut scene = slow_store(u64::MAX / 2, 0);
    scene.interrupt(1, 2 * WORKING_CAP_MS);
    let (sent, _) = scene.connect();
    assert_eq!(sent, Err(SessionError::TimedOut));
    assert!((WORKING_CAP_MS..WORKING_CAP_MS + IDLE_MS).contains(&scene.sender_ended));

    let mut scene = slow_store(0, WORKING_CAP_MS * 2);
    let (sent, received) = scene.connect();
    assert_eq!(sent, Err(UNKNOWN), "the receiver may commit later");
    assert!(received.is_ok());
}

#[test]
fn the_receiver_waits_for_a_slow_source() {
    let mut scene = Scene::new();
    scene.source = archive_of(&[("a", &[1; 5_000])]);
    scene.source_takes = 5 * IDLE_MS;
    let ends = scene.connect();
    scene.assert_committed(ends);
}

#[test]
fn either_user_interrupts_at_once_whatever_is_slow() {
    let at = 12_345;
    for side in [0, 1] {
        let (mut writing, mut hashing, mut reading) = (slow_store(IDLE_MS, 0), Scene::new(), Scene::new());
        hashing.store.staged = hashing.source.archive[..50_000].to_vec();
        hashing.hold_staged();
        hashing.source_takes = IDLE_MS;
        reading.source_takes = IDLE_MS;
        for (what, scene) in [("writing", &mut writing), ("hashing", &mut hashing), ("reading", &mut reading)] {
            scene.interrupt(side, at);
            let (sent, received) = scene.connect();
            let (mine, other) = if side == 0 { (sent, received) } else { (received, sent) };
            assert_eq!(mine, Err(SessionError::Cancelled(Cancel::Interrupted)), "{what} at {side}");
            assert!(
                matches!(other, Err(SessionError::PeerCancelled(Cancel::Interrupted) | SessionError::Disconnected)),
                "{what} at {side}: {other:?}"
            );
            let ended = if side == 0 { scene.sender_ended } else { scene.receiver_ended };
            assert!((at..=at + LINGER_MS).contains(&ended), "{what} at {side}: {ended}");
        }
    }
}

#[test]
fn interrupting_the_wait_for_the_receipt_leaves_the_outcome_unknown() {
    let mut scene = slow_store(0, 60_000);
    scene.interrupt(0, 30_000);
    let (sent, received) = scene.connect();
    assert_eq!(sent, Err(SessionError::OutcomeUnknown { interrupted: true }));
    assert!(received.is_ok(), "the receiver committed");
}

/// When a side stops, in milliseconds: within the phase under test.
const STOPS: u64 = 50_000;

fn waits_for_code() -> Scene {
    let mut scene = Scene::new().with_right_code();
    scene.sender_user.code_takes = Some((Rc::clone(&scene.clock), u64::MAX / 2));
    scene
}

fn waits_for_key() -> Scene {
    let mut scene = Scene::new();
    scene.receiver_user.keys.clear();
    scene
}

fn reads_back() -> Scene {
    let mut scene = Scene::new();
    scene.store.read_back = Some(Moment::default());
    scene
}

fn hashes() -> Scene {
    let mut scene = Scene::new();
    scene.store.staged = scene.source.archive[..50_000].to_vec();
    scene.hold_staged();
    scene.source_takes = WORKING_CAP_MS;
    scene
}

fn reads() -> Scene {
    let mut scene = Scene::new();
    scene.source_takes = WORKING_CAP_MS / 2;
    scene
}

#[test]
fn a_receiver_times_out_if_the_sender_stops_in_any_phase() {
    for (phase, mut scene) in [
        ("code", waits_for_code()),
        ("key", waits_for_key()),
        ("read back", reads_back()),
        ("hash", hashes()),
        ("read", reads()),
    ] {
        let end = scene.sender_stops_at(STOPS);
        assert_eq!(end, Err(SessionError::TimedOut), "{phase}");
        let ended = scene.clock.now_ms();
        assert!((STOPS..=STOPS + IDLE_MS + LINGER_MS).contains(&ended), "{phase}: {ended}");
    }
}

#[test]
fn a_sender_times_out_if_the_receiver_stops_in_any_phase() {
    for (phase, mut scene) in [
        ("code", waits_for_code()),
        ("key", waits_for_key()),
        ("read back", reads_back()),
        ("storing", slow_store(IDLE_MS, 0)),
    ] {
        let end = scene.receiver_stops_at(STOPS);
        assert_eq!(end, Err(SessionError::TimedOut), "{phase}");
        let ended = scene.clock.now_ms();
        assert!((STOPS..=STOPS + IDLE_MS + LINGER_MS).contains(&ended), "{phase}: {ended}");
    }
}

#[test]
fn the_code_has_a_deadline_of_its_own() {
    let mut scene = waits_for_code();
    let (sent, received) = scene.connect();
    let refused = Err(SessionError::Refused(waft_core::wire::message::Refusal::CodeTimeout));
    assert_eq!((sent, received), (refused, refused));
    assert!((CODE_MS..CODE_MS + IDLE_MS).contains(&scene.receiver_ended));
    assert!(!scene.receiver_user.events.contains(&receiver::Event::CodeAccepted));
}
