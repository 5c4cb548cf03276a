//! Tests with a target that holds other files.

use super::*;
use crate::testing::set_mode;

/// Fills the target with files of an older folder. Some are in the way of the new one.
pub(super) fn old(at: &Path) {
    put(at, "a/x/y/z.txt", b"old", 0o600);
    put(at, "a/other", b"stays", 0o644);
    put(at, "big.bin", b"old", 0o600);
    put(at, "kept", b"stays", 0o640);
    fs::create_dir_all(at.join("ünï")).unwrap();
}

/// The expected result: both folders merged.
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

#[test]
fn merges() {
    let bench = Bench::planted();
    old(&bench.target());
    let expected = expected(&bench);
    bench.receive(&mut bench.overwriting()).unwrap();
    assert_eq!(sorted(&bench.target()), expected);
    bench.check_clean();
    assert!(!recover(&bench.target()).unwrap());
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
        let ended = commit_and_stop(&mut store, stopped);
        drop(store);
        if ended.is_ok() {
            assert_eq!(sorted(&bench.target()), after);
            break;
        }
        if stopped == 0 {
            // The intent was not written: nothing has changed, and recovery changes nothing.
            assert_eq!(snapshot(&bench.target()), before);
            assert!(!recover(&bench.target()).unwrap());
            assert_eq!(snapshot(&bench.target()), before);
        } else if stopped % 2 == 0 {
            assert!(recover(&bench.target()).unwrap(), "{stopped}");
            assert_eq!(sorted(&bench.target()), after, "{stopped}");
            bench.check_clean();
        } else {
            // A session that comes first finishes the move as well, and so does recovery after a second crash further
            // on.
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
    let Found::Filled(target) = place.inspect().unwrap() else { panic!("the target is gone") };
    merge::forward(&place, &staging, target, intent, Capabilities::ALL, &Stays::default(), &mut stop_after(after))
        .unwrap_err();
}

#[test]
fn a_torn_intent_is_none() {
    let bench = Bench::planted();
    old(&bench.target());
    let before = snapshot(&bench.target());
    let mut store = bench.overwriting();
    bench.begin(&mut store).unwrap();
    write(&mut store, bench.bytes(), 65536).unwrap();
    commit_and_stop(&mut store, 1).unwrap_err();
    drop(store);
    let path = bench.staging().join("intent");
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(!recover(&bench.target()).unwrap());
        assert_eq!(snapshot(&bench.target()), before);
    }
    // The archive is still complete: when the sender comes again, it sends only the root digest.
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
    commit_and_stop(&mut store, 5).unwrap_err();
    drop(store);
    let path = bench.staging().join("manifest");
    let mut bytes = fs::read(&path).unwrap();
    // The manifest is still legal but not the one that was meant: the last entry was `zzz`.
    let last = bytes.windows(3).rposition(|name| name == b"zzz").unwrap();
    bytes[last + 2] = b'y';
    fs::write(&path, &bytes).unwrap();
    let before = snapshot(&bench.target());
    assert!(recover(&bench.target()).unwrap_err().path.ends_with("manifest"));
    assert_eq!(bench.begin(&mut bench.overwriting()), Err(StoreError::Verify));
    assert_eq!(snapshot(&bench.target()), before);
}

/// A manifest that cannot be read now may be readable later, so nothing that it names is removed.
#[test]
fn a_manifest_that_cannot_be_read_is_kept_with_all_that_it_names() {
    let bench = Bench::planted();
    old(&bench.target());
    let after = expected(&bench);
    let mut store = bench.overwriting();
    bench.begin(&mut store).unwrap();
    write(&mut store, bench.bytes(), 65536).unwrap();
    commit_and_stop(&mut store, 5).unwrap_err();
    drop(store);
    let (manifest, aside) = (bench.staging().join("manifest"), bench.temp.path().join("aside"));
    fs::rename(&manifest, &aside).unwrap();
    fs::create_dir(&manifest).unwrap();
    assert!(recover(&bench.target()).unwrap_err().path.ends_with("manifest"));
    fs::remove_dir(&manifest).unwrap();
    fs::rename(&aside, &manifest).unwrap();
    assert!(recover(&bench.target()).unwrap());
    assert_eq!(sorted(&bench.target()), after);
}

/// Puts something in the way of the folder. Returns the cause and the path of the refusal.
fn in_the_way(fill: impl FnOnce(&Path)) -> (Cause, String) {
    let bench = Bench::planted();
    old(&bench.target());
    fill(&bench.target());
    let before = snapshot(&bench.target());
    let mut store = bench.overwriting();
    assert_eq!(bench.receive(&mut store), Err(StoreError::NotWritable));
    let file_error = store.file_error.take().unwrap();
    block_on(store.discard());
    assert_eq!(snapshot(&bench.target()), before);
    bench.check_clean();
    let path = file_error.path.replace('\\', "/").split_once("to/folder/").unwrap().1.to_owned();
    (file_error.cause, path)
}

