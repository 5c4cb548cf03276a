//! `waft seal`: a folder into one file, which its key opens anywhere. PROTOCOL.md, section 9.
//!
//! Walk -> archive -> compress -> seal -> **file**. The file appears under its name when it is whole.

use std::io::{ErrorKind, Write};
use std::path::Path;

use rand_core::{OsRng, RngCore};
use tempfile::NamedTempFile;
use waft_core::code::TransferKey;
use waft_core::limits::{CHUNK_MAX, FRAME_HEADER};
use waft_core::sealed::cipher::Cipher as _;
use waft_core::sealed::file::{ENCODED_MAX, START};
use waft_core::sealed::stream::seal_buffer;
use waft_core::sealed::{Aead, Codec, Compressor, Header, Schedule, Sealer, Secret, Span, Transcript};
use waft_core::session::sender::{ArchiveInfo, Source, SourceError};
use waft_core::wire::frame::{self, Kind};

use super::answers::show_key;
use super::folders;
use crate::cli::Seal;
use crate::crypto::RingCipher;
use crate::error::{Error, bytes, files, shown};
use crate::folder::FolderSource;
use crate::interrupt::Interrupt;
use crate::platform;
use crate::secret::secret;
use crate::ui::{Event, Ui};

/// Guesses at a stolen file's key cost this much each; opening it costs a moment.
const ITERATIONS: u32 = 600_000;
/// Chunks between two looks at Ctrl-C.
const CHUNKS_PER_TURN: usize = 64;

/// Does what was typed.
pub(super) async fn run(args: Seal, ui: &Ui) -> Result<(), Error> {
    let interrupt = Interrupt::listen();
    super::check_is_file(&args.output, "standard output")?;
    if args.output.symlink_metadata().is_ok() {
        return Err(Error::Exists(args.output));
    }
    let folder = tokio::select! {
        folder = folders::walk(&args.folder, args.skip_unsendable, ui) => folder?,
        () = interrupt.raised() => return Err(Error::Interrupted),
    };
    let mut source = FolderSource::new(folder);
    let info = source.info();
    let key = TransferKey::random(&mut OsRng);
    let directory = args.output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |cause| Error::File(args.output.clone(), cause);
    let file = tempfile::Builder::new().prefix(".waft-").tempfile_in(directory);
    // The name that was typed says more than a temporary one.
    let mut file = file.map_err(|cause| failed(cause.kind().into()))?;
    write(&mut source, &key, &mut file, &args.output, ui, &interrupt).await?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist_noclobber(&args.output).map_err(|error| match error.error.kind() {
        ErrorKind::AlreadyExists => Error::Exists(args.output.clone()),
        _ => Error::File(args.output.clone(), error.error),
    })?;
    // Its name, too, has to outlast a power cut.
    platform::sync_directory(directory).map_err(failed)?;
    show_key(ui, &key);
    ui.event(&Event::Key { key: &secret(key.display()) });
    ui.event(&Event::Sealed { path: shown(&args.output), files: info.shape.files, bytes: info.shape.total });
    ui.done(format!("Sealed {} ({}) into {}.", files(info.shape.files), bytes(info.shape.total), shown(&args.output)));
    ui.say("Keep the key apart from the file: without it nobody can open the file, and it is shown only now.");
    Ok(())
}

async fn write(
    source: &mut FolderSource,
    key: &TransferKey,
    file: &mut NamedTempFile,
    output: &Path,
    ui: &Ui,
    interrupt: &Interrupt,
) -> Result<(), Error> {
    let failed = |cause| Error::File(output.to_owned(), cause);
    let header = header(&source.info());
    let mut encoded = [0; ENCODED_MAX];
    let encoded = header.encode(&mut encoded);
    let schedule =
        Schedule::new(&Secret::typed(key, &header.salt, header.iterations), &Transcript::file(&encoded[START..]));
    file.write_all(encoded).and_then(|()| file.write_all(&schedule.commitment())).map_err(failed)?;

    let mut compressor = Compressor::new();
    let mut sealer = sealer(&header, &schedule);
    let mut plain = vec![0; CHUNK_MAX as usize];
    let mut framed = vec![0; FRAME_HEADER + seal_buffer(CHUNK_MAX)];
    let mut progress = ui.progress(0, header.shape.total);
    for turn in 1.. {
        let piece = &mut plain[..sealer.next_len()];
        if piece.is_empty() {
            break;
        }
        if source.read(piece).await.map_err(|error| folders::source_error(error, source))? < piece.len() {
            return Err(folders::source_error(SourceError::Changed, source));
        }
        let payload = &mut framed[FRAME_HEADER..];
        let length = sealer.seal(piece, Some(&mut compressor), payload).expect("the piece is as long as asked for");
        framed[..FRAME_HEADER].copy_from_slice(&frame::Header::encode(Kind::Chunk, length));
        file.write_all(&framed[..FRAME_HEADER + length]).map_err(failed)?;
        progress.set(sealer.position());
        if turn % CHUNKS_PER_TURN == 0 {
            tokio::task::yield_now().await;
            interrupt.check()?;
        }
    }
    Ok(())
}

fn header(info: &ArchiveInfo) -> Header {
    let mut salt = [0; 32];
    OsRng.fill_bytes(&mut salt);
    Header {
        iterations: ITERATIONS,
        salt,
        aead: Aead::Aes256Gcm,
        codec: Codec::Lz4,
        chunk: CHUNK_MAX,
        created: super::seconds_since_1970(),
        shape: info.shape,
    }
}

fn sealer(header: &Header, schedule: &Schedule) -> Sealer<RingCipher> {
    let cipher = RingCipher::new(header.aead, schedule.chunk_key()).expect("a host has every AEAD");
    let span = Span::new(header.chunk, 0, header.shape.total).expect("a walked folder is within the limits");
    Sealer::new(cipher, schedule.nonce_prefix(), span, header.codec)
}
