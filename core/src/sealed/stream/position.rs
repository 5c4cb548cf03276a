//! The position of a stream in its archive, and the nonce that follows from it.

use core::ops::Range;

use crate::limits::ARCHIVE_MAX;
use crate::sealed::cipher::NONCE;
use crate::sealed::keys::NoncePrefix;
use crate::sealed::suite::ChunkSize;

/// The part of an archive that a stream carries, from `offset` to `total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    offset: u64,
    total: u64,
}

impl Span {
    /// Returns `None` if `total` exceeds the protocol's limit, or `offset` exceeds `total`. Within these limits the
    /// chunk counter cannot wrap.
    pub fn new(offset: u64, total: u64) -> Option<Self> {
        (offset <= total && total <= ARCHIVE_MAX).then_some(Self { offset, total })
    }
}

/// The position of a stream: what the nonce of its next chunk depends on.
pub(super) struct Position {
    pub(super) prefix: NoncePrefix,
    pub(super) counter: u32,
    pub(super) chunk: ChunkSize,
    pub(super) span: Span,
    /// Where the current range of consecutive bytes ends: a piece ends there, too.
    pub(super) stop: u64,
}

impl Position {
    pub(super) fn new(prefix: NoncePrefix, chunk: ChunkSize, span: Span) -> Self {
        Self { prefix, counter: 0, chunk, span, stop: span.total }
    }

    /// Continues at `range.start`, and lets the pieces end at `range.end`. Returns `None`, without effect, if the range
    /// goes backwards or past the end, or if the counter could wrap.
    pub(super) fn continue_in(&mut self, range: &Range<u64>) -> Option<()> {
        let Span { offset, total } = self.span;
        let pieces = total.checked_sub(range.start)?.div_ceil(self.chunk.bytes().into());
        let is_valid = offset <= range.start && range.start <= range.end && range.end <= total;
        (is_valid && u64::from(self.counter) + pieces <= 1 << 32).then_some(())?;
        (self.span.offset, self.stop) = (range.start, range.end);
        Some(())
    }

    /// Offset of the next piece in the archive.
    pub(super) fn offset(&self) -> u64 {
        self.span.offset
    }

    /// Length of the next piece; 0 at the end of the current range.
    pub(super) fn next_len(&self) -> usize {
        // Fits `usize`, since it is at most a chunk.
        u64::from(self.chunk.bytes()).min(self.stop - self.span.offset) as usize
    }

    /// Nonce of the next chunk.
    pub(super) fn nonce(&self) -> [u8; NONCE] {
        let last = self.span.offset + self.next_len() as u64 == self.span.total;
        let mut nonce = [0; NONCE];
        nonce[..7].copy_from_slice(self.prefix.as_bytes());
        nonce[7..11].copy_from_slice(&self.counter.to_be_bytes());
        nonce[11] = last.into();
        nonce
    }

    pub(super) fn advance(&mut self) {
        self.span.offset += self.next_len() as u64;
        // Wraps only after the last of 2^32 pieces, when the counter is no longer used.
        self.counter = self.counter.wrapping_add(1);
    }
}
