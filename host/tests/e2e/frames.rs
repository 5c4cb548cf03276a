//! Trusted senders with invalid frames, messages and offers, against the built receiver.

use super::harness::check_error;
use super::hostile_senders::receiver;
use super::peers::{dial, message, payloads, run, say, varint};
use super::world::World;

fn hello() -> Vec<u8> {
    message(&[&[0, 1, 1][..], &[5; 64]].concat())
}

/// An offer with a sealed key of so many bytes. `GOOD` is within all bounds.
struct Offer {
    iterations: u64,
    aead: u8,
    codec: u8,
    chunk: u64,
    key: usize,
    total: u64,
    files: u64,
    entries: u64,
    manifest: u64,
}

const GOOD: Offer =
    Offer { iterations: 0, aead: 1, codec: 1, chunk: 65_536, key: 65, total: 1000, files: 1, entries: 1, manifest: 10 };

impl Offer {
    fn frame(&self) -> Vec<u8> {
        let key = vec![4; self.key];
        let suite = [varint(self.iterations), vec![self.aead, self.codec], varint(self.chunk), vec![1], key].concat();
        let numbers = [1, self.total, self.files, self.entries, self.manifest].map(varint).concat();
        message(&[vec![2], suite, numbers, vec![9; 64], varint(271), vec![9; 271]].concat())
    }
}

/// Sends each of these after a valid `Hello`. Returns the receiver's final message each time.
fn last_words(said: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let world = World::new();
    let (mut receiver, address) = receiver(&world);
    let mut words = Vec::new();
    for bytes in said {
        let answer = run(async {
            let link = dial(&world, &address).await;
            say(link, &[hello(), bytes].concat()).await
        });
        words.push(payloads(&answer).pop().expect("it says why"));
        let (class, says): (_, &[&str]) = match words.last().expect("just pushed")[1] {
            3 => ("key", &["The key that laptop sealed to this machine"]),
            7 => ("refused", &["The folder of laptop goes past a limit: "]),
            _ => ("protocol", &["laptop violates the protocol: it sent ", "same release"]),
        };
        check_error(&receiver.await_event("error"), class, says);
        world.nothing_arrived();
        assert!(!world.staging().exists());
    }
    words
}

/// `Refused(Protocol)`.
const PROTOCOL: [u8; 2] = [7, 19];

#[test]
fn frames_that_are_none() {
    let said = vec![
        vec![9, 0, 0, 1, 0],
        vec![1, 0xff, 0xff, 0xff],
        vec![1, 0, 2, 1],
        vec![2, 0xff, 0xff, 0xff],
        vec![2, 0, 0, 20],
        message(&[]),
        message(&[99]),
        message(&[0xff; 20]),
        message(&[3, 0, 0]),
        message(&[1, b'1', b'2', b'3', b'4']),
        hello(),
        message(&[4, 0, 0]),
    ];
    for (at, word) in last_words(said).into_iter().enumerate() {
        assert_eq!(word, PROTOCOL, "{at}");
    }
}

#[test]
fn a_version_that_nobody_speaks() {
    let world = World::new();
    let (mut receiver, address) = receiver(&world);
    let hello = message(&[&[0, 7, 9][..], &[5; 64]].concat());
    let answer = run(async { say(dial(&world, &address).await, &hello).await });
    assert_eq!(payloads(&answer).pop().expect("it says why"), [7, 0]);
    check_error(&receiver.await_event("error"), "protocol", &["laptop speaks another version", "same release"]);
}

#[test]
fn every_reason_to_cancel_has_its_text() {
    let world = World::new();
    let (mut receiver, address) = receiver(&world);
    let cases = [
        (0, "broken", ["laptop cancelled the transfer", "Nothing was received in this try"]),
        (1, "broken", ["The folder changed at laptop while it was sent", "Nothing was received"]),
        (2, "broken", ["laptop could not read a file of the folder any more", "Nothing was received"]),
        (3, "broken", ["laptop waited too long for this machine, and gave up", "Nothing was received"]),
        (4, "protocol", ["laptop rejects a message of this machine as wrong", "same release"]),
        (5, "broken", ["laptop cancelled the transfer", "Nothing was received"]),
    ];
    for (reason, class, says) in cases {
        run(async { say(dial(&world, &address).await, &[hello(), message(&[4, reason])].concat()).await });
        check_error(&receiver.await_event("error"), class, &says);
    }
    run(async {
        let mut link = dial(&world, &address).await;
        embedded_io_async::Write::write_all(&mut link, &hello()).await.unwrap();
        link.close().await;
    });
    let says = ["The connection from laptop broke before the transfer began", "The folder can be sent again"];
    check_error(&receiver.await_event("error"), "broken", &says);
}

#[test]
fn offers_past_every_bound() {
    // `Refused(Limit)` with the number of the limit.
    let limit = |which: u8| vec![7, 7, which];
    let cases = [
        (Offer { total: u64::MAX, ..GOOD }, limit(0)),
        (Offer { total: (1 << 42) + 1, ..GOOD }, limit(0)),
        (Offer { entries: u32::MAX.into(), ..GOOD }, limit(1)),
        (Offer { total: 1 << 40, manifest: u32::MAX.into(), ..GOOD }, limit(2)),
        (Offer { chunk: 0, ..GOOD }, limit(4)),
        (Offer { chunk: 65_535, ..GOOD }, limit(4)),
        (Offer { chunk: 1 << 17, ..GOOD }, limit(4)),
        (Offer { chunk: 1 << 31, ..GOOD }, limit(4)),
        (Offer { iterations: 1, ..GOOD }, PROTOCOL.into()),
        (Offer { total: 10, ..GOOD }, PROTOCOL.into()),
        (Offer { files: 2, ..GOOD }, PROTOCOL.into()),
        (Offer { files: 0, entries: 0, ..GOOD }, PROTOCOL.into()),
        (Offer { manifest: 0, ..GOOD }, PROTOCOL.into()),
        (Offer { entries: 1 << 20, ..GOOD }, PROTOCOL.into()),
        (Offer { aead: 0, ..GOOD }, PROTOCOL.into()),
        (Offer { codec: 9, ..GOOD }, PROTOCOL.into()),
        (Offer { key: 0, ..GOOD }, PROTOCOL.into()),
        (Offer { key: 64, ..GOOD }, PROTOCOL.into()),
        (Offer { key: 66, ..GOOD }, PROTOCOL.into()),
        // Within all bounds, but the encapsulated key is not a point of the curve.
        (GOOD, vec![7, 3]),
    ];
    let (said, expected): (Vec<_>, Vec<_>) = cases.into_iter().map(|(offer, word)| (offer.frame(), word)).unzip();
    for (at, (word, expected)) in last_words(said).into_iter().zip(expected).enumerate() {
        assert_eq!(word, expected, "{at}");
    }
}
