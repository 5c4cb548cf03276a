//! Tests of whole sessions. Both ends run in one thread, over a connection that breaks where the test says.

mod base;
mod before_asking;
mod changed;
mod doubles;
mod example;
mod fixture;
mod handmade;
mod memory;
mod name;
mod other_cipher;
mod primitives;
mod rules;
mod sender_rules;
mod simulation;
mod source;
mod waiting;

use std::rc::Rc;

use doubles::{Moment, archive_of};
use embassy_futures::join::join;
use embassy_futures::select::{Either, select};
use embedded_io_async::Write as _;
use fixture::{CHUNK, Fixture, KEY, Outcomes, RECEIVER, SENDER, key, refused};
use simulation::{PartialRecord, connect, run};
use waft_core::certificate::CertificateHash;
use waft_core::code::AuthCode;
use waft_core::limits::{FRAME_MS, IDLE_MS, LEASE_MS, LINGER_MS};
use waft_core::sealed::{Aead, AeadKey, Cipher, Forged, SoftCipher};
use waft_core::session::sender::{self, Peer, SendError, SourceError};
use waft_core::session::{Clock as _, Misbehaviour, Offered, SessionError, StoreError, receiver};
use waft_core::wire::message::{Cancel, Kibibytes, Limit, Refusal, Stage};

#[test]
fn a_folder_is_sent_with_code_and_typed_key() {
    let mut fixture = Fixture::new().with_right_code();
    let before = *fixture.peers.code().digits();
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    assert_eq!(fixture.receiver_user.asked, [None]);
    assert_eq!(fixture.receiver_user.codes.len(), 1, "a used code is replaced, and the new one shown");
    assert_ne!(fixture.receiver_user.codes[0], before);
}

#[test]
fn a_folder_is_sent_with_a_sealed_key_without_a_user() {
    let mut fixture = Fixture::new();
    fixture.typed = false;
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    assert!(fixture.receiver_user.asked.is_empty());
}

#[test]
fn every_connection_of_a_sender_is_compressed() {
    let mut fixture = Fixture::new();
    fixture.source = archive_of(&[("zeros", &[0; 50_000])]);
    let clock = Rc::clone(&fixture.clock);
    // The first connection breaks among the chunks.
    let (mut sender_link, mut receiver_link) = connect(1_000, u64::MAX);
    let (mut sender_link_again, mut receiver_link_again) = connect(u64::MAX, u64::MAX);
    let (mut sending, mut receiving) = fixture.sides();
    let mut sender = sending.sender::<SoftCipher>();
    let peer = Peer { certificate: RECEIVER, hpke: None };
    let send = async {
        sender.send(&mut sender_link, &peer).await.unwrap_err();
        sender.send(&mut sender_link_again, &peer).await.unwrap();
    };
    let receive = async {
        receiving.receive::<SoftCipher>(&mut receiver_link).await.unwrap_err();
        receiving.receive::<SoftCipher>(&mut receiver_link_again).await.unwrap();
    };
    run(&clock, join(send, receive));
    assert!(fixture.store.committed.len() > 50_000);
    assert!(sender_link_again.written.len() < 10_000, "{}", sender_link_again.written.len());
}

#[test]
fn the_key_is_asked_for_again_after_a_wrong_one() {
    let mut fixture = Fixture::new();
    fixture.receiver_user.keys = [key("ZZZZ-ZZZZ-ZZZZ-ZZZZ"), key(KEY)].into();
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    assert_eq!(fixture.receiver_user.asked, [None, Some(2)]);
}

#[test]
fn three_wrong_keys_are_refused_and_nothing_is_written() {
    let mut fixture = Fixture::new();
    fixture.receiver_user.keys = (0..3).map(|_| key("ZZZZ-ZZZZ-ZZZZ-ZZZZ")).collect();
    assert_eq!(fixture.connect(), refused(Refusal::KeyWrong));
    assert_eq!(fixture.receiver_user.asked, [None, Some(2), Some(1)]);
    assert_eq!(fixture.store.written, 0);
}

#[test]
fn a_key_that_is_not_typed_in_time_is_refused() {
    let mut fixture = Fixture::new();
    fixture.receiver_user.keys.clear();
    assert_eq!(fixture.connect(), refused(Refusal::KeyTimeout));
}