#[test]
fn an_obstacle_is_reported_before_any_file_is_moved() {
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
    // A symlink in the place of a file is replaced itself.
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
        // Another sender's offer comes in between: the suspended part is removed.
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

/// The owner of a directory may change its mode, even if the mode does not let the owner look into it.
#[cfg(unix)]
#[test]
fn folders_that_cannot_be_read_are_no_hindrance() {
    if crate::testing::again_unprivileged("store::tests::overwrite::folders_that_cannot_be_read_are_no_hindrance") {
        return;
    }
    let bench = Bench::new(|at| put(at, "closed/below/file", b"new", 0o644));
    let [closed, below] = ["closed", "closed/below"].map(|name| bench.target().join(name));
    let close = |mode| [&below, &closed].into_iter().for_each(|path| set_mode(path, mode));
    let open = || [&closed, &below].into_iter().for_each(|path| set_mode(path, 0o755));
    let receive = || {
        let mut store = bench.overwriting();
        let held = block_on(store.begin(&bench.offered(), &|_| true));
        let received =
            held.and_then(|_| write(&mut store, bench.bytes(), 65536)).and_then(|()| block_on(store.commit()));
        block_on(store.discard());
        received
    };
    for mode in [0, 0o100, 0o300, 0o400] {
        put(&bench.target(), "closed/below/file", b"old", 0o644);
        put(&bench.target(), "closed/other", b"stays", 0o644);
        close(mode);
        receive().unwrap();
        assert_eq!(fs::read(below.join("file")).unwrap(), b"new");
        assert_eq!(fs::read(closed.join("other")).unwrap(), b"stays");

        fs::remove_file(below.join("file")).unwrap();
        fs::create_dir(below.join("file")).unwrap();
        close(mode);
        assert_eq!(receive(), Err(StoreError::NotWritable));
        let mode_of = |path| u32::from(platform::file_mode(&fs::metadata(path).unwrap()));
        assert_eq!(mode_of(&closed), mode, "a refusal changes nothing");
        set_mode(&closed, 0o755);
        assert_eq!(mode_of(&below), mode, "a refusal changes nothing");
        open();
        fs::remove_dir(below.join("file")).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn a_target_that_cannot_be_written_is_reported() {
    if crate::testing::again_unprivileged("store::tests::overwrite::a_target_that_cannot_be_written_is_reported") {
        return;
    }
    let bench = Bench::planted();
    set_mode(&bench.to(), 0o555);
    let mut store = bench.store();
    assert_eq!(bench.begin(&mut store), Err(StoreError::NotWritable));
    assert!(store.take_error().unwrap().path.ends_with(".folder.waft"));
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

/// Something gets in the way after moving has begun. Later transfers are still possible.
#[test]
fn a_move_that_cannot_be_finished_is_reported_and_can_be_abandoned() {
    for give_up in [false, true] {
        let bench = Bench::planted();
        old(&bench.target());
        let after = expected(&bench);
        let mut store = bench.overwriting();
        bench.begin(&mut store).unwrap();
        write(&mut store, bench.bytes(), 65536).unwrap();
        commit_and_stop(&mut store, 5).unwrap_err();
        drop(store);
        let obstacle = bench.target().join("zz");
        fs::create_dir(&obstacle).unwrap();
        let file_error = recover(&bench.target()).unwrap_err();
        assert!(file_error.is_unfinished() && file_error.path.ends_with("folder/zz"), "{file_error}");
        let mut store = bench.overwriting();
        assert!(block_on(store.begin(&bench.offered(), &|_| true)).is_err());
        assert!(store.take_error().unwrap().is_unfinished());
        if give_up {
            let before = snapshot(&bench.target());
            assert!(abandon(&bench.target()).unwrap());
            assert!(!abandon(&bench.target()).unwrap());
            assert_eq!(snapshot(&bench.target()), before);
        }
        fs::remove_dir(&obstacle).unwrap();
        assert_eq!(recover(&bench.target()).unwrap(), !give_up);
        bench.check_clean();
        bench.receive(&mut bench.overwriting()).unwrap();
        assert_eq!(sorted(&bench.target()), after);
    }
}

/// The staging area of a mount point is inside of it, and file systems that do not distinguish case, or that give short
/// names, know it by other names as well.
#[test]
fn an_entry_with_another_name_of_the_staging_area_is_refused() {
    use crate::store::merge::preflight;
    use crate::store::place::InPlace;

    let refused = |name: &str, staging: &str| {
        let bench = Bench::new(|at| put(at, &format!("{name}/file"), b"x", 0o644));
        fs::create_dir_all(bench.target().join(staging)).unwrap();
        let open = || Dir::open_ambient_dir(bench.target(), cap_std::ambient_authority()).unwrap();
        let mut place = Place::of(&bench.target()).unwrap();
        (place.base, place.base_path) = (open(), bench.target());
        (place.staging, place.in_place) = (staging.into(), Some(InPlace::MountPoint));
        let length = bench.archive.info.shape.manifest;
        let manifest = bench.temp.path().join("manifest");
        fs::write(&manifest, &bench.bytes()[..length as usize]).unwrap();
        let entries = merge::entries(&place, fs::File::open(&manifest).unwrap(), length);
        entries.and_then(|entries| preflight(&place, open(), entries, &Stays::default())).err().map(|failure| {
            match failure {
                Failure::At(error, _) | Failure::Refused(error) => error,
                Failure::Io(trouble) => panic!("{trouble}"),
            }
        })
    };
    let name = Some(StoreError::Name { entry: 0 });
    assert_eq!(refused(".Incoming.WAFT", ".incoming.waft"), name);
    assert_eq!(refused("INCOMI~1.WAF", ".incoming.waft"), None, "nothing has that name here");
    #[cfg(unix)]
    assert_eq!(refused("INCOMI~1.WAF", "INCOMI~1.WAF"), name);
}

/// Runs a test of this file as the user nobody, in a folder in which root has prepared a target.
#[cfg(unix)]
fn as_nobody(test: &str, prepare: impl FnOnce(&Path)) -> Option<PathBuf> {
    use crate::needs::{NOBODY, again, is_again, is_root, skip};
    if let Some(target) = std::env::var_os("WAFT_TEST_TARGET").filter(|_| is_again()) {
        return Some(target.into());
    }
    if !is_root() {
        skip("only root can prepare what belongs to several users");
        return None;
    }
    let temp = tempfile::tempdir().unwrap();
    set_mode(temp.path(), 0o755);
    fs::create_dir_all(temp.path().join("to/folder")).unwrap();
    for name in ["to", "to/folder"] {
        std::os::unix::fs::chown(temp.path().join(name), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    prepare(&temp.path().join("to/folder"));
    let mut within = std::process::Command::new("setpriv");
    within.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    within.env("WAFT_TEST_TARGET", temp.path().join("to/folder"));
    again(&format!("store::tests::overwrite::{test}"), within);
    None
}

/// The result of receiving into such a target as the user nobody.
#[cfg(unix)]
fn received(target: &Path) -> (Answer<Receipt>, Option<FileError>) {
    let bench = Bench::planted();
    let mut store = DirectoryStore::open(target, true).unwrap();
    let held = block_on(store.begin(&bench.offered(), &|_| true));
    let received = held.and_then(|_| write(&mut store, bench.bytes(), 65536)).and_then(|()| block_on(store.commit()));
    let file_error = store.take_error();
    block_on(store.discard());
    (received, file_error)
}

#[cfg(unix)]
#[test]
fn anothers_folder_that_can_be_written_keeps_its_mode() {
    let prepare = |target: &Path| {
        fs::create_dir(target.join("z")).unwrap();
        set_mode(&target.join("z"), 0o777);
    };
    let Some(target) = as_nobody("anothers_folder_that_can_be_written_keeps_its_mode", prepare) else { return };
    assert!(received(&target).0.is_ok());
    use std::os::unix::fs::MetadataExt as _;
    let found = fs::metadata(target.join("z")).unwrap();
    assert_eq!((found.uid(), found.mode() & 0o7777), (0, 0o777));
    assert!(target.join("z/e/e").is_dir() && target.join("zz").is_file());
    #[cfg(target_os = "linux")]
    assert!(crate::platform::handed::below(&target).contains(&"z".into()), "its names are made durable");
}

#[cfg(unix)]
#[test]
fn entries_that_this_user_may_not_change_are_reported_before_any_file_is_moved() {
    let prepare = |target: &Path| {
        put(target, "z/mine", b"", 0o644);
    };
    let Some(target) =
        as_nobody("entries_that_this_user_may_not_change_are_reported_before_any_file_is_moved", prepare)
    else {
        return;
    };
    let refused = |path: &str| {
        let before = snapshot(&target);
        let (received, file_error) = received(&target);
        let file_error = file_error.unwrap();
        assert_eq!(received, Err(StoreError::NotWritable), "{file_error}");
        assert!(file_error.path.ends_with(path) && !file_error.is_unfinished(), "{file_error}");
        assert_eq!(snapshot(&target), before);
        assert!(!recover(&target).unwrap());
        let names = fs::read_dir(target.parent().unwrap()).unwrap();
        assert_eq!(names.count(), 1, "nothing stands beside it");
    };
    refused("folder/z");
    set_mode(&target, 0o555);
    refused("folder");
    set_mode(&target, 0o755);
}

#[cfg(unix)]
#[test]
fn a_file_of_another_user_in_a_sticky_folder_is_reported() {
    let prepare = |target: &Path| {
        put(target, "zz", b"root's", 0o666);
        std::os::unix::fs::chown(target, Some(1), Some(1)).unwrap();
        set_mode(target, 0o1777);
    };
    let Some(target) = as_nobody("a_file_of_another_user_in_a_sticky_folder_is_reported", prepare) else { return };
    let (received, file_error) = received(&target);
    assert_eq!(received, Err(StoreError::NotWritable));
    let file_error = file_error.unwrap();
    assert!(file_error.path.ends_with("folder/zz") && matches!(file_error.cause, Cause::NotOurs), "{file_error}");
    assert_eq!(fs::read_dir(&target).unwrap().count(), 1);
}
