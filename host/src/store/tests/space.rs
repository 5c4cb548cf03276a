//! A full disk: a small file system in memory, where this user may mount one.

use std::process::Command;

use super::*;
use crate::needs::{again, unshare};

/// A file system of that many KiB at a path.
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

/// Runs a test of this file again where it may mount.
fn as_root(test: &str) {
    again(&format!("store::tests::space::{test}"), unshare(&["--mount"]));
}

#[test]
fn a_full_disk_is_told_and_can_be_gone_on_from() {
    let Some(small) = Small::mount(600) else { return as_root("a_full_disk_is_told_and_can_be_gone_on_from") };
    let bench = Bench::planted();
    let target = small.0.path().join("folder");
    let mut store = DirectoryStore::open(&target, false).unwrap();
    bench.begin(&mut store).unwrap();
    // Somebody else fills it meanwhile.
    let filler = small.0.path().join("filler");
    fs::write(&filler, vec![1; 400 << 10]).unwrap();
    let error = write(&mut store, bench.bytes(), 65536).unwrap_err();
    assert!(matches!(error, StoreError::NoSpace { needed, free } if needed > free), "{error:?}");
    let trouble = store.take_trouble().unwrap();
    assert!(trouble.path.ends_with("tree/big.bin") && trouble.io_kind() == Some(io::ErrorKind::StorageFull));
    block_on(store.suspend());
    // With less room than what is missing it is refused at once.
    assert!(matches!(bench.begin(&mut store), Err(StoreError::NoSpace { .. })));
    fs::remove_file(filler).unwrap();
    let held = bench.begin(&mut store).unwrap();
    assert!(held.offset > 50_000 && bench.is_prefix(&held));
    write(&mut store, &bench.bytes()[held.offset as usize..], 65536).unwrap();
    block_on(store.commit()).unwrap();
    assert_eq!(snapshot(&target), snapshot(&bench.from()));
}

#[test]
fn a_mount_point_is_no_target() {
    let Some(small) = Small::mount(600) else { return as_root("a_mount_point_is_no_target") };
    let bench = Bench::planted();
    let mut store = DirectoryStore::open(small.0.path(), true).unwrap();
    assert_eq!(bench.begin(&mut store), Err(StoreError::NotWritable));
    assert!(matches!(store.take_trouble().unwrap().cause, Cause::MountPoint));
}
