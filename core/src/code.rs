//! The two short secrets that users type: the transfer key and the authentication code.
//!
//! The sender makes a [`TransferKey`] for every run and shows it; the user types it at the receiver. The receiver makes
//! an [`AuthCode`] and shows it; the user types it at the sender. The key is written in base 32, the code in decimal
//! digits. PROTOCOL.md, sections 6 (step 3) and 7.1.

use core::fmt;

use rand_core::CryptoRngCore;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::base32::{self, Groups};

/// The transfer key of one run: 80 bits as 16 characters of base 32. The other keys of the run are derived from it, by
/// PBKDF2 and HKDF (see [`sealed::keys`](crate::sealed::keys)).
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct TransferKey([u8; 16]);

impl TransferKey {
    /// A fresh random key.
    pub fn random(rng: &mut impl CryptoRngCore) -> Self {
        let mut key = Self::empty();
        key.randomize(rng);
        key
    }

    /// Parses a key that a user typed, in either case; dashes and spaces are skipped, and I, L and O are read as 1, 1
    /// and 0. A wrong character is reported
    /// before a wrong length, so that [`KeyError::Length`] with fewer than 16 found means that the text may still
    /// become a key.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut key = Self::empty();
        key.read(text).map(|()| key)
    }

    /// An empty key, to be filled in place by [`randomize`](Self::randomize), [`read`](Self::read) or
    /// [`copy_from`](Self::copy_from). Returning a key by value, as [`random`](Self::random) and
    /// [`parse`](Self::parse) do, may leave copies of it on the stack.
    pub const fn empty() -> Self {
        Self([0; 16])
    }

    /// Makes this a fresh random key, in place.
    pub fn randomize(&mut self, rng: &mut impl CryptoRngCore) {
        rng.fill_bytes(&mut self.0);
        self.0.iter_mut().for_each(|byte| *byte = base32::character(*byte));
    }

    /// Parses a key in place, as [`parse`](Self::parse) does.
    pub fn read(&mut self, text: &str) -> Result<(), KeyError> {
        match read(text, &mut self.0, base32::parse_character) {
            Ok(16) => Ok(()),
            Ok(found) => Err(KeyError::Length { found }),
            Err(position) => Err(KeyError::Character { position }),
        }
    }

    /// The character of a key for one that a user typed, as [`parse`](Self::parse) reads it; `None` if no key has it.
    pub fn parse_character(typed: char) -> Option<u8> {
        base32::parse_character(typed)
    }

    /// Replaces this key by a copy of another, in place.
    pub fn copy_from(&mut self, other: &Self) {
        self.0 = other.0;
    }

    /// The canonical form, from which keys are derived: the 16 upper-case characters without dashes.
    pub fn canonical(&self) -> &[u8; 16] {
        &self.0
    }

    /// Displays the key as `XXXX-XXXX-XXXX-XXXX`. Only the sender's user may see it.
    pub fn display(&self) -> impl fmt::Display {
        Groups(&self.0)
    }
}

impl fmt::Debug for TransferKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TransferKey(..)")
    }
}

/// Why typed text is not a [`TransferKey`]. It reveals nothing of the text but a length or a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum KeyError {
    /// The text does not have 16 characters.
    Length {
        /// Number of characters typed, dashes and spaces not counted.
        found: usize,
    },
    /// The text has a character that no key has.
    Character {
        /// Position of the character in the text as typed, counted in characters from 1.
        position: usize,
    },
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { found } => write!(f, "a key has 16 characters, but {found} were typed"),
            Self::Character { position } => {
                write!(f, "character {position} is wrong: keys have only digits and letters, and no U")
            }
        }
    }
}

impl core::error::Error for KeyError {}

/// The one-time authentication code that a receiver shows to its user: 4 digits.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct AuthCode([u8; 4]);

