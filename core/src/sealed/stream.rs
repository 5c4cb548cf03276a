//! The sealed stream: [`Sealer`] turns pieces of an archive into chunks, [`Opener`] turns chunks back into pieces.
//!
//! ```text
//! plain  = codec (1) | data               data: the piece, or the piece as one LZ4 block
//! nonce  = prefix (7) | counter u32 | last (1)
//! chunk  = AEAD(plain) | tag (16)
//! ```
//!
//! This is STREAM (Hoang, Reyhanitabar, Rogaway, Vizár: *Online Authenticated-Encryption and its Nonce-Reuse
//! Misuse-Resistance*, CRYPTO 2015): the nonce contains the counter and the last-chunk flag, so that a chunk opens only
//! at its own position. PROTOCOL.md, section 7.4.

use core::fmt;

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};

use super::cipher::{Cipher, Forged, NONCE, TAG};
use super::keys::NoncePrefix;
use crate::limits::{ARCHIVE_MAX, CHUNK_MAX, CHUNK_MIN, CHUNK_OVERHEAD};

/// Length of the codec byte before the data.
const CODEC: usize = 1;
const _: () = assert!(CODEC + TAG == CHUNK_OVERHEAD);

/// Length of the output buffer that a [`Sealer`] needs for chunks of `chunk` bytes of archive. It is longer than any
/// chunk, since LZ4 needs room for data that it makes longer.
pub const fn seal_buffer(chunk: u32) -> usize {
    CODEC + get_maximum_output_size(chunk as usize) + TAG
}

/// A codec of the sealed stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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

/// The part of an archive that a stream carries, from `position` to `total`, in pieces of `chunk` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    chunk: u32,
    position: u64,
    total: u64,
}

impl Span {
    /// Returns `None` if `chunk` or `total` is outside the protocol's limits, or `position` exceeds `total`. Within
    /// these limits the chunk counter cannot wrap.
    pub fn new(chunk: u32, position: u64, total: u64) -> Option<Self> {
        let legal = chunk.is_power_of_two()
            && (CHUNK_MIN..=CHUNK_MAX).contains(&chunk)
            && position <= total
            && total <= ARCHIVE_MAX;
        legal.then_some(Self { chunk, position, total })
    }

    /// Length of the next piece; 0 at the end.
    fn next_len(&self) -> usize {
        // Fits `usize`, since it is at most `chunk`.
        u64::from(self.chunk).min(self.total - self.position) as usize
    }
}

/// The position of a stream: what the nonce of its next chunk depends on.
struct Position {
    prefix: NoncePrefix,
    counter: u32,
    span: Span,
}

impl Position {
    fn new(prefix: NoncePrefix, span: Span) -> Self {
        Self { prefix, counter: 0, span }
    }

    /// Nonce of the next chunk.
    fn nonce(&self) -> [u8; NONCE] {
        let last = self.span.position + self.span.next_len() as u64 == self.span.total;
        let mut nonce = [0; NONCE];
        nonce[..7].copy_from_slice(&self.prefix.0);
        nonce[7..11].copy_from_slice(&self.counter.to_be_bytes());
        nonce[11] = last.into();
        nonce
    }

    fn advance(&mut self) {
        self.span.position += self.span.next_len() as u64;
        // Wraps only after the last of 2^32 pieces, when the counter is no longer used.
        self.counter = self.counter.wrapping_add(1);
    }
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
    /// A sealer of `span` with the agreed codec. Cipher and prefix come from one schedule, which no other sealer uses.
    pub fn new(cipher: C, prefix: NoncePrefix, span: Span, codec: Codec) -> Self {
        Self { cipher, position: Position::new(prefix, span), codec }
    }

    /// Length of the next piece, in bytes of archive; 0 at the end.
    pub fn next_len(&self) -> usize {
        self.position.span.next_len()
    }

    /// Offset of the next piece in the archive.
    pub fn position(&self) -> u64 {
        self.position.span.position
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
        if out.len() < seal_buffer(self.position.span.chunk) {
            return Err(SealError::Buffer);
        }
        let plain = write_plain(piece, compressor.filter(|_| self.codec == Codec::Lz4), out);
        let tag = self.cipher.seal(&self.position.nonce(), &mut out[..plain]);
        out[plain..plain + TAG].copy_from_slice(&tag);
        self.position.advance();
        Ok(plain + TAG)
    }
}

/// Writes codec and data, and returns their length.
fn write_plain(piece: &[u8], compressor: Option<&mut Compressor>, out: &mut [u8]) -> usize {
    let (codec, data) = out.split_at_mut(CODEC);
    let (number, length) = match compressor.and_then(|compressor| compressor.compress(piece, data)) {
        Some(length) => (Codec::Lz4, length),
        None => {
            data[..piece.len()].copy_from_slice(piece);
            (Codec::None, piece.len())
        }
    };
    codec[0] = number as u8;
    CODEC + length
}

/// LZ4's table (16 KiB), and the decision which pieces to compress. The caller lends it to a [`Sealer`], so that it is
/// never moved: box it, or keep it in a `static`.
///
/// After a piece that does not shrink, the compressor skips the next piece; after another such piece it skips two, then
/// four, up to [`SKIP_MAX`](Self::SKIP_MAX). A piece that shrinks ends the skipping. So data that is already compressed
/// costs almost nothing, and compressible data after it is found after 1 MiB at most.
pub struct Compressor {
    table: CompressTable,
    /// Number of pieces that are still to be skipped.
    skip: u32,
    /// Number of pieces to skip after the next one that does not shrink.
    next_skip: u32,
}

impl Compressor {
    /// Most pieces in a row that are skipped.
    pub const SKIP_MAX: u32 = 16;

    /// A compressor without a history.
    pub fn new() -> Self {
        Self { table: CompressTable::large(), skip: 0, next_skip: 1 }
    }

    /// Compresses `piece` into one LZ4 block. Returns its length, unless it saves less than a sixteenth: then a small
    /// receiver would spend more on LZ4 than it saves.
    fn compress(&mut self, piece: &[u8], out: &mut [u8]) -> Option<usize> {
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        let length = compress_into_with_table(piece, out, &mut self.table).ok();
        let length = length.filter(|&length| length + piece.len() / 16 < piece.len());
        match length {
            Some(_) => self.next_skip = 1,
            None => {
                self.skip = self.next_skip;
                self.next_skip = (self.next_skip * 2).min(Self::SKIP_MAX);
            }
        }
        length
    }
}

impl Default for Compressor {
    fn default() -> Self {
        Self::new()
    }
}

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
    /// An opener of `span` with the agreed codec. Cipher and prefix come from one schedule.
    pub fn new(cipher: C, prefix: NoncePrefix, span: Span, codec: Codec) -> Self {
        Self { cipher, position: Position::new(prefix, span), codec, is_poisoned: false }
    }

    /// Length of the next piece, in bytes of archive; 0 at the end.
    pub fn next_len(&self) -> usize {
        self.position.span.next_len()
    }

    /// Offset of the next piece in the archive.
    pub fn position(&self) -> u64 {
        self.position.span.position
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
        let (&codec, data) = sealed.split_first().ok_or(OpenError::Length)?;
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
    match decompress_into(block, piece) {
        Ok(length) if length == piece.len() => Ok(piece),
        Ok(_) | Err(lz4_flex::block::DecompressError::OutputTooSmall { .. }) => Err(OpenError::Length),
        Err(_) => Err(OpenError::Block),
    }
}

#[cfg(test)]
mod tests;
