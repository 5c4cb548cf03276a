//! Tests of a sender whose receiver is implemented by the test: what the sender accepts, and what it answers.
//! PROTOCOL.md, sections 4 to 6.

use std::rc::Rc;

use embassy_futures::select::{Either, select};
use embedded_io_async::Write as _;
use serde::Serialize;
use waft_core::limits::{CODE_MS, IDLE_MS, ITERATIONS_MIN, LINGER_MS, WORKING_MS};
use waft_core::sealed::SoftCipher;
use waft_core::session::sender::{Peer, SendError};
use waft_core::session::{Clock as _, Link as _, Misbehaviour, SessionError};
use waft_core::wire::message::{
    Cancel, FromReceiver, Greeting, KEY_SEALED, KEY_TYPED, Limit, List, OFFER_TAIL, Refusal, Stage,
};

use crate::fixture::{CHUNK, Fixture, KEY, RECEIVER};
use crate::handmade::{frame, receive_frame};
use crate::primitives::{Derived, frames, typed_secret};
use crate::simulation::{Stall, connect, run};

/// The first message of a receiver that asks for a typed key and no code.
pub(crate) fn greeting() -> Greeting {
    Greeting {
        version: 1,
        nonce: [0; 32],
        max_total: 1 << 30,
        max_entries: 1_000,
        max_manifest: 1 << 20,
        max_path: 255,
        max_chunk: CHUNK,
        free: 1 << 30,
        aeads: list(&[2]),
        codecs: list(&[0]),
        keys: list(&[KEY_TYPED]),
        code_needed: false,
        max_iterations: ITERATIONS_MIN,
        key_seconds: 300,
    }
}

fn list(numbers: &[u8]) -> List {
    List::from_slice(numbers).unwrap()
}

fn payload(message: &impl Serialize) -> Vec<u8> {
    postcard::to_slice(message, &mut [0; 512]).unwrap().to_vec()
}

fn greeting_payload(greeting: Greeting) -> Vec<u8> {
    payload(&FromReceiver::Greeting(greeting))
}

/// Runs a sender whose receiver sends these messages, and then nothing. Returns the sender's error and the payloads
/// that it sent.
fn run_sender(messages: &[Vec<u8>]) -> (SendError, Vec<Vec<u8>>) {
    run_sender_in(Fixture::new(), messages)
}

fn run_sender_in(mut fixture: Fixture, messages: &[Vec<u8>]) -> (SendError, Vec<Vec<u8>>) {
    let clock = Rc::clone(&fixture.clock);
    let (mut sender_link, mut receiver_link) = connect(u64::MAX, u64::MAX);
    let (mut sending, _) = fixture.sides();
    let receiver = async {
        for message in messages {
            receiver_link.write_all(&frame(1, message)).await.unwrap();
        }
        std::future::pending::<()>().await;
    };
    let mut sender = sending.sender::<SoftCipher>();
    let peer = Peer { certificate: RECEIVER, hpke: None };
    let Either::First(end) = run(&clock, select(sender.send(&mut sender_link, &peer), receiver)) else {
        unreachable!("the receiver runs until it is dropped");
    };
    let sent = frames(&sender_link.written).into_iter().map(|(_, payload)| payload.to_vec());
    (end.unwrap_err(), sent.collect())
}

/// Does the same as [`run_sender`]. Returns the sender's error, and the reason of its `Cancel` if it sent one.
fn run_and_cancel_reason(messages: &[Vec<u8>]) -> (SendError, Option<u8>) {
    let (error, sent) = run_sender(messages);
    let reason = sent.last().filter(|sent| sent[0] == 4).map(|sent| sent[1]);
    (error, reason)
}

fn misbehaved(how: Misbehaviour) -> (SendError, Option<u8>) {
    (SessionError::PeerMisbehaved(how).into(), Some(Cancel::Protocol as u8))
}

