//! Reads the test vectors under `tests/vectors`. A file has blocks of `name = value` lines, each after an empty line.

use std::collections::BTreeMap;
use std::vec::Vec;

/// One block of a file.
pub(crate) struct Vector(BTreeMap<&'static str, &'static str>);

/// All blocks of a file; the text before the first empty line is a comment.
pub(crate) fn vectors(file: &'static str) -> Vec<Vector> {
    let blocks = file.split("\n\n").skip(1).map(|block| Vector(block.lines().map(field).collect()));
    let blocks = blocks.collect::<Vec<_>>();
    assert!(!blocks.is_empty());
    blocks
}

fn field(line: &'static str) -> (&'static str, &'static str) {
    let (name, value) = line.split_once('=').expect("name = value");
    (name.trim(), value.trim())
}

impl Vector {
    pub(crate) fn find(&self, name: &str) -> Option<&'static str> {
        self.0.get(name).copied()
    }

    pub(crate) fn text(&self, name: &str) -> &'static str {
        self.find(name).unwrap_or_else(|| panic!("no field {name}"))
    }

    pub(crate) fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap()
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        let digits = self.text(name);
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    pub(crate) fn array<const N: usize>(&self, name: &str) -> [u8; N] {
        self.bytes(name).try_into().unwrap()
    }
}
