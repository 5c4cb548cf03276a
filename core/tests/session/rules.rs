//! Tests of the rules that each side enforces, mostly with a peer that the test implements.

use std::rc::Rc;

use embassy_futures::select::{Either, select};
use embedded_io_async::Write as _;
use serde::Serialize;
use waft_core::code::AuthCode;
use waft_core::limits::{CHUNK_MAX, CHUNK_MIN, IDLE_MS, ITERATIONS_MIN, SEALED_NAME};
use waft_core::sealed::{Aead, ChunkSize, Codec, SoftCipher};
use waft_core::session::peers::PeerState;
use waft_core::session::sender::{self, Peer};
use waft_core::session::{Clock as _, Misbehaviour, Offered, SessionError, StoreError};
use waft_core::wire::message::{
    Cancel, FromReceiver, FromSender, Hello, KeyMode, Limit, Offer, OfferBody, Refusal, Stage,
};

use crate::doubles::{Moment, archive_of};
use crate::fixture::{CHUNK, Fixture, KEY, Outcomes, RECEIVER, SENDER, UNKNOWN, key};
use crate::handmade::receive_frame;
use crate::sender_rules::greeting;
use crate::simulation::{connect, run};

/// A message in its frame, with bytes after its last field.
fn frame(message: &impl Serialize, trailing: &[u8]) -> Vec<u8> {
    let mut buffer = [0; 512];
    let payload = [postcard::to_slice(message, &mut buffer).unwrap(), trailing].concat();
    [&[1, 0][..], &(payload.len() as u16).to_be_bytes(), &payload].concat()
}

fn hello(min: u8, max: u8) -> FromSender<'static> {
    FromSender::Hello(Hello { min, max, nonce: [0; 32], salt: [7; 32] })
}

/// Runs a receiver whose sender sends these bytes, and then nothing. Returns the receiver's error.
fn run_receiver(bytes: &[u8]) -> SessionError {
    let mut fixture = Fixture::new();
    fixture.max_chunk = ChunkSize::new(4 * CHUNK).unwrap();
    let end = fixture.receive_from(async |mut link| {
        link.write_all(bytes).await.unwrap();
        std::future::pending::<()>().await;
    });
    assert!(fixture.receiver_user.asked.is_empty(), "the user is not asked for a key");
    end.unwrap_err()
}

#[test]
fn a_receiver_refuses_unknown_versions() {
    for (min, max) in [(0, 0), (2, 2), (2, 255), (1, 0), (255, 1)] {
        assert_eq!(run_receiver(&frame(&hello(min, max), b"")), SessionError::Refused(Refusal::Version), "{min}-{max}");
    }
    for (min, max) in [(1, 1), (0, 1), (1, 255), (0, 255)] {
        assert_eq!(run_receiver(&frame(&hello(min, max), b"")), SessionError::TimedOut, "{min}-{max}");
    }
}

#[test]
fn a_message_ends_with_its_last_field_unless_it_is_the_first() {
    // Later versions may add fields to `Hello`.
    assert_eq!(run_receiver(&frame(&hello(1, 1), b"more")), SessionError::TimedOut);
    let cancel = frame(&FromSender::Cancel(Cancel::Interrupted), b"");
    let hello = frame(&hello(1, 1), b"");
    assert_eq!(run_receiver(&[&hello[..], &cancel].concat()), SessionError::PeerCancelled(Cancel::Interrupted));
    let longer = frame(&FromSender::Cancel(Cancel::Interrupted), b"\0");
    let malformed = SessionError::PeerMisbehaved(Misbehaviour::Message);
    assert_eq!(run_receiver(&[&hello[..], &longer].concat()), malformed);
}

