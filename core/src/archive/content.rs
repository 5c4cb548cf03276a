//! What stands behind the manifest: the files' bytes, their digests, and the root.
//!
//! PROTOCOL.md, sections 8 and 8.3.

use crate::archive::{ArchiveError, Summary};
use crate::digest::{Digest, Hasher};

/// Length of a digest in the archive.
const DIGEST: usize = 32;

/// Computes the digests that follow each file, and the root that follows them all.
pub struct ContentHasher {
    file: Hasher,
    root: Hasher,
}

impl ContentHasher {
    /// For the content that follows the manifest with that digest.
    pub fn new(manifest: Digest) -> Self {
        let mut root = Hasher::new();
        root.update(&manifest.0);
        Self { file: Hasher::new(), root }
    }

    /// Takes the next bytes of the current file.
    pub fn update(&mut self, bytes: &[u8]) {
        self.file.update(bytes);
    }

    /// Ends the current file, and gives its digest.
    pub fn end_file(&mut self) -> Digest {
        let digest = self.file.digest();
        self.root.update(&digest.0);
        self.file.reset();
        digest
    }

    /// The root, once the last file has ended.
    pub fn root(&self) -> Digest {
        self.root.digest()
    }
}

/// Checks the content of an archive as it arrives. The caller says how long each file is, since only its manifest knows.
pub struct ContentReader {
    hasher: ContentHasher,
    /// Files that have not begun.
    files: u32,
    state: State,
}

enum State {
    Between,
    File { left: u64 },
    FileDigest { bytes: [u8; DIGEST], have: usize },
    Root { bytes: [u8; DIGEST], have: usize },
    End { root: Digest },
}

/// What came next.
#[derive(Debug, PartialEq, Eq)]
pub enum Content<'i> {
    /// The input is used up.
    NeedInput,
    /// The next file begins: [`ContentReader::begin_file`] has to say how long it is.
    NeedFile,
    /// Bytes of the current file, a slice of the input.
    Data(&'i [u8]),
    /// The current file is whole, and matches its digest.
    FileEnd(Digest),
    /// The archive is whole, and matches its root.
    End {
        /// The root.
        root: Digest,
    },
}

impl ContentReader {
    /// For the content that follows the manifest that was summed up so.
    pub fn new(manifest: &Summary) -> Self {
        Self { hasher: ContentHasher::new(manifest.digest), files: manifest.files, state: State::Between }
    }

    /// Begins the next file, of `size` bytes.
    pub fn begin_file(&mut self, size: u64) -> Result<(), ArchiveError> {
        if self.files == 0 || !matches!(self.state, State::Between) {
            return Err(ArchiveError::Misuse);
        }
        self.files -= 1;
        self.state = State::File { left: size };
        Ok(())
    }

    /// Takes bytes off the front of `input`, and says what they are.
    pub fn next<'i>(&mut self, input: &mut &'i [u8]) -> Result<Content<'i>, ArchiveError> {
        match &mut self.state {
            State::Between if self.files > 0 => Ok(Content::NeedFile),
            State::Between => {
                self.state = State::Root { bytes: [0; DIGEST], have: 0 };
                self.next(input)
            }
            State::File { left: 0 } => {
                self.state = State::FileDigest { bytes: [0; DIGEST], have: 0 };
                self.next(input)
            }
            State::File { .. } | State::FileDigest { .. } | State::Root { .. } if input.is_empty() => {
                Ok(Content::NeedInput)
            }
            State::File { left } => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                let data = take(input, count);
                *left -= count as u64;
                self.hasher.update(data);
                Ok(Content::Data(data))
            }
            State::FileDigest { bytes, have } => {
                let Some(said) = gather(bytes, have, input) else { return Ok(Content::NeedInput) };
                self.state = State::Between;
                let digest = self.hasher.end_file();
                if said == digest { Ok(Content::FileEnd(digest)) } else { Err(ArchiveError::FileDigest) }
            }
            State::Root { bytes, have } => {
                let Some(said) = gather(bytes, have, input) else { return Ok(Content::NeedInput) };
                let root = self.hasher.root();
                self.state = State::End { root };
                if said == root { Ok(Content::End { root }) } else { Err(ArchiveError::RootDigest) }
            }
            State::End { root } if input.is_empty() => Ok(Content::End { root: *root }),
            State::End { .. } => Err(ArchiveError::Excess),
        }
    }
}

fn take<'i>(input: &mut &'i [u8], count: usize) -> &'i [u8] {
    let (taken, rest) = input.split_at(count);
    *input = rest;
    taken
}

fn gather(bytes: &mut [u8; DIGEST], have: &mut usize, input: &mut &[u8]) -> Option<Digest> {
    let taken = take(input, input.len().min(DIGEST - *have));
    bytes[*have..][..taken.len()].copy_from_slice(taken);
    *have += taken.len();
    (*have == DIGEST).then_some(Digest(*bytes))
}
