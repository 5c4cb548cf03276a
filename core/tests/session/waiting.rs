//! Tests of long work, silent peers and interruptions, on either side and in every phase.

use std::rc::Rc;

use waft_core::limits::{CODE_MS, IDLE_MS, LINGER_MS, WORKING_CAP_MS, WORKING_MS};
use waft_core::sealed::SoftCipher;
use waft_core::session::sender::SendError;
use waft_core::session::{Misbehaviour, SessionError, receiver, sender};
use waft_core::wire::message::{Cancel, Refusal, Stage};

use crate::doubles::{Moment, archive_of};
use crate::fixture::{Fixture, UNKNOWN, refused};

/// A fixture whose store takes this number of milliseconds for each write and for a commit.
fn slow_store(write: u64, commit: u64) -> Fixture {
    let mut fixture = Fixture::new();
    fixture.store.delay = Some((Rc::clone(&fixture.clock), write, commit));
    fixture
}

#[test]
fn a_commit_goes_on_when_the_sender_is_gone() {
    for delay in [8_000, 600_000] {
        let mut fixture = slow_store(0, delay);
        let received = fixture.sender_stops_at(1_000);
        assert_eq!(fixture.store.committed, fixture.source.archive, "{delay}");
        assert!(received.is_ok(), "{delay}: {received:?}");
        // The sender's next connection gets the receipt, and no user is asked again.
        fixture.store.delay = None;
        let ends = fixture.connect();
        fixture.assert_committed(ends);
        assert_eq!((fixture.store.generation, fixture.receiver_user.asked.len()), (1, 1));
    }
}

#[test]
fn a_commit_goes_on_when_the_connection_stalls() {
    let sent = Fixture::new().record::<SoftCipher>().1.len();
    let receipt = 4 + 1 + 32 + 1 + 3 + 1;
    // In the middle of the first `Working(Verifying)`.
    let mut fixture = slow_store(0, 60_000);
    let (sent, received) = fixture.connect_stalled(1, sent - receipt + 2, u64::MAX);
    assert_eq!(sent, Err(UNKNOWN));
    assert!(received.is_ok(), "{received:?}");
    assert_eq!(fixture.store.committed, fixture.source.archive);
    assert_eq!(fixture.store.committed_at, 60_000, "it does not wait for the connection");
}

/// The storage is done while a keep-alive is half sent. It has to be finished before the receipt can follow.
#[test]
fn a_keep_alive_that_was_begun_is_finished_before_the_next_message() {
    let source = || archive_of(&[("a", &[1; 50])]);
    let sent = Fixture { source: source(), ..Fixture::new() }.record::<SoftCipher>().1.len();
    let receipt = 4 + 1 + 32 + 1 + 2 + 1;
    for (write, commit) in [(6_000, 0), (0, 6_000)] {
        let mut fixture = Fixture { source: source(), ..slow_store(write, commit) };
        // In the middle of the first `Working` after `Accept`.
        let ends = fixture.connect_stalled(1, sent - receipt + 2, 10_000);
        fixture.assert_committed(ends);
        assert!((10_000..10_000 + LINGER_MS).contains(&fixture.clock.now_ms()), "{}", fixture.clock.now_ms());
    }
}

#[test]
fn nothing_is_sent_after_an_unfinished_frame() {
    // The sender gives up in the middle of a chunk; afterwards its link would accept bytes again.
    let mut fixture = Fixture::new();
    let (sent, received) = fixture.connect_stalled(0, 30_000, IDLE_MS + 1);
    assert_eq!((sent, received), (Err(SessionError::TimedOut.into()), Err(SessionError::Disconnected)));
    assert!(fixture.clock.now_ms() <= IDLE_MS + LINGER_MS, "it does not wait for a message that cannot be sent");
    assert!(fixture.store.staged.len() > 20_000, "an honest sender's prefix is kept");
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    assert_eq!(fixture.receiver_user.asked.len(), 1, "its key is remembered");

    // The receiver gives up in the middle of a message.
    let sent = Fixture::new().record::<SoftCipher>().1;
    let mut fixture = slow_store(IDLE_MS, 0);
    let accept = sent.windows(5).position(|bytes| bytes[0] == 1 && bytes[4] == 4).unwrap();
    let (sent, received) = fixture.connect_stalled(1, accept + 6, IDLE_MS + 1);
    assert_eq!((sent, received), (Err(SessionError::TimedOut.into()), Err(SessionError::TimedOut)));
}

