//! Stores a received folder in a directory of this computer.
//!
//! TLS -> frame -> open (decrypt) -> decompress -> **store**. The work on files runs on a worker thread of the store
//! (see `blocking`), so that a slow disk delays neither the session's timers nor the user interface. Paths are resolved
//! component by component relative to open directories, and no symlink is followed below the target or the staging
//! area. See PROTOCOL.md, section 8, and [`waft_core::session::Store`] for the order of the calls.

mod base;
mod blocking;
mod capabilities;
mod check;
mod commit;
mod committed;
mod compare;
pub(crate) mod error;
mod file_managers;
mod held;
mod inbox;
mod merge;
mod open_files;
mod place;
mod replace;
mod restage;
mod session;
mod small_files;
mod staged_file;
mod staging;
mod stays;
mod tree;

use std::io::{self, ErrorKind, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use std::vec;

use waft_core::archive::Shape;
use waft_core::certificate::CertificateHash;
use waft_core::digest::Digest;
use waft_core::session::StoreError;
use waft_core::wire::message::BaseFile;

use self::blocking::{BlockingStore, ErrorAndCause};
pub use self::capabilities::Note;
use self::committed::Received;
use self::compare::Whole;
use self::error::{Failure, Result as WorkResult, target_error};
use self::inbox::{Inbox, Tidied};
pub use self::place::InPlace;
use self::place::Place;
use self::staging::MANIFEST;
use crate::error::{Error, FileError};
use crate::home::Home;
use crate::name::Name;
use crate::queue::Input;
use crate::worker::{Worker, in_background};

/// Receives folders into one directory, or into an inbox: a directory in which each sender's folders are side by side.
///
/// In this store, [durable] bytes are those that were handed to the file system: a crash of this
/// process loses none of them, a power cut may lose some. Such a loss is detected when the store reads the bytes back,
/// and again by the sender, which compares their digest with its own. Files that stay in the target count as well, but a
/// resume may read them again instead of holding them.
///
/// [`write`] puts its piece of content into a queue, from which the worker thread hashes and writes it, and waits only
/// while the queue is full. After the last piece it waits until all are written, because nothing interrupts [`commit`]. A
/// later call of either reports whether writing the piece succeeded.
///
/// When a future of this store is dropped, the worker thread stops the work of that future at the next file, and then
/// writes nothing more. Until the work has stopped, the thread holds the lock on the staging area, and the next call
/// waits. Dropping the store itself does not wait.
///
/// [durable]: waft_core::session::Store::durable
/// [`write`]: waft_core::session::Store::write
/// [`commit`]: waft_core::session::Store::commit
pub struct DirectoryStore {
    worker: Worker<BlockingStore>,
    /// The content on its way to the worker thread, while that writes content.
    content: Option<ContentQueue>,
    /// Digest of the manifest of the current archive, once the manifest is complete.
    manifest: Option<Digest>,
    /// Number of bytes of the current archive that are written.
    durable: u64,
    /// Whether the target is a base for the current archive.
    has_base: bool,
    /// The files of the base that are still to be listed.
    base_files: Option<vec::IntoIter<BaseFile>>,
    /// The longest archive for which there is space, found by the last [`prepare_for`](Self::prepare_for).
    room: u64,
    /// The sender that every session would refuse, found by the last [`prepare_for`](Self::prepare_for).
    refused: Option<Refused>,
    /// The name of the folder of the current session, once its sender has proven the key.
    folder: Option<String>,
    /// How the last folder got to its place.
    placed: Placed,
    /// The path of the current folder.
    target: PathBuf,
    /// Path and cause of the last error, for [`take_error`](Self::take_error).
    file_error: Option<FileError>,
    staging: PathBuf,
}

/// Content that was received and is not written yet.
struct ContentQueue {
    pieces: Input<Piece>,
    /// Number of bytes of the current archive that are written.
    durable: Arc<AtomicU64>,
    /// Number of bytes of the current archive that have not arrived.
    missing: u64,
}

/// A piece of content.
#[derive(Default)]
struct Piece {
    bytes: Vec<u8>,
    /// If it is not 0, the piece has no bytes: so many bytes of the archive are taken from the target.
    from_base: u64,
}

/// How long a transfer that ends early goes on to write what has arrived.
const REST: Duration = Duration::from_millis(500);

/// Most pieces of content in the queue. The session's pieces have up to 64 KiB.
const QUEUED: usize = 8;

/// What the staging area contains after a transfer that was interrupted, with the path of the staging area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftBehind {
    /// A part of a folder. The next transfer of that folder by the same sender resumes after it.
    Part(PathBuf),
    /// Files of a part whose removal was interrupted. No transfer resumes after them; the next one removes them.
    Unremoved(PathBuf),
}

/// How a folder got to its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placed {
    /// Nothing was there, or an empty folder.
    #[default]
    New,
    /// It replaced its predecessor, which came from the same sender and had not been changed since.
    Replaced,
    /// Its files were put among those that were there.
    Merged,
    /// It was there already.
    Unchanged,
}

