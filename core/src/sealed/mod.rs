//! The archive as authenticated chunks: the layer between [`archive`](crate::archive) and [`wire`](crate::wire).
//!
//! In the order of use:
//!
//! 1. [`hpke`] or [`keys::Secret::typed`] gives both sides one secret; [`keys::Schedule`] derives from it and from
//!    what was said all keys of one connection or one file.
//! 2. A [`cipher::Cipher`] takes the chunk key.
//! 3. [`stream::Sealer`] turns pieces of archive into chunks, [`stream::Opener`] turns them back, or refuses.
//! 4. [`mod@file`] is the start of a sealed file, which carries the same chunks.
//!
//! PROTOCOL.md, sections 7 and 9.

pub mod cipher;
pub mod file;
pub mod hpke;
pub mod keys;
pub mod stream;
#[cfg(test)]
mod vectors;

pub use cipher::{Aead, Cipher, Forged, SoftCipher};
pub use file::{FileError, Header};
pub use hpke::{HpkeError, HpkeSecret};
pub use keys::{ChunkKey, NoncePrefix, Schedule, Secret, Transcript};
pub use stream::{Codec, Compressor, OpenError, Opener, SealError, Sealer, Span, seal_buffer};
