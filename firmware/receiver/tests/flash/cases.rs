//! Single cases: readers and their leases, the rollback guard, exact size limits, and a repeated transfer of a folder.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake};

use embassy_futures::{block_on, poll_once};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use waft_core::archive::Shape;
use waft_core::certificate::CertificateHash;
use waft_core::digest::Digest;
use waft_core::session::{Offered, Store, StoreError};
use waft_core::wire::message::Limit;
use waft_receiver::slots::{BUFFER_MIN, LayoutError, MountError, ReadError, STAMPS, SlotStore, Slots, Transfer};

use crate::archive::{Archive, archive, tree};
use crate::bench::{begin, boot, send, shown};
use crate::nor::{Level, Nor};

pub(crate) const ERASE: usize = 4096;
pub(crate) type Flash = Mutex<NoopRawMutex, Nor<4, ERASE>>;

pub(crate) fn flash(blocks: usize) -> Flash {
    Mutex::new(Nor::new(blocks, Level::Bits))
}

pub(crate) fn first() -> Archive {
    archive(tree(1, &[10, 0, 5000]), 100)
}

pub(crate) fn second() -> Archive {
    archive(tree(2, &[3000, 3000, 3000]), 200)
}

#[test]
fn a_folder_is_read_by_path() {
    let flash = flash(12);
    let first = first();
    boot(&flash, async |slots, store| {
        assert!(slots.folder().is_none());
        send(store, &first).await.unwrap();
        let folder = slots.folder().unwrap();
        assert_eq!((folder.digest(), folder.files(), folder.generation()), (first.root, 3, 1));
        let file = folder.open("d/002").await.unwrap();
        let content = first.tree[3].1.as_ref().unwrap();
        let mut bytes = [0; 100];
        assert_eq!((file.size(), file.read_at(4_950, &mut bytes).await), (5000, Ok(50)));
        assert_eq!(bytes[..50], content[4_950..]);
        assert_eq!(file.read_at(5000, &mut bytes).await, Ok(0));
        assert_eq!(file.read_at(u32::MAX, &mut bytes).await, Ok(0));
        for (path, error) in [
            ("d", ReadError::IsDirectory),
            ("d/003", ReadError::NotFound),
            ("", ReadError::NotFound),
            ("../d", ReadError::NotFound),
            ("a", ReadError::NotFound),
            ("z", ReadError::NotFound),
        ] {
            assert_eq!(folder.open(path).await.err(), Some(error), "{path}");
        }
        let range = file.range().start as usize..file.range().end as usize;
        assert_eq!(flash.lock().await.bytes[range], content[..]);
    });
    assert_eq!(boot(&flash, async |slots, _| shown(slots).await).unwrap(), Some((1, first.tree)));
}

#[test]
fn the_same_folder_again_moves_nothing_and_keeps_its_generation() {
    let flash = flash(12);
    let first = first();
    boot(&flash, async |_, store| send(store, &first).await.unwrap());
    boot(&flash, async |_, store| {
        let longer =
            Offered { shape: Shape { total: first.offered.shape.total + 1, ..first.offered.shape }, ..first.offered };
        for (offered, is_it) in [(first.offered, false), (longer, true)] {
            assert_eq!(store.begin(&offered, &|_| is_it).await.unwrap().offset, 0, "it is another archive");
        }
        begin(store, &first).await.unwrap();
        assert_eq!((store.durable(), store.manifest()), (first.bytes.len() as u64, Some(first.manifest)));
    });
    let later = Archive { offered: Offered { created: 500, ..first.offered }, ..first };
    let written = flash.try_lock().unwrap().written;
    let (offset, receipt) = boot(&flash, async |_, store| send(store, &later).await.unwrap()).unwrap();
    assert_eq!((offset, receipt.generation, receipt.digest), (later.bytes.len(), 1, later.root));
    assert!(flash.try_lock().unwrap().written - written < 1024, "nothing but a journal's snapshot");
    let other = Archive { offered: Offered { created: 499, ..second().offered }, ..second() };
    assert_eq!(boot(&flash, async |_, store| send(store, &other).await).unwrap(), Err(StoreError::Older));
}

