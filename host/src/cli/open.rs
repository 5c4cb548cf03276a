//! `waft open`: unpacks a sealed file into a folder. PROTOCOL.md, section 9.
//!
//! File -> **open (decrypt) -> decompress** -> store. Nothing is written before the key is verified, and nothing
//! appears in the target before the whole file is checked.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use tempfile::SpooledTempFile;
use waft_core::certificate::CertificateHash;
use waft_core::digest::Hasher;
use waft_core::limits::{CHUNK_OVERHEAD, FRAME_HEADER, KEY_TRIES};
use waft_core::sealed::file::{FileError, START, header_len};
use waft_core::sealed::{Header, Opener, Schedule, Secret, Span, Transcript};
use waft_core::session::{Offered, Receipt, Store, StoreError};
use waft_core::wire::frame::{self, Kind};

use crate::cli::arguments::Open;
use crate::cli::interrupt::Interrupt;
use crate::cli::ui::{AskError, Event, Question, Ui, key_form};
use crate::cli::{Target, check_is_file, file_secret, not_removed, number_of_files, open_target};
use crate::error::{Class, Error, bytes, shown};
use crate::session::RingCipher;
use crate::store::{self, DirectoryStore, Options};
use crate::worker::{Worker, in_background};

/// Maximum length of a manifest that is kept in memory.
const IN_MEMORY: usize = 1 << 20;

/// Runs the command.
pub(super) async fn run(args: Open, ui: &Ui) -> Result<(), Error> {
    let interrupt = Interrupt::listen();
    let (file, mut store, secret) = interrupt.or(prepare(&args, ui)).await?;
    let header = *file.header();
    let receipt = match interrupt.or(already_there(&file, &secret, &mut store, ui)).await? {
        Some(receipt) => receipt,
        None => match unpack(&file, &secret, &mut store, ui, &interrupt).await {
            Ok(receipt) => receipt,
            Err(error) => return Err(discard(error, &mut store, &interrupt, ui).await),
        },
    };
    ui.event(&Event::Opened {
        path: shown(&args.into),
        files: receipt.files,
        bytes: receipt.bytes,
        digest: receipt.digest.to_string(),
    });
    ui.done(format!(
        "Opened {} ({}) into {}.",
        number_of_files(header.shape.files),
        bytes(header.shape.total),
        shown(&args.into)
    ));
    Ok(())
}

/// Removes what was unpacked before the error, and returns the error to report. A user who interrupts does not have to
/// wait until a slow disk has removed everything.
async fn discard(error: Error, store: &mut DirectoryStore, interrupt: &Interrupt, ui: &Ui) -> Error {
    tokio::select! {
        () = store.discard() => return error,
        () = interrupt.overdue() => {}
    }
    match error.class() {
        Class::Interrupted => error.with_advice(not_removed(store.staging())),
        _ => {
            ui.warn(not_removed(store.staging()));
            error
        }
    }
}

/// Prepares everything that comes before the content: the file's header, the target, the key.
async fn prepare(args: &Open, ui: &Ui) -> Result<(SealedFile, DirectoryStore, Box<Secret>), Error> {
    check_is_file(&args.file, "standard input")?;
    let path = args.file.clone();
    let file = in_background(move || SealedFile::start(&path)).await?;
    let options = Options { overwrite: args.merge, abandon: args.abandon, home: None };
    let mut store = open_target(Target::Folder(&args.into), options, ui).await?;
    store.check_opening(file.header().shape).await.map_err(|error| store_error(error, &mut store))?;
    let secret = ask_key(&file, ui).await?;
    Ok((file, store, secret))
}

/// Asks for the key until it opens the file. Several attempts are allowed, because users make typing mistakes.
async fn ask_key(file: &SealedFile, ui: &Ui) -> Result<Box<Secret>, Error> {
    let mut wrong_before = false;
    for _ in 0..KEY_TRIES {
        let question = if wrong_before { "That is not the key. Key:" } else { "Key:" };
        let key = match ui.ask(Question::Key, question, key_form).await {
            Err(AskError::NoAnswer(_)) if wrong_before => break,
            key => key?,
        };
        let secret = file_secret(&key, file.header()).await;
        if file.is_opened_by(&secret) {
            return Ok(secret);
        }
        if Question::Key.in_environment().is_some() {
            break;
        }
        wrong_before = true;
    }
    Err(Error::new(
        Class::Key,
        "The key is not the one of this file.",
        "Compare it with what `waft seal` showed, group by group. Nothing was written.",
    ))
}