impl AuthCode {
    /// A fresh random code. Each of the 10 000 codes is equally likely.
    pub fn random(rng: &mut impl CryptoRngCore) -> Self {
        // The largest multiple of 10 000 that fits 32 bits. A number at or above it is drawn again, since taking its
        // remainder would favour small codes.
        const FAIR: u32 = u32::MAX - u32::MAX % 10_000;
        let mut drawn = rng.next_u32();
        while drawn >= FAIR {
            drawn = rng.next_u32();
        }
        let digit = |place: u32| b'0' + (drawn / place % 10) as u8;
        Self([digit(1000), digit(100), digit(10), digit(1)])
    }

    /// Parses a code that a user typed; dashes and spaces are skipped. Errors are ordered as for
    /// [`TransferKey::parse`].
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        let mut code = Self([0; 4]);
        match read(text, &mut code.0, code_character) {
            Ok(4) => Ok(code),
            Ok(found) => Err(CodeError::Length { found }),
            Err(position) => Err(CodeError::Character { position }),
        }
    }

    /// The 4 digits in ASCII, as the `Code` message carries them.
    pub fn digits(&self) -> &[u8; 4] {
        &self.0
    }

    /// Whether `digits` are those of this code, compared in constant time.
    pub fn matches(&self, digits: &[u8; 4]) -> bool {
        self.0.ct_eq(digits).into()
    }

    /// Displays the code, for the receiver's user.
    pub fn display(&self) -> impl fmt::Display {
        Groups(&self.0)
    }
}

impl fmt::Debug for AuthCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthCode(..)")
    }
}

/// Why typed text is not an [`AuthCode`]. It reveals nothing of the text but a length or a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CodeError {
    /// The text does not have 4 digits.
    Length {
        /// Number of digits typed.
        found: usize,
    },
    /// The text has a character that is not a digit.
    Character {
        /// Position of the character in the text as typed, counted in characters from 1.
        position: usize,
    },
}

impl fmt::Display for CodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { found } => write!(f, "a code has 4 digits, but {found} were typed"),
            Self::Character { position } => write!(f, "character {position} is not a digit"),
        }
    }
}

impl core::error::Error for CodeError {}

/// Fills `out` with the characters of `text`, without dashes and spaces. Returns their number, which may be more than
/// fit `out`; or, as an error, the position of the first character that `parse_character` refuses.
pub(crate) fn read(text: &str, out: &mut [u8], parse_character: fn(char) -> Option<u8>) -> Result<usize, usize> {
    let mut found = 0;
    for (index, character) in text.chars().enumerate() {
        if character == '-' || is_whitespace(character) {
            continue;
        }
        let byte = parse_character(character).ok_or(index + 1)?;
        if let Some(out) = out.get_mut(found) {
            *out = byte;
        }
        found += 1;
    }
    Ok(found)
}

