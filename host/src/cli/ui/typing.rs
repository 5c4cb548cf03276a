//! The line editor of questions: which characters an answer accepts, and how the line is shown.
//!
//! The characters of a key are grouped while they are typed, and characters that cannot belong to the answer are
//! rejected. This module does not access the terminal: [`Line`] takes bytes and returns a [`Typed`] for each.

use std::fmt::{self, Write as _};

use waft_core::code::TransferKey;
use waft_core::limits::PAIRING_DIGITS_MAX;
use waft_core::path::escape;
use zeroize::Zeroizing;

use crate::cli::ui::text::from_utf8_lossy;
use crate::cli::ui::{Question, secret};

/// Maximum length of free text.
const TEXT_MAX: usize = 4096;
const BACKSPACE: [u8; 2] = [0x08, 0x7f];
const CTRL_D: u8 = 0x04;
const CTRL_U: u8 = 0x15;
const ESCAPE: u8 = 0x1b;

/// The line so far.
pub(super) struct Line {
    question: Question,
    text: Zeroizing<Vec<u8>>,
    /// The state within the escape sequence of a cursor key.
    escape: Escape,
}

#[derive(Clone, Copy, PartialEq)]
enum Escape {
    No,
    Begun,
    Sequence,
}

/// The result of one byte.
#[derive(Debug, PartialEq)]
pub(super) enum Typed {
    /// The line is not finished.
    Open,
    /// The byte was rejected for this reason.
    Not(&'static str),
    /// Enter: the answer is complete.
    Done(Zeroizing<String>),
    /// Ctrl-D on an empty line: there is no answer.
    Ended,
}

impl Line {
    pub(super) fn new(question: Question) -> Self {
        Self { question, text: Zeroizing::new(Vec::with_capacity(TEXT_MAX)), escape: Escape::No }
    }

    /// Processes the next byte from the terminal.
    pub(super) fn take(&mut self, byte: u8) -> Typed {
        if self.in_escape(byte) {
            return Typed::Open;
        }
        match byte {
            b'\r' | b'\n' => Typed::Done(from_utf8_lossy(&self.text)),
            CTRL_D if self.text.is_empty() => Typed::Ended,
            CTRL_U => self.shorten(0),
            byte if BACKSPACE.contains(&byte) => self.shorten(self.text.len().saturating_sub(1)),
            byte if byte < b' ' => Typed::Open,
            byte => self.grow(byte),
        }
    }

    /// The line as it is shown on the screen. A passphrase is always shown as stars, a code or a key only if
    /// `shows_secrets` is false.
    pub(super) fn shown(&self, shows_secrets: bool) -> Zeroizing<String> {
        let text = from_utf8_lossy(&self.text);
        let stars = fmt::from_fn(|f| text.chars().try_for_each(|_| f.write_str("*")));
        match (self.question, shows_secrets) {
            (Question::Key, true) => secret(Grouped(&text)),
            (Question::Key, false) => secret(Grouped(&stars.to_string())),
            (Question::Passphrase, _) | (Question::Code | Question::PairingCode, false) => secret(stars),
            _ => secret(escape(&text)),
        }
    }

    /// Ignores the escape sequences of cursor keys, `ESC [ ... letter` and `ESC O letter`. Returns whether the byte
    /// belongs to one.
    fn in_escape(&mut self, byte: u8) -> bool {
        let within = self.escape;
        self.escape = match (within, byte) {
            (Escape::No, ESCAPE) => Escape::Begun,
            (Escape::Begun, b'[' | b'O') => Escape::Sequence,
            (Escape::Sequence, 0x20..=0x3f) => Escape::Sequence,
            _ => Escape::No,
        };
        within != Escape::No || self.escape != Escape::No
    }

    /// Truncates the line to `length` bytes, or fewer, so that it ends at the end of a character.
    fn shorten(&mut self, mut length: usize) -> Typed {
        while length > 0 && self.text[length] & 0xc0 == 0x80 {
            length -= 1;
        }
        self.text.truncate(length);
        Typed::Open
    }

