//! One entry of a manifest: a file or a directory with its path, permissions and modification time.
//!
//! [`ManifestWriter`](super::ManifestWriter) encodes entries, [`ManifestReader`](super::ManifestReader) decodes them.
//! PROTOCOL.md, section 8.1.
//!
//! ```text
//! 0               2
//! +---------------+------------------------------------------------------+
//! | length (u16)  | kind (and size) | path | mode | seconds | nanos       |
//! +---------------+------------------------------------------------------+
//!   big-endian      postcard: length bytes, every integer in its shortest form
//! ```

use serde::{Deserialize, Serialize};

use super::error::ArchiveError;
use crate::limits::ENTRY_MAX;
use crate::path::RelPath;

/// Bytes of the length that precedes every entry.
pub const ENTRY_PREFIX: usize = 2;
/// The most bytes that the kind of an entry takes at its front: a byte, and the size.
pub const KIND_MAX: usize = 11;
/// The most bytes that the kind of an entry and the length of its path take at its front.
pub const START_MAX: usize = KIND_MAX + 3;
/// All mode bits that an entry may have. Setuid, setgid and the sticky bit are not among them.
pub const MODE_MAX: u16 = 0o777;

const NANOS: u32 = 1_000_000_000;

/// One entry of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Whether it is a file or a directory.
    pub kind: Kind,
    /// Its path, relative to the folder.
    pub path: RelPath<'a>,
    /// Unix permission bits, at most [`MODE_MAX`].
    pub mode: u16,
    /// Modification time.
    pub modified: Modified,
}

/// The kind of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Kind {
    /// A directory.
    Directory,
    /// A file.
    File {
        /// Length of its content, in bytes.
        size: u64,
    },
}

/// A modification time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Modified {
    /// Seconds since 1970-01-01 UTC.
    pub seconds: i64,
    /// Nanoseconds after `seconds`, below 1 000 000 000.
    pub nanos: u32,
}

impl<'a> Entry<'a> {
    /// Writes the entry with its 2-byte length to the front of `out`, and returns the number of bytes written.
    /// `ENTRY_PREFIX + ENTRY_MAX` bytes always suffice.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, ArchiveError> {
        self.check()?;
        let (prefix, body) = out.split_first_chunk_mut::<ENTRY_PREFIX>().ok_or(ArchiveError::Buffer)?;
        let length = postcard::to_slice(&Body::from(self), body).map_err(|_| ArchiveError::Buffer)?.len();
        *prefix = u16::try_from(length).map_err(|_| ArchiveError::EntryTooLong)?.to_be_bytes();
        Ok(ENTRY_PREFIX + length)
    }

    /// Parses an entry that occupies all of `bytes`, which do not include its length prefix.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, ArchiveError> {
        if bytes.len() > ENTRY_MAX {
            return Err(ArchiveError::EntryTooLong);
        }
        let body: Body<'a> = postcard::from_bytes(bytes).map_err(|_| ArchiveError::Malformed)?;
        // Refuses trailing bytes, and integers that are longer than necessary: one tree has exactly one manifest.
        if body.shortest_length() != bytes.len() {
            return Err(ArchiveError::Malformed);
        }
        let modified = Modified { seconds: body.seconds, nanos: body.nanos };
        let entry = Self { kind: body.kind, path: RelPath::new(body.path)?, mode: body.mode, modified };
        entry.check()?;
        Ok(entry)
    }

    /// Parses the kind of an entry from its first bytes, of which [`KIND_MAX`] suffice. They do not include its length
    /// prefix. Unlike [`decode`](Self::decode), this checks nothing else.
    pub fn decode_kind(bytes: &[u8]) -> Result<Kind, ArchiveError> {
        postcard::take_from_bytes(bytes).map(|(kind, _)| kind).map_err(|_| ArchiveError::Malformed)
    }

    /// Parses the kind of an entry and the length of its path from its first bytes, of which [`START_MAX`] suffice. They
    /// do not include its length prefix. Returns both, and the offset of the path. Checks nothing else.
    pub fn decode_start(bytes: &[u8]) -> Result<(Kind, u16, usize), ArchiveError> {
        let taken = postcard::take_from_bytes::<(Kind, u16)>(bytes);
        taken.map(|((kind, path), rest)| (kind, path, bytes.len() - rest.len())).map_err(|_| ArchiveError::Malformed)
    }

    /// The size of a file; `None` for a directory.
    pub fn size(&self) -> Option<u64> {
        match self.kind {
            Kind::File { size } => Some(size),
            Kind::Directory => None,
        }
    }

    fn check(&self) -> Result<(), ArchiveError> {
        if self.mode > MODE_MAX {
            return Err(ArchiveError::Mode);
        }
        if self.modified.nanos >= NANOS {
            return Err(ArchiveError::Time);
        }
        Ok(())
    }
}

/// An entry as postcard encodes it. The values of its fields are not checked.
#[derive(Serialize, Deserialize)]
struct Body<'a> {
    kind: Kind,
    path: &'a str,
    mode: u16,
    seconds: i64,
    nanos: u32,
}

