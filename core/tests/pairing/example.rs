//! The worked example of PROTOCOL.md: a pairing with fixed entropy. Its values are computed a second time by
//! `tests/vectors/pairing/make.py`, from section 13 alone, and compared with those on the page.
//!
//! If a test fails, a byte on the wire has changed: fix the code, not the page.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::fixture::{Fixture, assert_paired};
use crate::simulation::connect;

const PAGE: &str = include_str!("../../PROTOCOL.md");
const VECTOR: &str = include_str!("../vectors/pairing/example.txt");

/// The lines of the example: every value of the vector, in its order.
fn lines(vector: &[(&str, &str)]) -> String {
    let mut lines = String::new();
    for (name, value) in vector {
        let mut rows = value.as_bytes().chunks(96).map(|row| std::str::from_utf8(row).unwrap());
        writeln!(lines, "{name:<20} {}", rows.next().unwrap_or("")).unwrap();
        rows.for_each(|row| writeln!(lines, "{:<20} {row}", "").unwrap());
    }
    lines
}

fn vector() -> Vec<(&'static str, &'static str)> {
    let (_, values) = VECTOR.split_once("\n\n").unwrap();
    values.lines().map(|line| line.split_once(" = ").unwrap()).collect()
}

/// Splits a stream into the payloads of its frames, in hexadecimal.
fn payloads(mut bytes: &[u8]) -> Vec<String> {
    let mut payloads = Vec::new();
    while let [_, high, middle, low, rest @ ..] = bytes {
        let (payload, rest) = rest.split_at(u32::from_be_bytes([0, *high, *middle, *low]) as usize);
        payloads.push(payload.iter().map(|byte| format!("{byte:02x}")).collect());
        bytes = rest;
    }
    payloads
}

#[test]
fn a_pairing_has_the_bytes_of_the_vector() {
    let vector: BTreeMap<_, _> = vector().into_iter().collect();
    let ((dialed, sent), (listened, answered)) = Fixture::new().run(connect(u64::MAX, u64::MAX));
    assert_paired((dialed, listened));
    assert_eq!(sent[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>(), vector["preface"]);
    let names = ["Greeting", "Share (dialer)", "Confirm (dialer)", "sealed (dialer)", "Done"];
    assert_eq!(payloads(&sent[8..]), names.map(|name| vector[name]));
    let names = ["Hello", "Share (listener)", "Confirm (listener)", "sealed (listener)"];
    assert_eq!(payloads(&answered), names.map(|name| vector[name]));
}

#[test]
fn the_example_on_the_page_is_the_vector() {
    let lines = lines(&vector());
    let on_the_page = PAGE.split("```text\ncode ").nth(1).and_then(|rest| rest.split("```").next()).unwrap_or("");
    assert!(lines == format!("code {on_the_page}"), "the example is now:\n{lines}");
}
