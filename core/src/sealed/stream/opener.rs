//! The opening side of a stream.

use core::fmt;
use core::ops::Range;

use waft_lz4::BlockError;

use super::position::{Position, Span};
use crate::limits::CHUNK_OVERHEAD;
use crate::sealed::cipher::{Cipher, Forged, TAG};
use crate::sealed::keys::StreamKeys;
use crate::sealed::suite::{Codec, Suite};

/// Why a chunk is refused. The sealer or the network is at fault, except where the variant names the caller. After the
/// first refusal an opener refuses every chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum OpenError {
    /// The chunk was changed, is not the next one, or was sealed under another key.
    Forged,
    /// The chunk, or the piece in it, has the wrong length.
    Length,
    /// The piece is in a codec that was not agreed.
    Codec,
    /// The piece is not a valid LZ4 block.
    Block,
    /// The archive has already ended.
    End,
    /// An earlier chunk was refused.
    Poisoned,
    /// The caller's buffer is shorter than the piece.
    Buffer,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forged => return Forged.fmt(f),
            Self::Length => "the chunk has the wrong length",
            Self::Codec => "the chunk is in a codec that was not agreed",
            Self::Block => "the chunk does not decompress",
            Self::End => "a chunk follows the last one",
            Self::Poisoned => "an earlier chunk was refused",
            Self::Buffer => "the buffer is too short for the chunk's data",
        })
    }
}

impl core::error::Error for OpenError {}

impl From<Forged> for OpenError {
    fn from(_: Forged) -> Self {
        Self::Forged
    }
}

/// Opens chunks one by one, in place.
pub struct Opener<C> {
    cipher: C,
    position: Position,
    codec: Codec,
    /// Whether a chunk was refused.
    is_poisoned: bool,
}

impl<C: Cipher> Opener<C> {
    /// An opener of `span`. Returns `None` if `C` does not support the suite's AEAD.
    pub fn new(keys: StreamKeys, suite: &Suite, span: Span) -> Option<Self> {
        let cipher = C::new(suite.aead, keys.chunk_key())?;
        let position = Position::new(keys.nonce_prefix(), suite.chunk, span);
        Some(Self { cipher, position, codec: suite.codec, is_poisoned: false })
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

    /// Opens the next chunk, and returns its piece. A raw piece is decrypted within `chunk`; an LZ4 block is decoded
    /// into `plain`, which needs [`next_len`](Self::next_len) bytes (it may be empty where codec none was agreed).
    pub fn open<'b>(&mut self, chunk: &'b mut [u8], plain: &'b mut [u8]) -> Result<&'b [u8], OpenError> {
        if self.is_poisoned {
            return Err(OpenError::Poisoned);
        }
        self.is_poisoned = true;
        let piece = self.open_next(chunk, plain)?;
        self.position.advance();
        self.is_poisoned = false;
        Ok(piece)
    }

    fn open_next<'b>(&self, chunk: &'b mut [u8], plain: &'b mut [u8]) -> Result<&'b [u8], OpenError> {
        let length = self.next_len();
        if length == 0 {
            return Err(OpenError::End);
        }
        if chunk.len() > length + CHUNK_OVERHEAD {
            return Err(OpenError::Length);
        }
        let (sealed, tag) = chunk.split_last_chunk_mut::<TAG>().ok_or(OpenError::Length)?;
        self.cipher.open(&self.position.nonce(), sealed, tag)?;
        let (&codec, data) = sealed.split_last().ok_or(OpenError::Length)?;
        match Codec::from_number(codec) {
            Some(Codec::None) => check_length(data, length),
            Some(Codec::Lz4) if self.codec == Codec::Lz4 => {
                decompress(data, plain.get_mut(..length).ok_or(OpenError::Buffer)?)
            }
            _ => Err(OpenError::Codec),
        }
    }
}

fn check_length(data: &[u8], length: usize) -> Result<&[u8], OpenError> {
    if data.len() == length { Ok(data) } else { Err(OpenError::Length) }
}

/// Decodes an LZ4 block, which must fill `piece`.
fn decompress<'b>(block: &[u8], piece: &'b mut [u8]) -> Result<&'b [u8], OpenError> {
    match waft_lz4::decode(block, piece) {
        Ok(length) if length == piece.len() => Ok(piece),
        Ok(_) | Err(BlockError::TooLong) => Err(OpenError::Length),
        Err(BlockError::Malformed) => Err(OpenError::Block),
    }
}
