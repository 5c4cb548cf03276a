//! The sender's [`Source`]: reads a walked folder as the bytes of its archive.
//!
//! Walk -> **archive** -> compress -> seal -> frame -> TLS. Every file is checked against the manifest before its first
//! byte and after its last. PROTOCOL.md, section 8.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::sync::Arc;

use waft_core::archive::{ContentHasher, Kind, ManifestReader, Modified};
use waft_core::digest::Digest;
use waft_core::path::escape;
use waft_core::session::sender::{ArchiveInfo, Source, SourceError};

use super::Folder;
use super::base::{Equal, Listed};
use super::entries::{Descent, Entries, EntriesError, modified};
use super::manifest::ManifestBytesReader;
use super::place::Place;
use crate::error::{Cause, FileError};
use crate::queue::{Input, Output, queue};
use crate::worker::{Worker, is_given_up};

/// Length of a piece, in bytes.
pub(super) const PIECE: usize = 128 << 10;
/// Most pieces in the queue.
const AHEAD: usize = 4;
/// The same, for one of many sources that are read at the same time.
const AHEAD_AMONG_MANY: usize = 1;

/// Reads and hashes the archive of a [`Folder`] on a worker thread, a few pieces ahead.
pub struct FolderSource {
    info: ArchiveInfo,
    reader: Worker<Reader>,
    /// The pieces that the worker reads ahead; `None` until it was started.
    ahead: Option<Output<Piece>>,
    /// Most pieces that are read ahead.
    ahead_most: usize,
    /// The piece that is being returned, and how many of its bytes were returned.
    piece: Piece,
    given: usize,
    digest: Option<Digest>,
    /// Whether files that the receiver has are left out.
    uses_base: bool,
    /// The files that the receiver has, until they are compared.
    listed: Vec<(u32, Digest)>,
    /// The ranges of the archive that are left out.
    left_out: Vec<Range<u64>>,
    file_error: Option<FileError>,
}

/// The next bytes of the archive.
#[derive(Default)]
struct Piece {
    bytes: Vec<u8>,
    /// The root of the archive, if these are its last bytes.
    root: Option<Digest>,
}

/// Reads the archive piece by piece.
struct Reader {
    root: Arc<Place>,
    info: ArchiveInfo,
    stage: Stage,
    /// The error that ended the reading.
    error: Option<FileError>,
}

/// The position of the next byte in the archive.
enum Stage {
    /// In the manifest, with this number of bytes left.
    Manifest(ManifestBytesReader, u64),
    /// After the manifest.
    Content(Box<Content>),
    /// Only during the change from one stage to the next, and after an error that cannot be recovered from.
    Nowhere,
}

/// The position after the manifest.
pub(super) struct Content {
    pub(super) entries: Entries<BufReader<ManifestBytesReader>>,
    pub(super) open: Descent<(), Arc<Place>>,
    pub(super) hasher: ContentHasher,
    pub(super) file: Option<Current>,
    /// Number of files that were opened or left out.
    files: u32,
    /// The files that are left out.
    equal: Listed,
    /// A digest that is being returned, and how many of its bytes were returned.
    pub(super) tail: Option<(Digest, usize)>,
    /// Whether the root digest was returned or is in `tail`.
    ended: bool,
}

/// The file that is being read.
pub(super) struct Current {
    file: File,
    size: u64,
    pub(super) left: u64,
    modified: Modified,
}

impl FolderSource {
    /// Starts at the archive's first byte.
    pub fn new(folder: Folder) -> Self {
        let info = folder.info;
        let stage = Stage::Manifest(folder.manifest.reader(), info.shape.manifest.into());
        let reader = Worker::new(Reader { root: folder.root, info, stage, error: None });
        Self {
            info,
            reader,
            ahead: None,
            ahead_most: AHEAD,
            piece: Piece::default(),
            given: 0,
            digest: None,
            uses_base: true,
            listed: Vec::new(),
            left_out: Vec::new(),
            file_error: None,
        }
    }

    /// Whether files that the receiver has already are left out. Initially they are.
    pub fn leave_out_equal_files(&mut self, leave_out: bool) {
        self.uses_base = leave_out;
    }

    /// Reads less ahead, because many sources are read at the same time: this takes less memory.
    pub fn among_many(mut self) -> Self {
        self.ahead_most = AHEAD_AMONG_MANY;
        self
    }

    /// The path of the entry with this index, escaped for display.
    pub(crate) async fn entry_path(&mut self, index: u32) -> Option<String> {
        self.rewind().await.ok()?;
        let mut left = self.info().shape.manifest as usize;
        let mut reader = ManifestReader::new(self.info().shape.manifest);
        let (mut buffer, mut seen) = (vec![0; 4096], 0);
        while left > 0 {
            let count = self.read(&mut buffer[..left.min(4096)]).await.ok().filter(|count| *count > 0)?;
            left -= count;
            let mut input = &buffer[..count];
            while let Some(entry) = reader.next(&mut input).ok()? {
                if seen == index {
                    return Some(escape(entry.path.as_str()).to_string());
                }
                seen += 1;
            }
        }
        None
    }

