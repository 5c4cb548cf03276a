//! A directory on this computer as the place where a received folder goes.
//!
//! TLS -> frame -> open -> decompress -> **store**. What is done to files is done on a thread of the store's own (see
//! `blocking`): a slow disk keeps neither the session's clock nor its user waiting. Paths are resolved component by
//! component relative to open directories, and no symlink is followed below the target or the staging area. PROTOCOL.md,
//! section 8; who calls what when: [`waft_core::session::Store`].

mod blocking;
mod capabilities;
mod check;
mod committed;
mod compare;
mod failure;
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
use self::failure::{Failure, Result as Done};
pub use self::notes::Note;
pub use self::place::InPlace;
use self::place::Place;
use self::received::Received;
use self::staging::MANIFEST;
use crate::home::Home;
use crate::trouble::Trouble;
use crate::worker::Worker;

/// Receives folders into one directory.
///
/// On a host *durable* means handed to the file system: a crash of this process loses none of it. A power cut may; that
/// is found out when the bytes are read back, and again by the sender, who compares their digest.
///
/// The piece of content that was handed over last is still being written when [`write`](Store::write) returns; how that
/// went is told by what is called next.
///
/// Work whose future is dropped ends at the next file, and nothing is written behind that: the thread has the lock on
/// the staging area, and whatever is called next waits for it. Dropping the store itself does not wait.
pub struct DirectoryStore {
    worker: Worker<BlockingStore>,
    /// Digest of the manifest of the archive that was begun last, once it is whole.
    manifest: Option<Digest>,
    /// Bytes of that archive that are written.
    durable: u64,
    /// The longest archive for which there was room when the target was looked at last.
    room: u64,
    /// Why nothing of a sender could be taken then.
    refused: Option<Refused>,
    trouble: Option<Trouble>,
}

struct Refused {
    sender: CertificateHash,
    error: StoreError,
    trouble: Option<Trouble>,
}

impl DirectoryStore {
    /// A store for `target`, which need not exist, in a folder that does. `overwrite`: whether it may hold other
    /// things. Blocks while it looks at the target.
    pub fn open(target: &Path, overwrite: bool) -> Result<Self, Trouble> {
        let store = BlockingStore::new(Place::of(target)?, overwrite);
        let room = store.room();
        Ok(Self { worker: Worker::new(store), manifest: None, durable: 0, room, refused: None, trouble: None })
    }

    /// The same store, which remembers in `home` who sent what the target holds: that sender need not send it again.
    pub fn remembering(mut self, home: Home) -> Self {
        let store = self.worker.at_rest().expect("a store that is being set up has nothing to do");
        store.received = Some(Received::new(home));
        self
    }

    /// Finishes what an interrupted process had begun to move into the target. Says whether there was such a thing.
    pub async fn recover(&mut self) -> Result<bool, Trouble> {
        self.set_up(|store| store.recover()).await
    }

    /// Gives up what an interrupted process left of a folder for the target, which stays as it is: with a part of the
    /// folder, if moving it had begun. Says whether there was such a thing.
    pub async fn abandon(&mut self) -> Result<bool, Trouble> {
        self.set_up(|store| store.abandon()).await
    }

    /// Fails if no folder could be received here at all: makes the staging area, and removes it again. Says what the
    /// user should know beforehand.
    pub async fn probe(&mut self) -> Result<Vec<Note>, Trouble> {
        self.set_up(BlockingStore::probe).await
    }

    /// Looks at the target before a session with `sender`: what [`capacity`](Store::capacity) and
    /// [`refuses`](Store::refuses) say is what was found here.
    pub async fn prepare_for(&mut self, sender: CertificateHash) {
        let look = move |store: &mut BlockingStore| {
            let refused = store.refuses(&sender).err().map(|failure| store.explain(failure));
            (store.room(), refused.map(|(error, trouble)| Refused { sender, error, trouble }))
        };
        (self.room, self.refused) = self.worker.run(look).await;
    }

    /// Fails with what would make the store refuse a folder of that shape that comes from no sender, as far as its
    /// manifest does not matter. Writes nothing.
    pub(crate) async fn check_opening(&mut self, shape: Shape) -> Result<(), StoreError> {
        self.run(move |store| store.foresee_opening(&shape)).await
    }

    /// The staging area, if a part of a folder is kept there.
    pub async fn left_behind(&mut self) -> Option<PathBuf> {
        self.worker.run(|store| store.left_behind()).await
    }

    /// What the last error was about. Told once.
    pub fn take_trouble(&mut self) -> Option<Trouble> {
        self.trouble.take()
    }

    /// Whether the target holds just the folder with that manifest: the digests of its archive.
    pub(crate) async fn holds(&mut self, manifest: impl Read + Seek + Send + 'static, shape: Shape) -> Option<Whole> {
        self.worker.run(move |store| store.holds(manifest, &shape)).await
    }

    async fn set_up<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut BlockingStore) -> Done<T> + Send + 'static,
    ) -> Result<T, Trouble> {
        self.worker
            .run(|store| {
                work(store).map_err(|failure| match failure {
                    Failure::Io(trouble) | Failure::At(_, trouble) => trouble,
                    Failure::Refused(_) => store.place.at_staging(MANIFEST, io::Error::from(ErrorKind::InvalidData)),
                })
            })
            .await
    }

    /// Does work on the store's thread, and keeps what its error is about.
    async fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut BlockingStore) -> Done<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.trouble = None;
        let result = self.observe(|store| work(store).map_err(|failure| store.explain(failure))).await;
        result.map_err(|explained| self.tell(explained))
    }

    fn tell(&mut self, (error, trouble): Explained) -> StoreError {
        self.trouble = trouble;
        error
    }

    /// Waits until the piece is written that was handed over last.
    async fn finish_writing(&mut self) -> Result<(), StoreError> {
        let store = self.worker.idle().await;
        let written = std::mem::replace(&mut store.written, Ok(()));
        (self.manifest, self.durable) = (store.manifest(), store.durable());
        written.map_err(|explained| self.tell(explained))
    }

    /// Does work on the store's thread, and sees afterwards how far the archive has come.
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
        let Refused { error, trouble, .. } = self.refused.take_if(|refused| refused.sender == *sender)?;
        self.trouble = trouble;
        Some(error)
    }

    async fn check(&mut self, offered: &Offered) -> Result<(), StoreError> {
        let offered = *offered;
        self.run(move |store| store.foresee(&offered)).await
    }

    async fn begin(&mut self, offered: &Offered, is_it: &dyn Fn(&Digest) -> bool) -> Result<Held, StoreError> {
        let offered = *offered;
        let (ask, mut asked) = unbounded_channel::<(Digest, oneshot::Sender<bool>)>();
        // Only the session can tell, which knows the key.
        let is_offered = move |digest: &Digest| {
            let (answer, answered) = oneshot::channel();
            ask.send((*digest, answer)).is_ok() && answered.blocking_recv().unwrap_or(false)
        };
        let mut begun = pin!(self.run(move |store| store.take_up(&offered, &is_offered)));
        loop {
            match select(&mut begun, pin!(asked.recv())).await {
                Either::First(held) => return held,
                Either::Second(Some((digest, answer))) => {
                    // Where the work was given up meanwhile, nothing listens.
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
        // The next piece of content is opened while this one is written.
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
