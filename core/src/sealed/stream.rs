//! Pieces of archive to chunks and back: [`Sealer`] and [`Opener`].
//!
//! ```text
//! plain  = codec (1) | data               data: the piece, or the piece as one LZ4 block
//! nonce  = prefix (7) | counter u32 | last (1)
//! chunk  = AEAD(plain) | tag (16)
//! ```
//!
//! This is STREAM (Hoang, Reyhanitabar, Rogaway, Vizár: *Online Authenticated-Encryption and its Nonce-Reuse
//! Misuse-Resistance*, CRYPTO 2015): counter and last-chunk flag stand in the nonce, so that a chunk opens in its own
//! place only. PROTOCOL.md, section 7.4.

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};

use super::cipher::{Cipher, Forged, NONCE, TAG};
use super::keys::NoncePrefix;
use crate::limits::{ARCHIVE_MAX, CHUNK_MAX, CHUNK_MIN, CHUNK_OVERHEAD};

/// The codec byte before the data.
const CODEC: usize = 1;
const _: () = assert!(CODEC + TAG == CHUNK_OVERHEAD);

/// Bytes that a [`Sealer`] needs for its output: more than a chunk of `chunk` bytes of archive ever takes, since LZ4
/// has to have room to fail.
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
    /// The codec of that number.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::None, Self::Lz4].into_iter().find(|codec| *codec as u8 == number)
    }
}

/// Which bytes of an archive a stream carries, and how they are cut: from `position` to `total`, `chunk` a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    chunk: u32,
    position: u64,
    total: u64,
}

impl Span {
    /// `None` if `chunk` or `total` is out of the protocol's limits or `position` past the end. Within them the counter
    /// cannot wrap.
    pub fn new(chunk: u32, position: u64, total: u64) -> Option<Self> {
        let legal = chunk.is_power_of_two()
            && (CHUNK_MIN..=CHUNK_MAX).contains(&chunk)
            && position <= total
            && total <= ARCHIVE_MAX;
        legal.then_some(Self { chunk, position, total })
    }

    /// Length of the next piece; 0 at the end.
    fn next_len(&self) -> usize {
        // Fits: no longer than a chunk.
        u64::from(self.chunk).min(self.total - self.position) as usize
    }
}

/// Where a stream is.
struct Place {
    prefix: NoncePrefix,
    counter: u32,
    span: Span,
}

impl Place {
    fn new(prefix: NoncePrefix, span: Span) -> Self {
        Self { prefix, counter: 0, span }
    }

    /// Nonce of the next piece.
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
        // Wraps behind the last of 2^32 pieces, when it is not used again.
        self.counter = self.counter.wrapping_add(1);
    }
}

/// Why a piece is not sealed: a mistake of the caller. The sealer is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SealError {
    /// The piece does not have [`Sealer::next_len`] bytes, or there is none left.
    Length,
    /// The output is shorter than [`seal_buffer`].
    Buffer,
}

/// Seals an archive piece by piece.
pub struct Sealer<C> {
    cipher: C,
    place: Place,
    codec: Codec,
}

impl<C: Cipher> Sealer<C> {
    /// Seals `span` with the agreed codec, under a cipher and a prefix of one schedule, which no other sealer may have
    /// used.
    pub fn new(cipher: C, prefix: NoncePrefix, span: Span, codec: Codec) -> Self {
        Self { cipher, place: Place::new(prefix, span), codec }
    }

    /// Bytes of archive that the next chunk takes; 0 at the end.
    pub fn next_len(&self) -> usize {
        self.place.span.next_len()
    }

    /// Bytes of archive before the next chunk.
    pub fn position(&self) -> u64 {
        self.place.span.position
    }

    /// Seals the next piece; its chunk is a prefix of `out`, of the length returned. Raw without a compressor.
    pub fn seal(
        &mut self,
        piece: &[u8],
        compressor: Option<&mut Compressor>,
        out: &mut [u8],
    ) -> Result<usize, SealError> {
        if piece.is_empty() || piece.len() != self.next_len() {
            return Err(SealError::Length);
        }
        if out.len() < seal_buffer(self.place.span.chunk) {
            return Err(SealError::Buffer);
        }
        let plain = fill(piece, compressor.filter(|_| self.codec == Codec::Lz4), out);
        let tag = self.cipher.seal(&self.place.nonce(), &mut out[..plain]);
        out[plain..plain + TAG].copy_from_slice(&tag);
        self.place.advance();
        Ok(plain + TAG)
    }
}

