//! The part of an archive after the manifest: the files' contents, each followed by its digest, and the root.
//!
//! A sender passes every file through a [`ContentHasher`]. A receiver splits the archive with a [`ContentReader`],
//! which checks every file's digest and the root. PROTOCOL.md, sections 8 and 8.3.

use core::borrow::BorrowMut;

use super::error::ArchiveError;
use super::shape::{DIGEST, Summary};
use crate::digest::{Digest, Hasher};

/// Computes the digests of an archive's files and, from these, its root. It takes about 4 KiB: two hashers, unless it
/// borrows them.
pub struct ContentHasher<H = Hasher> {
    file: H,
    root: H,
}

impl ContentHasher {
    /// The hasher for the archive whose manifest has the digest `manifest`, before the archive's first file.
    pub fn new(manifest: &Digest) -> Self {
        let mut hasher = Self { file: Hasher::new(), root: Hasher::new() };
        hasher.root.update(&manifest.0);
        hasher
    }
}

impl<'h> ContentHasher<&'h mut Hasher> {
    /// The same with borrowed hashers, whatever they were used for.
    pub fn borrowing([file, root]: [&'h mut Hasher; 2], manifest: &Digest) -> Self {
        file.reset();
        root.reset();
        root.update(&manifest.0);
        Self { file, root }
    }
}

impl<H: BorrowMut<Hasher>> ContentHasher<H> {
    /// Adds the next bytes of the current file.
    pub fn update(&mut self, content: &[u8]) {
        self.file.borrow_mut().update(content);
    }

    /// Ends the current file and begins the next. Returns the digest that follows the ended file's content.
    pub fn end_file(&mut self) -> Digest {
        let file = self.file.borrow_mut();
        let digest = file.digest();
        file.reset();
        self.root.borrow_mut().update(&digest.0);
        digest
    }

    /// Adds a file with this digest instead of the current one, whatever was added of that.
    pub fn skip_file(&mut self, digest: &Digest) {
        self.file.borrow_mut().reset();
        self.root.borrow_mut().update(&digest.0);
    }

    /// The root of an archive whose files are those that have ended.
    pub fn root(&self) -> Digest {
        self.root.borrow().digest()
    }
}

/// The next part of an archive, as a [`ContentReader`] returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'i> {
    /// The next file begins. The caller has to give its size, with [`ContentReader::begin_file`].
    NeedFile,
    /// The next bytes of the file, as a part of the input. They are verified only once `FileEnd` follows.
    Data(&'i [u8]),
    /// The file is complete and matches this digest.
    FileEnd {
        /// BLAKE3 of its content.
        digest: Digest,
    },
    /// The archive is complete and matches its root. Returned once.
    End {
        /// The root.
        root: Digest,
    },
}

/// Splits and verifies the part of an archive after the manifest. It takes about 4 KiB (two hashers), so avoid moving
/// it, unless it borrows them.
pub struct ContentReader<H = Hasher> {
    hasher: ContentHasher<H>,
    /// Number of files that have not begun.
    files: u32,
    /// Sum of the sizes of those files, in bytes.
    content: u64,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    /// Between two files: the next has to begin.
    Between,
    /// Within a file of which `left` bytes, at least 1, are still to come.
    File { left: u64 },
    /// Within the digest that follows a file.
    Digest(PartialDigest),
    /// Within the root.
    Root(PartialDigest),
    /// After the root.
    Ended,
    /// After the first error, which every call returns from then on.
    Failed(ArchiveError),
}

impl ContentReader {
    /// The reader for the bytes after the manifest with this summary.
    #[inline(never)] // For the reason that `Hasher::new` gives.
    pub fn new(manifest: &Summary) -> Self {
        Self::with_hasher(ContentHasher::new(&manifest.digest), manifest)
    }
}

impl<'h> ContentReader<&'h mut Hasher> {
    /// The same with borrowed hashers, whatever they were used for.
    pub fn borrowing(hashers: [&'h mut Hasher; 2], manifest: &Summary) -> Self {
        Self::with_hasher(ContentHasher::borrowing(hashers, &manifest.digest), manifest)
    }
}

impl<H: BorrowMut<Hasher>> ContentReader<H> {
    fn with_hasher(hasher: ContentHasher<H>, manifest: &Summary) -> Self {
        let files = manifest.shape.files;
        Self { hasher, files, content: manifest.content, state: after_file(files) }
    }

