//! `waft open`: a sealed file back into a folder. PROTOCOL.md, section 9.
//!
//! File -> **open -> decompress** -> store. Nothing is written before the key is right; nothing appears in the target
//! before the whole file was checked.

mod sealed_file;

use std::io::Write as _;

use tempfile::SpooledTempFile;
use waft_core::certificate::CertificateHash;
use waft_core::digest::Hasher;
use waft_core::limits::KEY_TRIES;
use waft_core::sealed::{Header, Schedule, Secret, Transcript};
use waft_core::session::{Offered, Receipt, Store, StoreError};

use self::sealed_file::SealedFile;
use super::answers::key_form;
use super::targets::{self, Target};
use crate::asked::Asked;
use crate::cli::Open;
use crate::error::{Error, bytes, files, shown};
use crate::interrupt::Interrupt;
use crate::store::DirectoryStore;
use crate::ui::{Event, Ui};

/// Pieces between two looks at Ctrl-C.
const PIECES_PER_TURN: usize = 64;
/// Manifests up to this length stay in memory.
const IN_MEMORY: usize = 1 << 20;

/// Does what was typed.
pub(super) async fn run(args: Open, ui: &Ui) -> Result<(), Error> {
    let interrupt = Interrupt::listen();
    super::check_is_file(&args.file, "standard input")?;
    let mut file = SealedFile::start(&args.file)?;
    let target = Target { into: &args.into, overwrite: args.overwrite, abandon: args.abandon };
    let mut store = targets::open(&target, ui).await?;
    let schedule = tokio::select! {
        schedule = ask_key(&file, ui) => schedule?,
        () = interrupt.raised() => return Err(Error::Interrupted),
    };
    let header = *file.header();
    let receipt = match already_there(&mut file, &schedule, &mut store, ui, &interrupt).await? {
        Some(receipt) => receipt,
        None => match unpack(&mut file, &schedule, &mut store, ui, &interrupt).await {
            Ok(receipt) => receipt,
            Err(error) => {
                store.discard().await;
                return Err(error);
            }
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

/// Asks until the key is the file's: a few times, as nobody types without mistakes.
async fn ask_key(file: &SealedFile, ui: &Ui) -> Result<Schedule, Error> {
    let Header { salt, iterations, .. } = file.header();
    let mut wrong_before = false;
    for _ in 0..KEY_TRIES {
        let question = if wrong_before { "That is not the key. Key:" } else { "Key:" };
        let key = match ui.ask(Asked::Key, question, key_form).await {
            Err(Error::NoAnswer(_)) if wrong_before => break,
            key => key?,
        };
        let schedule = Schedule::new(&Secret::typed(&key, salt, *iterations), &Transcript::file(file.header_bytes()));
        if schedule.commits_to(file.commitment()) {
            return Ok(schedule);
        }
        if Asked::Key.in_environment().is_some() {
            break;
        }
        wrong_before = true;
    }
    Err(Error::FileKeyWrong)
}

/// The receipt if the target holds the folder already: the whole file is read, and every byte compared.
async fn already_there(
    file: &mut SealedFile,
    schedule: &Schedule,
    store: &mut DirectoryStore,
    ui: &Ui,
    interrupt: &Interrupt,
) -> Result<Option<Receipt>, Error> {
    let shape = file.header().shape;
    let manifest = read_manifest(file, schedule)?;
    let held = tokio::select! {
        held = store.holds(manifest, &shape) => held,
        () = interrupt.raised() => return Err(Error::Interrupted),
    };
    let Some(held) = held else { return Ok(None) };
    let mut archive = Hasher::new();
    let digest = async |piece: &[u8]| {
        archive.update(piece);
        Ok(())
    };
    read_archive(file, schedule, ui, interrupt, digest).await?;
    let receipt = Receipt { digest: held.root, files: shape.files, bytes: shape.total, generation: 0 };
    Ok((archive.digest() == held.archive).then_some(receipt))
}

/// The manifest that the file begins with, outside of memory if it is long.
fn read_manifest(file: &mut SealedFile, schedule: &Schedule) -> Result<SpooledTempFile, Error> {
    let failed = |cause| Error::File("a temporary file".into(), cause);
    let mut left = file.header().shape.manifest as usize;
    let mut manifest = tempfile::spooled_tempfile(IN_MEMORY);
    let mut pieces = file.pieces(schedule)?;
    while left > 0 {
        let piece = pieces.next()?.expect("a header's manifest is shorter than its archive");
        let part = &piece[..left.min(piece.len())];
        manifest.write_all(part).map_err(failed)?;
        left -= part.len();
    }
    Ok(manifest)
}

/// Reads the whole file, and gives every piece of the archive to `take`.
async fn read_archive(
    file: &mut SealedFile,
    schedule: &Schedule,
    ui: &Ui,
    interrupt: &Interrupt,
    mut take: impl AsyncFnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut progress = ui.progress(0, file.header().shape.total);
    let mut pieces = file.pieces(schedule)?;
    for turn in 1.. {
        let Some(piece) = pieces.next()? else { break };
        take(piece).await?;
        progress.set(pieces.position());
        if turn % PIECES_PER_TURN == 0 {
            tokio::task::yield_now().await;
            interrupt.check()?;
        }
    }
    Ok(())
}

async fn unpack(
    file: &mut SealedFile,
    schedule: &Schedule,
    store: &mut DirectoryStore,
    ui: &Ui,
    interrupt: &Interrupt,
) -> Result<Receipt, Error> {
    let offered = offered(file.header(), schedule);
    // What an earlier run left is not gone on from: the file is at hand.
    let begun = tokio::select! {
        begun = store.begin(&offered, &|_| false) => begun,
        () = interrupt.raised() => return Err(Error::Interrupted),
    };
    begun.map_err(|error| store_error(error, store))?;
    let write = async |piece: &[u8]| store.write(piece).await.map_err(|error| store_error(error, store));
    read_archive(file, schedule, ui, interrupt, write).await?;
    store.commit().await.map_err(|error| store_error(error, store))
}

/// The file stands for its sender: a part of it that is held belongs to no other.
fn offered(header: &Header, schedule: &Schedule) -> Offered {
    Offered { sender: CertificateHash(schedule.commitment()), created: header.created, shape: header.shape }
}

fn store_error(error: StoreError, store: &mut DirectoryStore) -> Error {
    Error::Store(error, store.take_trouble())
}
