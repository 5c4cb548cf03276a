//! `waft open`: unpacks a sealed file into a folder. PROTOCOL.md, section 9.
//!
//! File -> **open (decrypt) -> decompress** -> store. Nothing is written before the key is verified, and nothing
//! appears in the target before the whole file is checked.

mod sealed_file;

use std::io::Write as _;

use tempfile::SpooledTempFile;
use waft_core::certificate::CertificateHash;
use waft_core::digest::Hasher;
use waft_core::limits::KEY_TRIES;
use waft_core::sealed::{Header, Secret};
use waft_core::session::{Offered, Receipt, Store, StoreError};

use self::sealed_file::{Pieces, SealedFile};
use super::answers::{file_secret, files, key_form};
use super::folders::{not_removed, open_target};
use crate::cli::arguments::Open;
use crate::cli::interrupt::Interrupt;
use crate::cli::ui::{AskError, Event, Question, Ui};
use crate::error::{Class, Error, bytes, shown};
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
        files(header.shape.files),
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
    super::check_is_file(&args.file, "standard input")?;
    let path = args.file.clone();
    let file = in_background(move || SealedFile::start(&path)).await?;
    let options = Options { overwrite: args.overwrite, abandon: args.abandon, home: None };
    let mut store = open_target(&args.into, options, ui).await?;
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
        "Compare it with what `waft seal` showed, group by group; it has no I, L, O or U. Nothing was written.",
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
