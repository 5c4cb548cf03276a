//! What a sender or the flash gets wrong: false archives, damaged files, a damaged journal.

use embassy_sync::mutex::Mutex;
use waft_core::archive::ArchiveError;
use waft_core::session::{Store, StoreError};
use waft_receiver::slots::Verdict;

use crate::archive::{Archive, archive, tree};
use crate::bench::{begin, boot, send, shown};
use crate::cases::{ERASE, first, flash, second};

#[test]
fn a_false_archive_is_refused_and_the_old_folder_stays() {
    let flash = flash(12);
    let (first, good) = (first(), second());
    boot(&flash, async |slots, store| {
        send(store, &first).await.unwrap();
        let cases: [(usize, ArchiveError); 3] = [
            (1, ArchiveError::Malformed),
            (good.offered.shape.manifest as usize + 5, ArchiveError::FileDigest),
            (good.bytes.len() - 1, ArchiveError::Root),
        ];
        for (at, error) in cases {
            let mut bytes = good.bytes.clone();
            bytes[at] ^= 1;
            let bad = Archive { bytes, tree: good.tree.clone(), ..good };
            let sent = send(store, &bad).await;
            store.discard().await;
            match sent {
                Err(StoreError::Archive(found)) if at > 1 => assert_eq!(found, error),
                Err(StoreError::Archive(_)) => {}
                other => panic!("{other:?}"),
            }
            assert_eq!(shown(slots).await, Some((1, first.tree.clone())));
        }
        begin(store, &good).await.unwrap();
        store.write(&good.bytes[..100]).await.unwrap();
        assert_eq!(store.commit().await, Err(StoreError::Archive(ArchiveError::Truncated)));
        let longer = [&good.bytes[100..], b"x"].concat();
        assert_eq!(store.write(&longer).await, Err(StoreError::Archive(ArchiveError::Trailing)));
    });
}

#[test]
fn verify_names_the_damaged_files() {
    let flash = flash(12);
    boot(&flash, async |slots, store| {
        send(store, &second()).await.unwrap();
        let folder = slots.folder().unwrap();
        let damage = async |at: u32| flash.lock().await.bytes[at as usize] ^= 4;
        let verify = async || {
            let (mut verification, mut damaged) = (folder.verify().await, Vec::new());
            while let Some((path, sound)) = verification.next().await.unwrap() {
                damaged.extend((!sound).then(|| path.as_str().to_owned()));
            }
            (verification.verdict(), damaged)
        };
        assert_eq!(verify().await, (Verdict::Sound, vec![]));
        damage(folder.open("d/001").await.unwrap().range().start + 7).await;
        damage(folder.open("d/002").await.unwrap().range().end).await;
        assert_eq!(verify().await, (Verdict::Damaged { files: 2 }, vec!["d/001".into(), "d/002".into()]));
        damage(2 * ERASE as u32 + 3).await;
        assert_eq!(verify().await, (Verdict::Manifest, vec![]));
    });
}

/// Where no byte of the journal can be lost without loss, what is shown is still whole, and the store still receives.
#[test]
fn a_damaged_journal_shows_whole_folders_or_none() {
    let (first, second) = (first(), second());
    let mut shown_none = 0;
    let whole = flash(12);
    boot(&whole, async |_, store| send(store, &first).await.unwrap());
    boot(&whole, async |_, store| send(store, &second).await.unwrap());
    // A transfer that was broken off: slot A, where the first folder was, is half erased.
    let third = archive(tree(3, &[9000]), 300);
    boot(&whole, async |_, store| {
        begin(store, &third).await.unwrap();
        store.write(&third.bytes[..5000]).await.unwrap();
    });
    for at in (0..2 * ERASE).step_by(7) {
        let flash = Mutex::new(whole.try_lock().unwrap().clone());
        flash.try_lock().unwrap().bytes[at] ^= 0x10;
        match boot(&flash, async |slots, _| shown(slots).await).expect("it mounts") {
            Some((2, tree)) => assert_eq!(tree, second.tree, "{at}"),
            Some((1, tree)) => assert_eq!(tree, first.tree, "{at}"),
            Some(other) => panic!("{at}: {other:?}"),
            None => shown_none += 1,
        }
        boot(&flash, async |slots, store| {
            send(store, &third).await.unwrap();
            assert_eq!(shown(slots).await.unwrap().1, third.tree);
        });
    }
    assert!(shown_none < 60, "{shown_none}");
    let flash = Mutex::new(whole.try_lock().unwrap().clone());
    flash.try_lock().unwrap().bytes[..2 * ERASE].fill(0xa5);
    assert_eq!(boot(&flash, async |slots, _| shown(slots).await), Some(None));
    boot(&flash, async |_, store| send(store, &third).await.unwrap());
}

#[test]
fn a_boot_without_a_transfer_writes_nothing() {
    let flash = flash(12);
    boot(&flash, async |_, store| send(store, &first()).await.unwrap());
    let before = flash.try_lock().unwrap().operations;
    for _ in 0..5 {
        boot(&flash, async |_, store| begin(store, &second()).await.unwrap());
    }
    assert_eq!(flash.try_lock().unwrap().operations, before);
}