/// A peer that knows the manifest of a folder must not learn the digest of its content: only the sender of the
/// committed folder learns that the folder exists. Another sender must send all of it, and then becomes the folder's
/// sender.
#[test]
fn a_committed_folder_is_held_for_its_own_sender_only() {
    let flash = flash(12);
    let first = first();
    let other = Archive { offered: Offered { sender: CertificateHash([2; 32]), ..first.offered }, ..self::first() };
    boot(&flash, async |_, store| send(store, &first).await.unwrap());
    boot(&flash, async |slots, store| {
        let held = store.begin(&other.offered, &|digest| *digest == other.manifest).await.unwrap();
        assert_eq!((held.offset, held.digest), (0, Digest::of(&[])));
        assert_eq!(store.begin(&other.offered, &|_| false).await.unwrap(), held, "a guess reveals nothing either");
        assert_eq!(begin(store, &first).await, Ok(first.bytes.len()), "its own sender holds it in full");
        let (offset, receipt) = send(store, &other).await.unwrap();
        assert_eq!((offset, receipt.generation, receipt.digest), (0, 2, first.root));
        assert_eq!(shown(slots).await, Some((2, first.tree.clone())));
        assert_eq!(begin(store, &first).await, Ok(0), "the folder belongs to the other sender now");
    });
    boot(&flash, async |_, store| assert_eq!(begin(store, &other).await, Ok(other.bytes.len())));
}

#[test]
fn another_folder_takes_the_other_slot_and_the_next_generation() {
    let flash = flash(12);
    boot(&flash, async |slots, store| {
        for (index, archive) in [first(), second(), first(), second()].iter().enumerate() {
            store.allow_older(true);
            let (_, receipt) = send(store, archive).await.unwrap();
            assert_eq!(receipt.generation, index as u64 + 1);
            assert_eq!(shown(slots).await, Some((receipt.generation, archive.tree.clone())));
            assert_eq!(store.commit().await, Err(StoreError::Io), "it is over");
        }
    });
}

#[test]
fn a_transfer_goes_on_at_the_bound_of_an_erase_block_for_its_own_sender_only() {
    let flash = flash(12);
    let second = second();
    boot(&flash, async |_, store| {
        assert_eq!(begin(store, &second).await, Ok(0));
        store.write(&second.bytes[..ERASE + 300]).await.unwrap();
        assert_eq!(store.durable(), ERASE as u64);
        store.suspend().await;
        assert_eq!(begin(store, &second).await, Ok(ERASE), "in the same boot");
    });
    boot(&flash, async |_, store| store.reset_guard().await.unwrap());
    boot(&flash, async |_, store| {
        let other = Offered { sender: CertificateHash([2; 32]), ..second.offered };
        assert_eq!(store.begin(&other, &|digest| *digest == second.manifest).await.unwrap().offset, 0);
        assert_eq!(store.begin(&second.offered, &|_| false).await.unwrap().offset, 0);
        assert_eq!(send(store, &second).await.unwrap().0, ERASE);
    });
}

/// Without a complete manifest, nothing proves that the archive is the same.
#[test]
fn a_part_of_a_manifest_is_not_held() {
    let flash = flash(12);
    let many = archive(tree(1, &[1; 400]), 1);
    assert!(many.offered.shape.manifest as usize > ERASE);
    boot(&flash, async |_, store| {
        begin(store, &many).await.unwrap();
        store.write(&many.bytes[..ERASE]).await.unwrap();
        assert_eq!((store.durable(), begin(store, &many).await), (ERASE as u64, Ok(0)));
    });
}

