//! Tests of the guard, record by record, independent of the pieces in which TCP delivers them.

use std::convert::Infallible;
use std::vec::Vec;

use embassy_futures::block_on;

use super::*;

/// A connection that delivers `input` in pieces of at most `piece` bytes, and records its output.
struct Script<'a> {
    input: &'a [u8],
    piece: usize,
    written: Vec<u8>,
}

impl ErrorType for Script<'_> {
    type Error = Infallible;
}

impl Read for Script<'_> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let count = self.piece.min(buffer.len()).min(self.input.len());
        let (now, later) = self.input.split_at(count);
        buffer[..count].copy_from_slice(now);
        self.input = later;
        Ok(count)
    }
}

impl Write for Script<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let count = self.piece.min(bytes.len());
        self.written.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Tcp for Script<'_> {
    async fn readable(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

fn guard(input: &[u8], piece: usize) -> Guard<Script<'_>> {
    Guard::new(Script { input, piece, written: Vec::new() })
}

/// The bytes that pass the guard, and the violation that ended them. The handshake is complete after `handshake` bytes.
fn pass(input: &[u8], handshake: usize) -> (Vec<u8>, Option<Violation>) {
    let outcomes: Vec<_> = [1, 2, 3, 7, 10_000].map(|piece| drain(&mut guard(input, piece), piece, handshake)).into();
    assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]), "the result depends on the pieces");
    outcomes[0].clone()
}

fn drain(guard: &mut Guard<Script<'_>>, piece: usize, handshake: usize) -> (Vec<u8>, Option<Violation>) {
    let (mut passed, mut buffer) = (Vec::new(), [0; 10_000]);
    loop {
        let most = if passed.len() < handshake { piece.min(handshake - passed.len()) } else { piece };
        match block_on(guard.read(&mut buffer[..most])) {
            Ok(0) => return (passed, None),
            Ok(count) => passed.extend_from_slice(&buffer[..count]),
            Err(GuardError::Record(violation)) => {
                assert_eq!(block_on(guard.read(&mut buffer)), Err(GuardError::Record(violation)), "it fails forever");
                assert_eq!(guard.violation(), Some(violation));
                return (passed, Some(violation));
            }
        }
        if passed.len() == handshake {
            guard.finish_handshake();
        }
    }
}

fn record(kind: u8, length: usize) -> Vec<u8> {
    let mut record = std::vec![kind, 3, 3, (length >> 8) as u8, length as u8];
    record.extend((0..length).map(|at| at as u8));
    record
}

const CHANGE: &[u8] = &[20, 3, 3, 0, 1, 1];
const NEVER: usize = usize::MAX;

#[test]
fn a_handshake_passes_without_its_change_cipher_spec() {
    let (hello, sealed) = (record(22, 90), record(23, 700));
    let expected = ([&hello[..], &sealed, &sealed].concat(), None);
    assert_eq!(pass(&[&hello[..], CHANGE, &sealed, &sealed].concat(), NEVER), expected);
    assert_eq!(pass(&[&hello[..], &sealed, &sealed].concat(), NEVER), expected);
}

#[test]
fn records_after_the_handshake_are_marked() {
    let (hello, sealed) = (record(22, 90), record(23, 17));
    let input = [&hello[..], CHANGE, &sealed, &sealed, &sealed].concat();
    let mut marked = sealed.clone();
    marked[2] = OPEN;
    let handshake = hello.len() + sealed.len();
    assert_eq!(pass(&input, handshake), ([&hello[..], &sealed, &marked, &marked].concat(), None));
    // A sender cannot mark a record.
    let input = [&hello[..], &sealed, &marked].concat();
    assert_eq!(pass(&input, NEVER), ([&hello[..], &sealed].concat(), Some(Violation::Version)));
}

