//! CRC-32 (IEEE 802.3), computed bit by bit. It runs a few times per boot, and a table would take a kilobyte of flash.

/// The CRC-32 of `bytes`.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    Crc32::new().update(bytes).finish()
}

/// The CRC-32 of bytes that come in several parts.
#[derive(Clone, Copy)]
pub(crate) struct Crc32(u32);

impl Crc32 {
    pub(crate) const fn new() -> Self {
        Self(!0)
    }

    pub(crate) fn update(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| shift(crc))))
    }

    pub(crate) fn finish(self) -> u32 {
        !self.0
    }
}

fn shift(crc: u32) -> u32 {
    (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_published_check_value_matches() {
        assert_eq!(super::crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(super::crc32(b""), 0);
        assert_eq!(super::Crc32::new().update(b"1234").update(b"56789").finish(), 0xCBF4_3926);
    }
}
