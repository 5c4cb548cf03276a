//! The sender's [`Source`]: reads a walked folder as the bytes of its archive.
//!
//! Walk -> **archive** -> compress -> seal -> frame -> TLS. Every file is checked against the manifest before its first
//! byte and after its last. PROTOCOL.md, section 8.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt as _, OpenOptionsSyncExt as _};
use cap_std::fs::{Dir, OpenOptions};
use tempfile::SpooledTempFile;
use waft_core::archive::{ContentHasher, Kind, ManifestReader, Modified};
use waft_core::digest::Digest;
use waft_core::path::escape;
use waft_core::session::sender::{ArchiveInfo, Source, SourceError};

use super::Folder;
use super::entries::{Descent, Entries, EntriesError, modified};
use crate::error::{Cause, FileError};
use crate::platform;
use crate::worker::Worker;

/// Number of bytes that are read at once, one piece ahead.
const AHEAD: usize = 64 << 10;

/// Reads the archive of a [`Folder`] on a worker thread, one piece ahead.
pub struct FolderSource {
    info: ArchiveInfo,
    reader: Worker<Reader>,
    /// The piece that is being returned, and how many of its bytes were returned.
    piece: Vec<u8>,
    given: usize,
    /// Whether the worker was started to read the next piece.
    is_ahead: bool,
    digest: Option<Digest>,
    file_error: Option<FileError>,
}

/// Reads the archive piece by piece.
struct Reader {
    root: Dir,
    info: ArchiveInfo,
    stage: Stage,
    digest: Option<Digest>,
    /// The last piece, and the result of reading it.
    piece: Vec<u8>,
    result: Result<(), FileError>,
}

/// The position of the next byte in the archive.
enum Stage {
    /// In the manifest, with this number of bytes left.
    Manifest(SpooledTempFile, u64),
    /// After the manifest.
    Content(Box<Content>),
    /// Only during the change from one stage to the next, and after an error that cannot be recovered from.
    Nowhere,
}

/// The position after the manifest.
struct Content {
    entries: Entries<BufReader<SpooledTempFile>>,
    open: Descent<()>,
    hasher: ContentHasher,
    file: Option<Current>,
    /// A digest that is being returned, and how many of its bytes were returned.
    tail: Option<(Digest, usize)>,
    /// Whether the root digest was returned or is in `tail`.
    ended: bool,
}

/// The file that is being read.
struct Current {
    file: File,
    size: u64,
    left: u64,
    modified: Modified,
}

