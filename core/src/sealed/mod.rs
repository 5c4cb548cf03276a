//! The archive as a stream of authenticated chunks: the layer between [`archive`](crate::archive) and
//! [`wire`](crate::wire).
//!
//! In the order of use; each module uses only those before it:
//!
//! 1. [`suite`]: both sides agree on an AEAD, a codec and a chunk size.
//! 2. [`secret`]: both sides get the same secret, from the typed key or from [`hpke`].
//! 3. [`transcript`]: a hash of all messages that both sides exchanged before, from which the keys are derived, too.
//! 4. [`keys`]: [`Schedule`] derives all keys of one connection or one file from secret and transcript.
//! 5. [`cipher`]: a [`Cipher`] is an AEAD that is set up with the chunk key.
//! 6. [`stream`]: [`Sealer`] turns pieces of the archive into chunks; [`Opener`] turns chunks back into pieces, or
//!    refuses them.
//! 7. [`mod@file`]: the start of a sealed file, which carries the same chunks.
//!
//! PROTOCOL.md, sections 7 and 9.

pub mod cipher;
pub mod file;
pub mod hpke;
pub mod keys;
pub mod secret;
pub mod stream;
pub mod suite;
pub mod transcript;
#[cfg(test)]
mod vectors;

pub use cipher::{ChaChaCipher, Cipher, Forged, SoftCipher};
pub use file::{FileError, Header};
pub use hpke::{HpkeError, HpkeSecret};
pub use keys::{ChunkKey, ManifestKey, NoncePrefix, Schedule, StreamKeys};
pub use secret::{Secret, Stretch};
pub use stream::{Compressor, OpenError, Opener, SealError, Sealer, Span, seal_buffer};
pub use suite::{Aead, ChunkSize, Codec, Suite};
pub use transcript::Transcript;