/// The white space of Unicode: what [`char::is_whitespace`] says, without the table of half a kibibyte that it takes.
fn is_whitespace(character: char) -> bool {
    matches!(character,
        '\t'..='\r' | ' ' | '\u{85}' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{2028}' | '\u{2029}'
        | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

/// The digit that was typed; `None` for any other character.
pub(crate) fn code_character(typed: char) -> Option<u8> {
    typed.is_ascii_digit().then_some(typed as u8)
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::ToString;
    use std::vec::Vec;

    use rand_core::{CryptoRng, Error, RngCore, impls};

    use super::*;

    /// Returns the numbers of a list, then counts up from the last one.
    struct Scripted(Vec<u32>);

    impl RngCore for Scripted {
        fn next_u32(&mut self) -> u32 {
            if self.0.len() > 1 {
                return self.0.remove(0);
            }
            self.0[0] = self.0[0].wrapping_add(1);
            self.0[0]
        }
        fn next_u64(&mut self) -> u64 {
            impls::next_u64_via_u32(self)
        }
        fn fill_bytes(&mut self, out: &mut [u8]) {
            out.iter_mut().for_each(|byte| *byte = self.next_u32() as u8);
        }
        fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
            self.fill_bytes(out);
            Ok(())
        }
    }

    impl CryptoRng for Scripted {}

    #[test]
    fn white_space_is_that_of_unicode() {
        for character in '\0'..=char::MAX {
            assert_eq!(is_whitespace(character), character.is_whitespace(), "{character:?}");
        }
    }

    #[test]
    fn a_displayed_key_parses() {
        let key = TransferKey::random(&mut Scripted((0..20).map(|n| n * 37).collect()));
        let shown = key.display().to_string();
        assert_eq!(shown.len(), 19);
        assert!(shown.split('-').all(|group| group.len() == 4));
        let parsed = TransferKey::parse(&format!(" {} ", shown.to_lowercase())).unwrap();
        assert_eq!(parsed.canonical(), key.canonical());
        assert_eq!(TransferKey::parse("0123 4567-89ab\tcdef").unwrap().canonical(), b"0123456789ABCDEF");
    }

    #[test]
    fn random_keys_have_every_character_equally_often() {
        let mut seen = [0; 128];
        let mut rng = Scripted([0].to_vec());
        for _ in 0..64 {
            let key = TransferKey::random(&mut rng);
            key.canonical().iter().for_each(|character| seen[usize::from(*character)] += 1);
        }
        assert_eq!(seen.iter().filter(|count| **count == 32).count(), 32);
    }

    #[test]
    fn a_wrong_key_has_an_error_that_says_why() {
        let error = |text: &str| TransferKey::parse(text).unwrap_err();
        assert_eq!(error(""), KeyError::Length { found: 0 });
        assert_eq!(error("ABCD-EFG"), KeyError::Length { found: 7 });
        assert_eq!(error("0123-4567-89AB-CDEF-0"), KeyError::Length { found: 17 });
        assert_eq!(error("ABCD-EFGU"), KeyError::Character { position: 9 });
        assert_eq!(error("é123-4567-89AB-CDEF"), KeyError::Character { position: 1 });
        for letter in "Uu\u{131}/".chars() {
            assert_eq!(error(&format!("0{letter}")), KeyError::Character { position: 2 });
        }
    }

    #[test]
    fn letters_that_look_like_digits_are_those_digits() {
        let key = TransferKey::parse("OoIi-Ll00-1111-ZZZZ").unwrap();
        assert_eq!(key.canonical(), b"001111001111ZZZZ");
    }

    #[test]
    fn a_displayed_code_parses_and_matches_itself_only() {
        let code = AuthCode::parse(" 00-42 ").unwrap();
        assert_eq!((code.digits(), code.display().to_string().as_str()), (b"0042", "0042"));
        assert!(code.matches(b"0042"));
        for other in [b"1042", b"0142", b"0052", b"0043"] {
            assert!(!code.matches(other));
        }
        assert_eq!(AuthCode::parse("123").unwrap_err(), CodeError::Length { found: 3 });
        assert_eq!(AuthCode::parse("12345").unwrap_err(), CodeError::Length { found: 5 });
        assert_eq!(AuthCode::parse("12x4").unwrap_err(), CodeError::Character { position: 3 });
        assert_eq!(AuthCode::parse("1２34").unwrap_err(), CodeError::Character { position: 2 });
    }

    #[test]
    fn a_number_that_would_favour_small_codes_is_drawn_again() {
        let drawn = |numbers: &[u32]| *AuthCode::random(&mut Scripted(numbers.to_vec())).digits();
        assert_eq!(drawn(&[1_234_567, 0]), *b"4567");
        assert_eq!(drawn(&[4_294_959_999, 0]), *b"9999");
        assert_eq!(drawn(&[4_294_960_000, u32::MAX, 70_007, 0]), *b"0007");
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = TransferKey::parse("ABCDEFGHJKMNPQRS").unwrap();
        assert_eq!(format!("{key:?}"), "TransferKey(..)");
        assert_eq!(format!("{:?}", AuthCode::parse("1234").unwrap()), "AuthCode(..)");
    }
}
