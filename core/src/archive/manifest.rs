//! The manifest: what an archive holds, checked entry by entry as it streams.
//!
//! Writer and reader keep one rule book ([`Rules`]), which needs no more than the last path: entries ascend, so a
//! duplicate cannot be; and the parent of an entry is the last entry, or a directory that the last entry lies in.
//! PROTOCOL.md, section 8.1.

use heapless::{String, Vec};

use crate::archive::entry::LENGTH;
use crate::archive::{ArchiveError, Entry, Kind};
use crate::digest::{Digest, Hasher};
use crate::limits::{ARCHIVE_MAX, ENTRIES_MAX, ENTRY_MAX, MANIFEST_MAX, PATH_MAX};
use crate::path::RelPath;

/// What a whole manifest says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// BLAKE3 of its bytes.
    pub digest: Digest,
    /// Its length, in bytes.
    pub manifest: u32,
    /// Files and directories.
    pub entries: u32,
    /// Files.
    pub files: u32,
    /// Bytes of all files together.
    pub content: u64,
    /// Bytes of the whole archive.
    pub total: u64,
    /// Longest path, in bytes.
    pub longest_path: u16,
}

/// Encodes a manifest.
pub struct ManifestWriter {
    rules: Rules,
    hasher: Hasher,
}

impl ManifestWriter {
    /// An empty manifest.
    pub fn new() -> Self {
        Self { rules: Rules::new(), hasher: Hasher::new() }
    }

    /// Writes the next entry to the front of `out`; a buffer of `ENTRY_MAX + 2` bytes always does. Gives the bytes written.
    pub fn push(&mut self, entry: &Entry<'_>, out: &mut [u8]) -> Result<usize, ArchiveError> {
        let count = entry.encode(out)?;
        self.rules.take(entry, count)?;
        self.hasher.update(&out[..count]);
        Ok(count)
    }

    /// What was written.
    pub fn finish(&self) -> Summary {
        self.rules.summary(self.hasher.digest())
    }
}

impl Default for ManifestWriter {
    fn default() -> Self {
        Self::new()
    }
}

/// Checks a manifest as it arrives. About 2 KiB.
pub struct ManifestReader {
    length: u32,
    /// Bytes that are still to come.
    remaining: u32,
    /// The entry that is arriving, its length first.
    pending: Vec<u8, { LENGTH + ENTRY_MAX }>,
    rules: Rules,
    hasher: Hasher,
}

impl ManifestReader {
    /// A reader for a manifest of `length` bytes, which the caller has held against its bounds.
    pub fn new(length: u32) -> Self {
        Self { length, remaining: length, pending: Vec::new(), rules: Rules::new(), hasher: Hasher::new() }
    }

    /// Takes bytes off the front of `input` until an entry is whole. `None`: `input` is used up, or the manifest is complete.
    pub fn next<'s>(&'s mut self, input: &mut &[u8]) -> Result<Option<Entry<'s>>, ArchiveError> {
        if self.wanted()? == Some(0) {
            self.pending.clear();
        }
        while self.remaining > 0 && !input.is_empty() {
            let wanted = self.wanted()?.unwrap_or(LENGTH - self.pending.len());
            let count = wanted.min(input.len());
            let (taken, rest) = input.split_at(count);
            *input = rest;
            self.hasher.update(taken);
            self.pending.extend_from_slice(taken).map_err(|_| ArchiveError::EntryTooLong)?;
            self.remaining -= count as u32;
            if self.wanted()? == Some(0) {
                let entry = Entry::decode(&self.pending[LENGTH..])?;
                self.rules.take(&entry, self.pending.len())?;
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Bytes that are still to come.
    pub fn remaining(&self) -> u32 {
        self.remaining
    }

    /// What the whole manifest says.
    pub fn finish(&self) -> Result<Summary, ArchiveError> {
        if self.remaining > 0 {
            return Err(ArchiveError::ManifestTruncated);
        }
        debug_assert_eq!(self.rules.manifest, self.length);
        Ok(self.rules.summary(self.hasher.digest()))
    }

    /// Bytes that the arriving entry lacks, once its length is known.
    fn wanted(&self) -> Result<Option<usize>, ArchiveError> {
        let Some((length, body)) = self.pending.split_first_chunk::<LENGTH>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes(*length));
        if length > ENTRY_MAX {
            return Err(ArchiveError::EntryTooLong);
        }
        let wanted = length - body.len();
        if wanted > self.remaining as usize { Err(ArchiveError::ManifestTruncated) } else { Ok(Some(wanted)) }
    }
}

/// The rules that entries keep among each other, and their sums.
struct Rules {
    last: String<PATH_MAX>,
    last_is_directory: bool,
    manifest: u32,
    entries: u32,
    files: u32,
    content: u64,
    longest_path: u16,
}

impl Rules {
    fn new() -> Self {
        Self {
            last: String::new(),
            last_is_directory: true,
            manifest: 0,
            entries: 0,
            files: 0,
            content: 0,
            longest_path: 0,
        }
    }

    /// Checks the next entry, of `encoded` bytes, and counts it.
    fn take(&mut self, entry: &Entry<'_>, encoded: usize) -> Result<(), ArchiveError> {
        self.check_place(entry.path)?;
        // Both fit: an entry is shorter than 64 KiB, and the sum is checked at once.
        self.manifest = self.manifest.saturating_add(encoded as u32);
        self.entries = self.entries.saturating_add(1);
        if self.manifest > MANIFEST_MAX {
            return Err(ArchiveError::ManifestTooLong);
        }
        if self.entries > ENTRIES_MAX {
            return Err(ArchiveError::TooManyEntries);
        }
        if let Kind::File { size } = entry.kind {
            self.files += 1;
            self.content = self.content.checked_add(size).ok_or(ArchiveError::TooLong)?;
        }
        if self.content > ARCHIVE_MAX || self.total() > ARCHIVE_MAX {
            return Err(ArchiveError::TooLong);
        }
        self.longest_path = self.longest_path.max(entry.path.as_str().len() as u16);
        self.last.clear();
        self.last_is_directory = entry.kind == Kind::Directory;
        self.last.push_str(entry.path.as_str()).map_err(|_| ArchiveError::Malformed)
    }

    fn check_place(&self, path: RelPath<'_>) -> Result<(), ArchiveError> {
        // Only the first entry has none before it.
        let last = RelPath::new(&self.last).ok();
        if last.is_some_and(|last| path <= last) {
            return Err(ArchiveError::Order);
        }
        let Some(parent) = path.parent() else { return Ok(()) };
        let last = last.ok_or(ArchiveError::Parent)?;
        let stands = if parent == last { self.last_is_directory } else { last.is_within(parent) };
        if stands { Ok(()) } else { Err(ArchiveError::Parent) }
    }

    fn total(&self) -> u64 {
        u64::from(self.manifest) + self.content + 32 * (u64::from(self.files) + 1)
    }

    fn summary(&self, digest: Digest) -> Summary {
        let Self { manifest, entries, files, content, longest_path, .. } = *self;
        Summary { digest, manifest, entries, files, content, total: self.total(), longest_path }
    }
}
