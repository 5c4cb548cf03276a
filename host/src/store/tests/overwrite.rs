//! Into a target that holds other things.

use super::*;
use crate::samples::set_mode;

/// What an older folder left in the target: some of it in the way, some not.
fn old(at: &Path) {
    put(at, "a/x/y/z.txt", b"old", 0o600);
    put(at, "a/other", b"stays", 0o644);
    put(at, "big.bin", b"old", 0o600);
    put(at, "kept", b"stays", 0o640);
    fs::create_dir_all(at.join("ünï")).unwrap();
}

/// Both folders in one.
fn expected(bench: &Bench) -> Vec<String> {
    let mut lines = snapshot(&bench.from());
    let stay = snapshot(&bench.target());
    lines.extend(stay.into_iter().filter(|line| line.starts_with("a/other") || line.starts_with("kept")));
    lines.sort();
    lines
}

fn sorted(path: &Path) -> Vec<String> {
    let mut lines = snapshot(path);
    lines.sort();
    lines
}

/// Stands for a crash behind so many changes.
fn stop_after(changes: u32) -> impl FnMut() -> io::Result<()> {
    let mut left = changes;
    move || {
        left = left.checked_sub(1).ok_or_else(|| io::Error::other("stopped here"))?;
        Ok(())
    }
}

#[test]
fn merges() {
    let bench = Bench::planted();
    old(&bench.target());
    let expected = expected(&bench);
    bench.receive(&mut bench.overwriting()).unwrap();
    assert_eq!(sorted(&bench.target()), expected);
    bench.check_clean();
    assert!(!block_on(DirectoryStore::recover(&bench.target())).unwrap());
}

#[test]
fn a_crash_between_any_two_steps_is_made_good() {
    let mut stopped = 0;
    loop {
        let bench = Bench::planted();
        old(&bench.target());
        let (before, after) = (snapshot(&bench.target()), expected(&bench));
        let mut store = bench.overwriting();
        bench.begin(&mut store).unwrap();
        write(&mut store, bench.bytes(), 65536).unwrap();
        let ended = block_on(store.put_in_place(&mut stop_after(stopped)));
        drop(store);
        if ended.is_ok() {
            assert_eq!(sorted(&bench.target()), after);
            break;
        }
        if stopped == 0 {
            // The intent was not written: nothing has changed, and nothing will by itself.
            assert_eq!(snapshot(&bench.target()), before);
            assert!(!block_on(DirectoryStore::recover(&bench.target())).unwrap());
            assert_eq!(snapshot(&bench.target()), before);
        } else if stopped % 2 == 0 {
            assert!(block_on(DirectoryStore::recover(&bench.target())).unwrap(), "{stopped}");
            assert_eq!(sorted(&bench.target()), after, "{stopped}");
            bench.check_clean();
        } else {
            // A session that comes first makes it good too, and so does a second crash further on.
            crash_again(&bench, stopped / 2);
            bench.begin(&mut bench.overwriting()).unwrap();
            assert_eq!(sorted(&bench.target()), after, "{stopped}");
        }
        stopped += 1;
    }
    assert!(stopped > 20, "{stopped}");
}

fn crash_again(bench: &Bench, after: u32) {
    let place = Place::of(&bench.target()).unwrap();
    let staging = Staging::existing(&place).unwrap().unwrap();
    let intent = merge::intent(&staging).unwrap().unwrap();
    let Found::Filled(target) = place.look().unwrap() else { panic!("the target is gone") };
    block_on(merge::forward(&place, &staging, target, intent, Capabilities::ALL, &mut stop_after(after))).unwrap_err();
}

#[test]
fn a_torn_intent_is_none() {
    let bench = Bench::planted();
    old(&bench.target());
    let before = snapshot(&bench.target());
    let mut store = bench.overwriting();
    bench.begin(&mut store).unwrap();
    write(&mut store, bench.bytes(), 65536).unwrap();
    block_on(store.put_in_place(&mut stop_after(1))).unwrap_err();
    drop(store);
    let path = bench.staging().join("intent");
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(!block_on(DirectoryStore::recover(&bench.target())).unwrap());
        assert_eq!(snapshot(&bench.target()), before);
    }
    // The archive is all there still: a sender that comes again sends nothing but the root.
    let mut store = bench.overwriting();
    assert_eq!(bench.begin(&mut store).unwrap().offset, bench.archive.info.shape.total - 32);
}

#[test]
fn a_damaged_manifest_is_not_followed() {
    let bench = Bench::planted();
    old(&bench.target());
    let mut store = bench.overwriting();
    bench.begin(&mut store).unwrap();
    write(&mut store, bench.bytes(), 65536).unwrap();
    block_on(store.put_in_place(&mut stop_after(5))).unwrap_err();
    drop(store);
    let path = bench.staging().join("manifest");
    let mut bytes = fs::read(&path).unwrap();
    // Legal still, but not what was meant: the last entry is `zzz`.
    let last = bytes.windows(3).rposition(|name| name == b"zzz").unwrap();
    bytes[last + 2] = b'y';
    fs::write(&path, &bytes).unwrap();
    let before = snapshot(&bench.target());
    assert!(block_on(DirectoryStore::recover(&bench.target())).unwrap_err().path.ends_with("manifest"));
    assert_eq!(bench.begin(&mut bench.overwriting()), Err(StoreError::Verify));
    assert_eq!(snapshot(&bench.target()), before);
}