#[test]
fn wrong_codes_lock_their_sender_out_for_longer_and_longer() {
    let mut fixture = Fixture::new();
    fixture.code_needed = true;
    let wrong = |fixture: &Fixture| if fixture.peers.code().digits() == b"0000" { "0001" } else { "0000" };
    for seconds in [30, 60, 120] {
        let code = wrong(&fixture);
        fixture.sender_user.codes = (0..3).map(|_| AuthCode::parse(code).unwrap()).collect();
        fixture.sender_user.asked.clear();
        assert_eq!(fixture.connect(), refused(Refusal::Locked { seconds }));
        assert_eq!(fixture.sender_user.asked, [None, Some(2), Some(1)]);
        fixture.clock.advance(1_000);
        let early = fixture.connect();
        let Err(SendError::Session(SessionError::Refused(Refusal::Locked { seconds: left }))) = early.0 else {
            panic!("{early:?}");
        };
        assert!(left < seconds);
        fixture.clock.advance(u64::from(seconds) * 1_000);
    }
    assert_eq!(fixture.receiver_user.codes.len(), 3, "a new code after each series");
    let mut fixture = fixture.with_right_code();
    fixture.sender_user.codes.drain(..fixture.sender_user.codes.len() - 1);
    let ends = fixture.connect();
    fixture.assert_committed(ends);
}

#[test]
fn a_user_who_gives_no_code_interrupts_the_session() {
    let mut fixture = Fixture::new();
    fixture.code_needed = true;
    let (sender, receiver) = fixture.connect();
    assert_eq!(sender, Err(SessionError::Cancelled(Cancel::Interrupted).into()));
    assert_eq!(receiver, Err(SessionError::PeerCancelled(Cancel::Interrupted)));
}

#[test]
fn sending_the_same_folder_again_sends_no_chunks_and_keeps_the_generation() {
    let mut fixture = Fixture::new();
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    let written = fixture.store.written;
    fixture.salt = [8; 32];
    fixture.receiver_user.keys.push_back(key(KEY));
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    assert_eq!(fixture.store.written, written);
    assert_eq!(fixture.store.generation, 1);
}

/// Cuts the connection after every n-th byte in one direction, and retries as a sender does. Expects that no user is
/// asked twice, that the folder is committed, and that a held prefix is not sent again.
fn cut_and_retry(cut: impl Fn(&mut Fixture, u64) -> Outcomes, step: usize) {
    for at in (0..).step_by(step) {
        let mut fixture = Fixture::new().with_right_code();
        let first = cut(&mut fixture, at);
        if first.0.is_ok() {
            assert!(at > 0);
            return;
        }
        assert!(
            matches!(first.0, Err(SendError::Session(SessionError::Disconnected) | SendError::OutcomeUnknown { .. })),
            "cut at {at}: {first:?}"
        );
        let code = std::str::from_utf8(fixture.peers.code().digits()).unwrap().to_owned();
        fixture.sender_user.codes = [AuthCode::parse(&code).unwrap()].into();
        fixture.receiver_user.keys = [key(KEY)].into();
        let written = fixture.store.written;
        let held = fixture.store.staged.len() as u64;
        let ends = fixture.connect();
        fixture.assert_committed(ends);
        assert!(fixture.store.generation == 1, "cut at {at}");
        if held > u64::from(fixture.source.info.shape.manifest) {
            assert_eq!(fixture.store.written - written, fixture.source.info.shape.total - held, "cut at {at}");
            assert_eq!(fixture.receiver_user.asked.len(), 1, "cut at {at}");
        }
    }
}

#[test]
fn a_transfer_resumes_after_a_cut_anywhere_towards_the_receiver() {
    cut_and_retry(|fixture, at| fixture.connect_cut(at, u64::MAX), 97);
}

#[test]
fn a_transfer_resumes_after_a_cut_anywhere_towards_the_sender() {
    cut_and_retry(|fixture, at| fixture.connect_cut(u64::MAX, at), 1);
}

#[test]
fn a_manifest_that_does_not_match_its_tag_is_refused() {
    let mut fixture = Fixture::new();
    fixture.source.info.manifest_digest = waft_core::digest::Digest::of(b"another");
    assert_eq!(fixture.connect(), refused(Refusal::Archive));
    fixture.assert_nothing_committed();
}

#[test]
fn a_held_prefix_that_differs_is_sent_again() {
    let mut fixture = Fixture::new();
    let _ = fixture.connect_cut(30_000, u64::MAX);
    let last = fixture.store.staged.len() - 1;
    fixture.store.staged[last] ^= 1;
    let ends = fixture.connect();
    fixture.assert_committed(ends);
}

#[test]
fn a_prefix_from_another_sender_is_not_used() {
    let mut fixture = Fixture::new();
    let _ = fixture.connect_cut(30_000, u64::MAX);
    fixture.store.owner.as_mut().unwrap().sender = CertificateHash([0; 32]);
    fixture.store.written = 0;
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    assert_eq!(fixture.store.written, fixture.source.info.shape.total);
}

