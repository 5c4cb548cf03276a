//! What people read to each other: the transfer key, the authentication code, fingerprints.
//!
//! The sender makes a [`TransferKey`] for every run and its person reads it out; the receiver makes an [`AuthCode`] and
//! its person reads that out. A [`Fingerprint`] lets two people compare a certificate. PROTOCOL.md, sections 3, 6 and
//! 7.1.
//!
//! All of them but the code stand in Crockford's base 32, which has no I, L, O or U.

use core::fmt;

use rand_core::CryptoRngCore;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::certificate::CertificateHash;

/// Crockford's base 32.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The key of one run: 80 bits as 16 characters. Every other key comes from it, by PBKDF2 (`sealed::keys`).
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct TransferKey([u8; 16]);

impl TransferKey {
    /// A fresh key.
    pub fn random(rng: &mut impl CryptoRngCore) -> Self {
        let mut key = Self([0; 16]);
        rng.fill_bytes(&mut key.0);
        key.0.iter_mut().for_each(|byte| *byte = symbol(*byte));
        key
    }

    /// Reads what a person typed: any case, dashes and spaces skipped. A wrong character is told before a wrong
    /// length, so that [`KeyError::Length`] with fewer than 16 found means "right so far".
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut key = Self::empty();
        key.read(text).map(|()| key)
    }

    /// A place for a key: what is read or copied into it leaves no copy behind, as moving a key would. Until then it
    /// holds none.
    pub const fn empty() -> Self {
        Self([0; 16])
    }

    /// Reads what a person typed into this place, as [`parse`](Self::parse) does.
    pub fn read(&mut self, text: &str) -> Result<(), KeyError> {
        match read(text, &mut self.0, key_character) {
            Ok(16) => Ok(()),
            Ok(found) => Err(KeyError::Length { found }),
            Err(position) => Err(KeyError::Character { position }),
        }
    }

    /// Takes over another key.
    pub fn copy_from(&mut self, other: &Self) {
        self.0 = other.0;
    }

    /// The 16 upper-case characters without dashes: what keys are derived from.
    pub fn canonical(&self) -> &[u8; 16] {
        &self.0
    }

    /// Shows the key, as `XXXX-XXXX-XXXX-XXXX`, to the one person who may see it.
    pub fn display(&self) -> impl fmt::Display {
        Groups(&self.0)
    }
}

impl fmt::Debug for TransferKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TransferKey(..)")
    }
}

/// Why typed text is no [`TransferKey`]. Tells nothing of the text but a place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum KeyError {
    /// It has not 16 characters.
    Length {
        /// Characters typed, dashes and spaces not counted.
        found: usize,
    },
    /// A character that no key has.
    Character {
        /// Its place in the text as typed, in characters from 1.
        position: usize,
    },
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { found } => write!(f, "a key has 16 characters, but {found} were typed"),
            Self::Character { position } => {
                write!(f, "character {position} is in no key: keys have digits, and letters except I, L, O, U")
            }
        }
    }
}

impl core::error::Error for KeyError {}

/// The code that a receiver shows to its person: 4 digits, used once.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct AuthCode([u8; 4]);

impl AuthCode {
    /// A fresh code, each of the 10 000 equally likely.
    pub fn random(rng: &mut impl CryptoRngCore) -> Self {
        // The largest multiple of 10 000 that 32 bits hold: what is drawn at or above it is drawn again.
        const FAIR: u32 = u32::MAX - u32::MAX % 10_000;
        let mut drawn = rng.next_u32();
        while drawn >= FAIR {
            drawn = rng.next_u32();
        }
        let digit = |place: u32| b'0' + (drawn / place % 10) as u8;
        Self([digit(1000), digit(100), digit(10), digit(1)])
    }

    /// Reads what a person typed: dashes and spaces skipped. Errors as for [`TransferKey::parse`].
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        let mut code = Self([0; 4]);
        match read(text, &mut code.0, code_character) {
            Ok(4) => Ok(code),
            Ok(found) => Err(CodeError::Length { found }),
            Err(position) => Err(CodeError::Character { position }),
        }
    }

    /// The 4 digits in ASCII, as they cross.
    pub fn digits(&self) -> &[u8; 4] {
        &self.0
    }

    /// Whether `digits` are this code's, in constant time.
    pub fn matches(&self, digits: &[u8; 4]) -> bool {
        self.0.ct_eq(digits).into()
    }

    /// Shows the code to the receiver's person.
    pub fn display(&self) -> impl fmt::Display {
        Groups(&self.0)
    }
}

impl fmt::Debug for AuthCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthCode(..)")
    }
}