#[test]
fn an_offer_out_of_bounds_is_refused_before_a_key_is_asked_for() {
    let good = || OfferBody {
        iterations: ITERATIONS_MIN,
        aead: Aead::ChaCha20Poly1305 as u8,
        codec: Codec::None as u8,
        chunk: CHUNK,
        key: KeyMode::Typed,
        created: 0,
        shape: Fixture::new().source.info.shape,
    };
    let shape = good().shape;
    let limit = |limit| SessionError::Refused(Refusal::Limit { limit });
    let field = SessionError::PeerMisbehaved(Misbehaviour::Field);
    let of = |shape| OfferBody { shape, ..good() };
    for (body, error) in [
        (OfferBody { iterations: ITERATIONS_MIN - 1, ..good() }, limit(Limit::Iterations)),
        (OfferBody { iterations: 0, ..good() }, limit(Limit::Iterations)),
        (OfferBody { iterations: ITERATIONS_MIN + 1, ..good() }, limit(Limit::Iterations)),
        (OfferBody { chunk: CHUNK - 1, ..good() }, limit(Limit::Chunk)),
        (OfferBody { chunk: 0, ..good() }, limit(Limit::Chunk)),
        (OfferBody { chunk: CHUNK_MIN / 2, ..good() }, limit(Limit::Chunk)),
        (OfferBody { chunk: CHUNK * 3, ..good() }, limit(Limit::Chunk)),
        (OfferBody { chunk: CHUNK * 8, ..good() }, limit(Limit::Chunk)),
        (OfferBody { chunk: CHUNK_MAX * 2, ..good() }, limit(Limit::Chunk)),
        (OfferBody { aead: 0, ..good() }, field),
        (OfferBody { aead: 3, ..good() }, field),
        (OfferBody { codec: 2, ..good() }, field),
        (OfferBody { key: KeyMode::Sealed([4; 65]), ..good() }, SessionError::Refused(Refusal::KeyMode)),
        (of(waft_core::archive::Shape { total: shape.total + (1 << 30), ..shape }), limit(Limit::Total)),
        (of(waft_core::archive::Shape { entries: 1_001, ..shape }), limit(Limit::Entries)),
        (of(waft_core::archive::Shape { manifest: (1 << 20) + 1, ..shape }), limit(Limit::Manifest)),
        (of(waft_core::archive::Shape { files: shape.entries + 1, ..shape }), field),
        (of(waft_core::archive::Shape { entries: 0, files: 0, ..shape }), field),
    ] {
        let what = format!("{body:?}");
        let offer =
            FromSender::Offer(Offer { body, manifest_tag: [0; 32], commitment: [0; 32], name: &[0; SEALED_NAME] });
        assert_eq!(run_receiver(&[frame(&hello(1, 1), b""), frame(&offer, b"")].concat()), error, "{what}");
    }
    // A chunk size below the receiver's bound is accepted; then the user is asked for the key.
    let offer =
        FromSender::Offer(Offer { body: good(), manifest_tag: [0; 32], commitment: [0; 32], name: &[0; SEALED_NAME] });
    let mut fixture = Fixture::new();
    fixture.receiver_user.keys.clear();
    let sent = [frame(&hello(1, 1), b""), frame(&offer, b"")].concat();
    let clock = Rc::clone(&fixture.clock);
    let end = fixture.receive_from(async |mut link| {
        link.write_all(&sent).await.unwrap();
        loop {
            clock.sleep_until(clock.now() + 5_000).await;
            link.write_all(&frame(&FromSender::Working(Stage::Waiting), b"")).await.unwrap();
        }
    });
    assert_eq!((end, fixture.receiver_user.asked.len()), (Err(SessionError::Refused(Refusal::KeyTimeout)), 1));
}

#[test]
fn a_prefix_longer_than_the_archive_is_refused() {
    let mut fixture = Fixture::new();
    fixture.store.staged = [&fixture.source.archive[..], b"more"].concat();
    fixture.store.owner = Some(Offered { sender: SENDER, created: 0, shape: fixture.source.info.shape });
    let (sender, receiver) = fixture.connect();
    assert_eq!(sender, Err(SessionError::PeerMisbehaved(Misbehaviour::Field).into()));
    assert_eq!(receiver, Err(SessionError::PeerCancelled(Cancel::Protocol)));
    fixture.assert_nothing_committed();
}

#[test]
fn a_sender_resumes_at_the_accepted_offset_or_at_the_start() {
    let sent = Fixture::new().record::<SoftCipher>().0;
    let resume = [1, 0, 0, 3, 3, 0, 0];
    let at = sent.windows(resume.len()).position(|frame| frame == resume).unwrap() + resume.len() - 2;
    for offset in [1, 100] {
        let mut fixture = Fixture::new();
        fixture.edit = Some((0, at, offset));
        let (sender, receiver) = fixture.connect();
        assert_eq!(sender, Err(SessionError::Refused(Refusal::Protocol).into()), "{offset}");
        assert_eq!(receiver, Err(SessionError::PeerMisbehaved(Misbehaviour::Field)), "{offset}");
    }
}