/// Checks whether the target already holds the folder; if so, returns its receipt. Reads the whole file and compares
/// its content.
async fn already_there(
    file: &SealedFile,
    secret: &Secret,
    store: &mut DirectoryStore,
    ui: &Ui,
) -> Result<Option<Receipt>, Error> {
    let shape = file.header().shape;
    let mut pieces = Worker::new(file.pieces(secret)?);
    let manifest = pieces.run(move |pieces| read_manifest(pieces, shape.manifest)).await?;
    let Some(held) = store.holds(manifest, shape).await else { return Ok(None) };
    let mut archive = Hasher::new();
    let digest = async |piece: &[u8]| {
        archive.update(piece);
        Ok(())
    };
    read_archive(file, secret, ui, digest).await?;
    let receipt = Receipt { digest: held.root, files: shape.files, bytes: shape.total, generation: 0 };
    Ok((archive.digest() == held.archive).then_some(receipt))
}

/// Reads the manifest at the beginning of the archive. A long manifest is stored in a temporary file.
fn read_manifest(pieces: &mut Pieces, length: u32) -> Result<SpooledTempFile, Error> {
    let failed = |cause| Error::file("a temporary file", cause);
    let mut left = length as usize;
    let mut manifest = tempfile::spooled_tempfile(IN_MEMORY);
    while left > 0 {
        let piece = pieces.next()?.expect("`Header` checks that the archive is longer than its manifest");
        let part = &piece[..left.min(piece.len())];
        manifest.write_all(part).map_err(failed)?;
        left -= part.len();
    }
    Ok(manifest)
}

/// Reads the whole file on another thread, and passes every piece of the archive to `take`.
async fn read_archive(
    file: &SealedFile,
    secret: &Secret,
    ui: &Ui,
    mut take: impl AsyncFnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut progress = ui.progress(0, file.header().shape.total);
    let mut pieces = Worker::new(file.pieces(secret)?);
    loop {
        let next = pieces.run(|pieces| {
            let piece = pieces.next()?.map(<[u8]>::to_vec);
            Ok::<_, Error>(piece.map(|piece| (piece, pieces.position())))
        });
        let Some((piece, position)) = next.await? else { return Ok(()) };
        take(&piece).await?;
        progress.set(position);
    }
}

async fn unpack(
    file: &SealedFile,
    secret: &Secret,
    store: &mut DirectoryStore,
    ui: &Ui,
    interrupt: &Interrupt,
) -> Result<Receipt, Error> {
    interrupt.or(fill(file, secret, store, ui)).await?;
    // From here on the folder may already be in place, so the commit is not interrupted.
    store.commit().await.map_err(|error| store_error(error, store))
}

/// Writes the whole archive to the store.
async fn fill(file: &SealedFile, secret: &Secret, store: &mut DirectoryStore, ui: &Ui) -> Result<(), Error> {
    let offered = offered(file);
    // A part that an earlier run left is not resumed, because the whole file is available.
    let begun = store.begin(&offered, &|_| false).await;
    begun.map_err(|error| store_error(error, store))?;
    let write = async |piece: &[u8]| store.write(piece).await.map_err(|error| store_error(error, store));
    read_archive(file, secret, ui, write).await
}

/// The offer for the store. The commitment of the file's key stands in for the sender's certificate hash, so that a
/// held part cannot be taken for that of another sender.
fn offered(file: &SealedFile) -> Offered {
    let &Header { created, shape, .. } = file.header();
    Offered { sender: CertificateHash(*file.commitment()), created, shape }
}

fn store_error(error: StoreError, store: &mut DirectoryStore) -> Error {
    store::error::store_error(error, store.take_error().as_ref())
}

/// A sealed file whose header was read. Its pieces can be read as often as needed.
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
        let (keys, ..) = self.schedule(secret).into_stream();
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
