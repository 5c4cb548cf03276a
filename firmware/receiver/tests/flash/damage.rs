//! Errors of the sender or the flash: invalid archives, damaged files, and a damaged journal.

use embassy_sync::mutex::Mutex;
use waft_core::archive::{ArchiveError, Shape};
use waft_core::digest::Digest;
use waft_core::session::{Offered, Store, StoreError};
use waft_receiver::slots::{Transfer, Verdict};

use crate::archive::{Archive, archive, tree};
use crate::bench::{begin, boot, send, shown};
use crate::cases::{ERASE, first, flash, second};

#[test]
fn a_false_archive_is_refused_and_the_old_folder_stays() {
    let flash = flash(12);
    let (first, good) = (first(), second());
    boot(&flash, async |slots, store| {
        send(store, &first).await.unwrap();
        let digests = [good.offered.shape.manifest as usize + 5, good.bytes.len() - 1];
        for at in [1].into_iter().chain(digests) {
            let mut bytes = good.bytes.clone();
            bytes[at] ^= 1;
            let bad = Archive { bytes, tree: good.tree.clone(), ..good };
            let sent = send(store, &bad).await;
            store.discard().await;
            match sent {
                Err(StoreError::Archive(_)) if at == 1 => {}
                Err(StoreError::Verify) if at > 1 => {}
                other => panic!("{other:?}"),
            }
            assert_eq!(shown(slots).await, Some((1, first.tree.clone())));
        }
        begin(store, &good).await.unwrap();
        store.write(&good.bytes[..ERASE + 100]).await.unwrap();
        assert_eq!(begin(store, &good).await, Ok(ERASE));
        let mut rest = good.bytes[ERASE..].to_vec();
        *rest.last_mut().unwrap() ^= 1;
        store.write(&rest).await.unwrap();
        assert_eq!(store.commit().await, Err(StoreError::Verify), "after the offset at which it resumed, too");
        begin(store, &good).await.unwrap();
        store.restart().await.unwrap();
        store.write(&good.bytes[..100]).await.unwrap();
        assert_eq!(store.commit().await, Err(StoreError::Archive(ArchiveError::Truncated)));
        let longer = [&good.bytes[100..], b"x"].concat();
        assert_eq!(store.write(&longer).await, Err(StoreError::Archive(ArchiveError::Trailing)));
    });
}

#[test]
fn a_manifest_longer_than_its_archive_reads_nothing_behind_it() {
    let flash = flash(12);
    let good = second();
    boot(&flash, async |_, store| {
        let manifest = good.offered.shape.manifest;
        for (total, manifest) in [(manifest - 1, manifest), (manifest - 1, u32::MAX), (10, 20)] {
            let offered =
                Offered { shape: Shape { total: total.into(), manifest, ..good.offered.shape }, ..good.offered };
            store.begin(&offered, &|_| false).await.unwrap();
            let result = match store.write(&good.bytes[..total as usize]).await {
                Ok(()) => store.commit().await.map(drop),
                refused => refused,
            };
            let Err(StoreError::Archive(error)) = result else { panic!("{result:?}") };
            assert!(matches!(error, ArchiveError::Truncated | ArchiveError::ManifestTooLong), "{error:?}");
        }
    });
}

#[test]
fn a_manifest_that_is_not_as_it_was_offered_is_refused_before_the_contents() {
    let good = second();
    let shape = good.offered.shape;
    for shape in [Shape { total: shape.total + 1, ..shape }, Shape { files: shape.files - 1, ..shape }] {
        boot(&flash(12), async |_, store| {
            store.begin(&Offered { shape, ..good.offered }, &|_| false).await.unwrap();
            let manifest = store.write(&good.bytes[..shape.manifest as usize]).await;
            assert!(matches!(manifest, Err(StoreError::Archive(_))), "{manifest:?}");
        });
    }
}

/// The slot contains another archive, which is valid itself.
#[test]
fn what_is_committed_is_what_was_sent() {
    let flash = flash(12);
    let [sent, other] = ["d", "e"].map(|path| archive(vec![(path.into(), Some(vec![1; 4021]))], 100));
    assert_eq!(sent.bytes.len(), ERASE, "nothing of it waits in the buffer");
    boot(&flash, async |_, store| {
        begin(store, &sent).await.unwrap();
        store.write(&sent.bytes).await.unwrap();
        flash.lock().await.bytes[2 * ERASE..][..other.bytes.len()].copy_from_slice(&other.bytes);
        assert_eq!(store.commit().await, Err(StoreError::Verify));
    });
}

/// The received archive was valid, so the sender must not get the error for an invalid one.
#[test]
fn what_rots_before_the_commit_is_the_flashs_fault_and_is_sent_again() {
    let second = second();
    let content = second.offered.shape.manifest as usize;
    for at in [3, content + 5, content + 3000 + 5, ERASE, ERASE + 1000] {
        for resumed in [false, true] {
            let flash = flash(12);
            boot(&flash, async |slots, store| {
                begin(store, &second).await.unwrap();
                let mut offset = 0;
                if resumed {
                    store.write(&second.bytes[..ERASE + 100]).await.unwrap();
                    offset = begin(store, &second).await.unwrap();
                    assert_eq!(offset, ERASE);
                }
                store.write(&second.bytes[offset..]).await.unwrap();
                flash.lock().await.bytes[2 * ERASE + at] ^= 4;
                assert_eq!(store.commit().await, Err(StoreError::Verify), "{at}");
                store.suspend().await;
                send(store, &second).await.unwrap();
                assert_eq!(shown(slots).await, Some((1, second.tree.clone())));
            });
        }
    }
}

