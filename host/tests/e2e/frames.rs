//! Trusted senders whose frames, messages and offers are none, against the built receiver.

use super::harness::says_so;
use super::hostile::receiver;
use super::peers::{dial, message, payloads, run, say, varint};
use super::world::World;

fn hello() -> Vec<u8> {
    message(&[&[0, 1, 1][..], &[5; 64]].concat())
}

/// An offer with sealed key: iterations, AEAD, codec, chunk, encapsulation, total, files, entries, manifest.
#[rustfmt::skip]
fn offer(iterations: u64, aead: u8, codec: u8, chunk: u64, key: &[u8], total: u64, files: u64, entries: u64, manifest: u64) -> Vec<u8> {
    let body = [varint(iterations), vec![aead, codec], varint(chunk), vec![1], varint(key.len() as u64), key.to_vec()];
    let numbers = [1, total, files, entries, manifest].map(varint);
    message(&[vec![2], body.concat(), numbers.concat(), vec![9; 64]].concat())
}

/// Says such things behind a good `Hello`; the receiver's last word each time.
fn last_words(said: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let world = World::new();
    let (mut receiver, address) = receiver(&world);
    let mut words = Vec::new();
    for bytes in said {
        let answer = run(async {
            let mut link = dial(&world, &address).await;
            say(&mut link, &[hello(), bytes].concat()).await
        });
        words.push(payloads(&answer).pop().expect("it says why"));
        says_so(
            &receiver.await_event("error"),
            if words.last().unwrap()[1] == 7 { "refused" } else { "protocol" },
            &["laptop"],
        );
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
        message(&[3, 0]),
        message(&[1, b'1', b'2', b'3', b'4']),
        hello(),
        message(&[4, 0, 0]),
    ];
    for (at, word) in last_words(said).into_iter().enumerate() {
        assert_eq!(word, PROTOCOL, "{at}");
    }
}

#[test]
fn offers_past_every_bound() {
    let key = super::world::noise(65);
    let chunk = 65_536;
    // `Refused(Limit)`: the number of the limit.
    let limit = |which: u8| vec![7, 7, which];
    let cases = [
        (offer(0, 1, 1, chunk, &key, u64::MAX, 1, 1, 10), limit(0)),
        (offer(0, 1, 1, chunk, &key, (1 << 42) + 1, 1, 1, 10), limit(0)),
        (offer(0, 1, 1, chunk, &key, 1000, 1, u32::MAX.into(), 10), limit(1)),
        (offer(0, 1, 1, chunk, &key, 1 << 40, 1, 1, u32::MAX.into()), limit(2)),
        (offer(0, 1, 1, 0, &key, 1000, 1, 1, 10), limit(4)),
        (offer(0, 1, 1, 65_535, &key, 1000, 1, 1, 10), limit(4)),
        (offer(0, 1, 1, 1 << 17, &key, 1000, 1, 1, 10), limit(4)),
        (offer(0, 1, 1, 1 << 31, &key, 1000, 1, 1, 10), limit(4)),
        (offer(1, 1, 1, chunk, &key, 1000, 1, 1, 10), PROTOCOL.into()),
        (offer(0, 1, 1, chunk, &key, 10, 1, 1, 10), PROTOCOL.into()),
        (offer(0, 1, 1, chunk, &key, 1000, 2, 1, 10), PROTOCOL.into()),
        (offer(0, 1, 1, chunk, &key, 1000, 0, 0, 10), PROTOCOL.into()),
        (offer(0, 0, 1, chunk, &key, 1000, 1, 1, 10), PROTOCOL.into()),
        (offer(0, 1, 9, chunk, &key, 1000, 1, 1, 10), PROTOCOL.into()),
        (offer(0, 1, 1, chunk, &[4; 66], 1000, 1, 1, 10), PROTOCOL.into()),
    ];
    let (said, expected): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    for (at, (word, expected)) in last_words(said).into_iter().zip(expected).enumerate() {
        assert_eq!(word, expected, "{at}");
    }
}
