//! The decision which pieces are compressed, and their compression with LZ4.

use lz4_flex::block::{CompressTable, compress_into_with_table};

/// LZ4's table (16 KiB), and the decision which pieces to compress. The caller lends it to a [`Sealer`](super::Sealer), so
/// that it is never moved: box it, or keep it in a `static`.
///
/// After a piece that does not shrink, the compressor skips the next piece; after another such piece it skips two, then
/// four, up to [`SKIP_MAX`](Self::SKIP_MAX). A piece that shrinks ends the skipping. So data that is already compressed
/// costs almost nothing, and compressible data after it is found after 1 MiB at most.
pub struct Compressor {
    table: CompressTable,
    /// Number of pieces that are still to be skipped.
    pub(super) skip: u32,
    /// Number of pieces to skip after the next one that does not shrink.
    pub(super) next_skip: u32,
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
    pub(super) fn compress(&mut self, piece: &[u8], out: &mut [u8]) -> Option<usize> {
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