    /// Begins the manifest's next file, of `size` bytes, after [`Content::NeedFile`].
    ///
    /// Returns [`ArchiveError::Misuse`], without effect, at any other moment, and if the sizes do not add up to the
    /// manifest's.
    pub fn begin_file(&mut self, size: u64) -> Result<(), ArchiveError> {
        let content = self.content.checked_sub(size).filter(|content| *content == 0 || self.files > 1);
        match (self.state, content) {
            (State::Between, Some(content)) => {
                self.content = content;
                self.files -= 1;
                self.state = within_file(size);
                Ok(())
            }
            _ => Err(ArchiveError::Misuse),
        }
    }

    /// Ends a file that a store reads back without its digest, because the store did not keep that. Returns the digest
    /// of the file's content.
    ///
    /// Returns [`ArchiveError::Misuse`], without effect, except just after the file's last byte.
    pub fn end_held_file(&mut self) -> Result<Digest, ArchiveError> {
        let State::Digest(PartialDigest { filled: 0, .. }) = self.state else { return Err(ArchiveError::Misuse) };
        let digest = self.hasher.end_file();
        self.state = after_file(self.files);
        Ok(digest)
    }

    /// Passes over the manifest's next file, of `size` bytes, whose content a store holds and has compared with `digest`.
    ///
    /// Returns [`ArchiveError::Misuse`], without effect, where [`begin_file`](Self::begin_file) does.
    pub fn skip_held_file(&mut self, size: u64, digest: &Digest) -> Result<(), ArchiveError> {
        self.begin_file(size)?;
        self.hasher.skip_file(digest);
        self.state = after_file(self.files);
        Ok(())
    }

    /// Consumes the next part of the archive from the front of `input`, and returns it; `None` when `input` is used up.
    /// [`Content::NeedFile`] consumes nothing, and is returned until the file begins. After an error every call returns
    /// that error.
    pub fn next<'i>(&mut self, input: &mut &'i [u8]) -> Result<Option<Content<'i>>, ArchiveError> {
        let content = self.advance(input);
        if let Err(error) = content {
            self.state = State::Failed(error);
        }
        content
    }

    /// Whether the whole archive was read and matches its root.
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    fn advance<'i>(&mut self, input: &mut &'i [u8]) -> Result<Option<Content<'i>>, ArchiveError> {
        match &mut self.state {
            State::Between => Ok(Some(Content::NeedFile)),
            State::Failed(error) => Err(*error),
            State::Ended if input.is_empty() => Ok(None),
            State::Ended => Err(ArchiveError::Trailing),
            State::File { left } => {
                let left = *left;
                Ok(self.data(left, input))
            }
            State::Digest(partial) => match partial.fill(input) {
                Some(claimed) => self.end_file(claimed).map(Some),
                None => Ok(None),
            },
            State::Root(partial) => match partial.fill(input) {
                Some(claimed) => self.end(claimed).map(Some),
                None => Ok(None),
            },
        }
    }

    fn data<'i>(&mut self, left: u64, input: &mut &'i [u8]) -> Option<Content<'i>> {
        if input.is_empty() {
            return None;
        }
        let length = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
        let (data, rest) = input.split_at(length);
        *input = rest;
        self.hasher.update(data);
        self.state = within_file(left - length as u64);
        Some(Content::Data(data))
    }

    fn end_file(&mut self, claimed: Digest) -> Result<Content<'static>, ArchiveError> {
        if self.hasher.end_file() != claimed {
            return Err(ArchiveError::FileDigest);
        }
        self.state = after_file(self.files);
        Ok(Content::FileEnd { digest: claimed })
    }

    fn end(&mut self, claimed: Digest) -> Result<Content<'static>, ArchiveError> {
        let root = self.hasher.root();
        if root != claimed {
            return Err(ArchiveError::Root);
        }
        self.state = State::Ended;
        Ok(Content::End { root })
    }
}

/// The state after a file, with `files` more to come.
fn after_file(files: u32) -> State {
    if files > 0 { State::Between } else { State::Root(PartialDigest::default()) }
}

