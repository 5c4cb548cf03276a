//! Reads a sealed file: its header once, its pieces as often as needed. PROTOCOL.md, section 9.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use waft_core::limits::{CHUNK_OVERHEAD, FRAME_HEADER};
use waft_core::sealed::file::{FileError, START, header_len};
use waft_core::sealed::{Header, Opener, Schedule, Secret, Span, Transcript};
use waft_core::wire::frame::{self, Kind};

use crate::crypto::RingCipher;
use crate::error::{Class, Error, shown};

/// A sealed file whose header was read.
pub(super) struct SealedFile {
    path: PathBuf,
    file: File,
    header: Header,
    header_bytes: Vec<u8>,
    commitment: [u8; 32],
}

impl SealedFile {
    /// Opens a file and reads everything before its chunks.
    pub(super) fn start(path: &Path) -> Result<Self, Error> {
        let mut file = File::open(path).map_err(|cause| Error::file(path, cause))?;
        let mut start = [0; START];
        read(path, &mut file, &mut start)?;
        let length = header_len(&start).map_err(|error| file_error(path, error))?;
        let mut header_bytes = vec![0; length];
        read(path, &mut file, &mut header_bytes)?;
        let header = Header::decode(&header_bytes).map_err(|error| file_error(path, error))?;
        let mut commitment = [0; 32];
        read(path, &mut file, &mut commitment)?;
        Ok(Self { path: path.to_owned(), file, header, header_bytes, commitment })
    }

    /// The parsed header.
    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// The commitment to the file's key.
    pub(super) fn commitment(&self) -> &[u8; 32] {
        &self.commitment
    }

    /// Whether this is the secret of the file's key.
    pub(super) fn is_opened_by(&self, secret: &Secret) -> bool {
        self.schedule(secret).commits_to(&self.commitment)
    }

    fn schedule(&self, secret: &Secret) -> Schedule {
        Schedule::new(secret, &Transcript::file(&self.header_bytes))
    }

    /// Reads the pieces of the archive from the beginning. Use only one such reader at a time, because all of them
    /// share the file's position.
    pub(super) fn pieces(&self, secret: &Secret) -> Result<Pieces, Error> {
        let first = START + self.header_bytes.len() + self.commitment.len();
        let failed = |cause| Error::file(&self.path, cause);
        let mut file = self.file.try_clone().map_err(failed)?;
        file.seek(SeekFrom::Start(first as u64)).map_err(failed)?;
        let Header { suite, shape, .. } = self.header;
        let span = Span::new(0, shape.total).expect("`Header` checks its shape against the limits");
        // Each reading needs a schedule of its own, since a schedule is for one stream.
        let (keys, _) = self.schedule(secret).into_stream();
        let chunk = suite.chunk.bytes();
        Ok(Pieces {
            path: self.path.clone(),
            file,
            chunk,
            opener: Opener::new(keys, &suite, span).expect("`RingCipher` has every AEAD of the protocol"),
            sealed: vec![0; chunk as usize + CHUNK_OVERHEAD],
            plain: vec![0; chunk as usize],
        })
    }
}

/// Reads the pieces of a sealed file's archive in order.
pub(super) struct Pieces {
    path: PathBuf,
    file: File,
    chunk: u32,
    opener: Opener<RingCipher>,
    sealed: Vec<u8>,
    plain: Vec<u8>,
}

impl Pieces {
    /// The next piece. `None` after the last one, if the file ends there.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, Error> {
        if self.opener.next_len() == 0 {
            return self.end().map(|()| None);
        }
        let mut header = [0; FRAME_HEADER];
        read(&self.path, &mut self.file, &mut header)?;
        let damaged = || damaged(&self.path);
        let header = frame::Header::decode(header, self.chunk).map_err(|_| damaged())?;
        if header.kind != Kind::Chunk {
            return Err(damaged());
        }
        let sealed = &mut self.sealed[..header.length];
        read(&self.path, &mut self.file, sealed)?;
        self.opener.open(sealed, &mut self.plain).map(Some).map_err(|_| damaged())
    }

    /// The number of bytes of the archive that were read.
    pub(super) fn position(&self) -> u64 {
        self.opener.position()
    }

    fn end(&mut self) -> Result<(), Error> {
        match self.file.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(damaged(&self.path)),
            Err(cause) => Err(Error::file(&self.path, cause)),
        }
    }
}

fn read(path: &Path, file: &mut File, buffer: &mut [u8]) -> Result<(), Error> {
    file.read_exact(buffer).map_err(|cause| match cause.kind() {
        ErrorKind::UnexpectedEof => Error::new(
            Class::Storage,
            format!("{} is truncated.", shown(path)),
            "Copy it again from where it was made, and compare the sizes. The target is as it was.",
        ),
        _ => Error::file(path, cause),
    })
}

fn file_error(path: &Path, error: FileError) -> Error {
    let name = shown(path);
    let (what, advice) = match error {
        FileError::Magic => (format!("{name} is not a sealed file."), "Give a file that `waft seal` made."),
        FileError::Version(_) | FileError::Algorithm => {
            (format!("{name} was sealed by a later release of waft."), "Update waft on this machine.")
        }
        _ => return damaged(path),
    };
    Error::new(Class::Storage, what, advice)
}

fn damaged(path: &Path) -> Error {
    Error::new(
        Class::Storage,
        format!("{} is damaged: a part of it is not what was sealed.", shown(path)),
        "Copy it again from where it was made. The target is as it was.",
    )
}