    /// Returns the path and cause of the last error, and clears them.
    pub fn take_error(&mut self) -> Option<FileError> {
        self.file_error.take()
    }

    /// Takes the next piece. An empty piece is the end of the archive.
    async fn advance(&mut self) -> Result<(), SourceError> {
        let ahead = match &mut self.ahead {
            Some(ahead) => ahead,
            None => {
                let (input, output) = queue(self.ahead_most);
                self.reader.start(move |reader| reader.read_ahead(&input)).await;
                self.ahead.insert(output)
            }
        };
        let spent = std::mem::take(&mut self.piece);
        self.given = 0;
        if spent.bytes.capacity() > 0 {
            ahead.give_back(spent);
        }
        if let Some(piece) = ahead.next().await {
            self.digest = piece.root.or(self.digest);
            self.piece = piece;
            return Ok(());
        }
        let error = self.reader.idle().await.error.take();
        self.keep_error(error.map_or(Ok(()), Err))
    }

    fn keep_error<T>(&mut self, result: Result<T, FileError>) -> Result<T, SourceError> {
        result.map_err(|file_error| {
            let changed = matches!(file_error.cause, Cause::Changed);
            self.file_error = Some(file_error);
            if changed { SourceError::Changed } else { SourceError::Unreadable }
        })
    }
}

impl Source for FolderSource {
    fn info(&self) -> ArchiveInfo {
        self.info
    }

    async fn rewind(&mut self) -> Result<(), SourceError> {
        // Without the queue, the worker stops after the piece that it is reading.
        self.ahead = None;
        let started = self.reader.run(Reader::start).await;
        (self.piece, self.given) = (Piece::default(), 0);
        (self.listed, self.left_out) = (Vec::new(), Vec::new());
        self.keep_error(started)
    }

    fn uses_base(&self) -> bool {
        self.uses_base
    }

    fn note_base_file(&mut self, file: u32, digest: &Digest) {
        self.listed.push((file, *digest));
    }

    async fn compare_base(&mut self, from: u64) -> Result<(), SourceError> {
        self.ahead = None;
        let listed = std::mem::take(&mut self.listed);
        let compared = self.reader.run(move |reader| reader.leave_out(listed, from)).await;
        (self.piece, self.given) = (Piece::default(), 0);
        self.left_out = self.keep_error(compared)?;
        Ok(())
    }

    fn left_out(&mut self, from: u64) -> Range<u64> {
        let next = self.left_out.partition_point(|range| range.start < from);
        let end = self.info.shape.total;
        self.left_out.get(next).cloned().unwrap_or(end..end)
    }

    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError> {
        let mut filled = 0;
        while filled < buffer.len() {
            if self.given == self.piece.bytes.len() {
                self.advance().await?;
                if self.piece.bytes.is_empty() {
                    break;
                }
            }
            let piece = &self.piece.bytes[self.given..];
            let count = piece.len().min(buffer.len() - filled);
            buffer[filled..][..count].copy_from_slice(&piece[..count]);
            filled += count;
            self.given += count;
        }
        Ok(filled)
    }

    fn root(&self) -> Option<Digest> {
        self.digest
    }
}

impl Reader {
    /// Reads pieces into the queue, until the end of the archive, an error, or the end of the interest in them.
    fn read_ahead(&mut self, queue: &Input<Piece>) {
        while !is_given_up() {
            let mut piece = queue.buffer();
            match self.fill(&mut piece) {
                Ok(()) if piece.bytes.is_empty() => break,
                Ok(()) => {}
                Err(error) => {
                    self.error = Some(error);
                    break;
                }
            }
            if queue.blocking_send(piece).is_err() {
                break;
            }
        }
    }

    /// Fills a piece with the next bytes. It is empty only at the end of the archive.
    fn fill(&mut self, piece: &mut Piece) -> Result<(), FileError> {
        piece.root = None;
        piece.bytes.resize(PIECE, 0);
        let mut filled = 0;
        while filled < PIECE {
            match self.some(&mut piece.bytes[filled..], &mut piece.root)? {
                0 => break,
                count => filled += count,
            }
        }
        piece.bytes.truncate(filled);
        Ok(())
    }

    /// Reads some of the next bytes. Returns 0 only at the end. Sets `root` with the last bytes.
    fn some(&mut self, buffer: &mut [u8], root: &mut Option<Digest>) -> Result<usize, FileError> {
        loop {
            match &mut self.stage {
                Stage::Manifest(spool, left) => {
                    let most = buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    if most > 0 {
                        let got = spool.read(&mut buffer[..most]).and_then(at_least_one).map_err(spool_trouble)?;
                        *left -= got as u64;
                        return Ok(got);
                    }
                    self.stage = self.content()?;
                }
                Stage::Content(content) => return content.some(buffer, root),
                Stage::Nowhere => return Err(spool_trouble(io::ErrorKind::UnexpectedEof.into())),
            }
        }
    }

