//! `waft open`: a sealed file back into a folder. PROTOCOL.md, section 9.
//!
//! File -> **open -> decompress** -> store. Nothing is written before the key is right; nothing appears in the target
//! before the whole file was checked.

mod sealed_file;

use waft_core::certificate::CertificateHash;
use waft_core::digest::{Digest, Hasher};
use waft_core::limits::KEY_TRIES;
use waft_core::sealed::{Header, Schedule, Secret, Transcript};
use waft_core::session::{Offered, Receipt, Store, StoreError};

use self::sealed_file::SealedFile;
use super::answers::key_form;
use crate::asked::Asked;
use crate::cli::Open;
use crate::error::{Error, bytes, files, shown};
use crate::interrupt::Interrupt;
use crate::store::DirectoryStore;
use crate::ui::{Event, Ui};

/// Pieces between two looks at Ctrl-C.
const PIECES_PER_TURN: usize = 64;

/// Does what was typed.
pub(super) async fn run(args: Open, ui: &Ui) -> Result<(), Error> {
    let interrupt = Interrupt::listen();
    super::check_is_file(&args.file, "standard input")?;
    let mut file = SealedFile::start(&args.file)?;
    let schedule = tokio::select! {
        schedule = ask_key(&file, ui) => schedule?,
        () = interrupt.raised() => return Err(Error::Interrupted),
    };
    let header = *file.header();
    let manifest = manifest_digest(&mut file, &schedule)?;
    let mut store = DirectoryStore::open(&args.into, args.overwrite).map_err(Error::Place)?;
    let receipt = match unpack(&mut file, &schedule, &manifest, &mut store, ui, &interrupt).await {
        Ok(receipt) => receipt,
        Err(error) => {
            store.discard().await;
            return Err(error);
        }
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

/// Reads the file up to the end of its manifest: the store knows a folder by that.
fn manifest_digest(file: &mut SealedFile, schedule: &Schedule) -> Result<Digest, Error> {
    let mut left = file.header().shape.manifest as usize;
    let mut hasher = Hasher::new();
    let mut pieces = file.pieces(schedule)?;
    while left > 0 {
        let piece = pieces.next()?.expect("a header's manifest is shorter than its archive");
        let part = &piece[..left.min(piece.len())];
        hasher.update(part);
        left -= part.len();
    }
    Ok(hasher.digest())
}

async fn unpack(
    file: &mut SealedFile,
    schedule: &Schedule,
    manifest: &Digest,
    store: &mut DirectoryStore,
    ui: &Ui,
    interrupt: &Interrupt,
) -> Result<Receipt, Error> {
    let offered = offered(file.header(), schedule);
    let is_it = |digest: &_| digest == manifest;
    let held = tokio::select! {
        held = store.begin(&offered, &is_it) => held,
        () = interrupt.raised() => return Err(Error::Interrupted),
    };
    let held = held.map_err(|error| store_error(error, store))?;
    if held.offset < offered.shape.total {
        if held.offset > 0 {
            store.restart().await.map_err(|error| store_error(error, store))?;
        }
        fill(file, schedule, store, ui, interrupt).await?;
    }
    store.commit().await.map_err(|error| store_error(error, store))
}

async fn fill(
    file: &mut SealedFile,
    schedule: &Schedule,
    store: &mut DirectoryStore,
    ui: &Ui,
    interrupt: &Interrupt,
) -> Result<(), Error> {
    let mut progress = ui.progress(0, file.header().shape.total);
    let mut pieces = file.pieces(schedule)?;
    for turn in 1.. {
        let Some(piece) = pieces.next()? else { break };
        store.write(piece).await.map_err(|error| store_error(error, store))?;
        progress.set(pieces.position());
        if turn % PIECES_PER_TURN == 0 {
            tokio::task::yield_now().await;
            interrupt.check()?;
        }
    }
    Ok(())
}

/// The file stands for its sender: a part of it that is held belongs to no other.
fn offered(header: &Header, schedule: &Schedule) -> Offered {
    Offered { sender: CertificateHash(schedule.commitment()), created: header.created, shape: header.shape }
}

fn store_error(error: StoreError, store: &mut DirectoryStore) -> Error {
    Error::Store(error, store.take_trouble())
}
