//! Amounts of space in messages.

use core::fmt;

use serde::{Deserialize, Serialize};

/// An amount of space in units of 1024 bytes; 0 if it is not known. Errors contain this in place of a `u64` of bytes, so that they
/// take at most 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Kibibytes(pub u32);

impl Kibibytes {
    /// How much more space is needed if `needed` bytes do not fit into `free` bytes: rounded up, and at most `u32::MAX`
    /// KiB. Not known if they do fit, as where a quota is used up.
    pub fn missing(needed: u64, free: u64) -> Self {
        let missing = needed.saturating_sub(free).div_ceil(1024);
        Self(u32::try_from(missing).unwrap_or(u32::MAX))
    }

    /// The number of bytes.
    pub fn bytes(self) -> u64 {
        u64::from(self.0) * 1024
    }
}

impl fmt::Display for Kibibytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} KiB", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Kibibytes;

    #[test]
    fn missing_space_is_rounded_up_and_bounded() {
        const MOST: u64 = u32::MAX as u64 * 1024;
        for (needed, free, kib) in
            [(9, 9, 0), (3, 9, 0), (10, 9, 1), (1025, 1, 1), (1026, 1, 2), (MOST, 0, u32::MAX), (u64::MAX, 0, u32::MAX)]
        {
            assert_eq!(Kibibytes::missing(needed, free), Kibibytes(kib), "{needed} {free}");
        }
        assert_eq!(Kibibytes(u32::MAX).bytes(), MOST);
    }
}