#[test]
fn a_sender_respects_the_receivers_bounds() {
    let mut fixture = Fixture::new();
    let has = fixture.source.info.shape.total;
    fixture.store.capacity.total = has - 1;
    let (sender, receiver) = fixture.connect();
    assert_eq!(sender, Err(SendError::OverLimit { limit: Limit::Total, has, most: has - 1 }));
    assert_eq!(receiver, Err(SessionError::PeerCancelled(Cancel::Declined)));
    assert_eq!(fixture.receiver_user.asked.len(), 0, "the user is not asked for a key");
}

#[test]
fn an_error_of_the_store_is_sent_as_a_refusal() {
    for (error, refusal) in [
        (StoreError::NoSpace { missing: Kibibytes(9) }, Refusal::NoSpace { missing: Kibibytes(9) }),
        (StoreError::Name { entry: 1 }, Refusal::Name { entry: 1 }),
        (StoreError::Io, Refusal::Storage),
    ] {
        let mut fixture = Fixture::new();
        fixture.store.fails_at = Some((20_000, error));
        assert_eq!(fixture.connect(), refused(refusal));
        fixture.assert_nothing_committed();
    }
}

#[test]
fn a_source_that_fails_cancels_the_session() {
    for (error, reason) in
        [(SourceError::Changed, Cancel::SourceChanged), (SourceError::Unreadable, Cancel::SourceUnreadable)]
    {
        let mut fixture = Fixture::new();
        fixture.source.fails_at = Some((30_000, error));
        let (sender, receiver) = fixture.connect();
        assert_eq!(sender, Err(SessionError::Cancelled(reason).into()));
        assert_eq!(receiver, Err(SessionError::PeerCancelled(reason)));
        fixture.assert_nothing_committed();
    }
}

#[test]
fn content_that_does_not_match_its_digest_is_refused_and_not_kept() {
    let mut fixture = Fixture::new();
    // A byte of content is changed, but not its digest.
    let last = fixture.source.archive.len() - 40;
    fixture.source.archive[last] ^= 1;
    assert_eq!(fixture.connect(), refused(Refusal::Archive));
    fixture.assert_nothing_committed();
    assert!(fixture.store.staged.is_empty(), "nothing of the archive is kept");
}

#[test]
fn a_receiver_gives_up_on_a_silent_sender() {
    let mut fixture = Fixture::new();
    let end = fixture.receive_from(|link| async move {
        std::future::pending::<()>().await;
        drop(link);
    });
    assert_eq!(end, Err(SessionError::TimedOut));
}

#[test]
fn a_receiver_gives_up_on_a_sender_that_is_silent_in_the_middle_of_a_record() {
    let mut fixture = Fixture::new();
    let (mut sender_link, mut receiver_link) = connect(u64::MAX, u64::MAX);
    receiver_link.partial = Some(PartialRecord::default());
    let clock = Rc::clone(&fixture.clock);
    let (_, mut receiving) = fixture.sides();
    let half = async {
        sender_link.write_all(&[0x17, 3, 3]).await.unwrap();
        std::future::pending::<()>().await;
    };
    let Either::First(end) = run(&clock, select(receiving.receive::<SoftCipher>(&mut receiver_link), half)) else {
        unreachable!("the sender does not end before the receiver");
    };
    assert_eq!((end, clock.now()), (Err(SessionError::TimedOut), IDLE_MS));
    assert!(!receiver_link.written.is_empty(), "the sender gets the reason");
}

#[test]
fn a_receiver_gives_up_on_a_frame_that_takes_too_long() {
    let mut fixture = Fixture::new();
    let clock = Rc::clone(&fixture.clock);
    let end = fixture.receive_from(|mut link| async move {
        link.write_all(&[1, 0, 2, 0]).await.unwrap();
        loop {
            clock.sleep_until(clock.now() + IDLE_MS / 2).await;
            link.write_all(&[0]).await.unwrap();
        }
    });
    assert_eq!((end, fixture.clock.now()), (Err(SessionError::TimedOut), FRAME_MS + LINGER_MS));
}

#[test]
fn a_user_can_interrupt_in_the_middle_of_a_frame() {
    // In the header, and after it.
    for sent in [&[1, 0][..], &[1, 0, 0, 2, 4]] {
        let mut fixture = Fixture::new();
        fixture.receiver_user.interrupts_at = Moment(Some((Rc::clone(&fixture.clock), 10_000)));
        let end = fixture.receive_from(|mut link| async move {
            link.write_all(sent).await.unwrap();
            std::future::pending::<()>().await;
        });
        assert_eq!(end, Err(SessionError::Cancelled(Cancel::Interrupted)));
    }
}

