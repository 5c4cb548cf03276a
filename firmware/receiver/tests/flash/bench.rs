//! A flash, the slots on it, and one transfer after the other, from boot to boot.

use embassy_futures::block_on;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use embedded_storage_async::nor_flash::NorFlash;
use waft_core::digest::Digest;
use waft_core::session::{Held, Receipt, Store, StoreError};
use waft_receiver::slots::{SlotStore, Slots, Transfer};

use crate::archive::{Archive, Tree, seen};

pub(crate) type Board<'a, F> = SlotStore<'a, NoopRawMutex, F>;

/// One boot: mounts, and does `what` with the store.
pub(crate) fn boot<F: NorFlash, T>(
    flash: &Mutex<NoopRawMutex, F>,
    what: impl AsyncFnOnce(&Slots<'_, NoopRawMutex, F>, &mut Board<'_, F>) -> T,
) -> Option<T> {
    // One that takes a block at once, one that cuts blocks into odd pieces, or one that keeps the writes few.
    let mut buffer = vec![0; if (4096..=8192).contains(&F::ERASE_SIZE) { 200 } else { F::ERASE_SIZE.min(32 << 10) }];
    let mut transfer = Transfer::new();
    block_on(async {
        let end = flash.lock().await.capacity() as u32;
        let slots = Slots::new(flash, 0..end).await.unwrap();
        let mut store = SlotStore::mount(&slots, &mut buffer, &mut transfer).await.ok()?;
        Some(what(&slots, &mut store).await)
    })
}

/// Begins, and holds what is held against the archive, as a sender does. Gives where to go on.
pub(crate) async fn begin(store: &mut impl Store, archive: &Archive) -> Result<usize, StoreError> {
    let foreseen = store.check(&archive.offered).await.err();
    let begun = store.begin(&archive.offered, &|digest| *digest == archive.manifest).await;
    // All that is refused is refused before the key is asked for, except that the place is in use.
    assert_eq!(foreseen, begun.err().filter(|error| *error != StoreError::InUse));
    let Held { offset, digest } = begun?;
    if Digest::of(&archive.bytes[..offset as usize]) == digest {
        return Ok(offset as usize);
    }
    store.restart().await?;
    Ok(0)
}

/// A whole transfer; gives where it began, too.
pub(crate) async fn send(store: &mut impl Store, archive: &Archive) -> Result<(usize, Receipt), StoreError> {
    let offset = begin(store, archive).await?;
    for chunk in archive.bytes[offset..].chunks(1000) {
        store.write(chunk).await?;
    }
    Ok((offset, store.commit().await?))
}

/// The folder that this boot shows, and its generation.
pub(crate) async fn shown<F: NorFlash>(slots: &Slots<'_, NoopRawMutex, F>) -> Option<(u64, Tree)> {
    let folder = slots.folder()?;
    Some((folder.generation(), seen(&folder).await))
}