#[test]
fn the_sender_waits_for_storage_that_is_slow_in_every_write() {
    // One chunk takes less than the deadline, several take more: the sender's buffers are always full.
    let mut fixture = slow_store(10_000, 100_000);
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    assert!(fixture.sender_user.events.contains(&sender::Event::Working(Stage::Storing)));
    assert!(fixture.sender_user.events.contains(&sender::Event::Working(Stage::Verifying)));
}

#[test]
fn the_sender_waits_for_storage_that_is_slow_in_one_write() {
    let mut fixture = slow_store(5 * IDLE_MS, 0);
    fixture.source = archive_of(&[("a", &[1; 5_000])]);
    let ends = fixture.connect();
    fixture.assert_committed(ends);
}

#[test]
fn the_sender_gives_up_at_the_cap_if_the_storage_never_ends() {
    let mut fixture = slow_store(u64::MAX / 2, 0);
    fixture.interrupt(1, 2 * WORKING_CAP_MS);
    let (sent, _) = fixture.connect();
    assert_eq!(sent, Err(SessionError::TimedOut.into()));
    assert!((WORKING_CAP_MS..WORKING_CAP_MS + IDLE_MS).contains(&fixture.sender_ended_at));

    let mut fixture = slow_store(0, WORKING_CAP_MS * 2);
    let (sent, received) = fixture.connect();
    assert_eq!(sent, Err(UNKNOWN), "the receiver may commit later");
    assert!(received.is_ok());
}

#[test]
fn the_receiver_waits_for_a_slow_source() {
    let mut fixture = Fixture::new();
    fixture.source = archive_of(&[("a", &[1; 5_000])]);
    fixture.source_delay = 5 * IDLE_MS;
    let ends = fixture.connect();
    fixture.assert_committed(ends);
}

#[test]
fn either_user_interrupts_at_once_whatever_is_slow() {
    let at = 12_345;
    for side in [0, 1] {
        let (mut writing, mut hashing, mut reading) = (slow_store(IDLE_MS, 0), Fixture::new(), Fixture::new());
        hashing.store.staged = hashing.source.archive[..50_000].to_vec();
        hashing.hold_staged();
        hashing.source_delay = IDLE_MS;
        reading.source_delay = IDLE_MS;
        for (what, fixture) in [("writing", &mut writing), ("hashing", &mut hashing), ("reading", &mut reading)] {
            fixture.interrupt(side, at);
            let (sent, received) = fixture.connect();
            let received = received.map_err(SendError::from);
            let (mine, other) = if side == 0 { (sent, received) } else { (received, sent) };
            assert_eq!(mine, Err(SessionError::Cancelled(Cancel::Interrupted).into()), "{what} at {side}");
            assert!(
                other == Err(SessionError::PeerCancelled(Cancel::Interrupted).into())
                    || other == Err(SessionError::Disconnected.into()),
                "{what} at {side}: {other:?}"
            );
            let ended = if side == 0 { fixture.sender_ended_at } else { fixture.receiver_ended_at };
            assert!((at..=at + LINGER_MS).contains(&ended), "{what} at {side}: {ended}");
        }
    }
}

/// A message of the receiver comes after the sender's user has interrupted in the middle of a frame.
#[test]
fn a_sender_that_is_interrupted_in_a_frame_completes_it_although_a_message_comes() {
    // The receiver sends `Working` after 5 s, makes room for the rest of the frame after its eighth write, at 5.2 s, and
    // reads `Cancel` before the sender stops waiting for it.
    let at = WORKING_MS - 50;
    let mut fixture = slow_store(650, 0);
    fixture.interrupt(0, at);
    let ends = fixture.connect();
    let reason = Cancel::Interrupted;
    assert_eq!(ends, (Err(SessionError::Cancelled(reason).into()), Err(SessionError::PeerCancelled(reason))));
    assert!(fixture.sender_user.events.contains(&sender::Event::Working(Stage::Storing)));

    // The receiver takes no more of the frame, and its messages do not make the user wait longer.
    let mut fixture = slow_store(IDLE_MS, 0);
    fixture.interrupt(0, at);
    let ends = fixture.connect();
    assert_eq!(ends, (Err(SessionError::Cancelled(reason).into()), Err(SessionError::Disconnected)));
    assert!(fixture.sender_user.events.contains(&sender::Event::Working(Stage::Storing)));
    assert_eq!(fixture.sender_ended_at, at + 500);
}