#[test]
fn waiting_for_the_key_has_a_deadline_at_the_sender() {
    let mut fixture = Fixture::new();
    let clock = Rc::clone(&fixture.clock);
    let (mut sender_link, mut receiver_link) = connect(u64::MAX, u64::MAX);
    let greeting = FromReceiver::Greeting(greeting());
    let (mut sending, _) = fixture.sides();
    let mut sender = sending.sender::<SoftCipher>();
    let peer = Peer { certificate: RECEIVER, hpke: None };
    let waits = async {
        receiver_link.write_all(&frame(&greeting, b"")).await.unwrap();
        loop {
            receiver_link.write_all(&frame(&FromReceiver::Working(Stage::Key), b"")).await.unwrap();
            clock.sleep_until(clock.now() + 10_000).await;
        }
    };
    let Either::First(end) = run(&clock, select(sender.send(&mut sender_link, &peer), waits));
    assert_eq!(end, Err(SessionError::TimedOut.into()));
    assert!((300_000..300_000 + 2 * IDLE_MS).contains(&clock.now()), "{}", clock.now());
}

#[test]
fn the_outcome_is_unknown_once_the_receiver_may_have_the_last_chunk() {
    let length = Fixture::new().record::<SoftCipher>().0.len() as u64;
    let mut fixture = Fixture::new();
    assert_eq!(fixture.connect_cut(length - 1, u64::MAX).0, Err(UNKNOWN));
    let mut fixture = Fixture::new();
    assert_eq!(fixture.connect_cut(length - 2 * u64::from(CHUNK), u64::MAX).0, Err(SessionError::Disconnected.into()));
}

/// A session whose sender takes this number of milliseconds for each read of its source.
fn connect_slowly(fixture: &mut Fixture, delay: u64) -> Outcomes {
    fixture.source_delay = delay;
    fixture.connect()
}

#[test]
fn a_user_interrupts_a_sender_between_chunks() {
    let mut fixture = Fixture::new();
    fixture.sender_user.interrupts_at = Moment(Some((Rc::clone(&fixture.clock), 1_000)));
    let reason = Cancel::Interrupted;
    let ends = (Err(SessionError::Cancelled(reason).into()), Err(SessionError::PeerCancelled(reason)));
    assert_eq!(connect_slowly(&mut fixture, 100), ends);
    assert!(fixture.clock.now() < 5_000, "{}", fixture.clock.now());
    assert!(fixture.store.written > 0);
}

#[test]
fn the_receiver_waits_for_a_sender_that_hashes_long() {
    let mut fixture = Fixture::new();
    fixture.store.staged = fixture.source.archive[..20_000].to_vec();
    fixture.store.owner = Some(Offered { sender: SENDER, created: 0, shape: fixture.source.info.shape });
    // Twenty reads, each of which takes almost as long as a receiver waits for a byte.
    let ends = connect_slowly(&mut fixture, IDLE_MS - 1_000);
    fixture.assert_committed(ends);
}

#[test]
fn a_sender_receives_progress() {
    let mut fixture = Fixture::new();
    fixture.source = archive_of(&[("long", &[7; 900_000])]);
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    let durable: Vec<u64> = fixture
        .sender_user
        .events
        .iter()
        .filter_map(|event| if let sender::Event::Durable(bytes) = event { Some(*bytes) } else { None })
        .collect();
    assert_eq!(durable.len(), 3, "once for each 256 KiB: {durable:?}");
    assert!(durable.is_sorted() && durable[0] >= 256 << 10, "{durable:?}");
}

#[test]
fn a_refusal_ends_the_run() {
    let mut fixture = Fixture::new();
    fixture.store.fails_at = Some((20_000, StoreError::Io));
    assert_eq!(fixture.connect().1, Err(SessionError::Refused(Refusal::Storage)));
    fixture.store.fails_at = None;
    fixture.receiver_user.keys = [key(KEY)].into();
    let ends = fixture.connect();
    fixture.assert_committed(ends);
    assert_eq!(fixture.receiver_user.asked.len(), 2, "the key is asked for again");
}

