//! Stores a received folder in a directory of this computer.
//!
//! TLS -> frame -> open -> decompress -> **store**. The work on files runs on a worker thread of the store (see
//! `blocking`), so that a slow disk delays neither the session's timers nor its user interface. Paths are resolved
//! component by component relative to open directories, and no symlink is followed below the target or the staging
//! area. See PROTOCOL.md, section 8, and [`waft_core::session::Store`] for the order of the calls.

mod blocking;
mod capabilities;
mod check;
mod committed;
mod compare;
pub(crate) mod error;
mod held;
mod incoming;
mod merge;
mod notes;
mod place;
mod preflight;
mod received;
mod staging;
mod tree;

use std::io::{self, ErrorKind, Read, Seek};
use std::path::{Path, PathBuf};
use std::pin::pin;

use embassy_futures::select::{Either, select};
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::oneshot;
use waft_core::archive::Shape;
use waft_core::certificate::CertificateHash;
use waft_core::digest::Digest;
use waft_core::limits;
use waft_core::session::{Capacity, Held, Offered, Receipt, Store, StoreError};

use self::blocking::{BlockingStore, Explained};
use self::compare::Whole;
use self::error::{Failure, Result as Done, target_error};
pub use self::notes::Note;
pub use self::place::InPlace;
use self::place::Place;
use self::received::Received;
use self::staging::MANIFEST;
use crate::error::Error;
use crate::file_error::FileError;
use crate::home::Home;
use crate::worker::{Worker, in_background};

/// Receives folders into one directory.
///
/// On a host, *durable* means handed to the file system: a crash of this process loses none of those bytes. A power cut
/// may lose some. That is detected when the bytes are read back, and again by the sender, which compares their digest.
///
/// When [`write`](Store::write) returns, the piece of content that it was given may still be in the process of being
/// written. The next call reports whether that write succeeded.
///
/// When a future of this store is dropped, its work stops at the next file, and nothing is written after that. The
/// worker thread holds the lock on the staging area until then, and the next call waits for it. Dropping the store
/// itself does not wait.
pub struct DirectoryStore {
    worker: Worker<BlockingStore>,
    /// Digest of the manifest of the current archive, once the manifest is complete.
    manifest: Option<Digest>,
    /// Number of bytes of that archive that are written.
    durable: u64,
    /// The longest archive that fits, as of the last look at the target.
    room: u64,
    /// The reason for which a sender was refused, as of the last look at the target.
    refused: Option<Refused>,
    file_error: Option<FileError>,
    staging: PathBuf,
}

/// What a staging area holds after a transfer that was interrupted. Holds the path of the staging area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftBehind {
    /// A part of a folder, which the sender's next attempt resumes.
    Part(PathBuf),
    /// What was not removed before the removal was interrupted.
    Remains(PathBuf),
}

struct Refused {
    sender: CertificateHash,
    error: StoreError,
    file_error: Option<FileError>,
}

/// How a target is used.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The target may hold other files: files of the same name are replaced one by one, others stay.
    pub overwrite: bool,
    /// Gives up what an interrupted process left for this target, instead of completing it.
    pub abandon: bool,
    /// Where to record which sender the target's content came from, so that this sender need not send the same folder
    /// again.
    pub home: Option<Home>,
}

/// A store that is ready to receive.
pub struct Prepared {
    /// The store.
    pub store: DirectoryStore,
    /// What was done about a process that had been interrupted; `None` if it left nothing.
    pub earlier: Option<Earlier>,
    /// What the target will not keep.
    pub notes: Vec<Note>,
}

/// What was done about a process that had been interrupted while it received into a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// Its commit was completed.
    Completed,
    /// It was given up, as [`Options::abandon`] says.
    Abandoned,
}