#[test]
fn a_sender_declines_unsuitable_bounds_and_algorithms() {
    let declined = |error| (error, Some(Cancel::Declined as u8));
    let total = Fixture::new().source.info.shape.total;
    let limit = |limit, has, most| declined(SendError::OverLimit { limit, has, most });
    for (greeting, end) in [
        (Greeting { version: 0, ..greeting() }, declined(SendError::NothingInCommon)),
        (Greeting { version: 2, ..greeting() }, declined(SendError::NothingInCommon)),
        (Greeting { aeads: list(&[]), ..greeting() }, declined(SendError::NothingInCommon)),
        (Greeting { aeads: list(&[9, 0]), ..greeting() }, declined(SendError::NothingInCommon)),
        (Greeting { codecs: list(&[]), ..greeting() }, declined(SendError::NothingInCommon)),
        (Greeting { keys: list(&[]), ..greeting() }, declined(SendError::NothingInCommon)),
        (Greeting { keys: list(&[7]), ..greeting() }, declined(SendError::NothingInCommon)),
        (Greeting { keys: list(&[KEY_SEALED]), ..greeting() }, declined(SendError::NoHpkeKey)),
        (Greeting { max_total: total - 1, ..greeting() }, limit(Limit::Total, total, total - 1)),
        (Greeting { max_entries: 2, ..greeting() }, limit(Limit::Entries, 3, 2)),
        (Greeting { max_path: 0, ..greeting() }, limit(Limit::Path, 1, 0)),
        (Greeting { max_chunk: 1_023, ..greeting() }, limit(Limit::Chunk, 1_024, 1_023)),
        (Greeting { max_iterations: 999, ..greeting() }, limit(Limit::Iterations, 1_000, 999)),
    ] {
        let what = format!("{greeting:?}");
        assert_eq!(run_and_cancel_reason(&[greeting_payload(greeting)]), end, "{what}");
    }
}

/// The first number of each list that both sides support is chosen; `free` is not a bound if no code is needed.
#[test]
fn unknown_numbers_in_lists_are_skipped() {
    let full = |numbers: &[u8]| list(&[&[200, 201, 202, 203, 204], numbers].concat());
    let greeting = Greeting {
        aeads: full(&[0, 1, 2]),
        codecs: full(&[0, 1, 9]),
        keys: full(&[3, KEY_TYPED, KEY_SEALED]),
        free: 0,
        ..greeting()
    };
    let (_, sent) = run_sender(&[greeting_payload(greeting)]);
    assert_eq!(sent[1][0], 2, "it offers: {sent:?}");
}

