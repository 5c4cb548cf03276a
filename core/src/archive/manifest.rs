//! The manifest: its writer, which takes entries, and its reader, which accepts bytes in pieces of any size.
//!
//! The sender passes each entry of its folder to a [`ManifestWriter`]. A receiver's store reads the entries with a
//! [`ManifestReader`], so that it acts only on checked ones. Both apply the same [`Rules`] and compute the same
//! [`Summary`]. PROTOCOL.md, section 8.1.

use super::entry::{ENTRY_PREFIX, Entry};
use super::error::ArchiveError;
use super::rules::Rules;
use super::shape::Summary;
use crate::digest::Hasher;
use crate::limits::{ENTRY_MAX, MANIFEST_MAX};

/// Writes a manifest. It takes about 3 KiB: a hasher and the last path.
pub struct ManifestWriter {
    rules: Rules,
    hasher: Hasher,
}

impl ManifestWriter {
    /// A writer of a manifest that has no entries yet.
    pub fn new() -> Self {
        Self { rules: Rules::new(), hasher: Hasher::new() }
    }

    /// Writes the next entry to the front of `out`, and returns the number of bytes written, at most `ENTRY_PREFIX +
    /// ENTRY_MAX`. An error leaves the manifest unchanged: the caller may go on with another entry.
    pub fn push(&mut self, entry: &Entry<'_>, out: &mut [u8]) -> Result<usize, ArchiveError> {
        let length = entry.encode(out)?;
        self.rules.check_entry(entry, length)?;
        self.hasher.update(&out[..length]);
        Ok(length)
    }

    /// The summary of the manifest as written so far.
    pub fn finish(&self) -> Summary {
        self.rules.summary(self.hasher.digest())
    }
}

impl Default for ManifestWriter {
    fn default() -> Self {
        Self::new()
    }
}

/// Reads a manifest and checks it. It takes about 4 KiB (a hasher, the last path and one entry), so avoid moving it.
pub struct ManifestReader {
    rules: Rules,
    hasher: Hasher,
    /// Bytes of the manifest that have not been read.
    remaining: u32,
    /// The entry that is being read or was returned last, with its length prefix.
    entry: [u8; ENTRY_PREFIX + ENTRY_MAX],
    /// Number of bytes in `entry`; 0 between entries.
    filled: usize,
    /// The first error. The reader reads nothing after it.
    failed: Option<ArchiveError>,
}

impl ManifestReader {
    /// A reader of a manifest of `length` bytes. If `length` is 0 or exceeds the limit, the first [`next`](Self::next)
    /// returns the error.
    pub fn new(length: u32) -> Self {
        Self {
            rules: Rules::new(),
            hasher: Hasher::new(),
            remaining: length,
            entry: [0; ENTRY_PREFIX + ENTRY_MAX],
            filled: 0,
            failed: length_error(length),
        }
    }

    /// Starts over, in place, with a manifest of `length` bytes.
    pub fn restart(&mut self, length: u32) {
        self.rules.restart();
        self.hasher.reset();
        (self.remaining, self.filled) = (length, 0);
        self.failed = length_error(length);
    }

    /// Lends its hasher to something else. After that, the reader must be restarted before it reads again.
    pub fn hasher(&mut self) -> &mut Hasher {
        self.failed = Some(ArchiveError::Misuse);
        &mut self.hasher
    }

