//! The calls of a session: [`DirectoryStore`] as a [`Store`]. Content goes to the worker thread through a queue, so that the
//! session receives the next piece while this one is written.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use embassy_futures::select::{Either, select};
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::oneshot;
use waft_core::certificate::CertificateHash;
use waft_core::digest::Digest;
use waft_core::limits;
use waft_core::path::FolderName;
use waft_core::session::{Capacity, Held, Offered, Receipt, Store, StoreError};
use waft_core::wire::message::BaseFiles;

use super::blocking::BlockingStore;
use super::{ContentQueue, DirectoryStore, QUEUED, REST, Refused};
use crate::queue::queue;

impl Store for DirectoryStore {
    const TAKES_NAME: bool = true;

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
        // The session asks once, after `prepare_for`, so the refusal can be moved out.
        let Refused { error, file_error, .. } = self.refused.take_if(|refused| refused.sender == *sender)?;
        self.file_error = file_error;
        Some(error)
    }

    async fn check(&mut self, offered: &Offered) -> Result<(), StoreError> {
        let offered = *offered;
        self.run(move |store| store.check(&offered)).await
    }

    fn folder_name(&mut self, name: FolderName<'_>) {
        self.folder = Some(name.as_str().to_owned());
    }

    async fn begin(&mut self, offered: &Offered, is_it: &dyn Fn(&Digest) -> bool) -> Result<Held, StoreError> {
        let offered = *offered;
        self.base_files = None;
        let (ask, mut asked) = unbounded_channel::<(Digest, oneshot::Sender<bool>)>();
        // `is_it` borrows the keys of the session, so it cannot be called on the worker thread. The thread sends each
        // digest here, and waits for the answer.
        let is_offered = move |digest: &Digest| {
            let (answer, answered) = oneshot::channel();
            ask.send((*digest, answer)).is_ok() && answered.blocking_recv().unwrap_or(false)
        };
        let folder = self.folder.clone();
        let begin = move |store: &mut BlockingStore| {
            store.choose(folder.as_deref())?;
            store.begin(&offered, &is_offered)
        };
        let mut begun = pin!(self.run(begin));
        loop {
            match select(&mut begun, pin!(asked.recv())).await {
                Either::First(held) => return held,
                Either::Second(Some((digest, answer))) => {
                    // Nothing receives the answer if the work was given up meanwhile.
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
        if !self.starts_content().await? {
            let archive = archive.to_vec();
            self.worker.start(move |store| store.write(&archive)).await;
            return self.finish_writing().await;
        }
        self.send_content(archive, 0).await
    }

    fn has_base(&self) -> bool {
        self.has_base
    }

    async fn base_files(&mut self, files: &mut BaseFiles) -> Result<(), StoreError> {
        if self.base_files.is_none() {
            let listed = self.observe(BlockingStore::list_base).await;
            self.base_files = Some(listed.into_iter());
        }
        let listed = self.base_files.iter_mut().flatten();
        files.extend(listed.take(files.capacity() - files.len()));
        Ok(())
    }

    async fn take(&mut self, length: u64) -> Result<(), StoreError> {
        if !self.starts_content().await? {
            return Err(StoreError::NotListed);
        }
        self.send_content(&[], length).await
    }

    fn manifest(&self) -> Option<Digest> {
        self.manifest
    }

    fn durable(&self) -> u64 {
        self.durable
    }

    async fn commit(&mut self) -> Result<Receipt, StoreError> {
        self.finish_writing().await?;
        // The closure is called before each change in the target. Only tests let it fail.
        let (receipt, placed) = self.run(|store| store.put_in_place(&mut || Ok(()))).await?;
        self.placed = placed;
        Ok(receipt)
    }

    async fn suspend(&mut self) {
        self.worker.give_up_after(REST);
        self.observe(BlockingStore::suspend).await;
    }

    async fn discard(&mut self) {
        self.worker.give_up();
        self.observe(BlockingStore::discard).await;
    }
}

impl DirectoryStore {
    /// Waits until the pieces in the queue are written, and returns the result of writing them.
    pub(super) async fn finish_writing(&mut self) -> Result<(), StoreError> {
        let store = self.worker().idle().await;
        let written = std::mem::replace(&mut store.written, Ok(()));
        (self.manifest, self.durable) = (store.manifest(), store.durable());
        written.map_err(|explained| self.set_error(explained))
    }

    /// Lets the worker thread take content from a queue, if content comes next. Returns whether it does.
    async fn starts_content(&mut self) -> Result<bool, StoreError> {
        if self.content.is_some() {
            return Ok(true);
        }
        self.finish_writing().await?;
        let store = self.worker.idle().await;
        if !store.takes_content() {
            return Ok(false);
        }
        let (pieces, output) = queue(QUEUED);
        let (durable, missing) = (Arc::new(AtomicU64::new(store.durable())), store.left());
        let written = durable.clone();
        self.worker.start(move |store| store.write_content(output, &written)).await;
        self.content = Some(ContentQueue { pieces, durable, missing });
        Ok(true)
    }

    /// Puts content into the queue: these bytes, or `from_base` bytes that are taken from the target.
    async fn send_content(&mut self, archive: &[u8], from_base: u64) -> Result<(), StoreError> {
        let Some(content) = &mut self.content else { return Err(StoreError::Io) };
        let mut piece = content.pieces.buffer();
        piece.bytes.clear();
        piece.bytes.extend_from_slice(archive);
        piece.from_base = from_base;
        content.missing = content.missing.saturating_sub(archive.len() as u64 + from_base);
        let is_sent = self.worker.wait_for(content.pieces.send(piece)).await.is_ok();
        // The thread takes no more pieces after one that could not be written.
        if !is_sent || content.missing == 0 {
            return self.finish_writing().await;
        }
        self.durable = content.durable.load(Ordering::Relaxed);
        Ok(())
    }
}
