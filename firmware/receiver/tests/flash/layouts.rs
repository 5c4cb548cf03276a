//! A flash that was written by another version, or by firmware with other slots, is reported and left unchanged until
//! the user forgets the folder.

use embassy_futures::block_on;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use waft_core::digest::Hasher;
use waft_core::session::{Store, StoreError};
use waft_receiver::slots::{JournalError, SlotStore, Slots, Transfer};

use crate::bench::{Board, begin, boot, send, shown};
use crate::cases::{ERASE, Flash, first, flash, second};
use crate::nor::{Level, Nor, TEARS, Tear};

/// The bytes of a cell of the journal.
const CELL: usize = 32;

/// Updates the checksum of a head (with sequence 0) or a record.
fn close(sequence: u32, bytes: &mut [u8]) {
    let (body, end) = bytes.split_last_chunk_mut::<6>().unwrap();
    let mut hasher = Hasher::new();
    hasher.update(&sequence.to_be_bytes());
    hasher.update(body);
    *end = *hasher.digest().0.first_chunk().unwrap();
}

/// Changes each head and each copy of a head.
fn change_heads(bytes: &mut [u8], change: impl Fn(&mut [u8])) {
    for cell in [0, CELL, ERASE, ERASE + CELL] {
        let cell = &mut bytes[cell..][..CELL];
        if cell.starts_with(b"WAFTSLOT") {
            change(cell);
            close(0, cell);
        }
    }
}

fn become_version(flash: &Flash, version: u8) {
    change_heads(&mut flash.try_lock().unwrap().bytes, |head| head[8] = version);
}

/// Gives the journal this sequence number, and the committed folder this generation.
fn become_old(bytes: &mut [u8], sequence: u32, generation: u64) {
    change_heads(bytes, |head| head[17..21].copy_from_slice(&sequence.to_be_bytes()));
    let live = [0, ERASE].into_iter().find(|block| bytes[*block..].starts_with(b"WAFTSLOT")).unwrap();
    let mut records = &mut bytes[live + CELL..live + ERASE];
    while let Some(cells) = [1, 2, 1, 5, 2, 1, 1, 1, 1].get(usize::from(records[0])).filter(|_| records[0] > 0) {
        let (record, rest) = records.split_at_mut(cells * CELL);
        if record[0] == 3 {
            record[58..66].copy_from_slice(&generation.to_be_bytes());
        }
        close(sequence, record);
        records = rest;
    }
}

/// Boots a firmware whose slots end at `end`.
fn boot_with<T>(
    flash: &Flash,
    end: u32,
    what: impl AsyncFnOnce(&Slots<'_, NoopRawMutex, Nor<4, ERASE>>, &mut Board<'_, Nor<4, ERASE>>) -> T,
) -> T {
    let (mut buffer, mut transfer) = ([0; 256], Transfer::new());
    block_on(async {
        let slots = Slots::new(flash, 0..end).await.unwrap();
        let mut store = SlotStore::mount(&slots, &mut buffer, &mut transfer).await.ok().unwrap();
        what(&slots, &mut store).await
    })
}

const WHOLE: u32 = 12 * ERASE as u32;
const SHORTER: u32 = 10 * ERASE as u32;

/// The firmware that does not know the layout refuses transfers, and writes nothing.
fn refuses(flash: &Flash, end: u32) {
    let before = flash.try_lock().unwrap().operations;
    boot_with(flash, end, async |slots, store| {
        assert_eq!(slots.journal_error(), Some(JournalError::OtherLayout));
        assert!(slots.folder().is_none());
        assert_eq!(store.check(&second().offered).await, Err(StoreError::Io));
        assert_eq!(begin(store, &second()).await, Err(StoreError::Io));
        assert_eq!(begin(store, &first()).await, Err(StoreError::Io), "its sender does not learn of it either");
        assert_eq!(store.reset_guard().await, Err(StoreError::Io));
        store.discard().await;
    });
    assert_eq!(flash.try_lock().unwrap().operations, before);
}