#[test]
fn nothing_is_kept_from_a_peer_that_misbehaves() {
    let to_receiver = Fixture::new().record::<SoftCipher>().0.len();
    let mut fixture = Fixture::new();
    fixture.edit = Some((0, to_receiver - 100, 1));
    let (sender, receiver) = fixture.connect();
    assert_eq!(sender, Err(SessionError::Refused(Refusal::Chunk).into()));
    assert_eq!(receiver, Err(SessionError::PeerMisbehaved(Misbehaviour::Chunk)));
    assert!(fixture.store.written > 0 && fixture.store.staged.is_empty());
}

#[test]
fn a_wrong_code_is_counted_before_the_sender_gets_its_answer() {
    let mut fixture = Fixture::new();
    fixture.code_needed = true;
    let wrong = |fixture: &Fixture| if fixture.peers.code().digits() == b"0000" { "0001" } else { "0000" };
    let give = |fixture: &mut Fixture, times: usize| {
        let code = AuthCode::parse(wrong(fixture)).unwrap();
        fixture.sender_user.codes =
            (0..times).map(|_| AuthCode::parse(str::from_utf8(code.digits()).unwrap()).unwrap()).collect();
        fixture.connect().1
    };
    assert_eq!(give(&mut fixture, 1), Err(SessionError::PeerCancelled(Cancel::Interrupted)));
    // The receiver is reset between two tries.
    let kept_lockouts = fixture.receiver_user.kept_lockouts.expect("a snapshot was kept");
    fixture.peers = PeerState::restore(&mut fixture.rng, &kept_lockouts, fixture.clock.now());
    assert_eq!(give(&mut fixture, 2), Err(SessionError::Refused(Refusal::Locked { seconds: 30 })));
}

#[test]
fn four_bytes_that_are_no_digits_are_a_wrong_code() {
    let mut fixture = Fixture::new();
    fixture.code_needed = true;
    let mut answers = Vec::new();
    let end = fixture.receive_from(async |mut link| {
        link.write_all(&frame(&hello(1, 1), b"")).await.unwrap();
        receive_frame(&mut link).await;
        for digits in [*b"12a4", [0; 4], [0xff; 4]] {
            link.write_all(&frame(&FromSender::Code { digits }, b"")).await.unwrap();
            answers.push(receive_frame(&mut link).await);
        }
    });
    assert_eq!(end, Err(SessionError::Refused(Refusal::Locked { seconds: 30 })));
    assert_eq!(answers, [vec![2, 2], vec![2, 1], vec![7, 1, 30]]);
}

#[test]
fn a_sealed_key_that_does_not_open_is_a_wrong_key() {
    let mut another = Fixture::new().hpke.public();
    let point = another;
    another[64] ^= 1;
    let wrong_key = SessionError::Refused(Refusal::KeyWrong);
    for (encapsulation, iterations, error) in [
        ([0; 65], 0, wrong_key),
        ([4; 65], 0, wrong_key),
        (another, 0, wrong_key),
        // A point of the curve, whose secret does not give the commitment.
        (point, 0, wrong_key),
        (point, 1, SessionError::PeerMisbehaved(Misbehaviour::Field)),
    ] {
        let mut fixture = Fixture::new();
        fixture.typed = false;
        let body = OfferBody {
            iterations,
            aead: Aead::ChaCha20Poly1305 as u8,
            codec: Codec::None as u8,
            chunk: CHUNK,
            key: KeyMode::Sealed(encapsulation),
            created: 0,
            shape: fixture.source.info.shape,
        };
        let offer =
            FromSender::Offer(Offer { body, manifest_tag: [0; 32], commitment: [0; 32], name: &[0; SEALED_NAME] });
        let sent = [frame(&hello(1, 1), b""), frame(&offer, b"")].concat();
        let end = fixture.receive_from(async |mut link| {
            link.write_all(&sent).await.unwrap();
            std::future::pending::<()>().await;
        });
        assert_eq!(end, Err(error), "{encapsulation:02x?}");
        assert!(fixture.store.staged.is_empty());
    }
}
