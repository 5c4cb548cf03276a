//! The folder that a store has as the base of a transfer, with both stores: a directory on a computer, and slots on flash.
//!
//! As in `contract`, each step is one start of the receiver, on the storage that the previous step left behind.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use embassy_futures::block_on;
use tempfile::TempDir;
use waft_core::certificate::CertificateHash;
use waft_core::session::{Offered, Store, StoreError};

use crate::archive::{Archive, archive_at, tree};
use crate::bench::{begin, boot, listed, send, shown, update};
use crate::cases::{ERASE, first, flash};
use crate::contract::{directory, on_both};

/// When the files were modified: a time that every file system keeps.
const MODIFIED: u64 = 1_000_000_000;

const SIZES: [usize; 6] = [10, 0, 9000, 300, 5000, 33];

fn old() -> Archive {
    archive_at(MODIFIED as i64, tree(1, &SIZES), 100)
}

/// The old folder with one file that changed and keeps its length, and one that is new.
fn new() -> Archive {
    let mut tree = tree(1, &[10, 0, 9000, 300, 5000, 33, 77]);
    tree[4].1.as_mut().unwrap()[7] ^= 1;
    archive_at(MODIFIED as i64, tree, 200)
}

async fn old_comes(store: &mut impl Store) {
    assert_eq!(begin(store, &old()).await, Ok(0));
    assert!(!store.has_base());
    send(store, &old()).await.unwrap();
}

async fn the_changes_come(store: &mut impl Store) {
    let new = new();
    let (listed, written) = update(store, &new).await.unwrap();
    assert_eq!(listed, [0, 2, 3, 4, 5], "the empty file is not worth it, and the last is new");
    // The manifest, the empty file's digest, what changed, what is new, and the root.
    assert_eq!(written, new.offered.shape.manifest as usize + 32 + (300 + 32) + (77 + 32) + 32);
    let receipt = store.commit().await.unwrap();
    assert_eq!((receipt.digest, receipt.bytes), (new.root, new.bytes.len() as u64));
}

async fn the_new_folder_is_held(store: &mut impl Store) {
    assert_eq!(begin(store, &new()).await, Ok(new().bytes.len()));
    store.suspend().await;
    // It is the base of the next one.
    let (listed, _) = update(store, &archive_at(MODIFIED as i64, tree(1, &SIZES[..3]), 300)).await.unwrap();
    assert_eq!(listed, [0, 2]);
    store.commit().await.unwrap();
}

#[test]
fn only_what_changed_is_written() {
    on_both!(old_comes, the_changes_come, the_new_folder_is_held);
}

async fn another_sender_learns_nothing(store: &mut impl Store) {
    let new = new();
    let other = Offered { sender: CertificateHash([9; 32]), ..new.offered };
    store.begin(&other, &|_| true).await.unwrap();
    assert!(!store.has_base());
    store.write(&new.bytes[..new.offered.shape.manifest as usize]).await.unwrap();
    assert_eq!(listed(store).await, Ok(vec![]));
    store.discard().await;
}

#[test]
fn a_base_is_for_its_own_sender_only() {
    on_both!(old_comes, another_sender_learns_nothing, the_changes_come);
}

/// The transfer ends in the middle of the third file, of which a part was taken.
async fn a_part_of_the_changes_comes(store: &mut impl Store) {
    let new = new();
    let manifest = new.offered.shape.manifest as usize;
    begin(store, &new).await.unwrap();
    store.write(&new.bytes[..manifest]).await.unwrap();
    assert_eq!(listed(store).await.unwrap().len(), 5);
    let files = new.files();
    store.take((files[0].len() + 32) as u64).await.unwrap();
    store.write(&new.bytes[files[1].start..files[2].start]).await.unwrap();
    store.take((files[2].len() + 32) as u64).await.unwrap();
    store.write(&new.bytes[files[3].start..files[3].start + 10]).await.unwrap();
    store.suspend().await;
}

async fn the_rest_of_the_changes_comes(store: &mut impl Store) {
    let new = new();
    let (listed, written) = update(store, &new).await.unwrap();
    assert!(listed.len() < 5 && listed.ends_with(&[4, 5]), "{listed:?}");
    assert!(written <= (300 + 32) + (77 + 32) + 32, "{written}");
    assert_eq!(store.commit().await.unwrap().digest, new.root);
}

#[test]
fn a_transfer_resumes_in_the_middle() {
    on_both!(old_comes, a_part_of_the_changes_comes, the_rest_of_the_changes_comes, the_new_folder_is_held);
}

