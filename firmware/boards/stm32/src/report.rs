//! What a board said before it failed, in memory that a reset leaves alone.
//!
//! That memory holds anything after power came, so a checksum tells words from noise.

use core::fmt::{self, Write};

/// Longest text, in bytes; the rest of a longer one is lost.
pub const WORDS_MAX: usize = 160;

/// The last words of a board that reset itself. Every content of its memory is one of its values.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct LastWords {
    checksum: u32,
    length: u32,
    text: [u8; WORDS_MAX],
}

impl LastWords {
    /// None.
    pub const NONE: Self = Self { checksum: 0, length: 0, text: [0; WORDS_MAX] };

    /// Words in place of what was there.
    pub fn say(words: fmt::Arguments<'_>) -> Self {
        let mut said = Self::NONE;
        // Fails when they are too long; what fits is kept.
        let _ = said.write_fmt(words);
        said.checksum = said.sum();
        said
    }

    /// The words, if there are any.
    pub fn heard(&self) -> Option<&str> {
        let text = self.text.get(..self.length as usize).filter(|text| !text.is_empty())?;
        if self.checksum != self.sum() {
            return None;
        }
        core::str::from_utf8(text).ok()
    }

    /// FNV-1a over length and text: against noise, not against people.
    fn sum(&self) -> u32 {
        let bytes = self.length.to_le_bytes().into_iter().chain(self.text);
        bytes.fold(0x811C_9DC5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    }
}

impl Write for LastWords {
    fn write_str(&mut self, words: &str) -> fmt::Result {
        let room = WORDS_MAX - self.length as usize;
        let fits = words.floor_char_boundary(room);
        self.text[self.length as usize..][..fits].copy_from_slice(&words.as_bytes()[..fits]);
        self.length += fits as u32;
        if fits == words.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use super::*;

    #[test]
    fn words_are_heard() {
        assert_eq!(Some("gone at 7"), LastWords::say(format_args!("gone at {}", 7)).heard());
        assert_eq!(None, LastWords::NONE.heard());
        assert_eq!(None, LastWords::say(format_args!("")).heard());
    }

    #[test]
    fn long_words_are_cut_between_characters() {
        for shift in 0..3 {
            let long =
                String::from("abc")[..shift].chars().chain(std::iter::repeat_n('é', WORDS_MAX)).collect::<String>();
            let said = LastWords::say(format_args!("{long}{long}"));
            let heard = said.heard().unwrap();
            assert!(long.starts_with(heard) && heard.len() >= WORDS_MAX - 1, "{}", heard.len());
        }
    }

    #[test]
    fn noise_says_nothing() {
        let said = LastWords::say(format_args!("gone"));
        assert_eq!(None, LastWords { checksum: said.checksum ^ 1, ..said }.heard());
        assert_eq!(None, LastWords { length: said.length + 1, ..said }.heard());
        assert_eq!(None, LastWords { length: u32::MAX, ..said }.heard());
        assert_eq!(None, LastWords { checksum: u32::MAX, length: u32::MAX, text: [0xFF; WORDS_MAX] }.heard());
        let mut text = said.text;
        text[0] ^= 1;
        assert_eq!(None, LastWords { text, ..said }.heard());
    }
}
