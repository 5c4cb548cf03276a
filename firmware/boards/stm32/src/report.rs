//! The report of the last failure, in memory that survives a reset.
//!
//! After a power-on the content of that memory is undefined, so a checksum tells a report from noise.

use core::fmt::{self, Write};

/// The longest text, in bytes. A longer text is truncated.
pub const TEXT_MAX: usize = 160;

/// The report of a failure. Every bit pattern is a valid value of this type.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct FailureReport {
    checksum: u32,
    length: u32,
    text: [u8; TEXT_MAX],
}

impl FailureReport {
    /// No failure.
    pub const EMPTY: Self = Self { checksum: 0, length: 0, text: [0; TEXT_MAX] };

    /// A report with this text.
    pub fn new(text: fmt::Arguments<'_>) -> Self {
        let mut report = Self::EMPTY;
        // The error means that the text was truncated.
        let _ = report.write_fmt(text);
        report.checksum = report.compute_checksum();
        report
    }

    /// The text of the failure, if there is one.
    pub fn text(&self) -> Option<&str> {
        let text = self.text.get(..self.length as usize).filter(|text| !text.is_empty())?;
        if self.checksum != self.compute_checksum() {
            return None;
        }
        core::str::from_utf8(text).ok()
    }

    /// FNV-1a over length and text. It detects noise, and is no protection against manipulation.
    fn compute_checksum(&self) -> u32 {
        let bytes = self.length.to_le_bytes().into_iter().chain(self.text);
        bytes.fold(0x811C_9DC5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    }
}

impl Write for FailureReport {
    fn write_str(&mut self, words: &str) -> fmt::Result {
        let room = TEXT_MAX - self.length as usize;
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
    fn a_text_is_stored() {
        assert_eq!(Some("gone at 7"), FailureReport::new(format_args!("gone at {}", 7)).text());
        assert_eq!(None, FailureReport::EMPTY.text());
        assert_eq!(None, FailureReport::new(format_args!("")).text());
    }

    #[test]
    fn a_long_text_is_truncated_between_characters() {
        for shift in 0..3 {
            let long =
                String::from("abc")[..shift].chars().chain(std::iter::repeat_n('é', TEXT_MAX)).collect::<String>();
            let report = FailureReport::new(format_args!("{long}{long}"));
            let text = report.text().unwrap();
            assert!(long.starts_with(text) && text.len() >= TEXT_MAX - 1, "{}", text.len());
        }
    }

    #[test]
    fn noise_is_no_report() {
        let report = FailureReport::new(format_args!("gone"));
        assert_eq!(None, FailureReport { checksum: report.checksum ^ 1, ..report }.text());
        assert_eq!(None, FailureReport { length: report.length + 1, ..report }.text());
        assert_eq!(None, FailureReport { length: u32::MAX, ..report }.text());
        assert_eq!(None, FailureReport { checksum: u32::MAX, length: u32::MAX, text: [0xFF; TEXT_MAX] }.text());
        let mut text = report.text;
        text[0] ^= 1;
        assert_eq!(None, FailureReport { text, ..report }.text());
    }
}
