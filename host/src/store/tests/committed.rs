//! Tests of a committed folder that its sender offers again.

use super::*;

#[test]
fn a_committed_folder_is_held_in_full_by_its_sender() {
    let bench = Bench::planted();
    bench.check(bench.receive(&mut bench.remembering(false)).unwrap());
    // It is still offered after a restart.
    let mut store = bench.remembering(false);
    let held = bench.begin(&mut store).unwrap();
    assert_eq!(held.offset, bench.archive.info.shape.total);
    assert!(bench.is_prefix(&held));
    assert_eq!(store.manifest(), Some(bench.archive.info.manifest_digest));
    bench.check(block_on(store.commit()).unwrap());
    // A sender that does not agree starts over, if overwriting is allowed.
    bench.begin(&mut store).unwrap();
    assert_eq!(block_on(store.restart()), Err(StoreError::NotEmpty));
    let mut store = bench.remembering(true);
    bench.begin(&mut store).unwrap();
    let another = Staging::open(&Place::of(&bench.target()).unwrap()).ok().unwrap();
    assert_eq!(block_on(store.restart()), Err(StoreError::InUse));
    drop(another);
    block_on(store.restart()).unwrap();
    write(&mut store, bench.bytes(), 65536).unwrap();
    bench.check(block_on(store.commit()).unwrap());
}

#[cfg(unix)]
#[test]
fn a_folder_with_more_in_it_is_another_one() {
    for place in ["", "a", "a/x"] {
        let bench = Bench::planted();
        bench.receive(&mut bench.remembering(false)).unwrap();
        // The time of the folder is restored, so that it does not show the change.
        let folder = fs::File::open(bench.target().join(place)).unwrap();
        let time = folder.metadata().unwrap().modified().unwrap();
        fs::write(bench.target().join(place).join("more"), b"").unwrap();
        folder.set_modified(time).unwrap();
        assert_eq!(bench.begin(&mut bench.remembering(false)), Err(StoreError::NotEmpty), "{place}");
        let held = bench.begin(&mut bench.remembering(true)).unwrap();
        assert_eq!(held.offset, bench.archive.info.shape.total, "others may be there: {place}");
    }
}

/// The digest of the whole content would reveal to another sender what the folder holds.
#[test]
fn a_committed_folder_is_offered_to_no_other_sender() {
    let bench = Bench::planted();
    bench.receive(&mut bench.remembering(false)).unwrap();
    let other = Offered { sender: CertificateHash([2; 32]), ..bench.offered() };
    assert_eq!(block_on(bench.remembering(false).begin(&other, &|_| true)), Err(StoreError::NotEmpty));
    let mut store = bench.remembering(true);
    assert_eq!(block_on(store.begin(&other, &|_| true)).unwrap(), Held { offset: 0, digest: Digest::of(&[]) });
    block_on(store.discard());
    // Nor is a folder offered that no sender sent, or that was opened from a file.
    assert_eq!(bench.begin(&mut bench.store()), Err(StoreError::NotEmpty));
    fs::remove_dir_all(bench.home()).unwrap();
    assert_eq!(bench.begin(&mut bench.remembering(false)), Err(StoreError::NotEmpty));
    bench.check_clean();
    // Nor is a folder offered that this sender did not send.
    bench.receive(&mut bench.remembering(true)).unwrap();
    assert!(bench.begin(&mut bench.remembering(false)).is_ok());
    assert_eq!(block_on(bench.remembering(false).begin(&bench.offered(), &|_| false)), Err(StoreError::NotEmpty));
}

/// Whether the target is still offered to its sender after that change.
fn is_held_after(overwrite: bool, change: impl FnOnce(&Path)) -> bool {
    let bench = Bench::planted();
    bench.receive(&mut bench.remembering(false)).unwrap();
    change(&bench.target());
    // A folder that looks the same is not read before the key is asked for.
    let mut store = bench.remembering(overwrite);
    let begun = block_on(store.begin(&bench.offered(), &|digest| *digest == bench.archive.info.manifest_digest));
    let held = begun.as_ref().is_ok_and(|held| held.offset > 0);
    assert!(held || overwrite || begun == Err(StoreError::NotEmpty), "{begun:?}");
    held
}

#[test]
fn a_folder_that_was_changed_is_not_held() {
    // Changes a file but keeps its size and time.
    let rewrite = |at: &Path| {
        let (path, found) = (at.join("big.bin"), fs::metadata(at.join("big.bin")).unwrap());
        let mut bytes = fs::read(&path).unwrap();
        bytes[77_777] ^= 1;
        fs::write(&path, bytes).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(found.modified().unwrap()).unwrap();
    };
    assert!(is_held_after(false, |_| ()));
    assert!(!is_held_after(false, rewrite) && !is_held_after(true, rewrite));
    assert!(!is_held_after(true, |at| fs::remove_file(at.join("zz")).unwrap()));
    assert!(!is_held_after(true, |at| fs::rename(at.join("zz"), at.join("zy")).unwrap()));
    assert!(!is_held_after(true, |at| put(at, "zz", b"xy", 0o404)));
    let more = |at: &Path| put(at, "more", b"", 0o644);
    assert!(!is_held_after(false, more) && is_held_after(true, more), "beside other things, where those may be");
    if cfg!(unix) {
        assert!(!is_held_after(true, |at| crate::testing::set_mode(&at.join("zz"), 0o600)));
        assert!(!is_held_after(true, |at| crate::testing::set_mode(&at.join("z/e"), 0o755)));
        assert!(!is_held_after(true, |at| drop(fs::File::create(at.join("z/e/new")).unwrap())), "its time changed");
    }
}

#[test]
fn damaged_records_are_not_believed() {
    let bench = Bench::planted();
    let begin = || block_on(bench.remembering(false).begin(&bench.offered(), &|_| true));
    bench.receive(&mut bench.remembering(false)).unwrap();
    let records = bench.home().join("received");
    let path = fs::read_dir(&records).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&path).unwrap();
    for length in (0..whole.len()).step_by(97) {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(begin(), Err(StoreError::NotEmpty), "{length}");
    }
    for at in [0, 20, 50, 90, 113, 118, 121, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        fs::write(&path, bytes).unwrap();
        assert_eq!(begin(), Err(StoreError::NotEmpty), "{at}");
    }
    fs::write(&path, whole).unwrap();
    assert!(begin().is_ok());
}

#[test]
fn records_of_folders_that_are_gone_are_removed() {
    let bench = Bench::planted();
    let count = || fs::read_dir(bench.home().join("received")).unwrap().count();
    for name in ["one", "two"] {
        let home = Home::at(bench.home()).unwrap();
        let mut store = DirectoryStore::open(&bench.to().join(name), false).unwrap().remembering(home);
        bench.receive(&mut store).unwrap();
    }
    assert_eq!(count(), 2);
    fs::remove_dir_all(bench.to().join("one")).unwrap();
    bench.receive(&mut bench.remembering(false)).unwrap();
    assert_eq!(count(), 2);
}