impl FolderSource {
    /// Starts at the archive's first byte.
    pub fn new(folder: Folder) -> Self {
        let info = folder.info;
        let stage = Stage::Manifest(folder.spool, info.shape.manifest.into());
        let reader = Reader { root: folder.root, info, stage, digest: None, piece: Vec::new(), result: Ok(()) };
        let reader = Worker::new(reader);
        Self { info, reader, piece: Vec::new(), given: 0, is_ahead: false, digest: None, file_error: None }
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

    /// Takes the next piece, and starts reading the one after it. An empty piece is the end of the archive.
    async fn advance(&mut self) -> Result<(), SourceError> {
        if !self.is_ahead {
            self.reader.start(Reader::read_piece).await;
            self.is_ahead = true;
        }
        let reader = self.reader.idle().await;
        self.is_ahead = false;
        std::mem::swap(&mut self.piece, &mut reader.piece);
        self.given = 0;
        self.digest = reader.digest;
        let result = std::mem::replace(&mut reader.result, Ok(()));
        self.keep_error(result)?;
        if !self.piece.is_empty() {
            self.reader.start(Reader::read_piece).await;
            self.is_ahead = true;
        }
        Ok(())
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
        let started = self.reader.run(Reader::start).await;
        self.piece.clear();
        (self.given, self.is_ahead) = (0, false);
        self.keep_error(started)
    }

    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError> {
        let mut filled = 0;
        while filled < buffer.len() {
            if self.given == self.piece.len() {
                self.advance().await?;
                if self.piece.is_empty() {
                    break;
                }
            }
            let piece = &self.piece[self.given..];
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
    /// Reads the next piece. It is empty at the end of the archive and after an error.
    fn read_piece(&mut self) {
        let mut piece = std::mem::take(&mut self.piece);
        piece.resize(AHEAD, 0);
        let mut filled = 0;
        self.result = loop {
            if filled == piece.len() {
                break Ok(());
            }
            match self.some(&mut piece[filled..]) {
                Ok(0) => break Ok(()),
                Ok(count) => filled += count,
                Err(file_error) => {
                    filled = 0;
                    break Err(file_error);
                }
            }
        };
        piece.truncate(filled);
        self.piece = piece;
    }

    /// Reads some of the next bytes. Returns 0 only at the end.
    fn some(&mut self, buffer: &mut [u8]) -> Result<usize, FileError> {
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
                Stage::Content(content) => return content.some(buffer, &mut self.digest),
                Stage::Nowhere => return Err(spool_trouble(io::ErrorKind::UnexpectedEof.into())),
            }
        }
    }

    /// The stage after the manifest.
    fn content(&mut self) -> Result<Stage, FileError> {
        let mut spool = self.take_spool()?;
        spool.rewind().map_err(spool_trouble)?;
        let entries = Entries::new(BufReader::new(spool), self.info.shape.manifest);
        let root = self.root.try_clone().map_err(|error| FileError::new(".", error))?;
        Ok(Stage::Content(Box::new(Content {
            entries,
            open: Descent::new(root),
            hasher: ContentHasher::new(&self.info.manifest_digest),
            file: None,
            tail: None,
            ended: false,
        })))
    }

    fn take_spool(&mut self) -> Result<SpooledTempFile, FileError> {
        match std::mem::replace(&mut self.stage, Stage::Nowhere) {
            Stage::Manifest(spool, _) => Ok(spool),
            Stage::Content(content) => Ok(content.entries.into_input().into_inner()),
            Stage::Nowhere => Err(spool_trouble(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    fn start(&mut self) -> Result<(), FileError> {
        self.result = Ok(());
        self.piece.clear();
        let mut spool = self.take_spool()?;
        spool.rewind().map_err(spool_trouble)?;
        self.stage = Stage::Manifest(spool, self.info.shape.manifest.into());
        Ok(())
    }
}

impl Content {
    fn some(&mut self, buffer: &mut [u8], root: &mut Option<Digest>) -> Result<usize, FileError> {
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
                Kind::Directory => {
                    let dir = platform::open_dir(self.open.here(), self.entries.name());
                    self.open.enter(dir.map_err(|error| FileError::new(self.entries.path(), error))?, ());
                }
                Kind::File { size } => {
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
    fn open(dir: &Dir, name: &str, size: u64, modified: Modified) -> Result<Self, Cause> {
        let file = open_file(dir, name)?;
        let current = Self { file, size, left: size, modified };
        current.check()?;
        Ok(current)
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Cause> {
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

    fn check(&self) -> Result<(), Cause> {
        let now = self.file.metadata()?;
        let same = now.is_file() && now.len() == self.size && modified(now.modified()?) == self.modified;
        if same { Ok(()) } else { Err(Cause::Changed) }
    }
}

/// Opens a file for reading, without following a symlink. If a pipe has taken the file's place, this does not block
/// until it has a writer.
pub(super) fn open_file(dir: &Dir, name: impl AsRef<Path>) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).follow(FollowSymlinks::No).nonblock(true);
    Ok(dir.open_with(name, &options)?.into_std())
}

fn at_least_one(got: usize) -> io::Result<usize> {
    if got == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(got) }
}

fn spool_trouble(error: io::Error) -> FileError {
    FileError::new("the temporary file of the manifest", error)
}

fn entries_trouble(error: EntriesError) -> FileError {
    match error {
        EntriesError::Io(error) => spool_trouble(error),
        EntriesError::Damaged => spool_trouble(io::ErrorKind::InvalidData.into()),
    }
}
