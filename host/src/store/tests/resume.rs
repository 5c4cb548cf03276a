//! Tests of the part that is left for the next try: it is resumed, and nothing in it is trusted.

use embassy_futures::poll_once;

use super::*;

#[test]
fn goes_on_from_any_cut() {
    let bench = Bench::planted();
    let total = bench.bytes().len();
    let manifest = bench.archive.info.shape.manifest as usize;
    let cuts = (0..total).filter(|at| at % 16_411 == 0 || (*at < 12_000 && at % 197 == 0) || *at > total - 40);
    for cut in cuts.chain([manifest - 1, manifest, manifest + 1, total]) {
        let mut store = bench.store();
        bench.begin(&mut store).unwrap();
        write(&mut store, &bench.bytes()[..cut], 8192).unwrap();
        if cut % 2 == 0 {
            block_on(store.suspend());
        }
        drop(store);
        let mut store = bench.store();
        let held = bench.begin(&mut store).unwrap();
        assert!(bench.is_prefix(&held), "{cut}: {held:?}");
        // The digest after a whole file and the root are not stored, and an incomplete manifest is not used.
        let least = if cut < manifest { 0 } else { cut.min(total - 32) };
        assert!((least..least + 33).contains(&(held.offset as usize)), "{cut}: {held:?}");
        write(&mut store, &bench.bytes()[held.offset as usize..], 8192).unwrap();
        bench.check(block_on(store.commit()).unwrap());
        fs::remove_dir_all(bench.target()).unwrap();
    }
}

/// Receives up to the middle of the big file, changes what is staged, and resumes as a session does. Returns whether a
/// prefix was held.
fn poisoned(poison: impl FnOnce(&Bench)) -> bool {
    let bench = Bench::planted();
    let mut store = bench.store();
    bench.begin(&mut store).unwrap();
    write(&mut store, &bench.bytes()[..150_000], 8192).unwrap();
    block_on(store.suspend());
    poison(&bench);
    let mut held = bench.begin(&mut store).unwrap();
    let was_held = held.offset > 0;
    if !bench.is_prefix(&held) {
        block_on(store.restart()).unwrap();
        held.offset = 0;
    }
    write(&mut store, &bench.bytes()[held.offset as usize..], 8192).unwrap();
    bench.check(block_on(store.commit()).unwrap());
    was_held
}

#[test]
fn a_poisoned_staging_area_poisons_nothing() {
    let change = |bench: &Bench, name: &str| {
        let path = bench.staging().join(name);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
    };
    assert!(poisoned(|_| ()));
    assert!(poisoned(|bench| change(bench, "tree/-rf")));
    assert!(poisoned(|bench| change(bench, "tree/big.bin")));
    assert!(!poisoned(|bench| change(bench, "manifest")));
    assert!(!poisoned(|bench| change(bench, "journal")));
    assert!(!poisoned(|bench| fs::remove_file(bench.staging().join("journal")).unwrap()));
    assert!(!poisoned(|bench| fs::remove_file(bench.staging().join("manifest")).unwrap()));
    assert!(!poisoned(|bench| fs::remove_dir_all(bench.staging().join("tree")).unwrap()));
    assert!(!poisoned(|bench| put(&bench.staging(), "manifest", &[0; 5000], 0o600)));
    assert!(!poisoned(|bench| put(&bench.staging(), "tree/a/new", b"x", 0o600)));
    assert!(!poisoned(|bench| put(&bench.staging(), "tree/0", b"x", 0o600)));
    assert!(!poisoned(|bench| put(&bench.staging(), "tree/-rf", &[0; 500], 0o600)));
    // An entry beyond the prefix is removed.
    assert!(poisoned(|bench| put(&bench.staging(), "tree/zz", b"x", 0o600)));
    assert!(poisoned(|bench| put(&bench.staging(), "tree/zz/more/x", b"x", 0o600)));
    // A missing entry makes the prefix shorter.
    assert!(poisoned(|bench| fs::remove_file(bench.staging().join("tree/-rf")).unwrap()));
    assert!(poisoned(|bench| fs::remove_dir_all(bench.staging().join("tree/a")).unwrap()));
}

