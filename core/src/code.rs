//! What people read out and type: the transfer key, the code, and fingerprints.
//!
//! All but the code are in Crockford's base 32, whose letters cannot be mistaken for digits. PROTOCOL.md, sections 6 and 7.1.

use core::fmt;

use rand_core::CryptoRngCore;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Crockford's base 32: no I, L, O, U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Characters of a transfer key.
const KEY_LEN: usize = 16;

/// The key of one transfer: 80 bits, made fresh by the sender, passed on by voice.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct TransferKey([u8; KEY_LEN]);

/// Why typed text is no transfer key. Says nothing of the text itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum KeyError {
    /// Not 16 characters, dashes and spaces aside.
    Length {
        /// How many there are.
        found: usize,
    },
    /// A character that no key contains.
    Character {
        /// Its place, from 1, dashes and spaces aside.
        position: usize,
    },
}

impl TransferKey {
    /// A fresh key.
    pub fn random(entropy: &mut impl CryptoRngCore) -> Self {
        let mut key = Self([0; KEY_LEN]);
        entropy.fill_bytes(&mut key.0);
        // 256 is a multiple of 32: every character is as likely as any other.
        key.0.iter_mut().for_each(|byte| *byte = ALPHABET[usize::from(*byte % 32)]);
        key
    }

    /// Reads what a person typed: in any case, with or without dashes and spaces.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut key = Self([0; KEY_LEN]);
        let mut found = 0;
        for character in text.chars().filter(|c| !matches!(c, '-' | ' ' | '\t' | '\r' | '\n')) {
            found += 1;
            let upper = character.to_ascii_uppercase();
            if !upper.is_ascii() || !ALPHABET.contains(&(upper as u8)) {
                return Err(KeyError::Character { position: found });
            }
            if let Some(byte) = key.0.get_mut(found - 1) {
                *byte = upper as u8;
            }
        }
        if found == KEY_LEN { Ok(key) } else { Err(KeyError::Length { found }) }
    }

    /// The 16 characters, in upper case, without dashes.
    pub fn canonical(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// For the one place where the key is shown: `XXXX-XXXX-XXXX-XXXX`.
    pub fn display(&self) -> impl fmt::Display {
        Groups(&self.0)
    }
}

impl fmt::Debug for TransferKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TransferKey(..)")
    }
}

/// The four digits that a receiver shows.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct AuthCode([u8; 4]);

/// Typed text is not four digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NotFourDigits;

impl AuthCode {
    /// A fresh code, each of the 10 000 as likely as any other.
    pub fn random(entropy: &mut impl CryptoRngCore) -> Self {
        /// The largest multiple of 10 000 that 16 bits hold.
        const FAIR: u16 = 60_000;
        loop {
            let mut bytes = [0; 2];
            entropy.fill_bytes(&mut bytes);
            let number = u16::from_le_bytes(bytes);
            if number < FAIR {
                return Self([1_000, 100, 10, 1].map(|place| b'0' + (number / place % 10) as u8));
            }
        }
    }

    /// Reads what a person typed.
    pub fn parse(text: &str) -> Result<Self, NotFourDigits> {
        let digits: [u8; 4] = text.trim().as_bytes().try_into().map_err(|_| NotFourDigits)?;
        if digits.iter().all(u8::is_ascii_digit) { Ok(Self(digits)) } else { Err(NotFourDigits) }
    }

    /// The digits, in ASCII.
    pub fn digits(&self) -> &[u8; 4] {
        &self.0
    }

    /// Compares in constant time.
    pub fn matches(&self, digits: &[u8; 4]) -> bool {
        self.0.ct_eq(digits).into()
    }

    /// For the one place where the code is shown.
    pub fn display(&self) -> impl fmt::Display {
        Digits(self.0)
    }
}

impl fmt::Debug for AuthCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthCode(..)")
    }
}

/// The first 100 bits of a hash, for two people to compare by voice: five groups of four characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 20]);

/// The fingerprint of a hash.
pub fn fingerprint(hash: &[u8; 32]) -> Fingerprint {
    let mut characters = [0; 20];
    // Each group of 5 bytes is 8 characters; 20 characters need 12.5 bytes.
    for (group, bytes) in characters.chunks_mut(8).zip(hash.chunks(5)) {
        let number = bytes.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        for (at, character) in group.iter_mut().enumerate() {
            *character = ALPHABET[(number >> (35 - 5 * at)) as usize % 32];
        }
    }
    Fingerprint(characters)
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Groups(&self.0), f)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Groups(&self.0), f)
    }
}

