//! Runs each fuzz target on a fixed number of inputs: its corpus, and mutations of it by a seeded generator. The inputs
//! are the same in every run, with any compiler.
//!
//! `WAFT_FUZZ_TIMES=100` runs a hundred times as many.

use std::fs;
use std::path::Path;

use waft_fuzz::{
    announce, archive, certificate, identity, journal, pairing, replay, sealed, seed, session, settings, text, wire,
};

/// Most edits by which an input differs from one of the corpus.
const EDITS_MAX: usize = 8;
/// Longest input, in bytes.
const LENGTH_MAX: usize = 1 << 12;

/// A SplitMix64 generator (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// A byte, which in half of all cases is a boundary value of some encoding.
    fn byte(&mut self) -> u8 {
        const EDGES: [u8; 12] = [0, 1, 2, 3, 4, 0x20, 0x7f, 0x80, 0x81, 0xe2, 0xfe, 0xff];
        if self.below(2) == 0 { EDGES[self.below(EDGES.len())] } else { self.next() as u8 }
    }

    /// A mutation of an input of the corpus.
    fn input(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut input = corpus[self.below(corpus.len())].clone();
        for _ in 0..=self.below(EDITS_MAX) {
            self.edit(&mut input, corpus);
        }
        input.truncate(LENGTH_MAX);
        input
    }

    fn edit(&mut self, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        let end = at + self.below((input.len() - at).min(64) + 1);
        match self.below(7) {
            0 => input[at..].iter_mut().take(1).for_each(|byte| *byte ^= 1 << self.below(8)),
            1 => input[at..].iter_mut().take(1).for_each(|byte| *byte = self.byte()),
            2 => drop(input.drain(at..end)),
            3 => {
                let bytes: Vec<u8> = (0..=self.below(8)).map(|_| self.byte()).collect();
                drop(input.splice(at..at, bytes));
            }
            4 => {
                let piece = input[at..end].to_vec();
                let to = self.below(input.len() + 1);
                drop(input.splice(to..to, piece));
            }
            5 => {
                let other = &corpus[self.below(corpus.len())];
                let from = self.below(other.len() + 1);
                drop(input.splice(at.., other[from..].iter().copied()));
            }
            _ => input.truncate(at),
        }
    }
}

/// Prints the input on which a target panics.
struct PrintOnPanic<'a>(&'a [u8]);

impl Drop for PrintOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let bytes: String = self.0.iter().map(|byte| format!("\\x{byte:02x}")).collect();
            eprintln!("the input was b\"{bytes}\"");
        }
    }
}

/// Runs a target on its corpus and on `inputs` mutations.
fn run(name: &str, target: fn(&[u8]), inputs: u64) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    let times = std::env::var("WAFT_FUZZ_TIMES").map_or(1, |times| times.parse().expect("a number"));
    let mut random = Random(1);
    let mutations = std::iter::repeat_with(|| random.input(&corpus)).take((inputs * times) as usize);
    for input in corpus.iter().cloned().chain(mutations) {
        let guard = PrintOnPanic(&input);
        target(&input);
        drop(guard);
    }
}

#[test]
fn text_inputs() {
    run("text", text::run, 1_000_000);
}

#[test]
fn wire_inputs() {
    run("wire", wire::run, 1_000_000);
}

#[test]
fn archive_inputs() {
    run("archive", archive::run, 1_000_000);
}

#[test]
fn sealed_inputs() {
    run("sealed", sealed::run, 200_000);
}

#[test]
fn session_inputs() {
    run("session", session::run, 20_000);
}

#[test]
fn replay_inputs() {
    run("replay", replay::run, 30_000);
}

#[test]
fn pairing_inputs() {
    run("pairing", pairing::run, 10_000);
}

#[test]
fn settings_inputs() {
    run("settings", settings::run, 20_000);
}

#[test]
fn identity_inputs() {
    run("identity", identity::run, 20_000);
}

#[test]
fn seed_inputs() {
    run("seed", seed::run, 20_000);
}

#[test]
fn journal_inputs() {
    run("journal", journal::run, 20_000);
}

#[test]
fn certificate_inputs() {
    run("certificate", certificate::run, 200_000);
}

#[test]
fn announce_inputs() {
    run("announce", announce::run, 500_000);
}