#[cfg(unix)]
#[test]
fn links_in_the_staging_area_are_not_followed() {
    use std::os::unix::fs::symlink;
    let outside = tempfile::tempdir().unwrap();
    put(outside.path(), "x/y/z.txt", b"outside", 0o644);
    let before = snapshot(outside.path());
    let swap = |bench: &Bench, name: &str| {
        let path = bench.staging().join(name);
        fs::rename(&path, bench.temp.path().join("aside")).unwrap();
        symlink(outside.path(), &path).unwrap();
    };
    for name in ["tree", "tree/a", "tree/aux.c", "manifest"] {
        assert!(!poisoned(|bench| swap(bench, name)), "{name}");
    }
    let bench = Bench::planted();
    symlink(outside.path(), bench.staging()).unwrap();
    let mut store = bench.store();
    assert_eq!(bench.begin(&mut store), Err(StoreError::NotWritable));
    assert!(matches!(store.take_error().unwrap().cause, Cause::NotAFolder));
    assert_eq!(snapshot(outside.path()), before);
}

#[cfg(unix)]
#[test]
fn another_users_staging_area_is_left_alone() {
    let bench = Bench::planted();
    fs::create_dir(bench.staging()).unwrap();
    if std::os::unix::fs::chown(bench.staging(), Some(65_533), None).is_err() {
        // Only root can give a folder to another user.
        let mut within = std::process::Command::new("sudo");
        within.arg("-n");
        return crate::needs::again("store::tests::resume::another_users_staging_area_is_left_alone", within);
    }
    let mut store = bench.store();
    assert_eq!(bench.begin(&mut store), Err(StoreError::NotWritable));
    assert!(matches!(store.take_error().unwrap().cause, Cause::NotOurs));
    assert_eq!(fs::read_dir(bench.staging()).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn others_cannot_look_into_the_staging_area() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::planted();
    let mode = || fs::metadata(bench.staging()).unwrap().permissions().mode() & 0o777;
    let mut store = bench.store();
    bench.begin(&mut store).unwrap();
    assert_eq!(mode(), 0o700);
    block_on(store.suspend());
    crate::testing::set_mode(&bench.staging(), 0o755);
    bench.begin(&mut store).unwrap();
    assert_eq!(mode(), 0o700);
}

#[test]
fn another_senders_prefix_is_forgotten() {
    let bench = Bench::planted();
    let mut store = bench.store();
    bench.begin(&mut store).unwrap();
    write(&mut store, &bench.bytes()[..100_000], 8192).unwrap();
    block_on(store.suspend());
    let other = Offered { sender: CertificateHash([2; 32]), ..bench.offered() };
    assert_eq!(block_on(store.begin(&other, &|_| true)).unwrap().offset, 0);
    block_on(store.suspend());
    // Nor is a prefix used that belongs to another manifest.
    bench.begin(&mut store).unwrap();
    write(&mut store, &bench.bytes()[..100_000], 8192).unwrap();
    block_on(store.suspend());
    assert_eq!(block_on(store.begin(&bench.offered(), &|_| false)).unwrap().offset, 0);
}

#[test]
fn one_process_at_a_time() {
    let bench = Bench::planted();
    let (mut one, mut other) = (bench.store(), bench.store());
    bench.begin(&mut one).unwrap();
    assert_eq!(bench.begin(&mut other), Err(StoreError::InUse));
    write(&mut one, bench.bytes(), 65536).unwrap();
    bench.check(block_on(one.commit()).unwrap());
    assert_eq!(bench.begin(&mut other), Err(StoreError::NotEmpty));
    assert!(!matches!(other.take_error().unwrap().cause, Cause::InUse), "it is over");
}

#[test]
fn a_discard_that_is_dropped_stops_and_says_what_is_left() {
    let many = |at: &Path| (0..600).for_each(|number| fs::write(at.join(format!("{number:03}")), b"small").unwrap());
    let bench = Bench::new(many);
    let mut store = bench.store();
    bench.begin(&mut store).unwrap();
    write(&mut store, &bench.bytes()[..bench.bytes().len() - 1], 1000).unwrap();
    assert_eq!(block_on(store.left_behind()), None, "it is in use");
    assert!(poll_once(store.discard()).is_pending(), "and dropped");
    assert_eq!(block_on(store.left_behind()), Some(LeftBehind::Unremoved(bench.staging())));
    assert!(fs::read_dir(bench.staging().join("tree")).unwrap().count() > 500);
    // Nothing of it is resumed.
    assert_eq!(bench.begin(&mut store).unwrap().offset, 0);
    write(&mut store, bench.bytes(), 1000).unwrap();
    bench.check(block_on(store.commit()).unwrap());
    assert_eq!(block_on(store.left_behind()), None);
}