#[test]
fn the_receivers_user_interrupts_a_discard_that_takes_long() {
    for (interrupt, ends) in [(12_345, 12_345), (u64::MAX, 600_000)] {
        let mut fixture = Fixture::new();
        let sent = Fixture::new().record::<SoftCipher>().0;
        fixture.edit = Some((0, sent.len() - 1_000, 1));
        fixture.store.discarded = Moment(Some((Rc::clone(&fixture.clock), 600_000)));
        fixture.interrupt(1, interrupt);
        let received = fixture.connect().1;
        assert_eq!(received, Err(SessionError::PeerMisbehaved(Misbehaviour::Chunk)));
        assert!((ends..=ends + LINGER_MS).contains(&fixture.receiver_ended_at), "{}", fixture.receiver_ended_at);
        assert_eq!(fixture.store.staged.is_empty(), interrupt > ends);
    }
}

#[test]
fn interrupting_the_wait_for_the_receipt_leaves_the_outcome_unknown() {
    let mut fixture = slow_store(0, 60_000);
    fixture.interrupt(0, 30_000);
    let (sent, received) = fixture.connect();
    assert_eq!(sent, Err(SendError::OutcomeUnknown { interrupted: true }));
    assert!(received.is_ok(), "the receiver committed");
}

/// When a side stops, in milliseconds: within the phase under test.
const STOPS: u64 = 50_000;

fn waits_for_code() -> Fixture {
    let mut fixture = Fixture::new().with_right_code();
    fixture.sender_user.code_delay = Some((Rc::clone(&fixture.clock), u64::MAX / 2));
    fixture
}

fn waits_for_key() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.receiver_user.keys.clear();
    fixture
}

fn reads_back() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.store.read_back = Some(Moment::default());
    fixture
}

fn hashes() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.store.staged = fixture.source.archive[..50_000].to_vec();
    fixture.hold_staged();
    fixture.source_delay = WORKING_CAP_MS;
    fixture
}

fn reads() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.source_delay = WORKING_CAP_MS / 2;
    fixture
}

#[test]
fn a_receiver_times_out_if_the_sender_stops_in_any_phase() {
    for (phase, mut fixture) in [
        ("code", waits_for_code()),
        ("key", waits_for_key()),
        ("read back", reads_back()),
        ("hash", hashes()),
        ("read", reads()),
    ] {
        let end = fixture.sender_stops_at(STOPS);
        assert_eq!(end, Err(SessionError::TimedOut), "{phase}");
        let ended = fixture.clock.now_ms();
        assert!((STOPS..=STOPS + IDLE_MS + LINGER_MS).contains(&ended), "{phase}: {ended}");
    }
}

#[test]
fn a_sender_times_out_if_the_receiver_stops_in_any_phase() {
    for (phase, mut fixture) in [
        ("code", waits_for_code()),
        ("key", waits_for_key()),
        ("read back", reads_back()),
        ("storing", slow_store(IDLE_MS, 0)),
    ] {
        let end = fixture.receiver_stops_at(STOPS);
        assert_eq!(end, Err(SessionError::TimedOut.into()), "{phase}");
        let ended = fixture.clock.now_ms();
        assert!((STOPS..=STOPS + IDLE_MS + LINGER_MS).contains(&ended), "{phase}: {ended}");
    }
}

#[test]
fn the_code_has_a_deadline_of_its_own() {
    let mut fixture = waits_for_code();
    let (sent, received) = fixture.connect();
    assert_eq!((sent, received), refused(Refusal::CodeTimeout));
    assert!((CODE_MS..CODE_MS + IDLE_MS).contains(&fixture.receiver_ended_at));
    assert!(!fixture.receiver_user.events.contains(&receiver::Event::CodeAccepted));
}
