//! Crockford's base 32, in which transfer keys and fingerprints are written. Its alphabet has no I, L, O and U. Where a
//! user types text, I and L are read as 1, and O as 0.
//!
//! ```text
//! 5 bytes = 40 bits = 8 characters, highest bit first; written in groups of 4: XXXX-XXXX
//! ```
//!
//! PROTOCOL.md, sections 3 ("Identities") and 7.1.

use core::fmt;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Writes the first bits of `bytes`, highest bit first, as the characters of `out`: 5 bits for each.
pub(crate) fn encode(bytes: &[u8], out: &mut [u8]) {
    for (five, eight) in bytes.chunks(5).zip(out.chunks_mut(8)) {
        let bits = five.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        eight.iter_mut().zip((0..8).rev()).for_each(|(out, index)| *out = character((bits >> (5 * index)) as u8));
    }
}

/// The character for the lowest 5 of `bits`.
pub(crate) fn character(bits: u8) -> u8 {
    ALPHABET[usize::from(bits & 31)]
}

/// Whether this is a character of the alphabet, in its upper case.
pub(crate) fn is_character(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'A'..=b'H' | b'J' | b'K' | b'M' | b'N' | b'P'..=b'T' | b'V'..=b'Z')
}

/// The character of the alphabet that was typed, in either case: I and L stand for 1, and O for 0. `None` for all other
/// characters that the alphabet does not have.
pub(crate) fn parse_character(typed: char) -> Option<u8> {
    let byte = match u8::try_from(typed).ok()?.to_ascii_uppercase() {
        b'I' | b'L' => b'1',
        b'O' => b'0',
        byte => byte,
    };
    is_character(byte).then_some(byte)
}

/// Displays ASCII characters in groups of 4 with dashes between them.
pub(crate) struct Groups<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Groups<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, group) in self.0.chunks(4).enumerate() {
            f.write_str(if index == 0 { "" } else { "-" })?;
            f.write_str(str::from_utf8(group).map_err(|_| fmt::Error)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn the_characters_are_those_of_the_alphabet() {
        for byte in 0..=255 {
            assert_eq!(is_character(byte), ALPHABET.contains(&byte), "{byte}");
        }
    }

    #[test]
    fn every_character_parses_in_both_cases() {
        for (bits, byte) in (0..32).zip(ALPHABET) {
            assert_eq!(character(bits), *byte);
            assert_eq!(parse_character(char::from(*byte)), Some(*byte));
            assert_eq!(parse_character(char::from(byte.to_ascii_lowercase())), Some(*byte));
        }
        for typed in ['U', 'u', '-', ' ', '\u{130}', '\u{131}'] {
            assert_eq!(parse_character(typed), None, "{typed}");
        }
    }

    #[test]
    fn letters_that_look_like_digits_are_read_as_them() {
        for (typed, digit) in [('I', b'1'), ('i', b'1'), ('L', b'1'), ('l', b'1'), ('O', b'0'), ('o', b'0')] {
            assert_eq!(parse_character(typed), Some(digit), "{typed}");
        }
    }

    #[test]
    fn bytes_become_characters_from_the_highest_bit() {
        let encoded = |bytes: &[u8]| {
            let mut out = [0; 8];
            encode(bytes, &mut out);
            out
        };
        assert_eq!(&encoded(&[0x00, 0x44, 0x32, 0x14, 0xc7]), b"01234567");
        assert_eq!(&encoded(&[0xff, 0, 0, 0, 1]), b"ZW000001");
    }

    #[test]
    fn groups_have_four_characters() {
        assert_eq!(Groups(b"").to_string(), "");
        assert_eq!(Groups(b"0042").to_string(), "0042");
        assert_eq!(Groups(b"0123456789").to_string(), "0123-4567-89");
    }
}
