//! The short code of a pairing: digits that one device shows and the user of the other types. PROTOCOL.md,
//! section 13.1.

use core::fmt;

use rand_core::CryptoRngCore;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::code::{code_character, read};
use crate::limits::{PAIRING_DIGITS, PAIRING_DIGITS_MAX};

/// A code of 6 to 12 digits for one attempt to pair. The attempt takes it by value, so that no code is used twice:
///
/// ```compile_fail,E0382
/// # use waft_core::pairing::PairingCode;
/// # fn attempt(_: PairingCode) {}
/// let code = PairingCode::parse("123 456").unwrap();
/// attempt(code);
/// attempt(code);
/// ```
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct PairingCode {
    digits: [u8; PAIRING_DIGITS_MAX],
    length: usize,
}

impl PairingCode {
    /// A fresh random code of 6 digits. Each of the million codes is equally likely.
    pub fn random(rng: &mut impl CryptoRngCore) -> Self {
        Self::random_of::<PAIRING_DIGITS>(rng)
    }

    /// A fresh random code of `DIGITS` digits, 6 to 12; another number does not compile. Each code is equally likely.
    pub fn random_of<const DIGITS: usize>(rng: &mut impl CryptoRngCore) -> Self {
        const { assert!(DIGITS >= PAIRING_DIGITS && DIGITS <= PAIRING_DIGITS_MAX) };
        let mut code = Self { digits: [0; PAIRING_DIGITS_MAX], length: DIGITS };
        code.digits[..DIGITS].iter_mut().for_each(|digit| *digit = random_digit(rng));
        code
    }

    /// Parses a code that a user typed; dashes and spaces are skipped. A wrong character is reported before a wrong
    /// length.
    pub fn parse(text: &str) -> Result<Self, PairingCodeError> {
        let mut code = Self { digits: [0; PAIRING_DIGITS_MAX], length: 0 };
        match read(text, &mut code.digits, code_character) {
            Ok(found @ PAIRING_DIGITS..=PAIRING_DIGITS_MAX) => code.length = found,
            Ok(found) => return Err(PairingCodeError::Length { found }),
            Err(position) => return Err(PairingCodeError::Character { position }),
        }
        Ok(code)
    }

    /// Displays the code in groups of three, as it is read out: `123 456`. Only the listener's user may see it.
    pub fn display(&self) -> impl fmt::Display {
        Groups(self.digits())
    }

    /// The digits in ASCII.
    pub(super) fn digits(&self) -> &[u8] {
        &self.digits[..self.length]
    }
}

impl fmt::Debug for PairingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairingCode(..)")
    }
}

/// A random digit in ASCII. A byte of 250 or more is drawn again, since taking its remainder would favour small digits.
fn random_digit(rng: &mut impl CryptoRngCore) -> u8 {
    loop {
        let mut drawn = [0];
        rng.fill_bytes(&mut drawn);
        if drawn[0] < 250 {
            return b'0' + drawn[0] % 10;
        }
    }
}

struct Groups<'a>(&'a [u8]);

impl fmt::Display for Groups<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, group) in self.0.chunks(3).enumerate() {
            f.write_str(if index == 0 { "" } else { " " })?;
            f.write_str(str::from_utf8(group).map_err(|_| fmt::Error)?)?;
        }
        Ok(())
    }
}

/// Why typed text is not a [`PairingCode`]. It reveals nothing of the text but a length or a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PairingCodeError {
    /// The text has fewer than 6 or more than 12 digits.
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

impl fmt::Display for PairingCodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { found } => {
                write!(f, "a pairing code has {PAIRING_DIGITS} to {PAIRING_DIGITS_MAX} digits, but {found} were typed")
            }
            Self::Character { position } => write!(f, "character {position} is not a digit"),
        }
    }
}

impl core::error::Error for PairingCodeError {}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::ToString;
    use std::vec::Vec;

    use rand_core::{CryptoRng, Error, RngCore, impls};

    use super::*;

    /// Returns the bytes of a list, and panics after them.
    struct Scripted(Vec<u8>);

    impl RngCore for Scripted {
        fn next_u32(&mut self) -> u32 {
            impls::next_u32_via_fill(self)
        }
        fn next_u64(&mut self) -> u64 {
            impls::next_u64_via_fill(self)
        }
        fn fill_bytes(&mut self, out: &mut [u8]) {
            out.iter_mut().for_each(|byte| *byte = self.0.remove(0));
        }
        fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
            self.fill_bytes(out);
            Ok(())
        }
    }

    impl CryptoRng for Scripted {}

    #[test]
    fn every_digit_is_equally_likely() {
        let mut counts = [0; 10];
        let drawn: Vec<u8> = (0..=u8::MAX).collect();
        let mut rng = Scripted(drawn);
        // 250 of the 256 bytes are digits, so that 41 codes of 6 digits and 4 more digits are drawn.
        for _ in 0..41 {
            PairingCode::random(&mut rng).digits().iter().for_each(|digit| counts[usize::from(digit - b'0')] += 1);
        }
        (0..4).for_each(|_| counts[usize::from(random_digit(&mut rng) - b'0')] += 1);
        assert_eq!(counts, [25; 10]);
    }

    #[test]
    fn bytes_that_would_favour_small_digits_are_drawn_again() {
        let code = PairingCode::random(&mut Scripted([249, 250, 0, 251, 11, 255, 99, 5, 254, 123].to_vec()));
        assert_eq!(code.digits(), b"901953");
    }

    #[test]
    fn a_displayed_code_parses() {
        for (typed, shown) in [
            ("123456", "123 456"),
            (" 123 456 ", "123 456"),
            ("1-2-3-4\t5 6", "123 456"),
            ("0000000", "000 000 0"),
            ("123456789012", "123 456 789 012"),
        ] {
            let code = PairingCode::parse(typed).unwrap();
            assert_eq!(code.display().to_string(), shown);
            assert_eq!(PairingCode::parse(shown).unwrap().digits(), code.digits());
        }
        let mut rng = Scripted([1, 2, 3, 4, 5, 6, 7, 8].to_vec());
        assert_eq!(PairingCode::random_of::<8>(&mut rng).display().to_string(), "123 456 78");
    }

    #[test]
    fn other_text_has_an_error_that_says_why() {
        let error = |text: &str| PairingCode::parse(text).unwrap_err();
        assert_eq!(error(""), PairingCodeError::Length { found: 0 });
        assert_eq!(error("123 45"), PairingCodeError::Length { found: 5 });
        assert_eq!(error("1234567890123"), PairingCodeError::Length { found: 13 });
        assert_eq!(error("12x456"), PairingCodeError::Character { position: 3 });
        assert_eq!(error("1２3456"), PairingCodeError::Character { position: 2 });
    }

    #[test]
    fn debug_shows_no_digits() {
        assert_eq!(format!("{:?}", PairingCode::parse("123456").unwrap()), "PairingCode(..)");
    }
}