#[test]
fn a_list_has_at_most_eight_numbers() {
    let mut greeting = greeting_payload(Greeting { keys: list(&[0; 8]), ..greeting() });
    let at = greeting.windows(9).position(|bytes| bytes == [8, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    assert_eq!(run_sender(&[greeting.clone()]).1[1][0], 2, "it offers");
    greeting[at] = 9;
    greeting.insert(at, 0);
    greeting.swap(at, at + 1);
    assert_eq!(run_and_cancel_reason(&[greeting]), misbehaved(Misbehaviour::Message));
}

#[test]
fn a_malformed_greeting_is_a_protocol_error() {
    let good = greeting_payload(greeting());
    let code_needed = good.len() - 5;
    assert_eq!(good[code_needed..], [0, 0xe8, 0x07, 0xac, 0x02]);
    let mut neither = good.clone();
    neither[code_needed] = 2;
    // A varint with more bits than its type.
    let too_long = [&good[..good.len() - 2], &[0xff, 0xff, 0x7f]].concat();
    for message in [neither, too_long, good[..good.len() - 1].to_vec(), vec![], vec![9], vec![0]] {
        assert_eq!(
            run_and_cancel_reason(std::slice::from_ref(&message)),
            misbehaved(Misbehaviour::Message),
            "{message:02x?}"
        );
    }
}

#[test]
fn the_keys_are_bound_to_all_of_a_greeting() {
    let greeting = [&greeting_payload(greeting())[..], b"of a later version"].concat();
    let fixture = Fixture::new();
    let manifest = fixture.source.archive[..fixture.source.info.shape.manifest as usize].to_vec();
    let secret = typed_secret(KEY, &fixture.salt, 1_000);
    let (_, sent) = run_sender_in(fixture, std::slice::from_ref(&greeting));
    let (body, tail) = sent[1].split_at(sent[1].len() - OFFER_TAIL);
    let derived = Derived::new(&secret, [&sent[0], &greeting, body], &manifest);
    assert_eq!(tail, derived.offer_tail(2, "photos"));
}

#[test]
fn an_unexpected_message_is_a_protocol_error() {
    let committed =
        FromReceiver::Committed { digest: waft_core::digest::Digest([0; 32]), files: 0, bytes: 0, generation: 0 };
    for message in [
        FromReceiver::CodeAccepted,
        FromReceiver::Working(Stage::Waiting),
        FromReceiver::Progress { durable: 0 },
        committed,
    ] {
        assert_eq!(run_and_cancel_reason(&[payload(&message)]), misbehaved(Misbehaviour::Unexpected), "{message:?}");
    }
    for message in [
        FromReceiver::CodeAccepted,
        FromReceiver::CodeWrong { left: 1 },
        FromReceiver::Progress { durable: 0 },
        FromReceiver::Greeting(greeting()),
    ] {
        let end = run_and_cancel_reason(&[greeting_payload(greeting()), payload(&message)]);
        assert_eq!(end, misbehaved(Misbehaviour::Unexpected), "{message:?}");
    }
}

/// `Progress` arrives while the sender hashes its own prefix.
#[test]
fn progress_before_the_chunks_is_a_protocol_error() {
    let mut fixture = Fixture::new();
    fixture.source_delay = 1_000;
    let (archive, secret) = (fixture.source.archive.clone(), typed_secret(KEY, &fixture.salt, 1_000));
    let manifest = &archive[..fixture.source.info.shape.manifest as usize];
    let clock = Rc::clone(&fixture.clock);
    let (mut sender_link, mut receiver_link) = connect(u64::MAX, u64::MAX);
    let (mut sending, _) = fixture.sides();
    let receiver = async {
        let hello = receive_frame(&mut receiver_link).await;
        let greeting = greeting_payload(greeting());
        receiver_link.write_all(&frame(1, &greeting)).await.unwrap();
        let offer = receive_frame(&mut receiver_link).await;
        let body = &offer[..offer.len() - OFFER_TAIL];
        let derived = Derived::new(&secret, [&hello, &greeting, body], manifest);
        receiver_link.write_all(&frame(1, &derived.accept(&archive[..300]))).await.unwrap();
        receiver_link.write_all(&frame(1, &payload(&FromReceiver::Progress { durable: 300 }))).await.unwrap();
        std::future::pending::<()>().await;
    };
    let mut sender = sending.sender::<SoftCipher>();
    let peer = Peer { certificate: RECEIVER, hpke: None };
    let Either::First(end) = run(&clock, select(sender.send(&mut sender_link, &peer), receiver)) else {
        unreachable!("the receiver runs until it is dropped");
    };
    assert_eq!(end, Err(SessionError::PeerMisbehaved(Misbehaviour::Unexpected).into()));
}

#[test]
fn a_refusal_or_cancel_gets_no_answer() {
    for (message, error) in [
        (FromReceiver::Refused(Refusal::Declined), SessionError::Refused(Refusal::Declined)),
        (FromReceiver::Cancel(Cancel::Interrupted), SessionError::PeerCancelled(Cancel::Interrupted)),
    ] {
        for before in [vec![], vec![greeting_payload(greeting())]] {
            let messages = [before, vec![payload(&message)]].concat();
            assert_eq!(run_and_cancel_reason(&messages), (error.into(), None), "{message:?}");
            let longer = [&payload(&message)[..], &[0]].concat();
            let messages = [&messages[..messages.len() - 1], &[longer]].concat();
            assert_eq!(run_and_cancel_reason(&messages), misbehaved(Misbehaviour::Message), "{message:?}");
        }
    }
}

#[test]
fn a_silent_receiver_gets_cancel() {
    let timed_out = (SessionError::TimedOut.into(), Some(Cancel::TimedOut as u8));
    assert_eq!(run_and_cancel_reason(&[]), timed_out);
    assert_eq!(run_and_cancel_reason(&[greeting_payload(greeting())]), timed_out);
}

/// After the last try a receiver sends `Locked`.
#[test]
fn a_wrong_code_without_tries_left_is_a_protocol_error() {
    let fixture = Fixture::new().with_right_code();
    let greeting = greeting_payload(Greeting { code_needed: true, ..greeting() });
    let (error, sent) = run_sender_in(fixture, &[greeting, payload(&FromReceiver::CodeWrong { left: 0 })]);
    let sent: Vec<u8> = sent.iter().map(|sent| sent[0]).collect();
    assert_eq!((error, sent), (SessionError::PeerMisbehaved(Misbehaviour::Field).into(), vec![0, 1, 4]));
}

/// The receiver sends keep-alives without end, and never refuses with `CodeTimeout`.
#[test]
fn a_sender_whose_user_gives_no_code_gives_up() {
    let mut fixture = Fixture::new();
    fixture.code_needed = true;
    let clock = Rc::clone(&fixture.clock);
    fixture.sender_user.code_delay = Some((Rc::clone(&clock), 100 * CODE_MS));
    let (mut sender_link, mut receiver_link) = connect(u64::MAX, u64::MAX);
    let (mut sending, _) = fixture.sides();
    let receiver = async {
        let greeting = greeting_payload(Greeting { code_needed: true, ..greeting() });
        receiver_link.write_all(&frame(1, &greeting)).await.unwrap();
        loop {
            clock.sleep_until(clock.now() + WORKING_MS).await;
            receiver_link.write_all(&frame(1, &payload(&FromReceiver::Working(Stage::Waiting)))).await.unwrap();
        }
    };
    let mut sender = sending.sender::<SoftCipher>();
    let peer = Peer { certificate: RECEIVER, hpke: None };
    let Either::First(end) = run(&clock, select(sender.send(&mut sender_link, &peer), receiver));
    assert_eq!(end, Err(SessionError::TimedOut.into()));
    let ended = clock.now_ms();
    assert!((CODE_MS + IDLE_MS..=CODE_MS + IDLE_MS + WORKING_MS + LINGER_MS).contains(&ended), "{ended}");
}

/// The connection breaks while the sender sends a chunk. What the receiver said last still counts: a receipt, if this
/// was the last chunk.
#[test]
fn a_receipt_that_came_before_the_connection_broke_counts() {
    for is_last in [true, false] {
        let mut fixture = Fixture::new();
        if is_last {
            fixture.source = crate::doubles::archive_of(&[("a", &[1; 500])]);
        }
        let info = &fixture.source.info;
        let (files, bytes) = (info.shape.files, info.shape.total);
        let committed = FromReceiver::Committed { digest: fixture.source.root, files, bytes, generation: 1 };
        let manifest = fixture.source.archive[..info.shape.manifest as usize].to_vec();
        let secret = typed_secret(KEY, &fixture.salt, 1_000);
        let clock = Rc::clone(&fixture.clock);
        let (mut sender_link, mut receiver_link) = connect(u64::MAX, u64::MAX);
        let (mut sending, _) = fixture.sides();
        let receiver = async {
            let hello = receive_frame(&mut receiver_link).await;
            let greeting = greeting_payload(greeting());
            receiver_link.write_all(&frame(1, &greeting)).await.unwrap();
            let offer = receive_frame(&mut receiver_link).await;
            let body = &offer[..offer.len() - OFFER_TAIL];
            let derived = Derived::new(&secret, [&hello, &greeting, body], &manifest);
            receiver_link.write_all(&frame(1, &derived.accept(b""))).await.unwrap();
            receive_frame(&mut receiver_link).await;
            receiver_link.readable().await.unwrap();
            receiver_link.write_all(&frame(1, &payload(&committed))).await.unwrap();
            drop(receiver_link);
            std::future::pending::<()>().await;
        };
        // The sender's link takes the beginning of the first chunk only.
        let until = u64::MAX;
        let before = 4 + 66 + 4 + 1 + 16 + OFFER_TAIL + 11;
        sender_link.stall = Some(Stall { after_bytes: before + 100, clock: Rc::clone(&clock), until });
        let mut sender = sending.sender::<SoftCipher>();
        let peer = Peer { certificate: RECEIVER, hpke: None };
        let Either::First(end) = run(&clock, select(sender.send(&mut sender_link, &peer), receiver)) else {
            unreachable!("the receiver runs until it is dropped");
        };
        match is_last {
            true => assert_eq!(end.map(|receipt| receipt.bytes), Ok(bytes)),
            false => assert_eq!(end, Err(SessionError::PeerMisbehaved(Misbehaviour::Unexpected).into())),
        }
    }
}
