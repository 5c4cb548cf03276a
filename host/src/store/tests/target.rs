//! Tests of what happens to the target itself, and of targets that are refused.

use super::*;

#[cfg(target_os = "linux")]
#[test]
fn an_empty_target_keeps_its_owner_group_bits_and_lists() {
    use std::os::unix::fs::MetadataExt as _;
    if !crate::needs::is_root() {
        let within = crate::needs::unshare(&["--map-auto"]);
        return crate::needs::again(
            "store::tests::target::an_empty_target_keeps_its_owner_group_bits_and_lists",
            within,
        );
    }
    // Version 2: tag, permissions and id of the owner, a user, the group, the mask, others.
    let list = |user: u32| -> Vec<u8> {
        let entries = [(1, 7, u32::MAX), (2, 5, user), (4, 7, u32::MAX), (16, 7, u32::MAX), (32, 5, u32::MAX)];
        let entry = |(tag, permissions, id): (u16, u16, u32)| {
            [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        [2_u32.to_le_bytes().to_vec(), entries.into_iter().flat_map(entry).collect()].concat()
    };
    let lists = [("system.posix_acl_access", list(11)), ("system.posix_acl_default", list(12))];
    let bench = Bench::planted();
    fs::create_dir(bench.target()).unwrap();
    std::os::unix::fs::chown(bench.target(), Some(7), Some(8)).unwrap();
    for (name, list) in &lists {
        rustix::fs::setxattr(bench.target(), *name, list, rustix::fs::XattrFlags::empty()).unwrap();
    }
    crate::testing::set_mode(&bench.target(), 0o3775);
    let mut store = bench.store();
    assert_eq!(block_on(store.probe()).unwrap(), []);
    bench.receive(&mut store).unwrap();
    let found = fs::metadata(bench.target()).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (7, 8, 0o3775));
    for (name, list) in &lists {
        let mut value = vec![0; 1000];
        let length = rustix::fs::getxattr(bench.target(), *name, &mut value[..]).unwrap();
        assert_eq!(value[..length], list[..], "{name}");
    }
    // A file below has the attributes that it would have if it had been created there.
    let below = fs::metadata(bench.target().join("a/x")).unwrap();
    assert_eq!((below.uid(), below.gid(), below.mode() & 0o7777), (0, 8, 0o2750));
    bench.check_clean();
}

/// The attributes that this user cannot give to a new directory are reported before anything is received.
#[cfg(unix)]
#[test]
fn attributes_that_would_be_lost_are_reported() {
    use crate::needs::{NOBODY, again, is_again, is_root};
    let test = "store::tests::target::attributes_that_would_be_lost_are_reported";
    if is_root() {
        let temp = tempfile::tempdir().unwrap();
        crate::testing::set_mode(temp.path(), 0o755);
        for (name, owner) in [("to", NOBODY), ("to/folder", 0)] {
            fs::create_dir(temp.path().join(name)).unwrap();
            std::os::unix::fs::chown(temp.path().join(name), Some(owner), Some(owner)).unwrap();
        }
        let mut within = std::process::Command::new("setpriv");
        within.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).env("WAFT_TEST_TARGET", temp.path());
        return again(test, within);
    }
    let Some(temp) = std::env::var_os("WAFT_TEST_TARGET").map(PathBuf::from).filter(|_| is_again()) else {
        return crate::needs::skip("nobody else's folder is at hand");
    };
    let mut store = DirectoryStore::open(&temp.join("to/folder"), false).unwrap();
    assert_eq!(block_on(store.probe()).unwrap(), [Note::Attribute("group"), Note::Attribute("owner")]);
    // In a sticky folder such as /tmp, a directory of another user cannot be replaced at all.
    let sticky = tempfile::tempdir_in("/tmp").unwrap();
    assert!(block_on(DirectoryStore::open(sticky.path(), false).unwrap().probe()).is_ok());
}

/// Decided before a code is asked for: a sender whose folder is in the target may send it again, and no other sender
/// may.
#[test]
fn senders_that_cannot_be_served_are_known() {
    let bench = Bench::planted();
    let (own, other) = (bench.offered().sender, CertificateHash([2; 32]));
    let refused = |store: &mut DirectoryStore, sender: CertificateHash| {
        block_on(store.prepare_for(sender, Name::new("anna").unwrap()));
        assert_eq!(store.refuses(&CertificateHash([3; 32])), None, "it was looked at for another one");
        block_on(store.prepare_for(sender, Name::new("anna").unwrap()));
        store.refuses(&sender)
    };
    let mut store = bench.remembering(false);
    assert_eq!(refused(&mut store, other), None);
    bench.receive(&mut store).unwrap();
    assert_eq!((refused(&mut store, own), refused(&mut store, other)), (None, Some(StoreError::NotEmpty)));
    assert!(store.take_error().unwrap().path.ends_with("folder"));
    assert_eq!(refused(&mut bench.remembering(true), other), None);
    // At the start, before any sender is known.
    assert!(block_on(bench.remembering(false).probe()).is_ok());
    fs::remove_dir_all(bench.home()).unwrap();
    let file_error = block_on(bench.remembering(false).probe()).unwrap_err();
    assert_eq!(file_error.io_kind(), Some(io::ErrorKind::DirectoryNotEmpty));
    assert!(block_on(bench.remembering(true).probe()).is_ok());
}

