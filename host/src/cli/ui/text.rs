//! Text for the terminal: long lines are broken between words, control characters are escaped, and secrets are wiped.
//!
//! textwrap is not used, because it copies the lines that it indents, and a line may hold a key.

use std::fmt::{self, Write as _};

use console::measure_text_width;
use waft_core::path::escape;
use zeroize::Zeroizing;

/// Capacity for every text with a code or a key. A text that outgrew it would be reallocated and leave a copy in
/// memory.
const ROOM: usize = 512;

/// Formats a text that contains a secret.
pub(crate) fn secret(text: impl fmt::Display) -> Zeroizing<String> {
    let mut room = Zeroizing::new(String::with_capacity(ROOM));
    write!(room, "{text}").expect("writing to a string cannot fail");
    room
}

/// Does what [`String::from_utf8_lossy`] does, for bytes that contain a secret: the text is never reallocated.
pub(super) fn from_utf8_lossy(bytes: &[u8]) -> Zeroizing<String> {
    // A replacement character takes three bytes, and stands for at least one.
    let mut text = Zeroizing::new(String::with_capacity(3 * bytes.len()));
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    text
}

/// Escapes a text: its own line breaks stay, and everything else that a terminal could take for a control sequence is
/// escaped. The text is written in parts, so that a secret in it is not copied.
pub(super) struct Escaped<'a> {
    pub(super) text: &'a str,
    /// The width of the terminal in columns; `None` if lines are not broken.
    pub(super) width: Option<usize>,
}

impl<'a> Escaped<'a> {
    /// Escapes a text without breaking its lines.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, width: None }
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.text.lines().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match self.width {
                Some(width) if measure_text_width(line) > width => write_wrapped(f, line, width)?,
                _ => write!(f, "{}", escape(line))?,
            }
        }
        Ok(())
    }
}

/// Writes a line as several lines, which are indented like the first one. A word that is wider than the terminal is
/// left to the terminal.
fn write_wrapped(f: &mut fmt::Formatter<'_>, line: &str, width: usize) -> fmt::Result {
    let words = line.trim_start();
    let indent = line.len() - words.len();
    f.write_str(&line[..indent])?;
    let mut column = indent;
    for (index, word) in words.split(' ').enumerate() {
        let length = measure_text_width(word);
        if index > 0 {
            if column + 1 + length > width && column > indent {
                write!(f, "\n{:indent$}", "")?;
                column = indent;
            } else {
                f.write_str(" ")?;
                column += 1;
            }
        }
        write!(f, "{}", escape(word))?;
        column += length;
    }
    Ok(())
}

/// A shell command, indented, in lines that end with a backslash if they have to be continued. It is broken only
/// before options.
pub(super) fn continued(command: &str, width: usize) -> String {
    let mut text = String::from("  ");
    let mut column = 2;
    for (index, part) in command.split(" --").enumerate() {
        let option = if index > 0 { " --" } else { "" };
        let length = option.len() + measure_text_width(part);
        // Leave room for the space and the backslash.
        if index > 0 && column + length + 2 > width {
            text.push_str(" \\\n     ");
            column = 5;
        }
        text.push_str(option);
        text.push_str(part);
        column += length;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(text: &str, width: usize) -> String {
        Escaped { text, width: Some(width) }.to_string()
    }

    #[test]
    fn long_lines_are_broken_between_words() {
        assert_eq!(wrapped("one two three", 13), "one two three");
        assert_eq!(wrapped("one two three", 12), "one two\nthree");
        assert_eq!(wrapped("one two three\n  four five six", 11), "one two\nthree\n  four five\n  six");
        assert_eq!(wrapped("a /very/long/path b", 8), "a\n/very/long/path\nb");
        assert_eq!(wrapped("käse öl", 4), "käse\nöl");
    }

    #[test]
    fn a_command_is_continued_before_an_option() {
        assert_eq!(continued("cargo build --package waft --locked", 40), "  cargo build --package waft --locked");
        assert_eq!(
            continued("cargo build --package waft --locked", 36),
            "  cargo build --package waft \\\n      --locked"
        );
        assert_eq!(continued("cargo build --locked", 1), "  cargo build \\\n      --locked");
    }

    #[test]
    fn bytes_with_a_secret_are_converted_without_reallocation() {
        for bytes in [&b""[..], b"plain", "p\u{e4}ss".as_bytes(), b"\xc3", b"a\xff\xfe\xe2\x82b\xf0\x9f\x98"] {
            let text = from_utf8_lossy(bytes);
            assert_eq!(*text, String::from_utf8_lossy(bytes));
            assert!(text.capacity() <= 3 * bytes.len(), "{bytes:02x?}");
        }
    }

    #[test]
    fn spaces_within_a_line_stay() {
        assert_eq!(wrapped("Key:   AB  CD", 13), "Key:   AB  CD");
    }

    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        assert_eq!(wrapped("a\u{1b}[31m b", 3).matches('\u{1b}').count(), 0);
        assert_eq!(Escaped::new("a\u{7}\nb").to_string().lines().count(), 2);
    }
}
