//! Boots the slot store on a simulated flash, and runs transfers on it.

use embassy_futures::block_on;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use embedded_storage_async::nor_flash::NorFlash;
use waft_core::digest::Digest;
use waft_core::session::{Held, Receipt, Store, StoreError};
use waft_core::wire::message::BaseFiles;
use waft_receiver::slots::{SlotStore, Slots, Transfer};

use crate::archive::{Archive, Tree, seen};

pub(crate) type Board<'a, F> = SlotStore<'a, NoopRawMutex, F>;

/// Boots once: mounts the slots, and runs `what` with the store.
pub(crate) fn boot<F: NorFlash, T>(
    flash: &Mutex<NoopRawMutex, F>,
    what: impl AsyncFnOnce(&Slots<'_, NoopRawMutex, F>, &mut Board<'_, F>) -> T,
) -> Option<T> {
    // Depending on the geometry, the buffer holds a whole block, splits blocks into odd pieces, or limits the number of
    // writes.
    let mut buffer = vec![0; if (4096..=8192).contains(&F::ERASE_SIZE) { 200 } else { F::ERASE_SIZE.min(32 << 10) }];
    let mut transfer = Transfer::new();
    block_on(async {
        let end = flash.lock().await.capacity() as u32;
        // Some of them erase several blocks at once, as far as the slots have so many.
        let slots =
            Slots::new(flash, 0..end).await.unwrap().erase_at_once(if F::WRITE_SIZE == 4 { 12 << 10 } else { 0 });
        let mut store = SlotStore::mount(&slots, &mut buffer, &mut transfer).await.ok()?;
        Some(what(&slots, &mut store).await)
    })
}

/// Begins a transfer, and compares the held digest with the archive, as a sender does. Returns the offset at which the
/// transfer continues.
pub(crate) async fn begin(store: &mut impl Store, archive: &Archive) -> Result<usize, StoreError> {
    let check_error = store.check(&archive.offered).await.err();
    let begun = store.begin(&archive.offered, &|digest| *digest == archive.manifest).await;
    // Every refusal occurs before the key is requested, except that the slot is in use.
    assert_eq!(check_error, begun.err().filter(|error| *error != StoreError::InUse));
    let Held { offset, digest } = begun?;
    if Digest::of(&archive.bytes[..offset as usize]) == digest {
        return Ok(offset as usize);
    }
    store.restart().await?;
    Ok(0)
}

/// Transfers a whole archive. Also returns the offset at which the transfer began.
pub(crate) async fn send(store: &mut impl Store, archive: &Archive) -> Result<(usize, Receipt), StoreError> {
    let offset = begin(store, archive).await?;
    for chunk in archive.bytes[offset..].chunks(1000) {
        store.write(chunk).await?;
    }
    Ok((offset, store.commit().await?))
}

/// Transfers a whole archive as a session does whose sender leaves out what is equal, if the store has a base. Returns the
/// indexes of the files that were listed, and the number of bytes that were written.
pub(crate) async fn update(store: &mut impl Store, archive: &Archive) -> Result<(Vec<u32>, usize), StoreError> {
    let mut at = begin(store, archive).await?;
    let uses_base = store.has_base() && at < archive.bytes.len();
    let manifest = archive.offered.shape.manifest as usize;
    let mut written = manifest.saturating_sub(at);
    store.write(&archive.bytes[at.min(manifest)..manifest]).await?;
    at = at.max(manifest);
    let listed = if uses_base { listed(store).await? } else { Vec::new() };
    for (file, content) in archive.files().into_iter().enumerate() {
        let (end, digest) = (content.end + 32, Digest::of(&archive.bytes[content]));
        if end <= at {
            continue;
        }
        if listed.contains(&(file as u32, digest)) {
            store.take((end - at) as u64).await?;
        } else {
            store.write(&archive.bytes[at..end]).await?;
            written += end - at;
        }
        at = end;
    }
    store.write(&archive.bytes[at..]).await?;
    Ok((listed.into_iter().map(|(file, _)| file).collect(), written + archive.bytes.len() - at))
}

/// The files that a store lists once it has the manifest.
pub(crate) async fn listed(store: &mut impl Store) -> Result<Vec<(u32, Digest)>, StoreError> {
    let (mut listed, mut next) = (Vec::new(), 0);
    loop {
        let mut files = BaseFiles::new();
        store.base_files(&mut files).await?;
        if files.is_empty() {
            return Ok(listed);
        }
        for file in files {
            next += file.skipped;
            listed.push((next, file.digest));
            next += 1;
        }
    }
}

/// The folder that this boot shows, and its generation.
pub(crate) async fn shown<F: NorFlash>(slots: &Slots<'_, NoopRawMutex, F>) -> Option<(u64, Tree)> {
    let folder = slots.folder()?;
    Some((folder.generation(), seen(&folder).await))
}