/// ASCII characters in groups of four, dashes between.
struct Groups<'a>(&'a [u8]);

impl fmt::Display for Groups<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for (at, byte) in self.0.iter().enumerate() {
            if at > 0 && at % 4 == 0 {
                f.write_char('-')?;
            }
            f.write_char(char::from(*byte))?;
        }
        Ok(())
    }
}

struct Digits([u8; 4]);

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        self.0.iter().try_for_each(|digit| f.write_char(char::from(*digit)))
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::{String, ToString};

    use rand_core::{CryptoRng, RngCore};

    use super::*;

    /// Gives these bytes, over and over.
    struct Fixed(&'static [u8], usize);

    impl RngCore for Fixed {
        fn next_u32(&mut self) -> u32 {
            unimplemented!("codes and keys take bytes")
        }
        fn next_u64(&mut self) -> u64 {
            unimplemented!("codes and keys take bytes")
        }
        fn fill_bytes(&mut self, bytes: &mut [u8]) {
            for byte in bytes {
                *byte = self.0[self.1 % self.0.len()];
                self.1 += 1;
            }
        }
        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
            self.fill_bytes(bytes);
            Ok(())
        }
    }

    impl CryptoRng for Fixed {}

    #[test]
    fn a_key_reads_as_it_is_shown_and_as_it_is_typed() {
        let key = TransferKey::random(&mut Fixed(&[0, 31, 32, 10, 17, 255, 18, 22], 0));
        let shown = key.display().to_string();
        assert_eq!(shown, "0Z0A-HZJP-0Z0A-HZJP");
        for typed in
            [shown.clone(), shown.to_lowercase(), shown.replace('-', ""), format!(" {} \r\n", shown.replace('-', " "))]
        {
            assert_eq!(TransferKey::parse(&typed).unwrap().canonical(), key.canonical());
        }
    }

    #[test]
    fn a_mistyped_key_says_where() {
        let error = |text| TransferKey::parse(text).unwrap_err();
        assert_eq!(error("0Z0A-HZJP"), KeyError::Length { found: 8 });
        assert_eq!(error(""), KeyError::Length { found: 0 });
        assert_eq!(error("0Z0A-HZJP-0Z0A-HZJP-1"), KeyError::Length { found: 17 });
        assert_eq!(error("0Z0A-HZJO"), KeyError::Character { position: 8 });
        assert_eq!(error("0Z0A-HÄ"), KeyError::Character { position: 6 });
        for letter in ["I", "l", "o", "U"] {
            assert_eq!(error(letter), KeyError::Character { position: 1 });
        }
    }

    #[test]
    fn a_code_is_four_digits_and_fair() {
        // 65 535 and 60 000 are thrown away; 9 is 0009.
        let code = AuthCode::random(&mut Fixed(&[0xff, 0xff, 0x60, 0xea, 9, 0], 0));
        assert_eq!(code.display().to_string(), "0009");
        assert_eq!(AuthCode::random(&mut Fixed(&[0x5f, 0xea], 0)).digits(), b"9999");
        for text in ["", "123", "12345", "12a4", "１２３４"] {
            assert!(AuthCode::parse(text).is_err(), "{text}");
        }
        let code = AuthCode::parse(" 0420\n").unwrap();
        assert!(code.matches(b"0420") && !code.matches(b"0421"));
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let key = TransferKey::parse("0Z0A-HZJP-0Z0A-HZJP").unwrap();
        let code = AuthCode::parse("0420").unwrap();
        let text: String = format!("{key:?} {code:?}");
        assert!(!text.contains("0Z0A") && !text.contains("0420"), "{text}");
    }

    #[test]
    fn a_fingerprint_is_the_hashs_first_hundred_bits() {
        assert_eq!(fingerprint(&[0xff; 32]).to_string(), "ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ");
        let mut hash = [0; 32];
        (hash[0], hash[12]) = (0b0000_1000, 0b1111_0000);
        assert_eq!(fingerprint(&hash).to_string(), "1000-0000-0000-0000-000F");
    }
}