    /// The stage after the manifest.
    fn content(&mut self) -> Result<Stage, FileError> {
        let mut spool = self.take_spool()?;
        spool.rewind();
        let entries = Entries::new(BufReader::new(spool), self.info.shape.manifest);
        Ok(Stage::Content(Box::new(Content {
            entries,
            open: Descent::new(self.root.clone()),
            hasher: ContentHasher::new(&self.info.manifest_digest),
            file: None,
            files: 0,
            equal: Vec::new().into_iter().peekable(),
            tail: None,
            ended: false,
        })))
    }

    fn take_spool(&mut self) -> Result<ManifestBytesReader, FileError> {
        match std::mem::replace(&mut self.stage, Stage::Nowhere) {
            Stage::Manifest(spool, _) => Ok(spool),
            Stage::Content(content) => Ok(content.entries.into_input().into_inner()),
            Stage::Nowhere => Err(spool_trouble(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    /// Compares the listed files with those of the receiver, and continues at offset `from` of the archive, without those
    /// that are equal. Returns the ranges that are left out.
    fn leave_out(&mut self, listed: Vec<(u32, Digest)>, from: u64) -> Result<Vec<Range<u64>>, FileError> {
        let at = self.info.shape.manifest.into();
        let Equal { left_out, whole, begun } = {
            let content = self.start_content()?;
            content.compare(listed.into_iter().peekable(), at, from)?
        };
        let content = self.start_content()?;
        content.equal = whole.into_iter().peekable();
        content.skip_to(at, from, begun)?;
        Ok(left_out)
    }

    /// Starts after the manifest.
    fn start_content(&mut self) -> Result<&mut Content, FileError> {
        self.error = None;
        self.stage = self.content()?;
        match &mut self.stage {
            Stage::Content(content) => Ok(content),
            _ => Err(spool_trouble(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    fn start(&mut self) -> Result<(), FileError> {
        self.error = None;
        let mut spool = self.take_spool()?;
        spool.rewind();
        self.stage = Stage::Manifest(spool, self.info.shape.manifest.into());
        Ok(())
    }
}

impl Content {
    pub(super) fn some(&mut self, buffer: &mut [u8], root: &mut Option<Digest>) -> Result<usize, FileError> {
        loop {
            if let Some((digest, given)) = &mut self.tail {
                let most = buffer.len().min(digest.0.len() - *given);
                buffer[..most].copy_from_slice(&digest.0[*given..][..most]);
                *given += most;
                if *given == digest.0.len() {
                    if self.ended {
                        *root = Some(*digest);
                    }
                    self.tail = None;
                }
                return Ok(most);
            }
            match &mut self.file {
                Some(current) if current.left > 0 => {
                    let got = current.read(buffer).map_err(|cause| FileError::new(self.entries.path(), cause))?;
                    self.hasher.update(&buffer[..got]);
                    return Ok(got);
                }
                Some(current) => {
                    current.check().map_err(|cause| FileError::new(self.entries.path(), cause))?;
                    self.file = None;
                    self.tail = Some((self.hasher.end_file(), 0));
                }
                None if self.ended => return Ok(0),
                None => self.advance()?,
            }
        }
    }

    /// Opens the next file, or starts the root digest.
    fn advance(&mut self) -> Result<(), FileError> {
        while let Some(item) = self.entries.next().map_err(entries_trouble)? {
            while self.open.leave(item.depth).is_some() {}
            match item.kind {
                Kind::Directory => self.enter()?,
                Kind::File { size } => {
                    let file = self.files;
                    self.files += 1;
                    if let Some((_, digest)) = self.equal.next_if(|(equal, _)| *equal == file) {
                        self.hasher.skip_file(&digest);
                        continue;
                    }
                    let opened = Current::open(self.open.here(), self.entries.name(), size, item.modified);
                    self.file = Some(opened.map_err(|cause| FileError::new(self.entries.path(), cause))?);
                    return Ok(());
                }
            }
        }
        self.tail = Some((self.hasher.root(), 0));
        self.ended = true;
        Ok(())
    }
}

impl Current {
    /// Opens the file and checks that it is the one in the manifest.
    pub(super) fn open(place: &Place, name: &str, size: u64, modified: Modified) -> Result<Self, Cause> {
        let file = place.open_file(OsStr::new(name))?;
        let current = Self { file, size, left: size, modified };
        current.check()?;
        Ok(current)
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Cause> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let got = loop {
            match self.file.read(&mut buffer[..most]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        if got == 0 {
            return Err(Cause::Changed);
        }
        self.left -= got as u64;
        Ok(got)
    }

    pub(super) fn check(&self) -> Result<(), Cause> {
        let now = self.file.metadata()?;
        let same = now.is_file() && now.len() == self.size && modified(now.modified()?) == self.modified;
        if same { Ok(()) } else { Err(Cause::Changed) }
    }
}

fn at_least_one(got: usize) -> io::Result<usize> {
    if got == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(got) }
}

fn spool_trouble(error: io::Error) -> FileError {
    FileError::new("the temporary file of the manifest", error)
}

pub(super) fn entries_trouble(error: EntriesError) -> FileError {
    match error {
        EntriesError::Io(error) => spool_trouble(error),
        EntriesError::Damaged => spool_trouble(io::ErrorKind::InvalidData.into()),
    }
}