/// A size in the manifest changes, and nothing after the slot is read.
#[test]
fn a_manifest_that_rots_before_the_commit_leads_to_no_other_part_of_the_flash() {
    let flash = flash(12);
    let large = archive(tree(1, &[17_000]), 1);
    let size = large.bytes.windows(3).position(|bytes| bytes == [0xe8, 0x84, 0x01]).unwrap();
    boot(&flash, async |_, store| {
        begin(store, &large).await.unwrap();
        store.write(&large.bytes).await.unwrap();
        flash.lock().await.bytes[2 * ERASE + size + 2] = 0x41;
        assert_eq!(store.commit().await, Err(StoreError::Verify));
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
            let (mut transfer, mut damaged) = (Transfer::new(), Vec::new());
            let mut verification = folder.verify(&mut transfer).await;
            while let Some((path, sound)) = verification.next().await.unwrap() {
                damaged.extend((!sound).then(|| path.as_str().to_owned()));
            }
            (verification.verdict(), damaged)
        };
        assert_eq!(verify().await, (Verdict::Sound, vec![]));
        damage(folder.open("d/001").await.unwrap().range().start + 7).await;
        damage(folder.open("d/002").await.unwrap().range().end).await;
        assert_eq!(verify().await, (Verdict::Damaged { files: 2 }, vec!["d/001".into(), "d/002".into()]));
        // Content that matches its digest, but not what was committed.
        let file = folder.open("d/000").await.unwrap().range();
        let mut nor = flash.lock().await;
        nor.bytes[file.start as usize..file.end as usize].fill(1);
        nor.bytes[file.end as usize..][..32].copy_from_slice(&Digest::of(&[1; 3000]).0);
        drop(nor);
        damage(folder.open("d/001").await.unwrap().range().start + 7).await;
        damage(folder.open("d/002").await.unwrap().range().end).await;
        assert_eq!(verify().await, (Verdict::Manifest, vec![]));
        damage(2 * ERASE as u32 + 3).await;
        assert_eq!(verify().await, (Verdict::Manifest, vec![]));
    });
}

/// Changes each byte of the manifest to several values.
#[test]
fn a_damaged_manifest_leads_to_no_other_part_of_the_flash() {
    let whole = flash(12);
    // The manifest is longer than an entry may be.
    let many = archive(tree(2, &[&[3000][..], &[100; 95]].concat()), 1);
    boot(&whole, async |_, store| send(store, &many).await.unwrap());
    let manifest = 2 * ERASE..2 * ERASE + many.offered.shape.manifest as usize;
    let read = |damage: &[(usize, u8)]| {
        let flash = Mutex::new(whole.try_lock().unwrap().clone());
        damage.iter().for_each(|(at, value)| flash.try_lock().unwrap().bytes[*at] = *value);
        boot(&flash, async |slots, _| {
            let (folder, mut paths) = (slots.folder().unwrap(), Vec::new());
            let mut entries = folder.entries();
            while let Ok(Some(listed)) = entries.next().await {
                let end = listed.file.map_or(0, |file| file.range().end);
                assert!(end <= 2 * ERASE as u32 + folder.bytes(), "{damage:?}");
                paths.push(listed.entry.path.as_str().to_owned());
            }
            paths
        })
        .unwrap()
    };
    for at in manifest.clone() {
        for value in [0, 1, 5, 0x7f, 0xff] {
            read(&[(at, value)]);
        }
    }
    // With this length and these nanoseconds, the last entry extends into the content.
    let end = manifest.end;
    assert_eq!(read(&[(end - 13, 13), (end - 1, 0x80)]).len(), many.tree.len() - 1);
}

/// Even if a damaged journal loses a folder, the folder that is shown is complete, and the store can receive another
/// one.
#[test]
fn a_damaged_journal_shows_whole_folders_or_none() {
    let (first, second) = (first(), second());
    let mut shown_none = 0;
    let whole = flash(12);
    boot(&whole, async |_, store| send(store, &first).await.unwrap());
    boot(&whole, async |_, store| send(store, &second).await.unwrap());
    // An interrupted transfer: slot A, which contained the first folder, is half erased.
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

/// Several adjacent records are lost, so the journal seems to end after the first folder. Its slot already contains a
/// part of the third folder, or all of it.
#[test]
fn a_folder_that_was_overwritten_is_not_shown_again() {
    // As long as the first archive, with the same names.
    let third = archive(tree(3, &[10, 0, 5000]), 300);
    for is_whole in [false, true] {
        let whole = flash(12);
        boot(&whole, async |_, store| {
            send(store, &first()).await.unwrap();
            send(store, &second()).await.unwrap();
            begin(store, &third).await.unwrap();
            store.write(&third.bytes).await.unwrap();
            if is_whole {
                store.commit().await.unwrap();
            }
        });
        for (cell, cells) in (0..2 * ERASE / 32).flat_map(|cell| [9, 18].map(|cells| (cell, cells))) {
            let flash = Mutex::new(whole.try_lock().unwrap().clone());
            let lost = cell * 32..((cell + cells) * 32).min(2 * ERASE);
            flash.try_lock().unwrap().bytes[lost].fill(0xa5);
            let shown = boot(&flash, async |slots, _| shown(slots).await).expect("it mounts");
            assert!(shown.is_none_or(|(generation, _)| generation > 1), "{cell}");
        }
    }
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
