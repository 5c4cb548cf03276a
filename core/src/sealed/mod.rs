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
//! 7. [`name`]: the sealed name of a folder.
//! 8. [`mod@file`]: the start of a sealed file, which carries the same chunks.
//!
//! # A stream
//!
//! ```
//! use waft_core::code::TransferKey;
//! use waft_core::sealed::{
//!     Aead, ChunkSize, Codec, Opener, Schedule, Sealer, Secret, SoftCipher, Span, Suite, Transcript, seal_buffer,
//! };
//!
//! let archive = b"the bytes of an archive";
//! let suite = Suite { aead: Aead::ChaCha20Poly1305, codec: Codec::None, chunk: ChunkSize::MIN };
//! let span = Span::new(0, archive.len() as u64).unwrap();
//! // Both sides derive the same keys. The salt has to be random.
//! let key = TransferKey::parse("0123-4567-89AB-CDEF").unwrap();
//! let schedule = || Schedule::new(&Secret::typed(&key, &[7; 32], 1_000), &Transcript::file(b"header"));
//!
//! let (keys, ..) = schedule().into_stream();
//! let mut sealer = Sealer::<SoftCipher>::new(keys, &suite, span).unwrap();
//! let mut chunk = vec![0; seal_buffer(suite.chunk)];
//! let length = sealer.seal(archive, None, &mut chunk).unwrap();
//!
//! let (keys, ..) = schedule().into_stream();
//! let mut opener = Opener::<SoftCipher>::new(keys, &suite, span).unwrap();
//! assert_eq!(opener.open(&mut chunk[..length], &mut []).unwrap(), archive);
//! assert_eq!(opener.next_len(), 0);
//! ```
//!
//! # A sealed file
//!
//! ```
//! use waft_core::archive::Shape;
//! use waft_core::code::TransferKey;
//! use waft_core::limits::{CHUNK_OVERHEAD, FRAME_HEADER};
//! use waft_core::sealed::file::{ENCODED_MAX, START, header_len};
//! use waft_core::sealed::{
//!     Aead, ChunkSize, Codec, Header, Opener, Schedule, Sealer, Secret, SoftCipher, Span, Suite, Transcript, seal_buffer,
//! };
//! use waft_core::wire::frame::{self, Kind};
//!
//! # let archive = [9; 100];
//! # let shape = Shape { total: 100, files: 1, entries: 1, manifest: 20 };
//! # let key = TransferKey::parse("0123-4567-89AB-CDEF").unwrap();
//! // Seal: start and header, commitment, one frame for each chunk.
//! let suite = Suite { aead: Aead::Aes256Gcm, codec: Codec::None, chunk: ChunkSize::MIN };
//! let header = Header { iterations: 1_000, salt: [7; 32], suite, created: 1_700_000_000, shape };
//! let mut file = header.encode(&mut [0; ENCODED_MAX]).to_vec();
//! let secret = Secret::typed(&key, &header.salt, header.iterations);
//! let schedule = Schedule::new(&secret, &Transcript::file(&file[START..]));
//! file.extend(schedule.commitment());
//! let span = Span::new(0, shape.total).unwrap();
//! let mut sealer = Sealer::<SoftCipher>::new(schedule.into_stream().0, &suite, span).unwrap();
//! let mut chunk = vec![0; seal_buffer(suite.chunk)];
//! let length = sealer.seal(&archive, None, &mut chunk).unwrap();
//! file.extend(frame::Header::encode(Kind::Chunk, length));
//! file.extend(&chunk[..length]);
//!
//! // Open: the commitment reveals a wrong key before anything is written.
//! let (start, rest) = file.split_first_chunk::<START>().unwrap();
//! let (header_bytes, rest) = rest.split_at(header_len(start).unwrap());
//! let header = Header::decode(header_bytes).unwrap();
//! let (commitment, rest) = rest.split_first_chunk::<32>().unwrap();
//! let secret = Secret::typed(&key, &header.salt, header.iterations);
//! let schedule = Schedule::new(&secret, &Transcript::file(header_bytes));
//! assert!(schedule.commits_to(commitment), "the key is right");
//! let span = Span::new(0, header.shape.total).unwrap();
//! let mut opener = Opener::<SoftCipher>::new(schedule.into_stream().0, &header.suite, span).unwrap();
//! let (frame_header, chunk) = rest.split_first_chunk::<FRAME_HEADER>().unwrap();
//! let frame = frame::Header::decode(*frame_header, header.suite.chunk.bytes()).unwrap();
//! assert_eq!((frame.kind, frame.length), (Kind::Chunk, archive.len() + CHUNK_OVERHEAD));
//! assert_eq!(opener.open(&mut chunk.to_vec(), &mut []).unwrap(), archive);
//! ```
//!
//! PROTOCOL.md, sections 7 and 9.

pub mod cipher;
pub mod file;
pub mod hpke;
pub mod keys;
mod multiplication;
pub mod name;
pub mod secret;
pub mod stream;
pub mod suite;
pub mod transcript;
#[cfg(test)]
pub(crate) mod vectors;

pub use cipher::{ChaChaCipher, Cipher, Forged, SoftCipher};
pub use file::{FileError, Header};
pub use hpke::{HpkeError, HpkeSecret};
pub use keys::{AeadKey, BaseKey, ManifestKey, NoncePrefix, Schedule, StreamKeys};
pub use name::NameKey;
pub use secret::{Secret, Stretch};
pub use stream::{Compressor, OpenError, Opener, SealError, Sealer, Span, seal_buffer};
pub use suite::{Aead, ChunkSize, Codec, Suite};
pub use transcript::Transcript;
