//! Decodes LZ4 blocks, once in an image: for the chunks of a transfer.
//!
//! The decoder is that of the crate `lz4_flex`. Its functions are compiled with the options of the crate that calls them. On
//! a board those would be the options for small code, with which text takes 3 more instructions per byte. So this crate has
//! options of its own: see `profile.firmware` in the workspace's `Cargo.toml`.

#![no_std]
#![forbid(unsafe_code)]

use lz4_flex::block::DecompressError;

/// Why a block cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockError {
    /// It has more content than fits into the buffer.
    TooLong,
    /// It is not an LZ4 block.
    Malformed,
}

/// Decodes `block` into the front of `content`. Returns the length of the content.
#[inline(never)]
pub fn decode(block: &[u8], content: &mut [u8]) -> Result<usize, BlockError> {
    lz4_flex::block::decompress_into(block, content).map_err(|error| match error {
        DecompressError::OutputTooSmall { .. } => BlockError::TooLong,
        _ => BlockError::Malformed,
    })
}