#[test]
fn a_folder_of_another_version_or_layout_stays_until_it_is_given_up() {
    let flash = flash(12);
    boot_with(&flash, WHOLE, async |_, store| send(store, &first()).await.unwrap());
    refuses(&flash, SHORTER);
    for version in [3, 0, 255] {
        become_version(&flash, version);
        refuses(&flash, WHOLE);
        refuses(&flash, SHORTER);
    }
    // The first version has no REVERT, but otherwise the same records.
    become_version(&flash, 1);
    boot_with(&flash, WHOLE, async |slots, store| {
        assert_eq!(
            (shown(slots).await, slots.journal_error()),
            (Some((1, first().tree)), None),
            "the folder is shown again"
        );
        send(store, &second()).await.unwrap();
    });
    boot_with(&flash, SHORTER, async |slots, store| {
        store.forget().await.unwrap();
        assert_eq!(slots.journal_error(), None);
        assert_eq!(send(store, &first()).await.unwrap().1.generation, 1);
        assert_eq!(shown(slots).await, Some((1, first().tree)));
    });
    boot_with(&flash, SHORTER, async |slots, _| assert_eq!(shown(slots).await, Some((1, first().tree))));
    refuses(&flash, WHOLE);
}

/// Power fails during `forget`: afterwards the folder is either still reported, or the flash is usable.
#[test]
fn a_folder_that_is_given_up_while_power_goes_can_be_given_up_again() {
    for (level, tear) in [Level::Words, Level::Unreadable].into_iter().flat_map(|level| TEARS.map(|tear| (level, tear)))
    {
        for at in 0.. {
            let flash = flash(12);
            boot_with(&flash, WHOLE, async |_, store| send(store, &first()).await.unwrap());
            let given_up = boot_with(&flash, SHORTER, async |_, store| {
                let mut nor = flash.lock().await;
                (nor.level, nor.cut) = (level, Some((nor.operations + at, tear)));
                drop(nor);
                store.forget().await.is_ok()
            });
            let cut = flash.try_lock().unwrap().is_off;
            flash.try_lock().unwrap().revive();
            boot_with(&flash, SHORTER, async |slots, store| {
                assert!(slots.folder().is_none());
                if slots.journal_error().is_some() {
                    assert!(!given_up, "{level:?}, {tear:?}, {at}");
                    store.forget().await.unwrap();
                }
                send(store, &second()).await.unwrap();
                assert_eq!(shown(slots).await, Some((1, second().tree)));
            });
            if !cut {
                break;
            }
        }
    }
}

/// A blank flash, and one that never contained a journal, are usable immediately.
#[test]
fn a_flash_without_a_journal_is_no_error() {
    for filling in [None, Some(0xff), Some(0)] {
        let flash = Mutex::new(Nor::<4, ERASE>::new(12, Level::Bits));
        if let Some(filling) = filling {
            flash.try_lock().unwrap().bytes.fill(filling);
        }
        boot(&flash, async |slots, store| {
            assert_eq!((slots.journal_error(), shown(slots).await), (None, None));
            send(store, &first()).await.unwrap();
        });
    }
}

/// No flash lives long enough for these numbers, but a forged image may have them.
#[test]
fn a_journal_goes_on_after_the_last_sequence_number_and_generation() {
    let flash = flash(12);
    boot(&flash, async |_, store| send(store, &first()).await.unwrap());
    let mut old = flash.into_inner();
    become_old(&mut old.bytes, u32::MAX, u64::MAX);
    for cut in old.operations.. {
        let mut nor = old.clone();
        nor.cut = Some((cut, Tear::Nothing));
        let flash = Mutex::new(nor);
        let is_sent = boot(&flash, async |_, store| send(store, &second()).await.is_ok()).unwrap();
        let is_whole = !flash.try_lock().unwrap().is_off;
        flash.try_lock().unwrap().revive();
        for _ in 0..2 {
            let (generation, tree) = boot(&flash, async |slots, _| shown(slots).await).unwrap().unwrap();
            assert_eq!(generation, u64::MAX);
            assert!(tree == second().tree || !is_sent && tree == first().tree, "{cut}");
        }
        boot(&flash, async |_, store| send(store, &second()).await.unwrap());
        boot(&flash, async |slots, _| assert_eq!(shown(slots).await, Some((u64::MAX, second().tree)))).unwrap();
        if is_whole {
            assert!(is_sent);
            return;
        }
    }
}