/// Why typed text is no [`AuthCode`]. Tells nothing of the text but a place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CodeError {
    /// It has not 4 digits.
    Length {
        /// Digits typed.
        found: usize,
    },
    /// A character that is no digit.
    Character {
        /// Its place in the text as typed, in characters from 1.
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

/// A certificate's hash as people compare it: its first 100 bits. Shown as 5 groups of 4 characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 20]);

impl Fingerprint {
    /// The fingerprint of a certificate.
    pub fn of(certificate: &CertificateHash) -> Self {
        let mut symbols = [0; 20];
        // 5 bytes are 40 bits are 8 symbols; 100 bits are 2.5 such groups.
        for (five, eight) in certificate.0.chunks(5).zip(symbols.chunks_mut(8)) {
            let bits = five.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
            eight.iter_mut().zip((0..8).rev()).for_each(|(out, place)| *out = symbol((bits >> (5 * place)) as u8));
        }
        Self(symbols)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Groups(&self.0).fmt(f)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// ASCII characters in groups of 4, dashes between.
struct Groups<'a>(&'a [u8]);

impl fmt::Display for Groups<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, group) in self.0.chunks(4).enumerate() {
            f.write_str(if index == 0 { "" } else { "-" })?;
            f.write_str(str::from_utf8(group).map_err(|_| fmt::Error)?)?;
        }
        Ok(())
    }
}

/// The character of the lowest 5 bits.
fn symbol(bits: u8) -> u8 {
    ALPHABET[usize::from(bits & 31)]
}

/// Fills `out` with the characters of `text`, dashes and spaces skipped. Gives how many there are, which may be more
/// than fit; or the place of the first that `accept` does not know.
fn read(text: &str, out: &mut [u8], accept: fn(char) -> Option<u8>) -> Result<usize, usize> {
    let mut found = 0;
    for (index, character) in text.chars().enumerate() {
        if character == '-' || character.is_whitespace() {
            continue;
        }
        let byte = accept(character).ok_or(index + 1)?;
        if let Some(place) = out.get_mut(found) {
            *place = byte;
        }
        found += 1;
    }
    Ok(found)
}

fn key_character(typed: char) -> Option<u8> {
    let byte = u8::try_from(typed).ok()?.to_ascii_uppercase();
    ALPHABET.contains(&byte).then_some(byte)
}

fn code_character(typed: char) -> Option<u8> {
    typed.is_ascii_digit().then_some(typed as u8)
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::ToString;
    use std::vec::Vec;

    use rand_core::{CryptoRng, Error, RngCore, impls};

    use super::*;

    /// Gives the numbers of a list, then counts on from the last.
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
    fn a_key_reads_back_as_it_is_shown() {
        let key = TransferKey::random(&mut Scripted((0..20).map(|n| n * 37).collect()));
        let shown = key.display().to_string();
        assert_eq!(shown.len(), 19);
        assert!(shown.split('-').all(|group| group.len() == 4));
        let read = TransferKey::parse(&format!(" {} ", shown.to_lowercase())).unwrap();
        assert_eq!(read.canonical(), key.canonical());
        assert_eq!(TransferKey::parse("0123 4567-89ab\tcdef").unwrap().canonical(), b"0123456789ABCDEF");
    }

    #[test]
    fn every_symbol_comes_up_equally_often() {
        let mut seen = [0; 32];
        let mut rng = Scripted([0].to_vec());
        for _ in 0..64 {
            let key = TransferKey::random(&mut rng);
            key.canonical().iter().for_each(|c| seen[ALPHABET.iter().position(|a| a == c).unwrap()] += 1);
        }
        assert_eq!(seen, [32; 32]);
    }

    #[test]
    fn a_wrong_key_says_what_is_wrong() {
        let error = |text: &str| TransferKey::parse(text).unwrap_err();
        assert_eq!(error(""), KeyError::Length { found: 0 });
        assert_eq!(error("ABCD-EFG"), KeyError::Length { found: 7 });
        assert_eq!(error("0123-4567-89AB-CDEF-0"), KeyError::Length { found: 17 });
        assert_eq!(error("ABCD-EFGI"), KeyError::Character { position: 9 });
        assert_eq!(error("é123-4567-89AB-CDEF"), KeyError::Character { position: 1 });
        for letter in "ILOUilou".chars() {
            assert_eq!(error(&format!("0{letter}")), KeyError::Character { position: 2 });
        }
    }

    #[test]
    fn a_code_reads_back_and_matches_itself_only() {
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
    fn a_code_is_drawn_again_rather_than_unfairly() {
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

    #[test]
    fn a_fingerprint_is_the_first_hundred_bits() {
        let fingerprint = |hash| Fingerprint::of(&CertificateHash(hash)).to_string();
        assert_eq!(fingerprint([0; 32]), "0000-0000-0000-0000-0000");
        assert_eq!(fingerprint([0xff; 32]), "ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ");
        let mut hash = [0; 32];
        hash[..13].copy_from_slice(&[0x00, 0x44, 0x32, 0x14, 0xc7, 0x42, 0x54, 0xb6, 0x35, 0xcf, 0x84, 0x65, 0x3f]);
        assert_eq!(fingerprint(hash), "0123-4567-89AB-CDEF-GHJK");
        // Bit 100 is the first that is not shown.
        hash[12] ^= 0x0f;
        assert_eq!(fingerprint(hash), "0123-4567-89AB-CDEF-GHJK");
        hash[12] ^= 0x10;
        assert_ne!(fingerprint(hash), "0123-4567-89AB-CDEF-GHJK");
    }
}
