//! What both ends of a sealed stream agree on: the AEAD, the codec and the chunk size.
//!
//! A session agrees on them in `Greeting` and `Offer`, a sealed file states them in its header. The numbers are those
//! that cross the network. PROTOCOL.md, sections 5 and 9.

use crate::limits::{CHUNK_MAX, CHUNK_MIN};

/// The parameters of a sealed stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suite {
    /// The AEAD of the chunks.
    pub aead: Aead,
    /// The codec of the chunks.
    pub codec: Codec,
    /// The size of the chunks.
    pub chunk: ChunkSize,
}

/// An AEAD of the sealed stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
#[repr(u8)]
pub enum Aead {
    /// AES-256-GCM.
    Aes256Gcm = 1,
    /// ChaCha20-Poly1305.
    ChaCha20Poly1305 = 2,
}

impl Aead {
    /// The AEAD with that number, if this version knows it.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Aes256Gcm, Self::ChaCha20Poly1305].into_iter().find(|aead| *aead as u8 == number)
    }
}

/// A codec of the sealed stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
#[repr(u8)]
pub enum Codec {
    /// Every chunk raw.
    None = 0,
    /// Each chunk raw or one LZ4 block.
    Lz4 = 1,
}

impl Codec {
    /// The codec with that number, if this version knows it.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::None, Self::Lz4].into_iter().find(|codec| *codec as u8 == number)
    }
}

/// The number of bytes of archive in every chunk but the last: a power of two from [`CHUNK_MIN`] to [`CHUNK_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkSize(u32);

impl ChunkSize {
    /// The smallest chunk size of the protocol.
    pub const MIN: Self = Self(CHUNK_MIN);
    /// The largest chunk size of the protocol.
    pub const MAX: Self = Self(CHUNK_MAX);

    /// The chunk size of this many bytes, if that is one.
    pub const fn new(bytes: u32) -> Option<Self> {
        if bytes.is_power_of_two() && bytes >= CHUNK_MIN && bytes <= CHUNK_MAX { Some(Self(bytes)) } else { None }
    }

    /// The largest chunk size of at most this many bytes; `None` if that is less than [`MIN`](Self::MIN).
    pub const fn at_most(bytes: u32) -> Option<Self> {
        if bytes >= CHUNK_MAX {
            return Some(Self::MAX);
        }
        if bytes < CHUNK_MIN { None } else { Some(Self(1 << bytes.ilog2())) }
    }

    /// The chunk size in bytes.
    pub const fn bytes(self) -> u32 {
        self.0
    }
}

const _: () = assert!(CHUNK_MIN.is_power_of_two() && CHUNK_MAX.is_power_of_two() && CHUNK_MIN < CHUNK_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_size_is_a_power_of_two_within_the_limits() {
        for log in 0..32 {
            let bytes = 1 << log;
            let is_legal = (CHUNK_MIN..=CHUNK_MAX).contains(&bytes);
            assert_eq!(ChunkSize::new(bytes).map(ChunkSize::bytes), is_legal.then_some(bytes));
        }
        for bytes in [0, 3, 3_000, CHUNK_MIN - 1, CHUNK_MIN + 1, CHUNK_MAX - 1, CHUNK_MAX + 1, u32::MAX] {
            assert_eq!(ChunkSize::new(bytes), None, "{bytes}");
        }
    }

    #[test]
    fn the_largest_chunk_size_within_a_bound_is_found() {
        for (bound, size) in [
            (0, None),
            (CHUNK_MIN - 1, None),
            (CHUNK_MIN, Some(CHUNK_MIN)),
            (CHUNK_MIN + 1, Some(CHUNK_MIN)),
            (2 * CHUNK_MIN - 1, Some(CHUNK_MIN)),
            (2 * CHUNK_MIN, Some(2 * CHUNK_MIN)),
            (CHUNK_MAX - 1, Some(CHUNK_MAX / 2)),
            (CHUNK_MAX, Some(CHUNK_MAX)),
            (u32::MAX, Some(CHUNK_MAX)),
        ] {
            assert_eq!(ChunkSize::at_most(bound).map(ChunkSize::bytes), size, "{bound}");
        }
    }
}