    fn grow(&mut self, byte: u8) -> Typed {
        match self.question {
            Question::Key if byte == b'-' || byte == b' ' => Typed::Open,
            Question::Key => match TransferKey::parse_character(char::from(byte)) {
                None => Typed::Not("a key has digits and letters, but no U"),
                Some(_) if self.text.len() == 16 => Typed::Not("a key has 16 characters"),
                Some(character) => self.push(character),
            },
            Question::Code if !byte.is_ascii_digit() => Typed::Not("a code has digits only"),
            Question::Code if self.text.len() == 4 => Typed::Not("a code has 4 digits"),
            Question::PairingCode if byte == b'-' || byte == b' ' => Typed::Open,
            Question::PairingCode if !byte.is_ascii_digit() => Typed::Not("a code has digits only"),
            Question::PairingCode if self.text.len() == PAIRING_DIGITS_MAX => {
                Typed::Not("a code has at most 12 digits")
            }
            _ if self.text.len() == TEXT_MAX => Typed::Not("that is too long"),
            _ => self.push(byte),
        }
    }

    fn push(&mut self, byte: u8) -> Typed {
        self.text.push(byte);
        Typed::Open
    }
}

/// Formats a key as `XXXX-XXXX-...`. The dash follows each complete group except the last.
struct Grouped<'a>(&'a str);

impl fmt::Display for Grouped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().enumerate().try_for_each(|(at, character)| {
            f.write_char(character)?;
            if at % 4 == 3 && at < 15 { f.write_char('-') } else { Ok(()) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(question: Question, bytes: &[u8]) -> (Line, Typed) {
        let mut line = Line::new(question);
        let mut last = Typed::Open;
        for byte in bytes {
            last = line.take(*byte);
        }
        (line, last)
    }

    #[test]
    fn a_key_is_grouped_while_it_is_typed() {
        assert_eq!(*typed(Question::Key, b"abcd").0.shown(true), "ABCD-");
        assert_eq!(*typed(Question::Key, b"ab-cd 12").0.shown(true), "ABCD-12");
        assert_eq!(*typed(Question::Key, b"0123456789abcdef").0.shown(true), "0123-4567-89AB-CDEF");
        assert_eq!(*typed(Question::Key, b"oOiIlL").0.shown(true), "0011-11");
        let (_, done) = typed(Question::Key, b"0123456789abcdef\n");
        assert_eq!(done, Typed::Done(Zeroizing::new("0123456789ABCDEF".into())));
    }

    #[test]
    fn what_no_key_has_does_not_get_in() {
        assert!(matches!(typed(Question::Key, b"u").1, Typed::Not(_)));
        assert!(matches!(typed(Question::Key, "\u{131}".as_bytes()).1, Typed::Not(_)));
        assert!(matches!(typed(Question::Key, b"0123456789abcdef0").1, Typed::Not(_)));
        assert!(matches!(typed(Question::Code, b"12a").1, Typed::Not(_)));
        assert!(matches!(typed(Question::Code, b"12345").1, Typed::Not(_)));
    }

    #[test]
    fn backspace_takes_whole_characters() {
        assert_eq!(*typed(Question::Folder, "aä\x7f".as_bytes()).0.shown(true), "a");
        assert_eq!(*typed(Question::Folder, b"abc\x15d").0.shown(true), "d");
        assert_eq!(*typed(Question::Folder, b"\x7f\x7fd").0.shown(true), "d");
    }

    #[test]
    fn cursor_keys_and_controls_mean_nothing() {
        assert_eq!(*typed(Question::Folder, b"a\x1b[A\x1b[1;5C\x1bOB\x07b").0.shown(true), "ab");
    }

    #[test]
    fn a_passphrase_is_not_shown() {
        let (line, _) = typed(Question::Passphrase, "pass wörd".as_bytes());
        assert_eq!(*line.shown(true), "*********");
        assert_eq!(typed(Question::Passphrase, b"pass word\n").1, Typed::Done(Zeroizing::new("pass word".into())));
    }

    #[test]
    fn a_secret_is_shown_as_stars_where_none_is_shown() {
        let shown = |question, bytes: &[u8]| typed(question, bytes).0.shown(false);
        assert_eq!(*shown(Question::Key, b"abcd12"), "****-**");
        assert_eq!(*shown(Question::Code, b"0123"), "****");
        assert_eq!(*shown(Question::Folder, b"photos"), "photos");
    }

    #[test]
    fn ctrl_d_ends_an_empty_line_only() {
        assert_eq!(typed(Question::Key, b"\x04").1, Typed::Ended);
        assert_eq!(typed(Question::Key, b"a\x04").1, Typed::Open);
    }
}
