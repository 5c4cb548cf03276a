//! The start of a sealed file: magic and header. The commitment and the chunks follow it.
//!
//! ```text
//!  0          8            10
//! +----------+------------+-------- ... -+------------------+
//! | WAFTSEAL | length u16 | header       | commitment (32)  | chunk frames ...
//! +----------+------------+-------- ... -+------------------+
//! ```
//!
//! The header is in postcard; its length is big-endian. PROTOCOL.md, section 9.

use core::fmt;

use serde::{Deserialize, Serialize};

use super::suite::{Aead, ChunkSize, Codec, Suite};
use super::transcript::FILE_MAGIC;
use crate::archive::Shape;
use crate::bytes;
use crate::limits::{ARCHIVE_MAX, ENTRIES_MAX, ITERATIONS_MAX, ITERATIONS_MIN, MANIFEST_MAX, MESSAGE_MAX};

/// The first bytes of a sealed file.
pub const MAGIC: [u8; 8] = FILE_MAGIC;
/// Length of the magic and the length field together.
pub const START: usize = MAGIC.len() + 2;
/// Longest header of any version, in bytes.
pub const HEADER_MAX: usize = MESSAGE_MAX;
/// Longest start and header of this version, in bytes.
pub const ENCODED_MAX: usize = START + 1 + 5 + 32 + 2 + 3 + 2 * 10 + 3 * 5;

const VERSION: u8 = 1;

/// The header of a sealed file. Every field is within [`limits`](crate::limits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// PBKDF2 iterations.
    pub iterations: u32,
    /// PBKDF2's salt.
    pub salt: [u8; 32],
    /// AEAD, codec and size of the chunks.
    pub suite: Suite,
    /// When the file was sealed: seconds since 1970.
    pub created: u64,
    /// The archive's lengths and counts.
    pub shape: Shape,
}

/// Why a file cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FileError {
    /// The file does not begin with [`MAGIC`].
    Magic,
    /// The file has another version, of this number.
    Version(u8),
    /// The header is too long, too short or malformed.
    Header,
    /// The header names an AEAD or codec that this version does not know.
    Algorithm,
    /// A field of the header exceeds its bounds, or contradicts another field.
    Field,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Magic => "the file is not a sealed file",
            Self::Version(version) => return write!(f, "the sealed file has version {version}, which is unknown"),
            Self::Header => "the sealed file's header is malformed",
            Self::Algorithm => "the sealed file uses an unknown cipher or codec",
            Self::Field => "the sealed file's header has a field that is out of range",
        })
    }
}

impl core::error::Error for FileError {}

/// The length, in bytes, of the header in a file that begins with `start`. Fails with [`FileError::Magic`] if it is not
/// a sealed file, and with [`FileError::Header`] if the length is 0 or exceeds [`HEADER_MAX`].
pub fn header_len(start: &[u8; START]) -> Result<usize, FileError> {
    let [magic @ .., high, low] = start;
    if *magic != MAGIC {
        return Err(FileError::Magic);
    }
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if (1..=HEADER_MAX).contains(&length) { Ok(length) } else { Err(FileError::Header) }
}

impl Header {
    /// Writes the start of the file and the header to the front of `out`, and returns them. The header alone, which
    /// [`Transcript::file`](super::Transcript::file) needs, follows the first [`START`] bytes.
    pub fn encode<'b>(&self, out: &'b mut [u8; ENCODED_MAX]) -> &'b [u8] {
        let (start, header) = out.split_at_mut(START);
        let length = postcard::to_slice(&Fields::from(self), header).expect("ENCODED_MAX holds every header").len();
        start[..MAGIC.len()].copy_from_slice(&MAGIC);
        start[MAGIC.len()..].copy_from_slice(&(length as u16).to_be_bytes());
        &out[..START + length]
    }

    /// Decodes and checks a header: the [`header_len`] bytes after the start.
    pub fn decode(header: &[u8]) -> Result<Self, FileError> {
        match header.first() {
            Some(&VERSION) => {}
            Some(&version) => return Err(FileError::Version(version)),
            None => return Err(FileError::Header),
        }
        match postcard::take_from_bytes::<Fields>(header) {
            Ok((fields, [])) => fields.check(),
            _ => Err(FileError::Header),
        }
    }
}

/// The header as it is encoded. The order of the fields *is* the format.
#[derive(Serialize, Deserialize)]
struct Fields {
    version: u8,
    iterations: u32,
    #[serde(with = "bytes")]
    salt: [u8; 32],
    aead: u8,
    codec: u8,
    chunk: u32,
    created: u64,
    shape: Shape,
}

