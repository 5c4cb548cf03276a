//! The sealed stream: [`Sealer`] turns pieces of an archive into chunks, [`Opener`] turns chunks back into pieces.
//!
//! ```text
//! plain  = data | codec (1)               data: the piece, or the piece as one LZ4 block
//! nonce  = prefix (7) | counter u32 | last (1)
//! chunk  = AEAD(plain) | tag (16)
//! ```
//!
//! This is STREAM (Hoang, Reyhanitabar, Rogaway, Vizár: *Online Authenticated-Encryption and its Nonce-Reuse
//! Misuse-Resistance*, CRYPTO 2015): the nonce contains the counter and the last-chunk flag, so that a chunk opens only
//! at its own position. PROTOCOL.md, section 7.4.

mod compressor;
mod opener;
mod position;
mod sealer;
#[cfg(test)]
mod tests;

pub use compressor::Compressor;
pub use opener::{OpenError, Opener};
pub use position::Span;
pub use sealer::{SealError, Sealer, seal_buffer};
