//! Tests with a full disk: a small file system in memory, where this user may mount one.

use std::process::Command;

use super::*;
use crate::needs::{again, unshare};

/// A file system of a given size in KiB, mounted on a temporary directory.
struct Small(TempDir);

impl Small {
    fn mount(kib: u32) -> Option<Self> {
        let at = tempfile::tempdir().unwrap();
        let options = format!("size={kib}k");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at.path()).output();
        mounted.is_ok_and(|done| done.status.success()).then(|| Self(at))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Runs a test of this file again with the right to mount.
fn as_root(test: &str) {
    again(&format!("store::tests::space::{test}"), unshare(&["--mount"]));
}

#[test]
fn a_full_disk_is_reported_and_the_transfer_can_be_resumed() {
    let Some(small) = Small::mount(600) else {
        return as_root("a_full_disk_is_reported_and_the_transfer_can_be_resumed");
    };
    let bench = Bench::planted();
    let target = small.0.path().join("folder");
    let mut store = DirectoryStore::open(&target, false).unwrap();
    bench.begin(&mut store).unwrap();
    // Another program fills the file system meanwhile.
    let filler = small.0.path().join("filler");
    fs::write(&filler, vec![1; 400 << 10]).unwrap();
    let error = write(&mut store, bench.bytes(), 65536).unwrap_err();
    assert!(matches!(error, StoreError::NoSpace { missing: Kibibytes(2..) }), "{error:?}");
    let file_error = store.take_error().unwrap();
    assert!(file_error.path.ends_with("tree/big.bin") && file_error.io_kind() == Some(io::ErrorKind::StorageFull));
    block_on(store.suspend());
    // With less room than is missing, the offer is refused at once.
    assert!(matches!(bench.begin(&mut store), Err(StoreError::NoSpace { .. })));
    fs::remove_file(filler).unwrap();
    let held = bench.begin(&mut store).unwrap();
    assert!(held.offset > 50_000 && bench.is_prefix(&held));
    write(&mut store, &bench.bytes()[held.offset as usize..], 65536).unwrap();
    block_on(store.commit()).unwrap();
    assert_eq!(snapshot(&target), snapshot(&bench.from()));
}

#[test]
fn a_small_file_for_which_there_is_no_room_is_named() {
    let Some(small) = Small::mount(1000) else { return as_root("a_small_file_for_which_there_is_no_room_is_named") };
    let bench = Bench::new(|at| {
        put(at, "a", &crate::testing::content(0, 200_000), 0o644);
        (0..100).for_each(|number| put(at, &format!("b/{number:03}"), &[7; 3000], 0o644));
    });
    let target = small.0.path().join("folder");
    let mut store = DirectoryStore::open(&target, false).unwrap();
    bench.begin(&mut store).unwrap();
    let filler = small.0.path().join("filler");
    fs::write(&filler, vec![1; 600 << 10]).unwrap();
    let error = write(&mut store, bench.bytes(), 65536).unwrap_err();
    // The bytes of the file itself are missing as well, although they have arrived.
    assert!(matches!(error, StoreError::NoSpace { missing: Kibibytes(3..) }), "{error:?}");
    let file_error = store.take_error().unwrap();
    assert!(file_error.path.contains("tree/b/0") && file_error.io_kind() == Some(io::ErrorKind::StorageFull));
    assert!(block_on(store.commit()).is_err(), "nothing can follow a file that is missing");
    block_on(store.suspend());
    fs::remove_file(filler).unwrap();
    let held = bench.begin(&mut store).unwrap();
    assert!(held.offset > 200_000 && bench.is_prefix(&held));
    write(&mut store, &bench.bytes()[held.offset as usize..], 65536).unwrap();
    block_on(store.commit()).unwrap();
    assert_eq!(snapshot(&target), snapshot(&bench.from()));
}

#[test]
fn too_little_room_for_a_sealed_file_is_known_before_its_key() {
    let Some(small) = Small::mount(100) else {
        return as_root("too_little_room_for_a_sealed_file_is_known_before_its_key");
    };
    let bench = Bench::planted();
    let mut store = DirectoryStore::open(&small.0.path().join("folder"), false).unwrap();
    let shape = bench.archive.info.shape;
    let checked = block_on(store.check_opening(shape));
    let Err(StoreError::NoSpace { missing }) = checked else { panic!("{checked:?}") };
    assert!(missing.bytes() >= shape.total - (100 << 10), "{missing}");
}

/// A mount point, for example a volume of a container: nothing can be renamed onto it, or into it from beside it.
#[test]
fn a_mount_point_is_filled_in_place() {
    let Some(small) = Small::mount(2000) else { return as_root("a_mount_point_is_filled_in_place") };
    let bench = Bench::planted();
    let at = small.0.path();
    fs::create_dir(at.join("lost+found")).unwrap();
    let home = || Home::at(bench.home()).unwrap();
    let mut stopped = 0;
    loop {
        let mut store = DirectoryStore::open(at, false).unwrap().remembering(home());
        assert_eq!(block_on(store.probe()).unwrap(), [Note::InPlace(InPlace::MountPoint)]);
        bench.begin_in(&mut store, at).unwrap();
        write(&mut store, bench.bytes(), 65536).unwrap();
        let ended = commit_and_stop(&mut store, stopped);
        drop(store);
        if ended.is_ok() {
            break;
        }
        assert_eq!(recover(at).unwrap(), stopped > 0, "{stopped}");
        if stopped > 0 {
            assert_eq!(names_in(at).len(), names_in(&bench.from()).len() + 1, "{stopped}");
        }
        names_in(at).iter().filter(|name| *name != "lost+found").for_each(|name| {
            staging::remove(&Dir::open_ambient_dir(at, cap_std::ambient_authority()).unwrap(), name).unwrap();
        });
        stopped += 1;
    }
    assert!(stopped > 20, "{stopped}");
    fs::remove_dir(at.join("lost+found")).unwrap();
    assert_eq!(snapshot(at), snapshot(&bench.from()), "and no staging area");
    let mut store = DirectoryStore::open(at, false).unwrap().remembering(home());
    let held = bench.begin_in(&mut store, at).unwrap();
    assert_eq!(held.offset, bench.archive.info.shape.total, "sending again moves nothing");
}

#[test]
fn the_name_of_the_staging_area_is_not_received_into_a_mount_point() {
    let Some(small) = Small::mount(600) else {
        return as_root("the_name_of_the_staging_area_is_not_received_into_a_mount_point");
    };
    let bench = Bench::new(|at| put(at, ".incoming.waft/journal", b"x", 0o644));
    let mut store = DirectoryStore::open(small.0.path(), false).unwrap();
    bench.begin_in(&mut store, small.0.path()).unwrap();
    assert_eq!(write(&mut store, bench.bytes(), 65536), Err(StoreError::Name { entry: 0 }));
}

fn names_in(path: &Path) -> Vec<std::ffi::OsString> {
    fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}
