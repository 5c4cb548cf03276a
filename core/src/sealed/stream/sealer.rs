//! The sealing side of a stream.

use core::fmt;
use core::ops::Range;

use lz4_flex::block::get_maximum_output_size;

use super::compressor::Compressor;
use super::position::{Position, Span};
use crate::limits::CHUNK_OVERHEAD;
use crate::sealed::cipher::{Cipher, TAG};
use crate::sealed::keys::StreamKeys;
use crate::sealed::suite::{ChunkSize, Codec, Suite};

/// Length of the codec byte after the data.
const CODEC: usize = 1;
const _: () = assert!(CODEC + TAG == CHUNK_OVERHEAD);

/// Length of the output buffer that a [`Sealer`] needs for chunks of this size. It is longer than any chunk, since LZ4
/// needs room for data that it makes longer.
pub const fn seal_buffer(chunk: ChunkSize) -> usize {
    CODEC + get_maximum_output_size(chunk.bytes() as usize) + TAG
}

/// Why a piece was not sealed. The caller is at fault. The sealer is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SealError {
    /// The piece does not have [`Sealer::next_len`] bytes, or the stream has ended.
    Length,
    /// The output buffer is shorter than [`seal_buffer`].
    Buffer,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "the piece does not have the length that the stream needs next",
            Self::Buffer => "the buffer is too short for a sealed chunk",
        })
    }
}

impl core::error::Error for SealError {}

/// Seals an archive piece by piece.
pub struct Sealer<C> {
    cipher: C,
    position: Position,
    codec: Codec,
}

impl<C: Cipher> Sealer<C> {
    /// A sealer of `span`. Returns `None` if `C` does not support the suite's AEAD.
    pub fn new(keys: StreamKeys, suite: &Suite, span: Span) -> Option<Self> {
        let cipher = C::new(suite.aead, keys.chunk_key())?;
        let position = Position::new(keys.nonce_prefix(), suite.chunk, span);
        Some(Self { cipher, position, codec: suite.codec })
    }

    /// Length of the next piece, in bytes of archive; 0 at the end of the archive, or of the current range.
    pub fn next_len(&self) -> usize {
        self.position.next_len()
    }

    /// Offset of the next piece in the archive.
    pub fn position(&self) -> u64 {
        self.position.offset()
    }

    /// Continues at `range.start`, and ends a piece at `range.end`: the bytes between two ranges do not cross. Returns
    /// `None`, without effect, if the range goes backwards or past the end of the archive, or if the stream would have
    /// too many chunks.
    pub fn continue_in(&mut self, range: Range<u64>) -> Option<()> {
        self.position.continue_in(&range)
    }

    /// Seals the next piece. Writes the chunk to the front of `out`, and returns its length. Without a compressor the
    /// chunk is raw.
    pub fn seal(
        &mut self,
        piece: &[u8],
        compressor: Option<&mut Compressor>,
        out: &mut [u8],
    ) -> Result<usize, SealError> {
        if piece.is_empty() || piece.len() != self.next_len() {
            return Err(SealError::Length);
        }
        if out.len() < seal_buffer(self.position.chunk) {
            return Err(SealError::Buffer);
        }
        let plain = write_plain(piece, compressor.filter(|_| self.codec == Codec::Lz4), out);
        let tag = self.cipher.seal(&self.position.nonce(), &mut out[..plain]);
        out[plain..plain + TAG].copy_from_slice(&tag);
        self.position.advance();
        Ok(plain + TAG)
    }
}

/// Writes data and codec, and returns their length.
fn write_plain(piece: &[u8], compressor: Option<&mut Compressor>, out: &mut [u8]) -> usize {
    let (codec, length) = match compressor.and_then(|compressor| compressor.compress(piece, out)) {
        Some(length) => (Codec::Lz4, length),
        None => {
            out[..piece.len()].copy_from_slice(piece);
            (Codec::None, piece.len())
        }
    };
    out[length] = codec as u8;
    length + CODEC
}