#[test]
fn a_sender_can_cancel_while_the_prefix_is_read_back() {
    let mut fixture = Fixture::new();
    fixture.store.read_back = Some(Moment::default());
    fixture.sender_user.interrupts_at = Moment(Some((Rc::clone(&fixture.clock), 1_000)));
    let ends = fixture.connect();
    let reason = Cancel::Interrupted;
    assert_eq!(ends, (Err(SessionError::Cancelled(reason).into()), Err(SessionError::PeerCancelled(reason))));
}

#[test]
fn a_lost_connection_is_noticed_while_the_prefix_is_read_back() {
    let mut fixture = Fixture::new();
    fixture.store.read_back = Some(Moment::default());
    let clock = Rc::clone(&fixture.clock);
    let (mut sender_link, mut receiver_link) = connect(u64::MAX, u64::MAX);
    let (mut sending, mut receiving) = fixture.sides();
    let send = async {
        let peer = Peer { certificate: RECEIVER, hpke: None };
        let _ = select(sending.sender::<SoftCipher>().send(&mut sender_link, &peer), clock.sleep_until(1_000)).await;
        drop(sender_link);
    };
    let (_, end) = run(&clock, join(send, receiving.receive::<SoftCipher>(&mut receiver_link)));
    assert_eq!((end, clock.now()), (Err(SessionError::Disconnected), 1_000));
}

#[test]
fn the_receiver_waits_for_a_reader_of_the_old_folder_and_tells_the_sender() {
    for (until, received) in [(LEASE_MS - 500, true), (2 * LEASE_MS, false)] {
        let mut fixture = Fixture::new();
        fixture.store.leased = Some((Rc::clone(&fixture.clock), until));
        let (sender, receiver) = fixture.connect();
        assert!(fixture.sender_user.events.contains(&sender::Event::Working(Stage::Waiting)));
        let events = fixture.receiver_user.events.iter().filter(|event| **event == receiver::Event::Waiting);
        assert_eq!(events.count(), 1);
        assert_eq!((sender.is_ok(), receiver.is_ok()), (received, received));
        if !received {
            assert_eq!(sender, Err(SessionError::Refused(Refusal::InUse).into()));
            assert!((LEASE_MS..2 * LEASE_MS).contains(&fixture.clock.now()));
        }
    }
}

/// A committed folder needs no further storage until the sender's content turns out to differ.
#[test]
fn the_receiver_waits_for_a_reader_when_the_transfer_starts_over() {
    for (until, received) in [(LEASE_MS - 500, true), (2 * LEASE_MS, false)] {
        let mut fixture = Fixture::starting_over(until);
        let (sender, receiver) = fixture.connect();
        assert_eq!((sender.is_ok(), receiver.is_ok()), (received, received), "{sender:?}, {receiver:?}");
        assert!(received || sender == Err(SessionError::Refused(Refusal::InUse).into()));
    }
}

#[test]
fn a_sender_can_cancel_while_the_receiver_waits_for_a_reader() {
    let mut fixture = Fixture::new();
    fixture.store.leased = Some((Rc::clone(&fixture.clock), u64::MAX));
    fixture.sender_user.interrupts_at = Moment(Some((Rc::clone(&fixture.clock), 1_000)));
    let ends = fixture.connect();
    let reason = Cancel::Interrupted;
    assert_eq!(ends, (Err(SessionError::Cancelled(reason).into()), Err(SessionError::PeerCancelled(reason))));
    assert!(fixture.clock.now() < LEASE_MS);
}

#[test]
fn a_receiver_gives_up_on_a_sender_that_hashes_for_ever_and_keeps_the_prefix() {
    let mut fixture = Fixture::new();
    fixture.source = archive_of(&[("long", &[7; 200_000])]);
    fixture.store.staged = fixture.source.archive[..150_000].to_vec();
    fixture.store.owner = Some(Offered { sender: SENDER, created: 0, shape: fixture.source.info.shape });
    fixture.source_delay = IDLE_MS - 1;
    let (sent, received) = fixture.connect();
    assert_eq!(sent, Err(SessionError::PeerCancelled(Cancel::TimedOut).into()));
    assert_eq!(received, Err(SessionError::TimedOut));
    assert_eq!(fixture.store.staged.len(), 150_000);
}