/// A sender of which the store could accept no folder at present, and the error that says why.
struct Refused {
    sender: CertificateHash,
    error: StoreError,
    file_error: Option<FileError>,
}

/// How a target is used.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whether the target may hold other files. Those with the path of a file in the folder are replaced one by one,
    /// and the others stay.
    pub overwrite: bool,
    /// Whether to remove what an interrupted process left in the staging area, instead of completing its commit.
    pub abandon: bool,
    /// Where to record which sender the target's content came from, so that no content is transferred if this sender
    /// sends the same folder again. `None` records nothing.
    pub home: Option<Home>,
}

/// A store that is ready to receive.
pub struct Prepared {
    /// The store.
    pub store: DirectoryStore,
    /// What was done about the commits and staging areas of interrupted processes, each once.
    pub earlier: Vec<Earlier>,
    /// What the user should know about the target before a transfer.
    pub notes: Vec<Note>,
}

/// What was done about a process that had been interrupted while it received into a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// The commit of that process was completed.
    Completed,
    /// The commit of that process was undone: the folder that it had begun to replace is back in place.
    Undone,
    /// Its staging area was removed, because of [`Options::abandon`].
    Abandoned,
}

impl DirectoryStore {
    /// Opens the inbox at `path`, which need not exist but whose parent folder must: a folder `photos` of a sender that
    /// is trusted as `anna` is received into `anna/photos` below it.
    ///
    /// A folder that is sent again replaces its predecessor in one step, unless that was changed since: then it is
    /// refused with [`StoreError::Edited`], or with [`Options::overwrite`] put among what is there. Whether it was changed
    /// is known from [`Options::home`]; without it, no folder is ever replaced.
    ///
    /// If processes were interrupted while they put folders into this inbox, completes or undoes that, or with
    /// [`Options::abandon`] removes all staging areas.
    pub async fn prepare_inbox(path: impl AsRef<Path>, options: Options) -> Result<Prepared, Error> {
        let (path, overwrite) = (path.as_ref().to_owned(), options.overwrite);
        let opened = in_background(move || Self::open_inbox(&path, overwrite));
        Self::finish_preparing(opened.await, options).await
    }

    /// Opens `target`, which need not exist but whose parent folder must, and checks that a folder can be received
    /// there. If a process was interrupted while it committed a folder to this target, completes that commit, or with
    /// [`Options::abandon`] removes the staging area instead.
    pub async fn prepare(target: impl AsRef<Path>, options: Options) -> Result<Prepared, Error> {
        let (target, overwrite) = (target.as_ref().to_owned(), options.overwrite);
        let opened = in_background(move || Self::open(&target, overwrite));
        Self::finish_preparing(opened.await, options).await
    }

    async fn finish_preparing(opened: Result<Self, FileError>, options: Options) -> Result<Prepared, Error> {
        let failed = |file_error| target_error(&file_error);
        let Options { abandon, home, .. } = options;
        let mut store = opened.map_err(failed)?;
        if let Some(home) = home {
            store = store.remembering(home);
        }
        let tidy = move |store: &mut BlockingStore| if abandon { store.abandon() } else { store.recover() };
        let Tidied { earlier, mut notes } = store.set_up(tidy).await.map_err(failed)?;
        notes.extend(store.probe().await.map_err(failed)?);
        Ok(Prepared { store, earlier, notes })
    }

    /// Creates a store for `target`, which need not exist but whose parent folder must. `overwrite` says whether the
    /// target may hold other files. Blocks the thread while it looks at the target.
    pub fn open(target: &Path, overwrite: bool) -> Result<Self, FileError> {
        Ok(Self::new(BlockingStore::new(Place::of(target)?, overwrite)))
    }

    /// Creates a store for the inbox at `path`, which is created if it does not exist. `overwrite` says whether a folder
    /// may be put among what is in its place. Blocks the thread.
    pub fn open_inbox(path: &Path, overwrite: bool) -> Result<Self, FileError> {
        let inbox = Inbox::open(path)?;
        let mut store = BlockingStore::new(inbox.neutral()?, overwrite);
        store.inbox = Some(inbox);
        Ok(Self::new(store))
    }

    fn new(store: BlockingStore) -> Self {
        let (staging, target) = (store.place.staging_path(), store.place.target_path());
        let (room, worker) = (store.room(), Worker::new(store));
        Self {
            worker,
            content: None,
            manifest: None,
            durable: 0,
            has_base: false,
            base_files: None,
            room,
            refused: None,
            folder: None,
            placed: Placed::default(),
            target,
            file_error: None,
            staging,
        }
    }

    /// Makes the store record in `home` which sender the target's content came from, so that no content is transferred
    /// if this sender sends the same folder again.
    pub fn remembering(mut self, home: Home) -> Self {
        let store = self.worker.at_rest().expect("the first work starts after the store was set up");
        store.received = Some(Received::new(home));
        self
    }

    /// If a process was interrupted while it put a folder into the target, completes or undoes that. Returns whether
    /// there was such a process.
    pub async fn recover(&mut self) -> Result<bool, FileError> {
        Ok(!self.set_up(|store| store.recover()).await?.earlier.is_empty())
    }