/// Writes codec and data; gives their length.
fn fill(piece: &[u8], compressor: Option<&mut Compressor>, out: &mut [u8]) -> usize {
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

/// LZ4's table (16 KiB), and when to use it. Lent to a [`Sealer`], so that it is never moved: box it, or keep it in a
/// `static`.
///
/// After a piece that did not shrink it lets the next one pass untried; after the next such piece two, then four, up to
/// [`SKIP_MAX`](Self::SKIP_MAX); a piece that shrinks ends that. So data that is compressed already costs
/// nearly nothing, and the text behind it is found after 1 MiB at most.
pub struct Compressor {
    table: CompressTable,
    /// Pieces still to pass untried.
    skip: u32,
    /// Pieces to pass untried after the next one that does not shrink.
    pause: u32,
}

impl Compressor {
    /// Most pieces in a row that pass untried.
    pub const SKIP_MAX: u32 = 16;

    /// A compressor without a history.
    pub fn new() -> Self {
        Self { table: CompressTable::large(), skip: 0, pause: 1 }
    }

    /// One LZ4 block, if it is worth it: less by a sixteenth. Below that a small receiver spends more on LZ4 than it
    /// saves.
    fn compress(&mut self, piece: &[u8], out: &mut [u8]) -> Option<usize> {
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        let length = compress_into_with_table(piece, out, &mut self.table).ok();
        let length = length.filter(|&length| length + piece.len() / 16 < piece.len());
        match length {
            Some(_) => self.pause = 1,
            None => {
                self.skip = self.pause;
                self.pause = (self.pause * 2).min(Self::SKIP_MAX);
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

/// Why a chunk is refused. After the first refusal an opener opens nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum OpenError {
    /// The chunk was changed, or is not the next one, or not under this key.
    Forged,
    /// The chunk, or the piece in it, does not have the length that it must have.
    Length,
    /// The piece is in a codec that was not agreed.
    Codec,
    /// The piece is no LZ4 block.
    Block,
    /// The archive has ended already.
    End,
    /// An earlier chunk was refused.
    Dead,
    /// The caller's buffer is shorter than the piece.
    Buffer,
}

impl From<Forged> for OpenError {
    fn from(_: Forged) -> Self {
        Self::Forged
    }
}

/// Opens chunks one by one, in place.
pub struct Opener<C> {
    cipher: C,
    place: Place,
    codec: Codec,
    dead: bool,
}

impl<C: Cipher> Opener<C> {
    /// Opens `span` under the cipher and the prefix of one schedule, with the agreed codec.
    pub fn new(cipher: C, prefix: NoncePrefix, span: Span, codec: Codec) -> Self {
        Self { cipher, place: Place::new(prefix, span), codec, dead: false }
    }

    /// Bytes of archive that the next chunk gives; 0 at the end.
    pub fn next_len(&self) -> usize {
        self.place.span.next_len()
    }

    /// Bytes of archive before the next chunk.
    pub fn position(&self) -> u64 {
        self.place.span.position
    }

    /// Opens the next chunk. A raw piece is returned where it stands in `chunk`; an LZ4 block is decoded into `plain`,
    /// which has [`next_len`](Self::next_len) bytes or more (where codec none was agreed, it may be empty).
    pub fn open<'b>(&mut self, chunk: &'b mut [u8], plain: &'b mut [u8]) -> Result<&'b [u8], OpenError> {
        if self.dead {
            return Err(OpenError::Dead);
        }
        self.dead = true;
        let piece = self.open_next(chunk, plain)?;
        self.place.advance();
        self.dead = false;
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
        self.cipher.open(&self.place.nonce(), sealed, tag)?;
        let (&codec, data) = sealed.split_first().ok_or(OpenError::Length)?;
        match Codec::from_number(codec) {
            Some(Codec::None) => raw(data, length),
            Some(Codec::Lz4) if self.codec == Codec::Lz4 => {
                unpack(data, plain.get_mut(..length).ok_or(OpenError::Buffer)?)
            }
            _ => Err(OpenError::Codec),
        }
    }
}

fn raw(data: &[u8], length: usize) -> Result<&[u8], OpenError> {
    if data.len() == length { Ok(data) } else { Err(OpenError::Length) }
}

/// Decodes a block that must fill `piece`.
fn unpack<'b>(block: &[u8], piece: &'b mut [u8]) -> Result<&'b [u8], OpenError> {
    match decompress_into(block, piece) {
        Ok(length) if length == piece.len() => Ok(piece),
        Ok(_) | Err(lz4_flex::block::DecompressError::OutputTooSmall { .. }) => Err(OpenError::Length),
        Err(_) => Err(OpenError::Block),
    }
}

#[cfg(test)]
mod tests;