/// What cannot be read now may be readable later: nothing of it is thrown away.
#[test]
fn a_manifest_that_cannot_be_read_is_kept_with_all_that_it_names() {
    let bench = Bench::planted();
    old(&bench.target());
    let after = expected(&bench);
    let mut store = bench.overwriting();
    bench.begin(&mut store).unwrap();
    write(&mut store, bench.bytes(), 65536).unwrap();
    block_on(store.put_in_place(&mut stop_after(5))).unwrap_err();
    drop(store);
    let (manifest, aside) = (bench.staging().join("manifest"), bench.temp.path().join("aside"));
    fs::rename(&manifest, &aside).unwrap();
    fs::create_dir(&manifest).unwrap();
    assert!(block_on(DirectoryStore::recover(&bench.target())).unwrap_err().path.ends_with("manifest"));
    fs::remove_dir(&manifest).unwrap();
    fs::rename(&aside, &manifest).unwrap();
    assert!(block_on(DirectoryStore::recover(&bench.target())).unwrap());
    assert_eq!(sorted(&bench.target()), after);
}

/// Puts something in the way of the folder, and says how it is refused, and at which path.
fn in_the_way(fill: impl FnOnce(&Path)) -> (Cause, String) {
    let bench = Bench::planted();
    old(&bench.target());
    fill(&bench.target());
    let before = snapshot(&bench.target());
    let mut store = bench.overwriting();
    assert_eq!(bench.receive(&mut store), Err(StoreError::NotWritable));
    let trouble = store.trouble.take().unwrap();
    block_on(store.discard());
    assert_eq!(snapshot(&bench.target()), before);
    bench.check_clean();
    let path = trouble.path.replace('\\', "/").split_once("to/folder/").unwrap().1.to_owned();
    (trouble.cause, path)
}

#[test]
fn what_is_in_the_way_is_told_before_anything_moves() {
    let (cause, path) = in_the_way(|at| fs::create_dir_all(at.join("zz")).unwrap());
    assert!(matches!(cause, Cause::FolderInTheWay));
    assert_eq!(path, "zz");
    let (cause, path) = in_the_way(|at| put(at, "z/e", b"x", 0o644));
    assert!(matches!(cause, Cause::FileInTheWay));
    assert_eq!(path, "z/e");
}

#[cfg(unix)]
#[test]
fn links_in_the_target_are_not_followed() {
    use std::os::unix::fs::symlink;
    let outside = tempfile::tempdir().unwrap();
    put(outside.path(), "e/file", b"outside", 0o644);
    let before = snapshot(outside.path());
    let (cause, path) = in_the_way(|at| symlink(outside.path(), at.join("z")).unwrap());
    assert!(matches!(cause, Cause::FileInTheWay));
    assert_eq!(path, "z");
    // One in the place of a file is replaced itself.
    let bench = Bench::planted();
    fs::create_dir(bench.target()).unwrap();
    symlink(outside.path().join("e/file"), bench.target().join("aux.c")).unwrap();
    bench.check(bench.receive(&mut bench.overwriting()).unwrap());
    assert_eq!(snapshot(outside.path()), before);
}

#[cfg(unix)]
#[test]
fn a_link_to_the_target_is_its_persons_choice() {
    let bench = Bench::planted();
    fs::create_dir(bench.temp.path().join("real")).unwrap();
    let link = bench.temp.path().join("link");
    std::os::unix::fs::symlink("real", &link).unwrap();
    bench.receive(&mut DirectoryStore::open(&link, false).unwrap()).unwrap();
    assert_eq!(snapshot(&bench.temp.path().join("real")), snapshot(&bench.from()));
}

#[test]
fn folders_that_cannot_be_written_are_no_hindrance() {
    let bench = Bench::new(|at| {
        put(at, "closed/below/file", b"x", 0o444);
        put(at, "closed/file", b"y", 0o644);
        put(at, "open", &[7; 50_000], 0o644);
        for name in ["closed/below", "closed"] {
            set_mode(&at.join(name), 0o555);
        }
    });
    put(&bench.target(), "old", b"old", 0o644);
    for other_comes in [false, true] {
        let mut store = bench.overwriting();
        bench.begin(&mut store).unwrap();
        write(&mut store, &bench.bytes()[..48_000], 8192).unwrap();
        drop(store);
        // Another sender's comes between: what is closed is removed.
        let mut store = bench.overwriting();
        if other_comes {
            block_on(store.begin(&Offered { sender: CertificateHash([9; 32]), ..bench.offered() }, &|_| false))
                .unwrap();
        }
        bench.receive(&mut store).unwrap();
        let came: Vec<_> = snapshot(&bench.target()).into_iter().filter(|line| !line.starts_with("old")).collect();
        assert_eq!(came, snapshot(&bench.from()));
        bench.check_clean();
    }
    for root in [bench.from(), bench.target()] {
        for name in ["closed", "closed/below"] {
            set_mode(&root.join(name), 0o755);
        }
    }
}

#[cfg(unix)]
#[test]
fn a_place_that_cannot_be_written_is_told() {
    use std::os::unix::process::CommandExt as _;

    use crate::needs::{NOBODY, again, is_root};

    if is_root() {
        // Root may write anywhere.
        let mut within = std::process::Command::new("env");
        within.uid(NOBODY).gid(NOBODY);
        return again("store::tests::overwrite::a_place_that_cannot_be_written_is_told", within);
    }
    let bench = Bench::planted();
    set_mode(&bench.to(), 0o555);
    let mut store = bench.store();
    assert_eq!(bench.begin(&mut store), Err(StoreError::NotWritable));
    assert!(store.take_trouble().unwrap().path.ends_with(".folder.waft"));
    set_mode(&bench.to(), 0o755);
}

#[test]
fn sent_again_it_is_the_same() {
    let bench = Bench::planted();
    old(&bench.target());
    let expected = expected(&bench);
    bench.receive(&mut bench.overwriting()).unwrap();
    bench.receive(&mut bench.overwriting()).unwrap();
    assert_eq!(sorted(&bench.target()), expected);
}