impl From<&Header> for Fields {
    fn from(header: &Header) -> Self {
        let &Header { iterations, salt, suite: Suite { aead, codec, chunk }, created, shape } = header;
        let (aead, codec, chunk) = (aead as u8, codec as u8, chunk.bytes());
        Self { version: VERSION, iterations, salt, aead, codec, chunk, created, shape }
    }
}

impl Fields {
    fn check(self) -> Result<Header, FileError> {
        let chunk = ChunkSize::new(self.chunk).filter(|_| self.is_within_bounds()).ok_or(FileError::Field)?;
        let Self { iterations, salt, aead, codec, created, shape, .. } = self;
        let aead = Aead::from_number(aead).ok_or(FileError::Algorithm)?;
        let codec = Codec::from_number(codec).ok_or(FileError::Algorithm)?;
        Ok(Header { iterations, salt, suite: Suite { aead, codec, chunk }, created, shape })
    }

    fn is_within_bounds(&self) -> bool {
        let shape = &self.shape;
        (ITERATIONS_MIN..=ITERATIONS_MAX).contains(&self.iterations)
            && shape.total <= ARCHIVE_MAX
            && shape.entries <= ENTRIES_MAX
            && shape.manifest <= MANIFEST_MAX
            && shape.is_consistent()
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::limits::{CHUNK_MAX, CHUNK_MIN};
    use crate::sealed::vectors::vectors;

    const HEADER: Header = Header {
        iterations: 200_000,
        salt: [7; 32],
        suite: Suite { aead: Aead::Aes256Gcm, codec: Codec::Lz4, chunk: ChunkSize::MAX },
        created: 1,
        shape: SHAPE,
    };
    const SHAPE: Shape = Shape { total: 2000, files: 10, entries: 12, manifest: 300 };

    fn of(shape: Shape) -> Header {
        Header { shape, ..HEADER }
    }

    /// The encoded header without the start.
    fn encoded(header: &Header) -> Vec<u8> {
        header.encode(&mut [0; ENCODED_MAX])[START..].to_vec()
    }

    #[test]
    fn a_header_has_the_frozen_bytes() {
        let vector = vectors(include_str!("../../tests/vectors/sealed/file.txt")).remove(0);
        let small = |name| vector.number(name) as u32;
        let header = Header {
            iterations: small("iterations"),
            salt: vector.array("salt"),
            suite: Suite {
                aead: Aead::from_number(small("aead") as u8).unwrap(),
                codec: Codec::from_number(small("codec") as u8).unwrap(),
                chunk: ChunkSize::new(small("chunk")).unwrap(),
            },
            created: vector.number("created"),
            shape: Shape {
                total: vector.number("total"),
                files: small("files"),
                entries: small("entries"),
                manifest: small("manifest"),
            },
        };
        let bytes = vector.bytes("start");
        assert_eq!(bytes, header.encode(&mut [0; ENCODED_MAX]));
        assert_eq!(Ok(bytes.len() - START), header_len(bytes[..START].try_into().unwrap()));
        assert_eq!(Ok(header), Header::decode(&bytes[START..]));
    }

    #[test]
    fn the_longest_header_fits() {
        let most = u32::MAX;
        let longest = Header {
            iterations: most,
            created: u64::MAX,
            shape: Shape { total: u64::MAX, files: most, entries: most, manifest: most },
            ..HEADER
        };
        assert_eq!(ENCODED_MAX, longest.encode(&mut [0; ENCODED_MAX]).len());
    }

    #[test]
    fn every_bound_is_checked() {
        assert_eq!(Ok(HEADER), Header::decode(&encoded(&HEADER)));
        for bad in [
            Header { iterations: ITERATIONS_MIN - 1, ..HEADER },
            Header { iterations: ITERATIONS_MAX + 1, ..HEADER },
            of(Shape { total: ARCHIVE_MAX + 1, ..SHAPE }),
            of(Shape { files: 13, ..SHAPE }),
            of(Shape { entries: ENTRIES_MAX + 1, ..SHAPE }),
            of(Shape { manifest: MANIFEST_MAX + 1, total: ARCHIVE_MAX, ..SHAPE }),
            // Ten digests and the root take 352 bytes.
            of(Shape { total: 300 + 352 - 1, ..SHAPE }),
        ] {
            assert_eq!(Err(FileError::Field), Header::decode(&encoded(&bad)), "{bad:?}");
        }
        for chunk in [CHUNK_MIN / 2, CHUNK_MAX * 2, CHUNK_MIN * 3, 0] {
            let mut buffer = [0; ENCODED_MAX];
            let bad = postcard::to_slice(&Fields { chunk, ..Fields::from(&HEADER) }, &mut buffer).unwrap();
            assert_eq!(Err(FileError::Field), Header::decode(bad), "{chunk}");
        }
        let least = of(Shape { total: 300 + 352, ..SHAPE });
        assert_eq!(Ok(least), Header::decode(&encoded(&least)));
    }

    #[test]
    fn a_shortened_or_extended_header_is_refused() {
        let bytes = encoded(&HEADER);
        for cut in 0..bytes.len() {
            assert_eq!(Err(FileError::Header), Header::decode(&bytes[..cut]));
        }
        assert_eq!(Err(FileError::Header), Header::decode(&[&bytes[..], &[0]].concat()));
    }

    #[test]
    fn unknown_versions_and_algorithms_are_refused() {
        let mut bytes = encoded(&HEADER);
        // The AEAD follows the version, three bytes of iterations and the salt.
        bytes[1 + 3 + 32] = 3;
        assert_eq!(Err(FileError::Algorithm), Header::decode(&bytes));
        (bytes[1 + 3 + 32], bytes[1 + 3 + 32 + 1]) = (1, 2);
        assert_eq!(Err(FileError::Algorithm), Header::decode(&bytes));
        bytes[0] = 2;
        assert_eq!(Err(FileError::Version(2)), Header::decode(&bytes));
        assert_eq!(Err(FileError::Version(9)), Header::decode(&[&[9][..], &[0xFF; 300]].concat()));
    }

    #[test]
    fn the_start_is_checked() {
        let start = |length: u16| -> [u8; START] { [&MAGIC[..], &length.to_be_bytes()].concat().try_into().unwrap() };
        assert_eq!(Ok(1), header_len(&start(1)));
        assert_eq!(Ok(HEADER_MAX), header_len(&start(HEADER_MAX as u16)));
        assert_eq!(Err(FileError::Header), header_len(&start(0)));
        assert_eq!(Err(FileError::Header), header_len(&start(HEADER_MAX as u16 + 1)));
        for at in 0..MAGIC.len() {
            let mut other = start(60);
            other[at] ^= 0x20;
            assert_eq!(Err(FileError::Magic), header_len(&other));
        }
    }

    /// Any header whose fields are within their bounds.
    fn headers() -> impl Strategy<Value = Header> {
        let shapes = (1..=ENTRIES_MAX, 0..=ENTRIES_MAX, 0..=MANIFEST_MAX, 0..=ARCHIVE_MAX);
        let choices = (any::<bool>(), any::<bool>(), CHUNK_MIN.ilog2()..=CHUNK_MAX.ilog2());
        (ITERATIONS_MIN..=ITERATIONS_MAX, any::<[u8; 32]>(), any::<u64>(), choices, shapes).prop_map(
            |(iterations, salt, created, (aes, lz4, chunk), (entries, files, manifest, total))| {
                let (files, manifest) = (files.min(entries), manifest.max(entries));
                let total = total.max(u64::from(manifest) + 32 * (u64::from(files) + 1));
                Header {
                    iterations,
                    salt,
                    suite: Suite {
                        aead: if aes { Aead::Aes256Gcm } else { Aead::ChaCha20Poly1305 },
                        codec: if lz4 { Codec::Lz4 } else { Codec::None },
                        chunk: ChunkSize::new(1 << chunk).unwrap(),
                    },
                    created,
                    shape: Shape { total, files, entries, manifest },
                }
            },
        )
    }

    proptest! {
        #[test]
        fn a_header_decodes_and_a_changed_one_is_another_or_an_error(
            header in headers(),
            at in any::<prop::sample::Index>(),
            flip in 1u8..,
        ) {
            let mut bytes = encoded(&header);
            prop_assert_eq!(Ok(header), Header::decode(&bytes));
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            if let Ok(other) = Header::decode(&bytes) {
                prop_assert_ne!(header, other);
                prop_assert_eq!(Ok(other), Header::decode(&encoded(&other)));
            }
        }

        #[test]
        fn random_bytes_are_refused_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(Header::decode(&[&[VERSION], &bytes[..]].concat()).is_err(), "random bytes form a header");
        }
    }
}