#[test]
fn what_was_discarded_is_not_held_and_nothing_else_is_lost() {
    let flash = flash(12);
    let second = second();
    boot(&flash, async |_, store| {
        begin(store, &second).await.unwrap();
        store.write(&second.bytes[..ERASE + 100]).await.unwrap();
        store.suspend().await;
        store.discard().await;
        begin(store, &first()).await.unwrap();
        store.discard().await;
        assert_eq!(begin(store, &second).await, Ok(ERASE), "no block was durable");
        store.discard().await;
        assert_eq!(begin(store, &second).await, Ok(0));
    });
    assert_eq!(boot(&flash, async |_, store| begin(store, &second).await).unwrap(), Ok(0));
}

#[test]
fn a_lease_keeps_its_folder_and_a_transfer_has_to_wait_for_it() {
    let flash = flash(12);
    let (first, second, third) = (first(), second(), archive(tree(3, &[9000]), 300));
    let (mut buffer, mut transfer) = ([0; 256], Transfer::new());
    block_on(async {
        let slots = Slots::new(&flash, 0..12 * ERASE as u32).await.unwrap();
        let mut store = SlotStore::mount(&slots, &mut buffer, &mut transfer).await.ok().unwrap();
        send(&mut store, &first).await.unwrap();
        let leased = slots.folder().unwrap();
        let again = slots.folder().unwrap();
        send(&mut store, &second).await.unwrap();
        assert_eq!(begin(&mut store, &third).await, Err(StoreError::InUse));
        assert_eq!(crate::archive::seen(&leased).await, first.tree);

        drop(leased);
        assert_eq!(begin(&mut store, &third).await, Err(StoreError::InUse), "there is another reader");
        assert_eq!(crate::archive::seen(&again).await, first.tree);
        drop(again);
        assert_eq!(send(&mut store, &third).await.unwrap().1.generation, 3);
        assert_eq!(shown(&slots).await, Some((3, third.tree.clone())));
    });
}

/// A file has a lease of its own, so that it can be kept without its folder.
#[test]
fn a_file_that_is_kept_keeps_its_content() {
    let flash = flash(12);
    let (first, second, third) = (first(), second(), archive(tree(3, &[9000]), 300));
    boot(&flash, async |slots, store| {
        send(store, &first).await.unwrap();
        let file = slots.folder().unwrap().open("d/002").await.unwrap();
        let copy = file.clone();
        drop(file);
        send(store, &second).await.unwrap();
        assert_eq!(begin(store, &third).await, Err(StoreError::InUse));
        let mut bytes = [0; 5000];
        assert_eq!(copy.read_at(0, &mut bytes).await, Ok(5000));
        assert_eq!(bytes[..], first.tree[3].1.as_ref().unwrap()[..]);
        drop(copy);
        send(store, &third).await.unwrap();
    });
}

#[test]
fn every_waiting_task_gets_the_next_folder_and_a_busy_one_gets_the_latest() {
    let flash = flash(12);
    boot(&flash, async |slots, store| {
        let mut waiting: Vec<_> = (0..10).map(|_| Box::pin(slots.changed(0))).collect();
        assert!(waiting.iter_mut().all(|task| poll_once(task).is_pending()), "there is no folder yet");
        send(store, &first()).await.unwrap();
        for task in waiting {
            assert_eq!(task.await.generation(), 1);
        }
        assert_eq!(slots.changed(0).await.generation(), 1, "it was committed before the call");
        let mut next = Box::pin(slots.changed(1));
        assert!(poll_once(&mut next).is_pending());
        send(store, &second()).await.unwrap();
        store.forget().await.unwrap();
        assert!(poll_once(&mut next).is_pending(), "a forgotten folder ends no wait");
        send(store, &archive(tree(3, &[9000]), 300)).await.unwrap();
        let folder = next.await;
        assert_eq!((folder.generation(), slots.changed(1).await.generation()), (3, 3));
    });
    boot(&flash, async |slots, _| assert_eq!(slots.changed(0).await.generation(), 3));
}

