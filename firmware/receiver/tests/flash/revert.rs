//! Reverting to the previous folder, and pauses.

use embassy_futures::{block_on, poll_once};
use waft_core::session::{Store, StoreError};
use waft_receiver::slots::{RevertError, SlotStore, Slots, Transfer};

use crate::archive::{archive, tree};
use crate::bench::{begin, boot, send, shown};
use crate::cases::{ERASE, first, flash, second};

#[test]
fn the_folder_before_comes_back_once_and_keeps_its_generation() {
    let flash = flash(12);
    boot(&flash, async |_, store| {
        assert_eq!(store.revert().await, Err(RevertError::NoFolder));
        send(store, &first()).await.unwrap();
        assert_eq!(store.revert().await, Err(RevertError::NoFolder), "there is no previous folder");
        send(store, &second()).await.unwrap();
    });
    boot(&flash, async |slots, store| {
        assert_eq!(slots.changed(0).await.generation(), 2);
        let mut waiting = Box::pin(slots.changed(2));
        assert!(poll_once(&mut waiting).is_pending());
        store.revert().await.unwrap();
        assert_eq!(waiting.await.generation(), 1);
        assert_eq!(shown(slots).await, Some((1, first().tree)));
        assert_eq!(store.revert().await, Err(RevertError::NoFolder), "one step only");
    });
    for _ in 0..3 {
        boot(&flash, async |slots, store| {
            assert_eq!(shown(slots).await, Some((1, first().tree)));
            // This write moves the state to the other block.
            store.reset_guard().await.unwrap();
        });
    }
    boot(&flash, async |slots, store| {
        assert_eq!(begin(store, &second()).await, Ok(0), "its sender sends all of it");
        assert_eq!(
            send(store, &second()).await.unwrap().1.generation,
            3,
            "the number of the folder that was left is used"
        );
        store.revert().await.unwrap();
        assert_eq!(shown(slots).await, Some((1, first().tree)));
    });
}

/// A journal that moved to its other block still knows the previous folder.
#[test]
fn the_folder_before_is_kept_by_a_snapshot() {
    let flash = flash(12);
    boot(&flash, async |_, store| send(store, &first()).await.unwrap());
    boot(&flash, async |_, store| send(store, &second()).await.unwrap());
    for _ in 0..3 {
        boot(&flash, async |_, store| store.reset_guard().await.unwrap());
    }
    boot(&flash, async |slots, store| {
        store.revert().await.unwrap();
        assert_eq!(shown(slots).await, Some((1, first().tree)));
    });
}

#[test]
fn a_transfer_ends_the_way_back_with_its_first_byte() {
    let flash = flash(12);
    let third = archive(tree(3, &[9000]), 300);
    boot(&flash, async |_, store| {
        send(store, &first()).await.unwrap();
        send(store, &second()).await.unwrap();
        begin(store, &third).await.unwrap();
        store.suspend().await;
        store.revert().await.unwrap();
        // Now the first folder is committed, and there is no previous one.
        begin(store, &third).await.unwrap();
        store.write(&third.bytes[..ERASE]).await.unwrap();
        store.suspend().await;
    });
    boot(&flash, async |slots, store| {
        assert_eq!(shown(slots).await, Some((1, first().tree)));
        send(store, &third).await.unwrap();
        begin(store, &archive(tree(4, &[9000]), 400)).await.unwrap();
        store.write(&archive(tree(4, &[9000]), 400).bytes[..100]).await.unwrap();
        assert_eq!(store.revert().await, Err(RevertError::NoFolder));
        assert_eq!(shown(slots).await, Some((3, third.tree.clone())));
    });
}

#[test]
fn a_damaged_or_forgotten_folder_does_not_come_back() {
    let flash = flash(12);
    boot(&flash, async |_, store| {
        send(store, &first()).await.unwrap();
        send(store, &second()).await.unwrap();
    });
    let byte = 2 * ERASE + first().bytes.len() - 40;
    flash.try_lock().unwrap().bytes[byte] ^= 1;
    boot(&flash, async |slots, store| {
        assert_eq!(store.revert().await, Err(RevertError::Damaged));
        assert_eq!(shown(slots).await, Some((2, second().tree)));
    });
    flash.try_lock().unwrap().bytes[byte] ^= 1;
    boot(&flash, async |slots, store| {
        store.forget().await.unwrap();
        assert_eq!(store.revert().await, Err(RevertError::NoFolder));
        assert!(slots.folder().is_none());
    });
}

/// The application reverts without the store, which a session may hold.
#[test]
fn an_application_reverts_when_no_session_uses_the_slots() {
    let flash = flash(12);
    let (mut buffer, mut transfer) = ([0; 256], Transfer::new());
    block_on(async {
        let slots = Slots::new(&flash, 0..12 * ERASE as u32).await.unwrap();
        assert_eq!(slots.revert().await, Err(RevertError::Flash), "nothing is mounted yet");
        assert_eq!(slots.forget().await, Err(StoreError::Io));
        assert_eq!(slots.reset_guard().await, Err(StoreError::Io));
        let mut store = SlotStore::mount(&slots, &mut buffer, &mut transfer).await.ok().unwrap();
        send(&mut store, &first()).await.unwrap();
        send(&mut store, &second()).await.unwrap();
        let leased = slots.folder().unwrap();
        let mut revert = Box::pin(slots.revert());
        assert!(poll_once(&mut revert).is_pending(), "the session may write");
        drop(store);
        revert.await.unwrap();
        assert_eq!(shown(&slots).await, Some((1, first().tree)));
        assert_eq!(crate::archive::seen(&leased).await, second().tree, "readers of the other folder continue");
    });
}

#[test]
fn nothing_is_written_during_a_pause() {
    let flash = flash(12);
    let (mut buffer, mut transfer) = ([0; 256], Transfer::new());
    block_on(async {
        let slots = Slots::new(&flash, 0..12 * ERASE as u32).await.unwrap();
        let mut store = SlotStore::mount(&slots, &mut buffer, &mut transfer).await.ok().unwrap();
        send(&mut store, &first()).await.unwrap();
        let pause = slots.pause();
        let mut idle = Box::pin(pause.idle());
        assert!(poll_once(&mut idle).is_pending());
        assert_eq!(store.refuses(&first().offered.sender), Some(StoreError::InUse));
        let operations = flash.lock().await.operations;
        assert_eq!(begin(&mut store, &first()).await, Err(StoreError::InUse), "not even a stamp");
        assert_eq!(begin(&mut store, &second()).await, Err(StoreError::InUse));
        assert_eq!(flash.lock().await.operations, operations);
        drop(store);
        idle.await;
        let another = slots.pause();
        drop(pause);
        assert!(slots.is_paused());
        drop(another);
        let mut store = SlotStore::mount(&slots, &mut buffer, &mut transfer).await.ok().unwrap();
        assert_eq!(store.refuses(&first().offered.sender), None);
        send(&mut store, &second()).await.unwrap();
    });
}
