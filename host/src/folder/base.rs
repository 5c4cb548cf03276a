//! Compares a folder's files with those that the receiver already has, so that [`FolderSource`](super::FolderSource)
//! leaves out what is equal.
//!
//! The receiver names files by their place in the manifest, each with the digest of the content that it has. Only those
//! files are read and hashed. PROTOCOL.md, section 6, step 8, "Only what changed".

use std::ffi::OsStr;
use std::iter::Peekable;
use std::ops::Range;
use std::sync::Arc;
use std::vec;

use waft_core::archive::{DIGEST, Kind};
use waft_core::digest::{Digest, Hasher};

use super::source::{Content, Current, PIECE, entries_trouble};
use crate::error::FileError;
use crate::worker::is_given_up;

/// Files by their place among the files of the manifest, in ascending order, with the digests of their contents.
pub(super) type Listed = Peekable<vec::IntoIter<(u32, Digest)>>;

/// The files that the receiver has as well.
#[derive(Default)]
pub(super) struct Equal {
    /// The ranges of the archive that are left out, in ascending order.
    pub(super) left_out: Vec<Range<u64>>,
    /// Those that are left out as a whole.
    pub(super) whole: Vec<(u32, Digest)>,
    /// The digest of the one that begins before the first byte that crosses, if there is one.
    pub(super) begun: Option<Digest>,
}

impl Content {
    /// Hashes the listed files, and returns those that are equal. The archive begins to cross at offset `from`, and its
    /// content begins at offset `at`. Afterwards the content has to be read anew.
    pub(super) fn compare(&mut self, mut listed: Listed, mut at: u64, from: u64) -> Result<Equal, FileError> {
        let (mut equal, mut file, mut buffer) = (Equal::default(), 0, vec![0; PIECE]);
        while listed.peek().is_some()
            && !is_given_up()
            && let Some(item) = self.entries.next().map_err(entries_trouble)?
        {
            while self.open.leave(item.depth).is_some() {}
            let Kind::File { size } = item.kind else {
                self.enter()?;
                continue;
            };
            let end = at + size + DIGEST as u64;
            if let Some((_, digest)) = listed.next_if(|(listed, _)| *listed == file)
                && from < end
                && self.digest_of_next(size, item.modified, &mut buffer)? == digest
            {
                equal.add(file, digest, at, end, from);
            }
            at = end;
            file += 1;
        }
        Ok(equal)
    }

    /// Enters the directory of the current entry.
    pub(super) fn enter(&mut self) -> Result<(), FileError> {
        let place = self.open.here().open_dir(OsStr::new(self.entries.name()));
        let place = place.map_err(|error| FileError::new(self.entries.path(), error))?;
        self.open.enter(Arc::new(place), ());
        Ok(())
    }

    /// The digest of the file of the current entry.
    fn digest_of_next(
        &self,
        size: u64,
        modified: waft_core::archive::Modified,
        buffer: &mut [u8],
    ) -> Result<Digest, FileError> {
        let mut digest = || {
            let mut file = Current::open(self.open.here(), self.entries.name(), size, modified)?;
            let mut hasher = Hasher::new();
            while file.left > 0 && !is_given_up() {
                let got = file.read(buffer)?;
                hasher.update(&buffer[..got]);
            }
            file.check()?;
            Ok(hasher.digest())
        };
        digest().map_err(|cause: crate::error::Cause| FileError::new(self.entries.path(), cause))
    }

    /// Reads up to offset `from` of the archive without returning the bytes, from the beginning of the content, at offset
    /// `at`. The file that has begun there is left out from there on if it is equal.
    pub(super) fn skip_to(&mut self, at: u64, from: u64, begun: Option<Digest>) -> Result<(), FileError> {
        let (mut left, mut buffer) = (from.saturating_sub(at), vec![0; PIECE]);
        while left > 0 && !is_given_up() {
            let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            left -= self.some(&mut buffer[..most], &mut None)? as u64;
        }
        if let Some(digest) = begun {
            // If its digest has begun, its content has ended, and the hasher has it already.
            if self.tail.take().is_none() {
                self.file = None;
                self.hasher.skip_file(&digest);
            }
        }
        Ok(())
    }
}

impl Equal {
    fn add(&mut self, file: u32, digest: Digest, start: u64, end: u64, from: u64) {
        match start < from {
            true => self.begun = Some(digest),
            false => self.whole.push((file, digest)),
        }
        let start = start.max(from);
        match self.left_out.last_mut().filter(|last| last.end == start) {
            Some(last) => last.end = end,
            None => self.left_out.push(start..end),
        }
    }
}