/// Chunks follow `Resume` at once, so the sender receives the keep-alives between chunks.
#[test]
fn a_receiver_may_send_keep_alives_while_it_starts_over() {
    let mut fixture = Fixture::starting_over(LEASE_MS);
    let chunks = fixture.source.archive.len() as u64 / u64::from(CHUNK);
    fixture.source_delay = LEASE_MS * 2 / 3 / chunks;
    let ends = fixture.connect();
    fixture.assert_committed(ends);
}

/// The stage only informs the sender's user.
#[test]
fn any_stage_is_allowed_between_chunks() {
    let fixture = || Fixture::starting_over(LEASE_MS / 2);
    let sent = fixture().record::<SoftCipher>().1;
    let waiting = [1, 0, 0, 2, 3, 4];
    let at = sent.windows(waiting.len()).position(|frame| frame == waiting).unwrap() + waiting.len() - 1;
    for stage in [0, 2, 3, 7, 0xff] {
        let mut fixture = fixture();
        fixture.edit = Some((1, at, stage ^ 4));
        let ends = fixture.connect();
        fixture.assert_committed(ends);
        assert!(fixture.sender_user.events.contains(&sender::Event::Working(Stage::from(stage))), "{stage}");
    }
}

#[test]
fn missing_algorithms_are_found_before_the_user_types_the_code() {
    struct NoCipher;
    impl Cipher for NoCipher {
        const AEADS: &[Aead] = &[];
        fn new(_: Aead, _: &AeadKey) -> Option<Self> {
            None
        }
        fn seal(&self, _: &[u8; 12], _: &mut [u8]) -> [u8; 16] {
            unreachable!("the cipher supports no AEAD")
        }
        fn open(&self, _: &[u8; 12], _: &mut [u8], _: &[u8; 16]) -> Result<(), Forged> {
            Err(Forged)
        }
    }
    let mut fixture = Fixture::new().with_right_code();
    let (ends, _) = fixture.run::<NoCipher>(u64::MAX, u64::MAX);
    assert_eq!(ends.0, Err(SendError::NothingInCommon));
    assert!(fixture.sender_user.asked.is_empty());
}

#[test]
fn progress_that_decreases_or_exceeds_the_archive_is_refused() {
    let fixture = || {
        let mut fixture = Fixture::new();
        fixture.source = archive_of(&[("long", &[7; 600_000])]);
        fixture
    };
    let sent = fixture().record::<SoftCipher>().1;
    // Two `Progress` messages, each with a varint of three bytes.
    let frames: Vec<_> = (0..sent.len()).filter(|&at| sent[at..].starts_with(&[1, 0, 0, 4, 5])).collect();
    let &[first, second] = frames.as_slice() else { panic!("{frames:?}") };
    for (at, flip) in [(first + 7, 0x7f), (second + 7, sent[second + 7])] {
        let mut fixture = fixture();
        fixture.edit = Some((1, at, flip));
        assert_eq!(fixture.connect().0, Err(SessionError::PeerMisbehaved(Misbehaviour::Field).into()), "{flip}");
    }
}

#[test]
fn cancel_is_allowed_before_hello() {
    let end = Fixture::new().receive_from(|mut link| async move {
        link.write_all(&[1, 0, 0, 2, 4, 0]).await.unwrap();
        std::future::pending::<()>().await;
    });
    assert_eq!(end, Err(SessionError::PeerCancelled(Cancel::Interrupted)));
}

#[test]
fn malformed_and_unexpected_frames_are_refused() {
    for (bytes, misbehaviour) in [
        (&[0u8, 0, 0, 1, 0][..], Misbehaviour::Frame),
        (&[1, 0, 2, 1], Misbehaviour::Frame),
        (&[1, 0xff, 0xff, 0xff], Misbehaviour::Frame),
        (&[2, 0, 0, 1, 0], Misbehaviour::Frame),
        (&[1, 0, 0, 1, 9], Misbehaviour::Message),
        (&[1, 0, 0, 0], Misbehaviour::Message),
        (&[1, 0, 0, 3, 3, 0, 0], Misbehaviour::Unexpected),
        (&[1, 0, 0, 2, 5, 0], Misbehaviour::Unexpected),
        // Only `Hello` may be followed by more bytes.
        (&[1, 0, 0, 3, 4, 0, 0], Misbehaviour::Message),
    ] {
        let mut fixture = Fixture::new();
        let end = fixture.receive_from(|mut link| async move {
            link.write_all(bytes).await.unwrap();
            std::future::pending::<()>().await;
        });
        assert_eq!(end, Err(SessionError::PeerMisbehaved(misbehaviour)), "{bytes:02x?}");
    }
}