/// Decided before the key of a sealed file is asked for.
#[test]
fn a_target_that_cannot_be_the_sealed_folder_is_known() {
    let bench = Bench::planted();
    let shape = bench.archive.info.shape;
    let check = |overwrite: bool| {
        let mut store = DirectoryStore::open(&bench.target(), overwrite).unwrap();
        block_on(store.check_opening(shape))
    };
    assert_eq!(check(false), Ok(()));
    bench.receive(&mut bench.store()).unwrap();
    assert_eq!((check(false), check(true)), (Ok(()), Ok(())));
    put(&bench.target(), "more", b"", 0o644);
    assert_eq!((check(false), check(true)), (Err(StoreError::NotEmpty), Ok(())));
    fs::remove_file(bench.target().join("more")).unwrap();
    put(&bench.target(), "zz", b"longer", 0o644);
    assert_eq!((check(false), check(true)), (Err(StoreError::NotEmpty), Ok(())));
    let another = Staging::open(&Place::of(&bench.target()).unwrap()).ok().unwrap();
    assert_eq!(check(true), Err(StoreError::InUse));
    drop(another);
}

/// A process whose current directory is replaced would be in a directory that no longer exists.
#[cfg(unix)]
#[test]
fn the_current_folder_is_filled_in_place() {
    use crate::needs::{again, is_again};
    use std::os::unix::fs::MetadataExt as _;
    if !is_again() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("current")).unwrap();
        let mut within = std::process::Command::new("env");
        within.current_dir(place.path().join("current"));
        again("store::tests::target::the_current_folder_is_filled_in_place", within);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing is left beside it");
        return;
    }
    let bench = Bench::planted();
    let current = std::env::current_dir().unwrap();
    let inode = fs::metadata(&current).unwrap().ino();
    let mut store = DirectoryStore::open(Path::new("."), false).unwrap();
    assert_eq!(block_on(store.probe()).unwrap(), [Note::InPlace(InPlace::CurrentFolder)]);
    bench.receive(&mut store).unwrap();
    assert_eq!(fs::metadata(&current).unwrap().ino(), inode);
    assert_eq!(snapshot(&current), snapshot(&bench.from()));
}

#[cfg(unix)]
#[test]
fn an_empty_target_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::planted();
    fs::create_dir(bench.target()).unwrap();
    crate::testing::set_mode(&bench.target(), 0o700);
    bench.check(bench.receive(&mut bench.store()).unwrap());
    assert_eq!(fs::metadata(bench.target()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_filled_target_is_left_alone() {
    let bench = Bench::planted();
    put(&bench.target(), "old", b"old", 0o644);
    let mut store = bench.store();
    assert_eq!(bench.begin(&mut store), Err(StoreError::NotEmpty));
    assert!(store.take_error().unwrap().path.ends_with("folder"));
    bench.check_clean();
    // The target may also be filled meanwhile.
    fs::remove_file(bench.target().join("old")).unwrap();
    bench.begin(&mut store).unwrap();
    write(&mut store, bench.bytes(), 65536).unwrap();
    put(&bench.target(), "new", b"new", 0o644);
    assert_eq!(block_on(store.commit()), Err(StoreError::NotEmpty));
    block_on(store.discard());
    assert_eq!(fs::read_dir(bench.target()).unwrap().count(), 1);
    // The received part is still there for the next try.
    fs::remove_file(bench.target().join("new")).unwrap();
    assert!(bench.begin(&mut store).unwrap().offset > 100_000);
}

#[test]
fn paths_that_cannot_be_a_target_are_reported() {
    let temp = tempfile::tempdir().unwrap();
    let at = temp.path();
    let open = |path: &Path| DirectoryStore::open(path, true).map(drop);
    assert!(open(&at.join("absent/target")).is_err());
    assert!(matches!(open(Path::new("/")).unwrap_err().cause, Cause::Nameless));
    fs::write(at.join("file"), "x").unwrap();
    let bench = Bench::planted();
    let mut store = DirectoryStore::open(&at.join("file"), true).unwrap();
    assert_eq!(bench.begin(&mut store), Err(StoreError::NotWritable));
    assert!(matches!(store.take_error().unwrap().cause, Cause::NotAFolder));
}
