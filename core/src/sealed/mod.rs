//! The archive as a stream of authenticated chunks: the layer between [`archive`](crate::archive) and
//! [`wire`](crate::wire).
//!
//! In the order of use:
//!
//! 1. Both sides get the same secret from [`hpke`] or [`keys::Secret::typed`]. [`keys::Schedule`] derives all keys of
//!    one connection or one file from that secret and from the messages before it.
//! 2. A [`cipher::Cipher`] is set up with the chunk key.
//! 3. [`stream::Sealer`] turns pieces of the archive into chunks; [`stream::Opener`] turns chunks back into pieces, or
//!    refuses them.
//! 4. [`mod@file`] defines the start of a sealed file, which carries the same chunks.
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