    /// Consumes bytes from the front of `input` until an entry is complete, checks it and returns it. Returns `None`
    /// when `input` is used up or the manifest is complete. Never consumes bytes after the manifest. After an error
    /// every call returns that error.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Entry<'_>>, ArchiveError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let length = match self.fill(input) {
            Ok(Some(length)) => length,
            Ok(None) => return Ok(None),
            Err(error) => return Err(*self.failed.insert(error)),
        };
        let whole = &self.entry[..length];
        let entry = Entry::decode(&whole[ENTRY_PREFIX..]);
        match entry.and_then(|entry| self.rules.check_entry(&entry, length).map(|()| entry)) {
            Ok(entry) => {
                self.hasher.update(whole);
                self.filled = 0;
                Ok(Some(entry))
            }
            Err(error) => Err(*self.failed.insert(error)),
        }
    }

    /// Bytes of the manifest that have not been read.
    pub fn remaining(&self) -> u32 {
        self.remaining
    }

    /// Whether the whole manifest was read and is legal.
    pub fn is_complete(&self) -> bool {
        self.failed.is_none() && self.remaining == 0
    }

    /// The summary of the manifest, if it is complete.
    pub fn finish(&self) -> Result<Summary, ArchiveError> {
        match self.failed {
            Some(error) => Err(error),
            None if self.remaining > 0 => Err(ArchiveError::Truncated),
            None => Ok(self.rules.summary(self.hasher.digest())),
        }
    }

    /// Reads bytes until an entry is complete. Returns its length, prefix included.
    fn fill(&mut self, input: &mut &[u8]) -> Result<Option<usize>, ArchiveError> {
        if self.remaining == 0 {
            return Ok(None);
        }
        if !self.fill_to(ENTRY_PREFIX, input)? {
            return Ok(None);
        }
        let length = usize::from(u16::from_be_bytes([self.entry[0], self.entry[1]]));
        if length > ENTRY_MAX {
            return Err(ArchiveError::EntryTooLong);
        }
        let whole = ENTRY_PREFIX + length;
        Ok(self.fill_to(whole, input)?.then_some(whole))
    }

    /// Reads bytes until `entry` holds `end` bytes. Returns whether it does.
    fn fill_to(&mut self, end: usize, input: &mut &[u8]) -> Result<bool, ArchiveError> {
        let missing = end.saturating_sub(self.filled);
        if missing > self.remaining as usize {
            return Err(ArchiveError::Truncated);
        }
        let (taken, rest) = input.split_at(missing.min(input.len()));
        *input = rest;
        self.entry[self.filled..][..taken.len()].copy_from_slice(taken);
        self.filled += taken.len();
        self.remaining -= taken.len() as u32;
        Ok(taken.len() == missing)
    }
}