    /// Removes what an interrupted process left in the staging area. The target stays as it is: if the process was
    /// moving files into it, the moved ones stay there. Returns whether there was anything to remove.
    pub async fn abandon(&mut self) -> Result<bool, FileError> {
        Ok(!self.set_up(|store| store.abandon()).await?.earlier.is_empty())
    }

    /// Checks that this target can receive folders, by creating the staging area and removing it again. Returns the
    /// notes that the user should see before a transfer.
    pub async fn probe(&mut self) -> Result<Vec<Note>, FileError> {
        self.set_up(BlockingStore::probe).await
    }

    /// Looks at the target before a session with `sender`, which is trusted as `name`. [`capacity`](waft_core::session::Store::capacity) and
    /// [`refuses`](waft_core::session::Store::refuses) report what was found here.
    pub async fn prepare_for(&mut self, sender: CertificateHash, name: Name) {
        self.folder = None;
        let look = move |store: &mut BlockingStore| {
            let looked = store.expect(&name).map_err(Failure::Io).and_then(|()| store.refuses(&sender));
            let refused = looked.err().map(|failure| store.explain(failure));
            (store.room(), refused.map(|(error, file_error)| Refused { sender, error, file_error }))
        };
        (self.room, self.refused) = self.worker().run(look).await;
    }

    /// Checks whether the store could begin to receive the folder in a sealed file, which has this shape and no sender,
    /// as far as that can be known without the folder's manifest. Writes nothing.
    #[cfg_attr(not(feature = "cli"), allow(dead_code))] // for the command
    pub(crate) async fn check_opening(&mut self, shape: Shape) -> Result<(), StoreError> {
        self.run(move |store| store.check_opening(&shape)).await
    }

    /// Returns what an interrupted transfer left in the staging area, if it left anything.
    pub async fn left_behind(&mut self) -> Option<LeftBehind> {
        self.worker().run(|store| store.left_behind()).await
    }

    /// The path of the staging area, which need not exist.
    pub fn staging(&self) -> &Path {
        &self.staging
    }

    /// The path of the folder of the last session that got as far as to receive one.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The name of the folder of the last session, if its sender has proven the key.
    pub fn folder(&self) -> Option<&str> {
        self.folder.as_deref()
    }

    /// How the folder that was committed last got to its place.
    pub fn placed(&self) -> Placed {
        self.placed
    }

    /// Returns the path and cause of the last error, once: the next call returns `None`.
    pub fn take_error(&mut self) -> Option<FileError> {
        self.file_error.take()
    }

    /// Compares the target with `manifest`. If the target has exactly its entries, with their names, sizes, modes and
    /// times, returns the digests of the archive made from the target's content. The caller compares them with the
    /// digests of the archive that it expects, because a manifest says nothing about content.
    #[cfg_attr(not(feature = "cli"), allow(dead_code))] // for the command
    pub(crate) async fn holds(&mut self, manifest: impl Read + Seek + Send + 'static, shape: Shape) -> Option<Whole> {
        self.worker().run(move |store| store.holds(manifest, &shape)).await
    }

    /// Runs `work` on the worker thread, outside of a session. Returns its error as the path and cause for the user.
    async fn set_up<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut BlockingStore) -> WorkResult<T> + Send + 'static,
    ) -> Result<T, FileError> {
        self.worker()
            .run(|store| {
                work(store).map_err(|failure| match failure {
                    Failure::Io(file_error) | Failure::At(_, file_error) => file_error,
                    // Without an offer, the only such failure is a staged manifest that is damaged.
                    Failure::Refused(_) => store.place.at_staging(MANIFEST, io::Error::from(ErrorKind::InvalidData)),
                })
            })
            .await
    }

    /// Runs `work` on the worker thread, and keeps the path and cause of its error for
    /// [`take_error`](Self::take_error).
    async fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut BlockingStore) -> WorkResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.file_error = None;
        let result = self.observe(|store| work(store).map_err(|failure| store.explain(failure))).await;
        result.map_err(|explained| self.set_error(explained))
    }

    /// Returns the error for the session, and keeps the path and cause for [`take_error`](Self::take_error).
    fn set_error(&mut self, (error, file_error): ErrorAndCause) -> StoreError {
        self.file_error = file_error;
        error
    }

    /// The worker, for work other than the content in the queue. That work begins after the content is written.
    fn worker(&mut self) -> &mut Worker<BlockingStore> {
        self.content = None;
        &mut self.worker
    }

    /// Runs `work` on the worker thread, then updates the fields `manifest`, `durable` and `has_base`.
    async fn observe<T: Send + 'static>(&mut self, work: impl FnOnce(&mut BlockingStore) -> T + Send + 'static) -> T {
        let work = |store: &mut BlockingStore| {
            let result = work(store);
            (result, store.manifest(), store.durable(), store.has_base(), store.place.target_path())
        };
        let result;
        (result, self.manifest, self.durable, self.has_base, self.target) = self.worker().run(work).await;
        result
    }
}

#[cfg(test)]
mod tests;
