//! The one error of the command. Each failure has a class, a text that says what happened, and what to do next.
//!
//! All three stand side by side in one place per failure: [`Error::told`]. Causes from below (sessions, stores, TLS,
//! identities) are kept as they are, and put into words here.

mod class;
mod local;

use std::fmt;
use std::path::PathBuf;

pub use class::Class;
use waft_core::path::escape;

use crate::ui::Asked;

/// Why the command failed.
#[derive(Debug)]
pub enum Error {
    /// An option or argument does not make sense.
    Usage(String),
    /// Standard input ended, or is none, where an answer was needed.
    NoAnswer(Asked),
    /// `WAFT_KEY`, or the only answer, is no key.
    KeyMalformed(String),
    /// `WAFT_AUTH_CODE`, or the only answer, is no code.
    CodeMalformed(String),
    /// The receiver says that the code is wrong, and there is no other to try.
    CodeWrong,
    /// A sealed file's key is wrong.
    FileKeyWrong,
    /// A sealed file is not one, or damaged, or cut short.
    Sealed(Sealed, PathBuf),
    /// A file that would be made exists already.
    Exists(PathBuf),
    /// A file cannot be read or written.
    File(PathBuf, std::io::Error),
    /// The person stopped it.
    Interrupted,
}

/// What is wrong with a sealed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// It does not begin as one.
    NotOne,
    /// It is of a later version.
    Version,
    /// It ends too early.
    Truncated,
    /// A byte of it is not what it was.
    Damaged,
}

/// An error in words.
#[derive(Debug)]
pub struct Told {
    /// Its class, and with it the exit code.
    pub class: Class,
    /// What happened.
    pub what: String,
    /// What to do next.
    pub next: String,
}

fn told(class: Class, what: impl Into<String>, next: impl Into<String>) -> Told {
    Told { class, what: what.into(), next: next.into() }
}

impl Error {
    /// The error in words.
    pub fn told(&self) -> Told {
        local::told_of(self)
    }

    /// Its class.
    pub fn class(&self) -> Class {
        self.told().class
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told().what)
    }
}

impl std::error::Error for Error {}

/// A path as it may be shown.
pub fn shown(path: &std::path::Path) -> String {
    escape(&path.to_string_lossy()).to_string()
}

/// A number of bytes as people read it.
pub fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}