#[test]
fn lengths_are_bounded() {
    let hello = record(22, 1);
    for (length, fits) in [(0, false), (16, false), (17, true), (RECORD_MAX, true), (RECORD_MAX + 1, false)] {
        for handshake in [NEVER, hello.len()] {
            let (passed, violation) = pass(&[&hello[..], &record(23, length)].concat(), handshake);
            assert_eq!(
                (passed.len() > hello.len(), violation),
                (fits, (!fits).then_some(Violation::Length)),
                "{length}"
            );
        }
    }
    for (kind, length, fits) in [
        (22, 0, false),
        (22, RECORD_MAX, true),
        (22, RECORD_MAX + 1, false),
        (21, 1, false),
        (21, 2, true),
        (21, 3, false),
    ] {
        let (passed, violation) = pass(&record(kind, length), NEVER);
        assert_eq!((!passed.is_empty(), violation), (fits, (!fits).then_some(Violation::Length)), "{kind} {length}");
    }
}

#[test]
fn only_allowed_types_pass() {
    let (hello, sealed) = (record(22, 40), record(23, 40));
    let (flight, open) = (hello.clone(), [&hello[..], &sealed].concat());
    for (before, handshake) in [(&flight, NEVER), (&open, NEVER), (&open, open.len())] {
        for kind in (0..=255).filter(|kind| ![20, 23].contains(kind)) {
            let (passed, violation) = pass(&[&before[..], &record(kind, 40)].concat(), handshake);
            assert_eq!((passed, violation), (before.clone(), Some(Violation::Type)), "{kind}");
        }
    }
    for kind in (0..=255).filter(|kind| ![20, 21, 22].contains(kind)) {
        assert_eq!(pass(&record(kind, 40), NEVER), (std::vec![], Some(Violation::Type)), "{kind}");
    }
}

#[test]
fn only_one_valid_change_cipher_spec_is_dropped() {
    let (hello, sealed) = (record(22, 40), record(23, 40));
    let refused = |passed: &[u8]| (passed.to_vec(), Some(Violation::ChangeCipherSpec));
    assert_eq!(pass(CHANGE, NEVER), refused(&[]));
    assert_eq!(pass(&[&hello[..], CHANGE, CHANGE].concat(), NEVER), refused(&hello));
    assert_eq!(pass(&[&hello[..], &[20, 3, 3, 0, 1, 2]].concat(), NEVER), refused(&hello));
    assert_eq!(pass(&[&hello[..], &[20, 3, 3, 0, 2, 1, 1]].concat(), NEVER), refused(&hello));
    assert_eq!(pass(&[&hello[..], &[20, 3, 3, 0, 0]].concat(), NEVER), refused(&hello));
    let late = [&hello[..], &sealed].concat();
    assert_eq!(pass(&[&late[..], CHANGE].concat(), NEVER), refused(&late));
    assert_eq!(pass(&[&late[..], CHANGE].concat(), late.len()), refused(&late));
}

#[test]
fn the_connection_may_end_anywhere() {
    let input = [&record(22, 40)[..], CHANGE, &record(23, 40)].concat();
    let whole = pass(&input, NEVER).0;
    for end in 0..input.len() {
        let (passed, violation) = pass(&input[..end], NEVER);
        assert!(violation.is_none() && whole.starts_with(&passed), "{end}");
    }
}

#[test]
fn a_read_of_no_bytes_reads_none() {
    let input = record(22, 40);
    let mut guard = guard(&input, 100);
    assert_eq!(block_on(guard.read(&mut [])), Ok(0));
    assert_eq!(drain(&mut guard, 100, NEVER).0, input);
}

#[test]
fn an_alert_is_sent_with_the_type_of_an_alert() {
    for piece in [1, 100] {
        let mut guard = guard(&[], piece);
        block_on(guard.write_all(&[20, 3, 1, 0, 2, 2, 48])).unwrap();
        block_on(guard.write_all(&[22, 3, 1, 0, 2, 2, 48])).unwrap();
        assert_eq!(guard.into_inner().written, [21, 3, 3, 0, 2, 2, 48, 22, 3, 1, 0, 2, 2, 48]);
    }
}