impl Body<'_> {
    /// Length of its shortest encoding.
    fn shortest_length(&self) -> usize {
        let kind = match self.kind {
            Kind::Directory => 1,
            Kind::File { size } => 1 + varint_length(size),
        };
        let seconds = (self.seconds << 1) ^ (self.seconds >> 63);
        let path = varint_length(self.path.len() as u64) + self.path.len();
        kind + path + varint_length(self.mode.into()) + varint_length(seconds as u64) + varint_length(self.nanos.into())
    }
}

impl<'a> From<&Entry<'a>> for Body<'a> {
    fn from(entry: &Entry<'a>) -> Self {
        let Modified { seconds, nanos } = entry.modified;
        Self { kind: entry.kind, path: entry.path.as_str(), mode: entry.mode, seconds, nanos }
    }
}

/// Length of the shortest varint of `value`.
fn varint_length(value: u64) -> usize {
    let bits = u64::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;
    use crate::path::PathError;

    fn entry(path: &str, kind: Kind) -> Entry<'_> {
        let modified = Modified { seconds: -1, nanos: 999_999_999 };
        Entry { kind, path: RelPath::new(path).unwrap(), mode: 0o640, modified }
    }

    #[test]
    fn the_bytes_are_frozen() {
        let mut out = [0; 64];
        let length = entry("a/b", Kind::File { size: 300 }).encode(&mut out).unwrap();
        let expected = b"\x00\x0f\x01\xac\x02\x03a/b\xa0\x03\x01\xff\x93\xeb\xdc\x03";
        assert_eq!(&out[..length], expected);
        assert_eq!(Entry::decode(&expected[2..]).unwrap(), entry("a/b", Kind::File { size: 300 }));
        assert_eq!(Entry::decode_kind(&expected[2..5]), Ok(Kind::File { size: 300 }));
        assert_eq!(Entry::decode_kind(&expected[2..4]), Err(ArchiveError::Malformed));
    }

    #[test]
    fn the_longest_entry_fits_its_limit() {
        let path = format!("{}/{}", ["n".repeat(254).as_str(); 4].join("/"), "abcd");
        let modified = Modified { seconds: i64::MIN, nanos: NANOS - 1 };
        let longest =
            Entry { kind: Kind::File { size: u64::MAX }, path: RelPath::new(&path).unwrap(), mode: MODE_MAX, modified };
        let mut out = [0; ENTRY_PREFIX + ENTRY_MAX];
        let length = longest.encode(&mut out).unwrap();
        assert_eq!(Entry::decode(&out[ENTRY_PREFIX..length]), Ok(longest));
        assert_eq!(Entry::decode_kind(&out[ENTRY_PREFIX..][..KIND_MAX]), Ok(longest.kind));
        assert_eq!(longest.encode(&mut out[..length - 1]), Err(ArchiveError::Buffer));
        assert_eq!(longest.encode(&mut []), Err(ArchiveError::Buffer));
    }

    #[test]
    fn a_wrong_mode_or_time_is_neither_encoded_nor_decoded() {
        let mut out = [0; 64];
        let good = entry("a", Kind::Directory);
        for mode in [0o1777, 0o2755, 0o4755, 0o1000, u16::MAX] {
            assert_eq!(Entry { mode, ..good }.encode(&mut out), Err(ArchiveError::Mode));
        }
        let modified = Modified { seconds: 0, nanos: NANOS };
        assert_eq!(Entry { modified, ..good }.encode(&mut out), Err(ArchiveError::Time));
        assert_eq!(Entry::decode(b"\x00\x01a\xed\x13\x00\x00"), Err(ArchiveError::Mode));
        assert_eq!(Entry::decode(b"\x00\x01a\xed\x03\x00\x80\x94\xeb\xdc\x03"), Err(ArchiveError::Time));
    }

    #[test]
    fn only_the_shortest_form_decodes() {
        assert!(Entry::decode(b"\x00\x01a\x00\x00\x00").is_ok());
        for longer in [
            &b"\x00\x01a\x00\x00\x00\x00"[..],
            b"\x80\x00\x01a\x00\x00\x00",
            b"\x00\x81\x00a\x00\x00\x00",
            b"\x00\x01a\x80\x00\x00\x00",
            b"\x00\x01a\x00\x80\x00\x00",
            b"\x00\x01a\x00\x00\x80\x00",
        ] {
            assert_eq!(Entry::decode(longer), Err(ArchiveError::Malformed), "{longer:x?}");
        }
    }

    #[test]
    fn malformed_entries_are_refused() {
        assert_eq!(Entry::decode(b""), Err(ArchiveError::Malformed));
        assert_eq!(Entry::decode(b"\x02\x01a\x00\x00\x00"), Err(ArchiveError::Malformed));
        assert_eq!(Entry::decode(b"\x00\x01\xff\x00\x00\x00"), Err(ArchiveError::Malformed));
        assert_eq!(Entry::decode(b"\x00\xff\xff\xff\xff\x0fa\x00\x00\x00"), Err(ArchiveError::Malformed));
        assert_eq!(Entry::decode(b"\x00\x02..\x00\x00\x00"), Err(ArchiveError::Path(PathError::Dots)));
        assert_eq!(Entry::decode(&[0; ENTRY_MAX + 1]), Err(ArchiveError::EntryTooLong));
    }
}