/// The error in a manifest's length, if there is one. A manifest has at least one entry.
fn length_error(length: u32) -> Option<ArchiveError> {
    match length {
        0 => Some(ArchiveError::Truncated),
        1..=MANIFEST_MAX => None,
        _ => Some(ArchiveError::ManifestTooLong),
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::archive::{Kind, Modified};
    use crate::digest::Digest;
    use crate::path::RelPath;

    fn file(path: &str, size: u64) -> Entry<'_> {
        let path = RelPath::new(path).unwrap();
        Entry { kind: Kind::File { size }, path, mode: 0o644, modified: Modified::default() }
    }

    fn manifest(entries: &[Entry<'_>]) -> (Vec<u8>, Summary) {
        let mut writer = ManifestWriter::new();
        let (mut bytes, mut out) = (Vec::new(), [0; ENTRY_PREFIX + ENTRY_MAX]);
        for entry in entries {
            let length = writer.push(entry, &mut out).unwrap();
            bytes.extend_from_slice(&out[..length]);
        }
        (bytes, writer.finish())
    }

    #[test]
    fn a_restarted_reader_reads_a_new_manifest() {
        let (bytes, summary) = manifest(&[file("a", 1), file("b", 2)]);
        let mut reader = ManifestReader::new(bytes.len() as u32);
        assert!(reader.next(&mut &bytes[..10]).is_ok());
        assert!(reader.next(&mut &[0xFF; 20][..]).is_err());
        reader.restart(bytes.len() as u32);
        let mut input = &bytes[..];
        while reader.next(&mut input).unwrap().is_some() {}
        assert_eq!(reader.finish(), Ok(summary));
    }

    #[test]
    fn a_reader_reads_the_written_manifest_and_nothing_after_it() {
        let (bytes, summary) = manifest(&[file("a", 1), file("b", 2)]);
        assert_eq!((summary.shape.entries, summary.shape.files, summary.content), (2, 2, 3));
        assert_eq!(summary.shape.total, bytes.len() as u64 + 3 + 96);
        assert_eq!(summary.digest, Digest::of(&bytes));
        let stream = [&bytes[..], b"content"].concat();
        let mut input = &stream[..];
        let mut reader = ManifestReader::new(bytes.len() as u32);
        assert_eq!(reader.next(&mut input), Ok(Some(file("a", 1))));
        assert!(!reader.is_complete());
        assert_eq!(reader.next(&mut input), Ok(Some(file("b", 2))));
        assert!(reader.is_complete());
        assert_eq!(reader.next(&mut input), Ok(None));
        assert_eq!((input, reader.remaining(), reader.finish()), (&b"content"[..], 0, Ok(summary)));
    }

    #[test]
    fn a_manifest_cannot_end_within_an_entry() {
        let (bytes, _) = manifest(&[file("a", 1), file("b", 2)]);
        for length in 0..bytes.len() {
            let mut reader = ManifestReader::new(length as u32);
            let mut input = &bytes[..];
            let whole = length == bytes.len() / 2;
            let end = loop {
                match reader.next(&mut input) {
                    Ok(Some(_)) => {}
                    other => break other.map(|_| ()),
                }
            };
            assert_eq!(end, if whole { Ok(()) } else { Err(ArchiveError::Truncated) }, "{length}");
            assert_eq!(reader.finish().is_ok(), whole, "{length}");
        }
    }

    #[test]
    fn an_incomplete_manifest_is_truncated() {
        let (bytes, _) = manifest(&[file("a", 1)]);
        let mut reader = ManifestReader::new(bytes.len() as u32);
        assert_eq!(reader.next(&mut &bytes[..5]), Ok(None));
        assert!(!reader.is_complete());
        assert_eq!(reader.finish(), Err(ArchiveError::Truncated));
    }

    #[test]
    fn the_first_error_is_final() {
        let (good, _) = manifest(&[file("b", 1)]);
        let stream = [&good[..], &good[..], &good[..]].concat();
        let mut reader = ManifestReader::new(stream.len() as u32);
        let mut input = &stream[..];
        assert!(reader.next(&mut input).is_ok());
        for _ in 0..3 {
            assert_eq!(reader.next(&mut input), Err(ArchiveError::Duplicate));
        }
        assert!(!reader.is_complete());
        assert_eq!(reader.finish(), Err(ArchiveError::Duplicate));
    }

    #[test]
    fn wrong_lengths_are_refused_before_they_are_used() {
        assert_eq!(ManifestReader::new(u32::MAX).next(&mut &[][..]), Err(ArchiveError::ManifestTooLong));
        assert_eq!(ManifestReader::new(MANIFEST_MAX).next(&mut &b"\xff\xff"[..]), Err(ArchiveError::EntryTooLong));
        assert_eq!(ManifestReader::new(50).next(&mut &b"\x00\x31"[..]), Err(ArchiveError::Truncated));
        assert_eq!(ManifestReader::new(50).next(&mut &b"\x00\x00"[..]), Err(ArchiveError::Malformed));
    }

    #[test]
    fn a_writer_goes_on_after_a_refused_entry() {
        let mut writer = ManifestWriter::new();
        let mut out = [0; 64];
        writer.push(&file("b", 1), &mut out).unwrap();
        assert_eq!(writer.push(&file("a", 1), &mut out), Err(ArchiveError::Order));
        assert_eq!(writer.push(&file("c", 1), &mut out[..5]), Err(ArchiveError::Buffer));
        writer.push(&file("c", 2), &mut out).unwrap();
        assert_eq!(writer.finish(), manifest(&[file("b", 1), file("c", 2)]).1);
    }
}