impl DirectoryStore {
    /// Opens `target`, which need not exist but whose parent folder must, and checks that a folder can be received
    /// there. Completes the commit of a process that was interrupted, unless `options` say otherwise.
    pub async fn prepare(target: impl AsRef<Path>, options: Options) -> Result<Prepared, Error> {
        let failed = |file_error| target_error(&file_error);
        let (target, Options { overwrite, abandon, home }) = (target.as_ref().to_owned(), options);
        let mut store = in_background(move || Self::open(&target, overwrite)).await.map_err(failed)?;
        if let Some(home) = home {
            store = store.remembering(home);
        }
        let earlier = match abandon {
            true => store.abandon().await.map_err(failed)?.then_some(Earlier::Abandoned),
            false => store.recover().await.map_err(failed)?.then_some(Earlier::Completed),
        };
        let notes = store.probe().await.map_err(failed)?;
        Ok(Prepared { store, earlier, notes })
    }

    /// Creates a store for `target`, which need not exist but whose parent folder must. `overwrite` says whether the
    /// target may hold other files. Blocks while it looks at the target.
    pub fn open(target: &Path, overwrite: bool) -> Result<Self, FileError> {
        let place = Place::of(target)?;
        let staging = place.staging_path();
        let store = BlockingStore::new(place, overwrite);
        let (room, worker) = (store.room(), Worker::new(store));
        Ok(Self { worker, manifest: None, durable: 0, room, refused: None, file_error: None, staging })
    }

    /// Makes the store record in `home` which sender the target's content came from, so that this sender need not send
    /// the same folder again.
    pub fn remembering(mut self, home: Home) -> Self {
        let store = self.worker.at_rest().expect("the first work starts after the store was set up");
        store.received = Some(Received::new(home));
        self
    }

    /// Finishes moving files into the target if a process was interrupted while it did so. Returns whether there was
    /// anything to finish.
    pub async fn recover(&mut self) -> Result<bool, FileError> {
        self.set_up(|store| store.recover()).await
    }

    /// Removes what an interrupted process left in the staging area. The target stays as it is, with a part of the
    /// folder if files had begun to be moved. Returns whether there was anything to remove.
    pub async fn abandon(&mut self) -> Result<bool, FileError> {
        self.set_up(|store| store.abandon()).await
    }

    /// Checks that a folder can be received here at all, by creating the staging area and removing it again. Returns
    /// the notes that the user should see before a transfer.
    pub async fn probe(&mut self) -> Result<Vec<Note>, FileError> {
        self.set_up(BlockingStore::probe).await
    }

    /// Looks at the target before a session with `sender`. [`capacity`](Store::capacity) and
    /// [`refuses`](Store::refuses) report what was found here.
    pub async fn prepare_for(&mut self, sender: CertificateHash) {
        let look = move |store: &mut BlockingStore| {
            let refused = store.refuses(&sender).err().map(|failure| store.explain(failure));
            (store.room(), refused.map(|(error, file_error)| Refused { sender, error, file_error }))
        };
        (self.room, self.refused) = self.worker.run(look).await;
    }

    /// Returns the error with which the store would refuse a folder of that shape that no sender offers (a sealed
    /// file), as far as its manifest does not matter. Writes nothing.
    pub(crate) async fn check_opening(&mut self, shape: Shape) -> Result<(), StoreError> {
        self.run(move |store| store.foresee_opening(&shape)).await
    }

    /// Returns what the staging area holds, if it holds something.
    pub async fn left_behind(&mut self) -> Option<LeftBehind> {
        self.worker.run(|store| store.left_behind()).await
    }

    /// The path of the staging area, which need not exist.
    pub fn staging(&self) -> &Path {
        &self.staging
    }

    /// Returns the path and cause of the last error, and clears them.
    pub fn take_error(&mut self) -> Option<FileError> {
        self.file_error.take()
    }

    /// Returns the digests of the archive if the target holds exactly the folder with that manifest.
    pub(crate) async fn holds(&mut self, manifest: impl Read + Seek + Send + 'static, shape: Shape) -> Option<Whole> {
        self.worker.run(move |store| store.holds(manifest, &shape)).await
    }

