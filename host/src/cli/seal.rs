//! `waft seal`: packs a folder into one encrypted file, which can be opened anywhere with its key. PROTOCOL.md,
//! section 9.
//!
//! Walk -> archive -> compress -> seal -> **file**. The file appears under its name only when it is complete.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use rand_core::{OsRng, RngCore};
use waft_core::code::TransferKey;
use waft_core::limits::{CHUNK_MAX, FRAME_HEADER};
use waft_core::sealed::file::{ENCODED_MAX, START};
use waft_core::sealed::{
    Aead, ChunkSize, Codec, Compressor, Header, Schedule, Sealer, Span, Suite, Transcript, seal_buffer,
};
use waft_core::session::sender::{ArchiveInfo, Source, SourceError};
use waft_core::wire::frame::{self, Kind};

use crate::cli::arguments::Seal;
use crate::cli::interrupt::Interrupt;
use crate::cli::ui::{Event, Ui, new_key, secret, show_key};
use crate::cli::{check_is_file, file_secret, number_of_files, report_skipped, source_error, walk_paths};
use crate::error::{Error, bytes, shown};
use crate::files::{self, NewFile, folder_of};
use crate::folder::FolderSource;
use crate::session::{self, RingCipher};
use crate::worker::{Worker, in_background};

/// Iterations of the key derivation. They make each guess at the key of a stolen file expensive, while opening the
/// file takes only a moment.
const ITERATIONS: u32 = 600_000;

/// Runs the command.
pub(super) async fn run(args: Seal, ui: &Ui) -> Result<(), Error> {
    let interrupt = Interrupt::listen();
    check_is_file(&args.output, "standard output")?;
    let key = new_key();
    // When Ctrl-C drops this future, the temporary file is removed.
    let (new, info) = interrupt.or(write_new(&args, &key, ui)).await?;
    let output = args.output.clone();
    let published = in_background(move || new.publish(&output)).await;
    published.map_err(|cause| failed(&args.output, cause))?.keep();
    show_key(ui, &key);
    ui.event(&Event::Key { key: &secret(key.display()), peer: None });
    ui.event(&Event::Sealed { path: shown(&args.output), files: info.shape.files, bytes: info.shape.total });
    ui.done(format!(
        "Sealed {} ({}) into {}.",
        number_of_files(info.shape.files),
        bytes(info.shape.total),
        shown(&args.output)
    ));
    ui.say("Keep the key apart from the file: without it nobody can open the file, and it is shown only now.");
    Ok(())
}

/// Walks the folder, and writes the whole file under a temporary name in the directory of the output.
async fn write_new(args: &Seal, key: &TransferKey, ui: &Ui) -> Result<(NewFile, ArchiveInfo), Error> {
    let output = args.output.clone();
    if in_background(move || output.symlink_metadata().is_ok()).await {
        return Err(Error::exists(&args.output));
    }
    let walked = walk_paths(&args.paths, &args.content).await?;
    report_skipped(&walked, ui);
    let mut source = FolderSource::new(walked);
    let folder = folder_of(&args.output).to_owned();
    let begun = in_background(move || files::begin(&folder)).await;
    let (file, path) = begun.map_err(|cause| failed(&args.output, cause))?.into_parts();
    let mut output = Output { path: &args.output, file: Worker::new(file) };
    write(&mut source, key, &mut output, ui).await?;
    output.sync().await?;
    Ok((NewFile::durable(path), source.info()))
}

/// Reports the path that the user typed instead of the temporary one.
fn failed(output: &Path, cause: io::Error) -> Error {
    match cause.kind() {
        ErrorKind::AlreadyExists => Error::exists(output),
        _ => Error::file(output, cause),
    }
}

/// The file that is being written, on a thread of its own.
struct Output<'a> {
    /// The final path, for errors.
    path: &'a Path,
    file: Worker<File>,
}

impl Output<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let bytes = bytes.to_vec();
        self.do_with(move |file| file.write_all(&bytes)).await
    }

    async fn sync(&mut self) -> Result<(), Error> {
        self.do_with(|file| file.sync_all()).await
    }

    async fn do_with(&mut self, work: impl FnOnce(&mut File) -> io::Result<()> + Send + 'static) -> Result<(), Error> {
        self.file.run(work).await.map_err(|cause| failed(self.path, cause))
    }
}

async fn write(source: &mut FolderSource, key: &TransferKey, output: &mut Output<'_>, ui: &Ui) -> Result<(), Error> {
    let header = header(&source.info());
    let mut encoded = [0; ENCODED_MAX];
    let encoded = header.encode(&mut encoded);
    let schedule = Schedule::new(&*file_secret(key, &header).await, &Transcript::file(&encoded[START..]));
    output.write(encoded).await?;
    output.write(&schedule.commitment()).await?;

    let mut compressor = Compressor::new();
    let mut sealer = sealer(&header, schedule);
    let mut plain = vec![0; CHUNK_MAX as usize];
    let mut framed = vec![0; FRAME_HEADER + seal_buffer(ChunkSize::MAX)];
    let mut progress = ui.progress(0, header.shape.total);
    loop {
        let piece = &mut plain[..sealer.next_len()];
        if piece.is_empty() {
            return Ok(());
        }
        if source.read(piece).await.map_err(|error| source_error(error, source))? < piece.len() {
            return Err(source_error(SourceError::Changed, source));
        }
        let payload = &mut framed[FRAME_HEADER..];
        let length = sealer
            .seal(piece, Some(&mut compressor), payload)
            .expect("the piece has the length that the sealer asked for");
        framed[..FRAME_HEADER].copy_from_slice(&frame::Header::encode(Kind::Chunk, length));
        output.write(&framed[..FRAME_HEADER + length]).await?;
        progress.set(sealer.position());
    }
}

fn header(info: &ArchiveInfo) -> Header {
    let mut salt = [0; 32];
    OsRng.fill_bytes(&mut salt);
    Header {
        iterations: ITERATIONS,
        salt,
        suite: Suite { aead: Aead::Aes256Gcm, codec: Codec::Lz4, chunk: ChunkSize::MAX },
        created: session::seconds_since_1970(),
        shape: info.shape,
    }
}

fn sealer(header: &Header, schedule: Schedule) -> Sealer<RingCipher> {
    let span = Span::new(0, header.shape.total).expect("walking a folder checks the limits");
    let (keys, ..) = schedule.into_stream();
    Sealer::new(keys, &header.suite, span).expect("`RingCipher` has every AEAD of the protocol")
}