/// Takes this many bytes where the content begins. Returns the first error, which this call or a later one reports.
async fn take_first(store: &mut impl Store, length: u64) -> Option<StoreError> {
    let new = new();
    let manifest = new.offered.shape.manifest as usize;
    begin(store, &new).await.unwrap();
    store.write(&new.bytes[..manifest]).await.unwrap();
    listed(store).await.unwrap();
    let taken = match store.take(length).await {
        Ok(()) => store.commit().await.map(drop),
        error => error,
    };
    store.discard().await;
    taken.err()
}

/// A part of a file, a file and the empty one behind it, everything.
async fn what_was_not_listed_is_not_taken(store: &mut impl Store) {
    for length in [1, 41, 43, 42 + 32, new().bytes.len() as u64 - u64::from(new().offered.shape.manifest)] {
        assert_eq!(take_first(store, length).await, Some(StoreError::NotListed), "{length}");
    }
}

#[test]
fn only_listed_files_are_taken() {
    on_both!(old_comes, what_was_not_listed_is_not_taken, the_changes_come);
}

/// A bit of a file that is taken, or of its digest, changes.
#[test]
fn a_damaged_base_on_flash_is_noticed_before_the_commit_and_everything_can_be_sent() {
    let (old, new) = (old(), new());
    for at in [old.files()[2].start + 4_000, old.files()[4].start, old.files()[2].end + 31, 20] {
        let flash = flash(16);
        boot(&flash, async |_, store| send(store, &old).await.unwrap());
        let slot = 2 * ERASE;
        assert_eq!(flash.try_lock().unwrap().bytes[slot..][..old.bytes.len()], old.bytes);
        flash.try_lock().unwrap().bytes[slot + at] ^= 1;
        boot(&flash, async |slots, store| {
            let updated = match update(store, &new).await {
                Ok(_) => store.commit().await.map(drop),
                Err(error) => Err(error),
            };
            let is_content = at > old.offered.shape.manifest as usize && at != old.files()[2].end + 31;
            assert_eq!(updated == Err(StoreError::BaseLost), is_content, "{at}: {updated:?}");
            if updated.is_err() {
                assert_eq!(slots.folder().unwrap().generation(), 1);
                store.suspend().await;
                // What was copied is compared with the sender's own bytes.
                send(store, &new).await.unwrap();
            }
        });
        assert_eq!(boot(&flash, async |slots, _| shown(slots).await).unwrap(), Some((2, new.tree.clone())), "{at}");
    }
}

/// Changes a file of the target and gives it this time of modification. Returns what a transfer then lists, and its result.
fn update_after(change: impl Fn(&Path), is_early: bool) -> (Vec<u32>, Result<(), StoreError>) {
    let place = TempDir::new().unwrap();
    block_on(async {
        send(&mut directory(&place), &old()).await.unwrap();
        let file = place.path().join("into/d/004");
        if is_early {
            change(&file);
        }
        let mut store = directory(&place);
        let new = new();
        if is_early {
            return match update(&mut store, &new).await {
                Ok((listed, _)) => (listed, store.commit().await.map(drop)),
                Err(error) => (vec![], Err(error)),
            };
        }
        begin(&mut store, &new).await.unwrap();
        let files = new.files();
        store.write(&new.bytes[..files[0].start]).await.unwrap();
        let listed = listed(&mut store).await.unwrap().into_iter().map(|(file, _)| file).collect();
        change(&file);
        store.write(&new.bytes[files[0].start..files[4].start]).await.unwrap();
        let taken = match store.take((files[4].len() + 32) as u64).await {
            Ok(()) => store.commit().await.map(drop),
            error => error,
        };
        (listed, taken)
    })
}

fn set_modified(file: &Path, seconds: u64) {
    let file = File::options().write(true).open(file).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
}

/// Nothing about a local change is revealed: a file that was changed visibly is not listed, and of another the digest that
/// its sender sent.
#[test]
fn a_target_that_was_changed_is_noticed() {
    let edit = |file: &Path| fs::write(file, [9; 5000]).unwrap();
    assert_eq!(update_after(edit, true), (vec![0, 2, 3, 5], Ok(())));
    let edit_secretly = |file: &Path| {
        edit(file);
        set_modified(file, MODIFIED);
    };
    let (listed, result) = update_after(edit_secretly, true);
    assert_eq!((listed.is_empty() || listed == [0, 2, 3, 4, 5], result), (true, Err(StoreError::BaseLost)));
    // After it was listed.
    let remove = |file: &Path| fs::remove_file(file).unwrap();
    for change in [&edit_secretly as &dyn Fn(&Path), &remove] {
        assert_eq!(update_after(change, false), (vec![0, 2, 3, 4, 5], Err(StoreError::BaseLost)));
    }
}

#[test]
fn the_first_folder_of_a_flash_has_no_base() {
    let flash = flash(16);
    boot(&flash, async |_, store| {
        begin(store, &first()).await.unwrap();
        assert!(!store.has_base());
    });
}
