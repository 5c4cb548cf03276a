//! Tests the contract of the `Store` trait with both stores: a directory on a computer, and slots on flash.
//!
//! Each step below is one start of the receiver, on the storage that the previous step left behind.

use embassy_futures::block_on;
use tempfile::TempDir;
use waft::home::Home;
use waft::store::DirectoryStore;
use waft_core::certificate::CertificateHash;
use waft_core::digest::Digest;
use waft_core::session::{Held, Offered, Store, StoreError};

use crate::archive::{Archive, archive, tree};
use crate::bench::{begin, boot, send};
use crate::cases::{first, flash, second};

/// Runs the steps on a directory and on slots.
macro_rules! on_both {
    ($($step:ident),+) => {
        let flash = flash(12);
        $(boot(&flash, async |_, store| $step(store).await).unwrap();)+
        let place = TempDir::new().unwrap();
        $(block_on($step(&mut directory(&place)));)+
    };
}
pub(crate) use on_both;

/// A directory store that may overwrite the folder, as slots do.
pub(crate) fn directory(place: &TempDir) -> DirectoryStore {
    let store = DirectoryStore::open(&place.path().join("into"), true).unwrap();
    store.remembering(Home::at(place.path().join("home")).unwrap())
}

const NOTHING: u64 = 0;

async fn begin_held(store: &mut impl Store, archive: &Archive) -> Held {
    store.begin(&archive.offered, &|digest| *digest == archive.manifest).await.unwrap()
}

fn is_prefix(held: &Held, archive: &Archive) -> bool {
    held.digest == Digest::of(&archive.bytes[..held.offset as usize])
}

async fn write(store: &mut impl Store, bytes: &[u8]) -> Result<(), StoreError> {
    for piece in bytes.chunks(777) {
        store.write(piece).await?;
    }
    Ok(())
}

#[test]
fn what_was_not_begun_is_refused_and_changes_nothing() {
    async fn step(store: &mut impl Store) {
        store.suspend().await;
        store.discard().await;
        assert_eq!((store.durable(), store.write(b"more").await), (0, Err(StoreError::Io)));
        assert_eq!(store.commit().await, Err(StoreError::Io));
        assert!(store.capacity().free > 0);
    }
    on_both!(step, step);
}

/// Receives a whole archive, and checks the state of the store after each piece.
async fn first_comes(store: &mut impl Store) {
    let archive = first();
    store.check(&archive.offered).await.unwrap();
    let held = begin_held(store, &archive).await;
    assert_eq!((held.offset, is_prefix(&held, &archive)), (NOTHING, true));
    let (mut written, mut durable) = (0, 0);
    for piece in archive.bytes.chunks(31) {
        store.write(piece).await.unwrap();
        written += piece.len();
        let is_whole = written >= archive.offered.shape.manifest as usize;
        assert_eq!(store.manifest(), is_whole.then_some(archive.manifest), "{written}");
        assert!((durable..=written as u64).contains(&store.durable()), "{written}");
        durable = store.durable();
    }
    let receipt = store.commit().await.unwrap();
    let shape = archive.offered.shape;
    assert_eq!((receipt.digest, receipt.files, receipt.bytes), (archive.root, shape.files, shape.total));
    assert_eq!(store.commit().await, Err(StoreError::Io), "it is over");
}

/// The committed folder is held in full, but only for its own sender.
async fn first_is_held(store: &mut impl Store) {
    let archive = first();
    let other = Offered { sender: CertificateHash([9; 32]), ..archive.offered };
    for (offered, is_it) in [(other, true), (archive.offered, false)] {
        assert_eq!(store.begin(&offered, &|_| is_it).await.unwrap().offset, NOTHING);
        store.discard().await;
    }
    let held = begin_held(store, &archive).await;
    assert_eq!((held.offset, is_prefix(&held, &archive)), (archive.offered.shape.total, true));
    assert_eq!((store.durable(), store.manifest()), (held.offset, Some(archive.manifest)));
    assert_eq!(store.commit().await.unwrap().digest, archive.root);
}

#[test]
fn a_folder_is_committed_and_held() {
    on_both!(first_comes, first_is_held, first_is_held);
}

/// An archive longer than a block of flash.
fn long() -> Archive {
    archive(tree(7, &[2000, 0, 9000, 9000]), 300)
}

async fn a_part_comes(store: &mut impl Store) {
    let archive = long();
    begin_held(store, &archive).await;
    write(store, &archive.bytes[..16_000]).await.unwrap();
    store.suspend().await;
    assert_eq!(store.write(b"more").await, Err(StoreError::Io), "until it is begun again");
}

/// The step ends without `suspend`, as in a reset.
async fn the_part_is_held(store: &mut impl Store) {
    let held = begin_held(store, &long()).await;
    assert!((1..=16_000).contains(&held.offset) && is_prefix(&held, &long()), "{held:?}");
    assert_eq!((store.durable(), store.manifest()), (held.offset, Some(long().manifest)));
}

async fn the_rest_comes(store: &mut impl Store) {
    let (offset, receipt) = send(store, &long()).await.unwrap();
    assert!(offset > 0);
    assert_eq!(receipt.digest, long().root);
}

async fn it_starts_over(store: &mut impl Store) {
    begin_held(store, &long()).await;
    store.restart().await.unwrap();
    assert_eq!(store.durable(), NOTHING);
    write(store, &long().bytes).await.unwrap();
    assert_eq!(store.commit().await.unwrap().digest, long().root);
}

async fn another_sender_gets_nothing_of_it(store: &mut impl Store) {
    let other = Offered { sender: CertificateHash([9; 32]), ..long().offered };
    assert_eq!(store.begin(&other, &|_| true).await.unwrap().offset, NOTHING);
}

#[test]
fn a_part_is_gone_on_from() {
    on_both!(a_part_comes, the_part_is_held, the_part_is_held, the_rest_comes);
    on_both!(a_part_comes, it_starts_over);
    on_both!(a_part_comes, another_sender_gets_nothing_of_it);
}

async fn discarded_it_is_forgotten(store: &mut impl Store) {
    begin_held(store, &long()).await;
    store.discard().await;
    assert_eq!(begin_held(store, &long()).await.offset, NOTHING);
}

/// Receives archives that break the rules. The committed folder stays unchanged after each of them.
async fn bad_archives_come(store: &mut impl Store) {
    let whole = second();
    let manifest = whole.offered.shape.manifest as usize;
    let flipped = |at: usize| {
        let mut bytes = whole.bytes.clone();
        bytes[at] ^= 4;
        bytes
    };
    let longer = [&whole.bytes[..], b"x"].concat();
    for bad in [flipped(0), flipped(manifest + 5), flipped(whole.bytes.len() - 1), longer] {
        begin_held(store, &whole).await;
        let ended = match write(store, &bad).await {
            Ok(()) => store.commit().await.map(drop),
            written => written,
        };
        // A store that finds wrong digests only when it reads back cannot know who made them wrong.
        assert!(matches!(ended, Err(StoreError::Archive(_) | StoreError::Verify)), "{ended:?}");
        store.discard().await;
        assert_eq!(begin(store, &first()).await, Ok(first().bytes.len()));
    }
    begin_held(store, &whole).await;
    write(store, &whole.bytes[..whole.bytes.len() - 1]).await.unwrap();
    assert!(store.commit().await.is_err(), "it is cut short");
    store.discard().await;
}

#[test]
fn what_is_bad_changes_nothing() {
    on_both!(a_part_comes, discarded_it_is_forgotten);
    on_both!(first_comes, bad_archives_come, first_is_held);
}
