//! Frames, which delimit messages and chunks inside TLS, and chunks in a sealed file. PROTOCOL.md, section 4.
//!
//! ```text
//!  0      1              4
//! +------+--------------+----------------------+
//! | kind | length (u24) | payload: length bytes |
//! +------+--------------+----------------------+
//! ```

use core::fmt;

use crate::limits::{CHUNK_OVERHEAD, FRAME_HEADER, MESSAGE_MAX};

/// The kind of a frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Kind {
    /// A message in postcard.
    Message = 1,
    /// A sealed chunk.
    Chunk = 2,
}

/// The header of a frame. Its length is within the bound of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Kind of the payload.
    pub kind: Kind,
    /// Length of the payload, in bytes.
    pub length: usize,
}

/// A frame's header has an unknown kind, or a length that exceeds the bound of its kind. The peer is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BadFrame;

impl fmt::Display for BadFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the frame has an unknown kind, or is too long")
    }
}

impl core::error::Error for BadFrame {}

impl Header {
    /// Encodes the header of a frame with a payload of `length` bytes. Every bound in [`limits`](crate::limits) keeps
    /// `length` below 2^24.
    pub fn encode(kind: Kind, length: usize) -> [u8; FRAME_HEADER] {
        debug_assert!(length < 1 << 24);
        let [_, high, middle, low] = (length as u32).to_be_bytes();
        [kind as u8, high, middle, low]
    }

    /// Decodes a header. `chunk` is the most bytes of archive that a chunk may hold, or 0 where no chunk may come.
    pub fn decode(bytes: [u8; FRAME_HEADER], chunk: u32) -> Result<Self, BadFrame> {
        let [kind, high, middle, low] = bytes;
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        let (kind, bound) = match kind {
            1 => (Kind::Message, MESSAGE_MAX),
            2 if chunk > 0 => (Kind::Chunk, chunk as usize + CHUNK_OVERHEAD),
            _ => return Err(BadFrame),
        };
        if length > bound { Err(BadFrame) } else { Ok(Self { kind, length }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_frozen() {
        assert_eq!(Header::encode(Kind::Message, 5), [1, 0, 0, 5]);
        assert_eq!(Header::encode(Kind::Chunk, 65_553), [2, 1, 0, 17]);
    }

    #[test]
    fn lengths_are_bounded_by_kind() {
        let decode =
            |kind, length, chunk| Header::decode(Header::encode(kind, length), chunk).map(|header| header.length);
        assert_eq!(decode(Kind::Message, 512, 0), Ok(512));
        assert_eq!(decode(Kind::Message, 513, 65_536), Err(BadFrame));
        assert_eq!(decode(Kind::Chunk, 1_041, 1_024), Ok(1_041));
        assert_eq!(decode(Kind::Chunk, 1_042, 1_024), Err(BadFrame));
    }

    #[test]
    fn unknown_kinds_and_unexpected_chunks_are_refused() {
        assert_eq!(Header::decode([2, 0, 0, 17], 0), Err(BadFrame));
        for kind in [0, 3, 0x16, 0xff] {
            assert_eq!(Header::decode([kind, 0, 0, 1], 1_024), Err(BadFrame));
        }
    }
}