    async fn set_up<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut BlockingStore) -> Done<T> + Send + 'static,
    ) -> Result<T, FileError> {
        self.worker
            .run(|store| {
                work(store).map_err(|failure| match failure {
                    Failure::Io(file_error) | Failure::At(_, file_error) => file_error,
                    Failure::Refused(_) => store.place.at_staging(MANIFEST, io::Error::from(ErrorKind::InvalidData)),
                })
            })
            .await
    }

    /// Runs `work` on the worker thread, and keeps the path and cause of its error for
    /// [`take_error`](Self::take_error).
    async fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut BlockingStore) -> Done<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.file_error = None;
        let result = self.observe(|store| work(store).map_err(|failure| store.explain(failure))).await;
        result.map_err(|explained| self.tell(explained))
    }

    fn tell(&mut self, (error, file_error): Explained) -> StoreError {
        self.file_error = file_error;
        error
    }

    /// Waits until the last piece that was handed over is written.
    async fn finish_writing(&mut self) -> Result<(), StoreError> {
        let store = self.worker.idle().await;
        let written = std::mem::replace(&mut store.written, Ok(()));
        (self.manifest, self.durable) = (store.manifest(), store.durable());
        written.map_err(|explained| self.tell(explained))
    }

    /// Runs `work` on the worker thread, and updates the archive's progress afterwards.
    async fn observe<T: Send + 'static>(&mut self, work: impl FnOnce(&mut BlockingStore) -> T + Send + 'static) -> T {
        let work = |store: &mut BlockingStore| (work(store), store.manifest(), store.durable());
        let result;
        (result, self.manifest, self.durable) = self.worker.run(work).await;
        result
    }
}

impl Store for DirectoryStore {
    fn capacity(&mut self) -> Capacity {
        Capacity {
            total: limits::ARCHIVE_MAX,
            entries: limits::ENTRIES_MAX,
            manifest: limits::MANIFEST_MAX,
            path: limits::PATH_MAX as u16,
            free: self.room,
        }
    }

    fn refuses(&mut self, sender: &CertificateHash) -> Option<StoreError> {
        let Refused { error, file_error, .. } = self.refused.take_if(|refused| refused.sender == *sender)?;
        self.file_error = file_error;
        Some(error)
    }

    async fn check(&mut self, offered: &Offered) -> Result<(), StoreError> {
        let offered = *offered;
        self.run(move |store| store.foresee(&offered)).await
    }

    async fn begin(&mut self, offered: &Offered, is_it: &dyn Fn(&Digest) -> bool) -> Result<Held, StoreError> {
        let offered = *offered;
        let (ask, mut asked) = unbounded_channel::<(Digest, oneshot::Sender<bool>)>();
        // Only the session knows the key, so only the session can answer this.
        let is_offered = move |digest: &Digest| {
            let (answer, answered) = oneshot::channel();
            ask.send((*digest, answer)).is_ok() && answered.blocking_recv().unwrap_or(false)
        };
        let mut begun = pin!(self.run(move |store| store.take_up(&offered, &is_offered)));
        loop {
            match select(&mut begun, pin!(asked.recv())).await {
                Either::First(held) => return held,
                Either::Second(Some((digest, answer))) => {
                    // If the work was given up meanwhile, the receiver of the answer is gone.
                    let _ = answer.send(is_it(&digest));
                }
                Either::Second(None) => return begun.await,
            }
        }
    }

    async fn restart(&mut self) -> Result<(), StoreError> {
        self.run(BlockingStore::start_over).await
    }

    async fn write(&mut self, archive: &[u8]) -> Result<(), StoreError> {
        self.finish_writing().await?;
        let store = self.worker.idle().await;
        let is_content = store.takes_content();
        store.piece.clear();
        store.piece.extend_from_slice(archive);
        self.worker.start(BlockingStore::write).await;
        // The session can open the next piece of content while this one is written.
        if is_content { Ok(()) } else { self.finish_writing().await }
    }

    fn manifest(&self) -> Option<Digest> {
        self.manifest
    }

    fn durable(&self) -> u64 {
        self.durable
    }

    async fn commit(&mut self) -> Result<Receipt, StoreError> {
        self.finish_writing().await?;
        self.run(|store| store.put_in_place(&mut || Ok(()))).await
    }

    async fn suspend(&mut self) {
        self.worker.give_up();
        self.observe(BlockingStore::suspend).await;
    }

    async fn discard(&mut self) {
        self.worker.give_up();
        self.observe(BlockingStore::discard).await;
    }
}

#[cfg(test)]
mod tests;
