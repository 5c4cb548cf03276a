//! The report of a failure, in memory that survives a reset.
//!
//! ```text
//! 0    checksum    of everything that follows; it distinguishes a report from the random bytes after a power-on
//! 4    cause
//! 8    length of the text
//! 12   text
//! ```

use core::fmt::{self, Write};

/// The longest text, in bytes. A longer text is truncated.
pub const TEXT_MAX: usize = 240;

/// Why the firmware failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Cause {
    /// The firmware panicked.
    Panic = 1,
    /// The core raised a fault.
    Fault = 2,
    /// The stack overflowed.
    StackOverflow = 3,
    /// The watchdog expired.
    Hang = 4,
}

impl Cause {
    fn read(number: u32) -> Option<Self> {
        [Self::Panic, Self::Fault, Self::StackOverflow, Self::Hang].into_iter().find(|cause| *cause as u32 == number)
    }

    /// The name of the cause, for the console and the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Fault => "fault",
            Self::StackOverflow => "stack overflow",
            Self::Hang => "hang",
        }
    }
}

/// The report of a failure. Every bit pattern is a valid value of this type.
#[repr(C)]
pub struct Report {
    checksum: u32,
    cause: u32,
    length: u32,
    text: [u8; TEXT_MAX],
}

impl Report {
    /// No failure.
    pub const EMPTY: Self = Self { checksum: 0, cause: 0, length: 0, text: [0; TEXT_MAX] };

    /// Replaces the report. Returns its text.
    pub fn set(&mut self, cause: Cause, text: fmt::Arguments<'_>) -> &str {
        (self.cause, self.length) = (cause as u32, 0);
        // It accepts every text.
        let _ = self.write_fmt(text);
        self.checksum = self.compute_checksum();
        self.text().unwrap_or_default()
    }

    /// Takes the report out, if there is one: its cause and its text. The text stays in the memory until the next failure.
    pub fn take(&mut self) -> Option<(Cause, &str)> {
        let cause = Cause::read(self.cause).filter(|_| self.checksum == self.compute_checksum())?;
        self.checksum = !self.checksum;
        Some((cause, self.text()?))
    }

    /// The text, without the part of a character that was truncated.
    fn text(&self) -> Option<&str> {
        let bytes = self.text.get(..self.length as usize)?;
        let valid = core::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
        core::str::from_utf8(&bytes[..valid]).ok()
    }

    /// FNV-1a over cause, length and the bytes of the text. It detects noise, and is no protection against manipulation.
    fn compute_checksum(&self) -> u32 {
        let text = self.text.iter().take(self.length as usize).map(|byte| u32::from(*byte));
        let numbers = [self.cause, self.length].into_iter().chain(text);
        numbers.fold(0x811C_9DC5, |sum, number| (sum ^ number).wrapping_mul(0x0100_0193))
    }
}

impl Write for Report {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let places = self.text.iter_mut().skip(self.length as usize).zip(text.bytes());
        self.length += places.map(|(place, byte)| *place = byte).count() as u32;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use super::*;

    fn report(text: fmt::Arguments<'_>) -> Report {
        let mut report = Report { text: [0xA5; TEXT_MAX], ..Report::EMPTY };
        report.set(Cause::Fault, text);
        report
    }

    #[test]
    fn a_failure_is_reported_once() {
        let mut report = report(format_args!("gone at {}", 7));
        assert_eq!(report.take(), Some((Cause::Fault, "gone at 7")));
        assert_eq!(report.take(), None);
        assert_eq!(report.set(Cause::Hang, format_args!("later")), "later");
        assert_eq!(report.take(), Some((Cause::Hang, "later")));
        report.set(Cause::Panic, format_args!(""));
        assert_eq!(report.take(), Some((Cause::Panic, "")));
        let mut empty = Report::EMPTY;
        assert_eq!(empty.take(), None);
    }

    #[test]
    fn a_long_text_is_truncated_between_characters() {
        for shift in 0..3 {
            let long =
                String::from("abc")[..shift].chars().chain(std::iter::repeat_n('é', TEXT_MAX)).collect::<String>();
            let mut report = report(format_args!("{long}{long}"));
            let (_, text) = report.take().unwrap();
            assert!(long.starts_with(text) && text.len() >= TEXT_MAX - 1, "{}", text.len());
        }
    }

    #[test]
    fn noise_is_no_report() {
        for change in [
            |report: &mut Report| report.checksum ^= 1,
            |report: &mut Report| report.cause = Cause::Panic as u32,
            |report: &mut Report| report.length += 1,
            |report: &mut Report| report.length = u32::MAX,
            |report: &mut Report| report.text = [0xFF; TEXT_MAX],
            |report: &mut Report| {
                report.cause = 5;
                report.checksum = report.compute_checksum();
            },
        ] {
            let mut report = report(format_args!("gone"));
            change(&mut report);
            assert_eq!(report.take(), None);
        }
        let (checksum, cause, length) = (u32::MAX, u32::MAX, u32::MAX);
        assert_eq!(Report { checksum, cause, length, text: [0xFF; TEXT_MAX] }.take(), None);
    }
}