/// The state within a file, with `left` more bytes to come.
fn within_file(left: u64) -> State {
    if left > 0 { State::File { left } } else { State::Digest(PartialDigest::default()) }
}

/// The first `filled` bytes of a digest that is being read.
#[derive(Clone, Copy, Default)]
struct PartialDigest {
    bytes: [u8; DIGEST],
    filled: usize,
}

impl PartialDigest {
    /// Reads further bytes from `input`. Returns the digest once it is complete.
    fn fill(&mut self, input: &mut &[u8]) -> Option<Digest> {
        let (taken, rest) = input.split_at((DIGEST - self.filled).min(input.len()));
        *input = rest;
        self.bytes[self.filled..][..taken.len()].copy_from_slice(taken);
        self.filled += taken.len();
        (self.filled == DIGEST).then_some(Digest(self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::archive::Shape;

    const FILES: [&[u8]; 3] = [b"first", b"", b"the third"];

    fn summary() -> Summary {
        with_files(3, 14)
    }

    fn with_files(files: u32, content: u64) -> Summary {
        let total = 8 + content + u64::from(files + 1) * 32;
        Summary { digest: Digest::of(b"manifest"), shape: Shape { total, files, entries: 3, manifest: 8 }, content }
    }

    fn archive() -> Vec<u8> {
        let mut hasher = ContentHasher::new(&summary().digest);
        let mut bytes = Vec::new();
        for file in FILES {
            hasher.update(file);
            bytes.extend_from_slice(file);
            bytes.extend_from_slice(&hasher.end_file().0);
        }
        bytes.extend_from_slice(&hasher.root().0);
        bytes
    }

    #[test]
    fn held_files_lead_to_the_same_root() {
        let mut reader = ContentReader::new(&summary());
        assert_eq!(reader.end_held_file(), Err(ArchiveError::Misuse));
        for file in &FILES[..2] {
            reader.begin_file(file.len() as u64).unwrap();
            let mut input = *file;
            if !input.is_empty() {
                assert_eq!(reader.end_held_file(), Err(ArchiveError::Misuse));
                assert_eq!(reader.next(&mut input), Ok(Some(Content::Data(file))));
            }
            assert_eq!(reader.end_held_file(), Ok(Digest::of(file)));
        }
        reader.begin_file(9).unwrap();
        let archive = archive();
        let mut rest = &archive[5 + 32 + 32..];
        assert_eq!(reader.next(&mut rest), Ok(Some(Content::Data(b"the third"))));
        let (mut some, mut rest) = rest.split_at(1);
        assert_eq!(reader.next(&mut some), Ok(None));
        assert_eq!(reader.end_held_file(), Err(ArchiveError::Misuse));
        assert_eq!(reader.next(&mut rest), Ok(Some(Content::FileEnd { digest: Digest::of(b"the third") })));
        assert!(matches!(reader.next(&mut rest), Ok(Some(Content::End { .. }))));
    }

    #[test]
    fn skipped_files_lead_to_the_same_root() {
        let mut reader = ContentReader::new(&summary());
        assert_eq!(reader.skip_held_file(15, &Digest::of(b"")), Err(ArchiveError::Misuse));
        for file in FILES {
            reader.skip_held_file(file.len() as u64, &Digest::of(file)).unwrap();
        }
        assert_eq!(reader.skip_held_file(0, &Digest::of(b"")), Err(ArchiveError::Misuse));
        let archive = archive();
        let mut root = &archive[archive.len() - DIGEST..];
        assert!(matches!(reader.next(&mut root), Ok(Some(Content::End { .. }))));
    }

    #[test]
    fn borrowed_hashers_may_have_been_used_before() {
        let (mut file, mut root) = (Hasher::new(), Hasher::new());
        file.update(b"another file");
        root.update(b"another root");
        let mut reader = ContentReader::borrowing([&mut file, &mut root], &with_files(1, 5));
        let mut owned = ContentHasher::new(&summary().digest);
        owned.update(b"first");
        let bytes = [&b"first"[..], &owned.end_file().0, &owned.root().0].concat();
        reader.begin_file(5).unwrap();
        let mut rest = &bytes[..];
        assert_eq!(reader.next(&mut rest), Ok(Some(Content::Data(b"first"))));
        assert_eq!(reader.next(&mut rest), Ok(Some(Content::FileEnd { digest: Digest::of(b"first") })));
        assert_eq!(reader.next(&mut rest), Ok(Some(Content::End { root: owned.root() })));
    }

    /// Reads `bytes` in pieces. Returns the files that were verified, and the root or the error.
    fn read(bytes: &[u8], piece: usize) -> (Vec<Vec<u8>>, Result<Option<Digest>, ArchiveError>) {
        let mut reader = ContentReader::new(&summary());
        let (mut files, mut file, mut root) = (Vec::new(), Vec::new(), None);
        for mut input in bytes.chunks(piece) {
            loop {
                match reader.next(&mut input) {
                    Ok(None) => break,
                    Ok(Some(Content::NeedFile)) => reader.begin_file(FILES[files.len()].len() as u64).unwrap(),
                    Ok(Some(Content::Data(data))) => file.extend_from_slice(data),
                    Ok(Some(Content::FileEnd { .. })) => files.push(std::mem::take(&mut file)),
                    Ok(Some(Content::End { root: r })) => root = Some(r),
                    Err(error) => return (files, Err(error)),
                }
            }
        }
        assert_eq!(reader.is_complete(), root.is_some());
        (files, Ok(root))
    }

    #[test]
    fn files_are_read_from_pieces_of_any_size() {
        let digests: Vec<u8> = FILES.iter().flat_map(|file| Digest::of(file).0).collect();
        let root = Digest::of(&[&summary().digest.0[..], &digests].concat());
        for piece in 1..=archive().len() {
            assert_eq!(read(&archive(), piece), (FILES.map(Vec::from).to_vec(), Ok(Some(root))), "{piece}");
        }
    }

    #[test]
    fn every_changed_byte_is_detected() {
        for index in 0..archive().len() {
            let mut bytes = archive();
            bytes[index] ^= 1;
            let error = if index < bytes.len() - DIGEST { ArchiveError::FileDigest } else { ArchiveError::Root };
            assert_eq!(read(&bytes, 7).1, Err(error), "{index}");
        }
    }

    #[test]
    fn the_archive_ends_exactly_after_its_root() {
        for length in 0..archive().len() {
            assert_eq!(read(&archive()[..length], 16).1, Ok(None), "{length}");
        }
        assert_eq!(read(&[&archive()[..], b"x"].concat(), 16).1, Err(ArchiveError::Trailing));
    }

    #[test]
    fn the_first_error_is_final() {
        // A reader that forgot its first error would then accept the digest of an empty file.
        let bytes = [FILES[0], &Digest::of(b"").0].concat();
        let mut reader = ContentReader::new(&summary());
        let mut input = &bytes[..];
        reader.begin_file(5).unwrap();
        assert_eq!(reader.next(&mut input), Ok(Some(Content::Data(FILES[0]))));
        for _ in 0..3 {
            assert_eq!(reader.next(&mut input), Err(ArchiveError::FileDigest));
            assert_eq!(reader.begin_file(0), Err(ArchiveError::Misuse));
        }
        assert!(!reader.is_complete());
    }

    #[test]
    fn a_wrong_root_stays_wrong() {
        let mut reader = ContentReader::new(&with_files(0, 0));
        assert_eq!(reader.next(&mut &[0; 32][..]), Err(ArchiveError::Root));
        assert_eq!(reader.next(&mut &[][..]), Err(ArchiveError::Root));
        assert!(!reader.is_complete());
    }

    #[test]
    fn files_begin_in_turn_and_their_sizes_add_up() {
        let mut reader = ContentReader::new(&summary());
        assert_eq!(reader.begin_file(15), Err(ArchiveError::Misuse));
        assert_eq!(reader.begin_file(u64::MAX), Err(ArchiveError::Misuse));
        assert_eq!(reader.begin_file(5), Ok(()));
        assert_eq!(reader.begin_file(9), Err(ArchiveError::Misuse));
        assert_eq!(reader.files, 2);
        let mut last = ContentReader::new(&with_files(1, 14));
        assert_eq!(last.begin_file(13), Err(ArchiveError::Misuse));
        assert_eq!(last.begin_file(14), Ok(()));
        let mut none = ContentReader::new(&with_files(0, 0));
        assert_eq!(none.begin_file(0), Err(ArchiveError::Misuse));
    }
}