/// Counts the wake-ups of a task that waits.
#[test]
fn a_task_that_waits_is_woken_by_a_folder_only() {
    let flash = flash(12);
    boot(&flash, async |slots, store| {
        let woken = Arc::new(Woken::default());
        let waker = woken.clone().into();
        let mut context = Context::from_waker(&waker);
        let mut waiting = pin!(slots.changed(0));
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        begin(store, &first()).await.unwrap();
        store.write(&first().bytes[..100]).await.unwrap();
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        send(store, &first()).await.unwrap();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(waiting.as_mut().poll(&mut context).is_ready());
    });
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn an_older_archive_is_refused_until_the_guard_is_reset() {
    let flash = flash(12);
    let (first, second) = (first(), second());
    boot(&flash, async |_, store| {
        send(store, &second).await.unwrap();
        begin(store, &archive(tree(3, &[9000]), 300)).await.unwrap();
        assert_eq!(send(store, &first).await, Err(StoreError::Older));
        assert_eq!(store.write(&[0]).await, Err(StoreError::Io), "no transfer is begun");
        let other = Offered { sender: CertificateHash([2; 32]), ..first.offered };
        assert!(store.begin(&other, &|_| false).await.is_ok(), "each sender has a stamp of its own");
    });
    boot(&flash, async |_, store| {
        assert_eq!(send(store, &first).await, Err(StoreError::Older), "in the next boot too");
        store.allow_older(true);
        assert_eq!(begin(store, &first).await, Ok(0));
        store.allow_older(false);
        store.reset_guard().await.unwrap();
    });
    boot(&flash, async |_, store| {
        begin(store, &first).await.unwrap();
        store.write(&first.bytes[..100]).await.unwrap();
    });
    boot(&flash, async |_, store| {
        assert_eq!(begin(store, &first).await, Ok(0), "the reset is durable");
        send(store, &first).await.unwrap();
        send(store, &second).await.unwrap();
        assert_eq!(send(store, &first).await, Err(StoreError::Older), "and the guard works again");
    });
}

/// When the stamps are full, the sender of the oldest archive is dropped, whenever it sent that archive.
#[test]
fn the_guard_keeps_the_newest_stamps() {
    let flash = flash(12);
    let first = first();
    let by = |sender: usize, created| Archive {
        offered: Offered { sender: CertificateHash([sender as u8; 32]), created, ..first.offered },
        tree: first.tree.clone(),
        bytes: first.bytes.clone(),
        ..first
    };
    boot(&flash, async |_, store| {
        for (sender, created) in [500, 100, 200].into_iter().chain(300..).take(STAMPS + 1).enumerate() {
            send(store, &by(sender, created)).await.unwrap();
        }
    });
    for _ in 0..2 {
        boot(&flash, async |_, store| {
            for sender in [0, 2, STAMPS] {
                assert_eq!(begin(store, &by(sender, 199)).await, Err(StoreError::Older), "{sender}");
            }
            begin(store, &by(1, 99)).await.unwrap();
            // This write moves the state to the other block.
            begin(store, &second()).await.unwrap();
            store.write(&second().bytes[..100]).await.unwrap();
        });
    }
}

#[test]
fn a_slot_takes_what_fits_to_the_byte() {
    let slot = 5 * ERASE;
    let flash = flash(12);
    let overhead = archive(tree(1, &[20_000]), 1).bytes.len() - 20_000;
    let full = archive(tree(1, &[slot - overhead]), 1);
    assert_eq!(full.bytes.len(), slot);
    let over = archive(tree(1, &[slot - overhead + 1]), 2);
    boot(&flash, async |slots, store| {
        assert_eq!(store.capacity().total, slot as u64);
        send(store, &full).await.unwrap();
        assert_eq!(begin(store, &over).await, Err(StoreError::Limit(Limit::Total)));
        let other = archive(tree(2, &[slot - overhead]), 3);
        send(store, &other).await.unwrap();
        assert_eq!(shown(slots).await, Some((2, other.tree)));
    });
}

/// The region has an odd number of blocks in the middle of the flash, so one of them is unused.
#[test]
fn what_lies_around_the_slots_stays_as_it_is() {
    let flash = flash(18);
    let before = flash.try_lock().unwrap().bytes.clone();
    let (first, second) = (first(), archive(tree(2, &[20_000]), 200));
    let (mut buffer, mut transfer) = ([0; 256], Transfer::new());
    block_on(async {
        let slots = Slots::new(&flash, 4 * ERASE as u32..17 * ERASE as u32).await.unwrap();
        assert_eq!(slots.capacity(), 5 * ERASE as u32);
        let mut store = SlotStore::mount(&slots, &mut buffer, &mut transfer).await.ok().unwrap();
        send(&mut store, &first).await.unwrap();
        send(&mut store, &second).await.unwrap();
        assert_eq!(shown(&slots).await, Some((2, second.tree.clone())));
    });
    let after = &flash.try_lock().unwrap().bytes;
    assert_eq!(after[..4 * ERASE], before[..4 * ERASE]);
    assert_eq!(after[16 * ERASE..], before[16 * ERASE..]);
}

#[test]
fn a_forgotten_folder_is_gone_and_its_generation_stays_taken() {
    let flash = flash(12);
    boot(&flash, async |slots, store| {
        send(store, &first()).await.unwrap();
        begin(store, &second()).await.unwrap();
        store.write(&second().bytes[..ERASE]).await.unwrap();
        let leased = slots.folder().unwrap();
        store.forget().await.unwrap();
        assert!(slots.folder().is_none());
        assert_eq!(crate::archive::seen(&leased).await, first().tree);
        let operations = flash.lock().await.operations;
        store.forget().await.unwrap();
        assert_eq!(flash.lock().await.operations, operations);
    });
    // This write moves the state to the other block.
    boot(&flash, async |_, store| store.reset_guard().await.unwrap());
    boot(&flash, async |slots, store| {
        assert!(slots.folder().is_none());
        assert_eq!(begin(store, &second()).await, Ok(ERASE), "the transfer continues");
        assert_eq!(send(store, &second()).await.unwrap().1.generation, 2);
    });
}

#[test]
fn maps_that_cannot_be_are_refused() {
    let flash = flash(12);
    let block = ERASE as u32;
    for (region, error) in [
        (1..8 * block, LayoutError::Unaligned),
        (0..8 * block + 4, LayoutError::Unaligned),
        (0..13 * block, LayoutError::PastEnd),
        (block..4 * block, LayoutError::TooSmall),
    ] {
        assert_eq!(block_on(Slots::new(&flash, region)).err(), Some(error));
    }
    block_on(async {
        let slots = Slots::new(&flash, block..5 * block).await.unwrap();
        let mut buffer = [0; BUFFER_MIN - 1];
        assert_eq!(SlotStore::mount(&slots, &mut buffer, &mut Transfer::new()).await.err(), Some(MountError::Buffer));
    });
}

/// Limits the memory that the store takes on a board, so that an increase is noticed.
#[test]
fn memory_is_bounded() {
    let (first, flash) = (first(), flash(12));
    let slots = size_of::<Slots<'static, NoopRawMutex, Nor<4, ERASE>>>();
    boot(&flash, async |_, store| {
        let begin = size_of_val(&store.begin(&first.offered, &|_| false));
        let write = size_of_val(&store.write(&[]));
        let commit = size_of_val(&store.commit());
        let store = size_of_val(store);
        eprintln!("slots {slots}, store {store}; futures: begin {begin}, write {write}, commit {commit} bytes");
        assert!(slots < 1_020 && store < 400 && begin < 2_800 && write < 2_400 && commit < 6_000);
    });
}
