//! Tests of files that stay in the target while their folder is merged into it.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::thread;

use cap_std::fs::Metadata;
use embassy_futures::poll_once;
use waft_core::archive::{DIGEST, Kind, Modified};
use waft_core::wire::message::BaseFiles;

use super::*;
use crate::folder::entries::{Entries, Item};
use crate::store::stays::Unchanged;

const CHANGED: &str = "a/x/y/z.txt";

/// A target with the folder, of which one file has changed since.
fn updated() -> Bench {
    let bench = Bench::planted();
    bench.check(bench.receive(&mut bench.remembering(true)).unwrap());
    changed(bench, |from| put(from, CHANGED, b"changed", 0o640))
}

/// The same places with another folder to send, at a later time of the file system.
fn changed(bench: Bench, change: impl FnOnce(&Path)) -> Bench {
    thread::sleep(Duration::from_millis(20));
    change(&bench.from());
    let archive = archive(&bench.from());
    Bench { archive, ..bench }
}

/// The files of the archive in its order: the range of each, with its digest.
fn ranges(bench: &Bench) -> Vec<(usize, usize)> {
    let manifest = bench.archive.info.shape.manifest;
    let mut entries = Entries::new(&bench.bytes()[..manifest as usize], manifest);
    let (mut ranges, mut at) = (Vec::new(), manifest as usize);
    while let Some(item) = entries.next().ok().unwrap() {
        if let Kind::File { size } = item.kind {
            let end = at + size as usize + DIGEST;
            ranges.push((at, end));
            at = end;
        }
    }
    ranges
}

/// The files that the store lists and the sender has as well.
fn equal(bench: &Bench, store: &mut DirectoryStore) -> Vec<usize> {
    let (ranges, mut equal, mut next) = (ranges(bench), Vec::new(), 0);
    loop {
        let mut files = BaseFiles::new();
        block_on(store.base_files(&mut files)).unwrap();
        if files.is_empty() {
            return equal;
        }
        for listed in &files {
            let file = next + listed.skipped as usize;
            if bench.bytes()[..ranges[file].1].ends_with(&listed.digest.0) {
                equal.push(file);
            }
            next = file + 1;
        }
    }
}

/// Receives the archive up to offset `to`. What the store has is taken from there.
fn advance(bench: &Bench, store: &mut DirectoryStore, to: usize) -> Answer<()> {
    let held = bench.begin(store)?;
    receive_rest(bench, store, &held, to)
}

/// Receives the archive from what is held up to offset `to`.
fn receive_rest(bench: &Bench, store: &mut DirectoryStore, held: &Held, to: usize) -> Answer<()> {
    let mut at = held.offset as usize;
    let manifest = bench.archive.info.shape.manifest as usize;
    let write = |store: &mut DirectoryStore, from: usize, end: usize| match end.min(to).checked_sub(from) {
        None | Some(0) => Ok(()),
        Some(_) => block_on(store.write(&bench.bytes()[from..end.min(to)])),
    };
    write(store, at, manifest)?;
    at = at.max(manifest);
    let equal = if to > manifest { equal(bench, store) } else { Vec::new() };
    for (file, (start, end)) in ranges(bench).into_iter().enumerate() {
        if end <= at || start >= to {
            continue;
        }
        match equal.contains(&file) && end <= to {
            true => block_on(store.take((end - start.max(at)) as u64))?,
            false => write(store, start.max(at), end)?,
        }
        at = end.min(to);
    }
    write(store, at, bench.bytes().len())?;
    block_on(store.finish_writing())
}

/// An update that has arrived, and was interrupted before its commit, a moment ago.
fn interrupted() -> (Bench, DirectoryStore) {
    let bench = updated();
    let mut store = bench.remembering(true);
    advance(&bench, &mut store, bench.bytes().len()).unwrap();
    block_on(store.suspend());
    thread::sleep(Duration::from_millis(20));
    (bench, store)
}

/// Resumes and commits such an update, of which everything that was staged has to be held.
fn go_on(bench: &Bench, store: &mut DirectoryStore) {
    let length = bench.bytes().len();
    let held = bench.begin(store).unwrap();
    assert!(bench.is_prefix(&held) && held.offset as usize >= staged(bench, length), "{held:?}");
    receive_rest(bench, store, &held, length).unwrap();
    bench.check(block_on(store.commit()).unwrap());
}

fn update(bench: &Bench, store: &mut DirectoryStore) -> Answer<Receipt> {
    advance(bench, store, bench.bytes().len())?;
    block_on(store.commit())
}

/// The inode of a file in the target.
fn inode(bench: &Bench, path: &str) -> u64 {
    fs::metadata(bench.target().join(path)).unwrap().ino()
}

/// Offset after the last byte that was staged by a transfer that ended at `cut`.
fn staged(bench: &Bench, cut: usize) -> usize {
    let is_changed = |start: usize, end: usize| bench.bytes()[start..end - DIGEST] == *b"changed";
    let staged = ranges(bench).into_iter().filter_map(|(start, end)| match cut {
        cut if cut >= end => is_changed(start, end).then_some(end),
        // A file that has begun to arrive is staged.
        cut => (start + 1..end - DIGEST).contains(&cut).then_some(cut),
    });
    staged.max().unwrap_or(0)
}

/// Number of bytes that the thread of the store has read so far.
#[cfg(target_os = "linux")]
fn bytes_read(store: &mut DirectoryStore) -> u64 {
    let counted = block_on(store.worker().run(|_| fs::read_to_string("/proc/thread-self/io"))).unwrap();
    counted.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

/// Overwrites a byte of a file, and restores its modification time.
fn damage(path: &Path) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    let mut content = fs::read(path).unwrap();
    content[0] ^= 1;
    fs::write(path, content).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
}

#[test]
fn unchanged_files_are_not_written() {
    let bench = updated();
    let bench =
        changed(bench, |from| fs::set_permissions(from.join("aux.c"), fs::Permissions::from_mode(0o600)).unwrap());
    let paths = ["big.bin", "zz", "a b/ leading space", "aux.c", CHANGED];
    let before = paths.map(|path| inode(&bench, path));
    bench.check(update(&bench, &mut bench.remembering(true)).unwrap());
    let stayed: Vec<_> = std::iter::zip(paths, before).map(|(path, before)| inode(&bench, path) == before).collect();
    // A file with a new mode is replaced in one step, as one with new content.
    assert_eq!(stayed, [true, true, true, false, false]);
}

/// Stops the commit of an update after so many changes, and repairs it. Returns whether it ended before.
fn crash(stopped: u32, is_changed: bool) -> bool {
    let bench = updated();
    let paths = ["-rf", "a b/trailing dot.", "big.bin"];
    let mut store = bench.remembering(true);
    advance(&bench, &mut store, bench.bytes().len()).unwrap();
    if is_changed {
        thread::sleep(Duration::from_millis(20));
        change_mode_and_back(&bench.target().join(paths[1]));
    }
    let (before, inodes) = (snapshot(&bench.target()), paths.map(|path| inode(&bench, path)));
    let ended = commit_and_stop(&mut store, stopped);
    drop(store);
    let stayed = || std::iter::zip(paths, inodes).map(|(path, before)| inode(&bench, path) == before);
    if ended.is_err() && stopped == 0 {
        assert_eq!(snapshot(&bench.target()), before);
        assert!(stayed().all(|stayed| stayed));
        return false;
    }
    if ended.is_err() {
        assert!(recover(&bench.target()).unwrap(), "{stopped}");
    }
    assert_eq!(snapshot(&bench.target()), snapshot(&bench.from()), "{stopped}");
    assert!(stayed().eq([true, !is_changed, true]), "{stopped}");
    bench.check_clean();
    ended.is_ok()
}

#[test]
fn a_crash_between_any_two_steps_is_made_good() {
    for is_changed in [false, true] {
        let steps = (0..).find(|stopped| crash(*stopped, is_changed));
        assert!(steps > Some(5), "{steps:?}");
    }
}

/// What is interrupted is resumed after the files that stay, and the changed ones.
#[test]
fn a_transfer_goes_on_from_any_cut() {
    let bench = updated();
    let length = bench.bytes().len();
    let cuts = ranges(&bench).into_iter().flat_map(|(start, end)| [start + 1, end]).chain([length]);
    for cut in cuts {
        let bench = updated();
        let mut store = bench.remembering(true);
        advance(&bench, &mut store, cut).unwrap();
        block_on(store.suspend());
        drop(store);
        let held = bench.begin(&mut bench.remembering(true)).unwrap();
        assert!(bench.is_prefix(&held), "{cut}");
        // What was staged is held, with what stays before it.
        assert!(held.offset as usize >= staged(&bench, cut), "{cut}: {held:?}");
        // A file that has begun to arrive is staged. The others stay.
        let inodes = || ["big.bin", "zz"].map(|path| inode(&bench, path));
        let before = inodes();
        bench.check(update(&bench, &mut bench.remembering(true)).unwrap());
        assert!(std::iter::zip(before, inodes()).any(|(before, after)| before == after), "{cut}");
    }
}

/// What the sender waits for before `Accept` is no more than it has to be, and nothing is read for it in vain.
#[cfg(target_os = "linux")]
#[test]
fn a_resume_reads_each_file_that_stays_once() {
    const SIZE: usize = 4 << 20;
    let bench = Bench::new(|at| {
        put(at, "a", &crate::testing::content(1, SIZE), 0o644);
        put(at, "b", b"old", 0o644);
        put(at, "c", &crate::testing::content(2, SIZE), 0o644);
    });
    bench.check(bench.receive(&mut bench.remembering(true)).unwrap());
    let bench = changed(bench, |from| put(from, "b", b"changed", 0o644));
    let once = SIZE as u64..SIZE as u64 * 3 / 2;
    let [a, b, c] = ranges(&bench)[..] else { panic!("there are three files") };
    for (cut, is_staged) in [(a.1, false), (b.0 + 1, true), (b.1, true), (c.1, true)] {
        let mut store = bench.remembering(true);
        block_on(store.discard());
        advance(&bench, &mut store, cut).unwrap();
        block_on(store.suspend());
        let before = bytes_read(&mut store);
        let held = bench.begin(&mut store).unwrap();
        let reading_back = bytes_read(&mut store) - before;
        assert!(bench.is_prefix(&held), "{cut}");
        // Only for what was staged is it worth while to read what comes before it.
        let (from, to) = if is_staged { (a.1, cut.min(b.1)) } else { (a.0, a.0) };
        assert!((from..=to).contains(&(held.offset as usize)), "{cut}: {held:?}");
        match is_staged {
            true => assert!(once.contains(&reading_back), "{cut}: {reading_back}"),
            false => assert!(reading_back < once.start, "{cut}: {reading_back}"),
        }
        let before = bytes_read(&mut store);
        receive_rest(&bench, &mut store, &held, bench.bytes().len()).unwrap();
        let read = reading_back + bytes_read(&mut store) - before;
        assert!((once.start * 2..once.end * 2).contains(&read), "{cut}: {read}");
        // It is not committed, so that the next cut is one of the same update.
        block_on(store.discard());
    }
}

/// Sets a mode, and a moment later the one that the file had.
fn change_mode_and_back(path: &Path) {
    let before = fs::metadata(path).unwrap().permissions();
    fs::set_permissions(path, fs::Permissions::from_mode(0o606)).unwrap();
    fs::set_permissions(path, before).unwrap();
}

/// Changes of a file that leave its content as it is. The second path is free.
const ATTRIBUTES: [fn(&Path, &Path); 5] = [
    |path, _| change_mode_and_back(path),
    |path, _| fs::set_permissions(path, fs::Permissions::from_mode(0o604)).unwrap(),
    |path, aside| fs::hard_link(path, aside).unwrap(),
    |path, _| crate::testing::set_time(path, 77),
    |path, aside| {
        fs::copy(path, aside).unwrap();
        fs::rename(aside, path).unwrap();
    },
];

/// Such a file is copied when it turns out at the commit. The others stay.
#[test]
fn a_file_whose_attributes_change_before_the_commit_is_copied() {
    for (at, change) in ATTRIBUTES.into_iter().enumerate() {
        let bench = updated();
        let paths = ["big.bin", "a b/trailing dot.", "aux.c", "a b/ leading space"];
        let before = paths.map(|path| inode(&bench, path));
        // No other file gets the inode of one that is open.
        let _open = paths.map(|path| fs::File::open(bench.target().join(path)).unwrap());
        let mut store = bench.remembering(true);
        advance(&bench, &mut store, bench.bytes().len()).unwrap();
        thread::sleep(Duration::from_millis(20));
        for path in &paths[..2] {
            change(&bench.target().join(path), &bench.temp.path().join(path.replace('/', " ")));
        }
        bench.check(block_on(store.commit()).unwrap());
        let stayed: Vec<_> = std::iter::zip(paths, before).map(|(path, at)| inode(&bench, path) == at).collect();
        assert_eq!(stayed, [false, false, true, true], "{at}");
    }
}

/// A staged directory is complete before the commit, and its mode may forbid to put a file into it.
#[test]
fn a_file_is_copied_into_a_directory_that_must_not_change() {
    let name = "store::tests::stays::a_file_is_copied_into_a_directory_that_must_not_change";
    if crate::testing::again_unprivileged(name) {
        return;
    }
    let fill = |at: &Path| {
        put(at, "d/e/file", b"stays", 0o444);
        ["d/e", "d"].into_iter().for_each(|name| crate::testing::set_mode(&at.join(name), 0o555));
    };
    let bench = Bench::new(fill);
    bench.check(bench.receive(&mut bench.remembering(true)).unwrap());
    let bench = changed(bench, |from| put(from, "new", b"new", 0o644));
    let mut store = bench.remembering(true);
    advance(&bench, &mut store, bench.bytes().len()).unwrap();
    thread::sleep(Duration::from_millis(20));
    change_mode_and_back(&bench.target().join("d/e/file"));
    bench.check(block_on(store.commit()).unwrap());
    for folder in [bench.from(), bench.target()] {
        // So that the temporary folder can be removed.
        ["d", "d/e"].into_iter().for_each(|name| crate::testing::set_mode(&folder.join(name), 0o755));
    }
}

/// As if it had been created in the target.
#[cfg(target_os = "linux")]
#[test]
fn a_copied_file_gets_the_group_of_the_target() {
    if !crate::needs::is_root() {
        let within = crate::needs::unshare(&["--map-auto"]);
        return crate::needs::again("store::tests::stays::a_copied_file_gets_the_group_of_the_target", within);
    }
    let bench = updated();
    std::os::unix::fs::chown(bench.target(), None, Some(8)).unwrap();
    crate::testing::set_mode(&bench.target(), 0o2755);
    let mut store = bench.remembering(true);
    advance(&bench, &mut store, bench.bytes().len()).unwrap();
    thread::sleep(Duration::from_millis(20));
    change_mode_and_back(&bench.target().join("big.bin"));
    block_on(store.commit()).unwrap();
    let group = |path: &str| fs::metadata(bench.target().join(path)).unwrap().gid();
    assert_eq!((group("big.bin"), group("zz")), (8, 0));
}

/// What was staged after such a file is held all the same if the transfer is interrupted.
#[test]
fn a_transfer_goes_on_after_files_whose_attributes_have_changed() {
    let (bench, mut store) = interrupted();
    let before = inode(&bench, "-rf");
    change_mode_and_back(&bench.target().join("-rf"));
    go_on(&bench, &mut store);
    assert_ne!(inode(&bench, "-rf"), before);
}

/// The prefix ends before a file that was changed while the transfer was interrupted.
#[test]
fn a_file_that_was_changed_during_an_interruption_is_not_held() {
    let bench = updated();
    let mut store = bench.remembering(true);
    advance(&bench, &mut store, bench.bytes().len()).unwrap();
    block_on(store.suspend());
    damage(&bench.target().join("-rf"));
    let held = bench.begin(&mut store).unwrap();
    assert!(bench.is_prefix(&held) && held.offset == u64::from(bench.archive.info.shape.manifest), "{held:?}");
}

/// A change after the file was hashed is noticed although neither its length nor its time shows it.
#[test]
fn a_file_that_was_changed_during_the_transfer_is_not_committed() {
    let changes: [fn(&Path); 7] = [
        |target| damage(&target.join("big.bin")),
        |target| fs::remove_file(target.join("big.bin")).unwrap(),
        |target| fs::rename(target.join("zz"), target.join("big.bin")).unwrap(),
        |target| {
            // Another file of the same length, with the same time and mode, takes its place.
            let other = target.join("big.bin~");
            fs::copy(target.join("big.bin"), &other).unwrap();
            let modified = fs::metadata(target.join("big.bin")).unwrap().modified().unwrap();
            fs::File::options().write(true).open(&other).unwrap().set_modified(modified).unwrap();
            damage(&other);
            fs::rename(other, target.join("big.bin")).unwrap();
        },
        |target| {
            // What the link leads to is the file itself.
            fs::rename(target.join("big.bin"), target.with_file_name("moved")).unwrap();
            std::os::unix::fs::symlink("../moved", target.join("big.bin")).unwrap();
        },
        |target| fs::remove_dir_all(target.join("a b")).unwrap(),
        |target| fs::remove_dir_all(target).unwrap(),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let bench = updated();
        let mut store = bench.remembering(true);
        advance(&bench, &mut store, bench.bytes().len()).unwrap();
        change(&bench.target());
        let before = snapshot(&bench.to());
        assert_eq!(block_on(store.commit()), Err(StoreError::BaseLost), "{at}");
        assert!(
            snapshot(&bench.to())
                .iter()
                .filter(|line| line.starts_with("folder"))
                .eq(before.iter().filter(|line| line.starts_with("folder")))
        );
        drop(store);
        // The sender tries again, and sends what is missing.
        let mut store = bench.remembering(true);
        let held = bench.begin(&mut store).unwrap();
        assert!(bench.is_prefix(&held), "{at}");
        let is_there = bench.target().exists();
        assert!(!is_there || held.offset as usize >= staged(&bench, bench.bytes().len()), "{at}: {held:?}");
        write(&mut store, &bench.bytes()[held.offset as usize..], 65536).unwrap();
        let _ = fs::remove_file(bench.to().join("moved"));
        bench.check(block_on(store.commit()).unwrap());
    }
}

/// The sender leaves nothing out any more, so that what stays must not cross.
#[test]
fn after_a_lost_base_only_what_was_lost_and_what_follows_it_crosses() {
    for is_committed in [false, true] {
        let bench = updated();
        let mut store = bench.remembering(true);
        let lost = bench.target().join("zz");
        let content = fs::read(&lost).unwrap();
        let is_lost = |&(start, end): &(usize, usize)| bench.bytes()[start..end - DIGEST] == content;
        let (start, _) = ranges(&bench).into_iter().rfind(is_lost).unwrap();
        if is_committed {
            advance(&bench, &mut store, bench.bytes().len()).unwrap();
            damage(&lost);
            assert_eq!(block_on(store.commit()), Err(StoreError::BaseLost));
        } else {
            damage(&lost);
            assert_eq!(advance(&bench, &mut store, bench.bytes().len()), Err(StoreError::BaseLost));
        }
        let held = bench.begin(&mut store).unwrap();
        assert!(bench.is_prefix(&held) && held.offset as usize == start, "{held:?}");
        write(&mut store, &bench.bytes()[start..], 65536).unwrap();
        bench.check(block_on(store.commit()).unwrap());
    }
}

/// Neither the copy that was begun, nor what was staged before, is taken for more than it is.
#[test]
fn a_copy_that_was_interrupted_costs_nothing_else() {
    let (bench, mut store) = interrupted();
    let staging = bench.to().join(".folder.waft");
    fs::create_dir(staging.join("copies")).unwrap();
    fs::write(staging.join("copies/copy"), b"half of a file").unwrap();
    change_mode_and_back(&bench.target().join("big.bin"));
    go_on(&bench, &mut store);
    bench.check_clean();
}

/// The files of a directory keep the time of their last change when the directory is renamed.
#[test]
fn a_directory_that_was_exchanged_during_the_transfer_is_not_committed() {
    let bench = updated();
    let (whole, twin) = (bench.target().join("a b"), bench.to().join("twin"));
    let copied = std::process::Command::new("cp").arg("-a").args([&whole, &twin]).status();
    assert!(copied.expect("cp is there").success());
    let name = fs::read_dir(&twin).unwrap().map(|entry| entry.unwrap()).find(|entry| entry.path().is_file());
    damage(&name.expect("it holds a file").path());
    thread::sleep(Duration::from_millis(20));
    let mut store = bench.remembering(true);
    advance(&bench, &mut store, bench.bytes().len()).unwrap();
    fs::rename(&whole, bench.to().join("old")).unwrap();
    fs::rename(&twin, &whole).unwrap();
    assert_eq!(block_on(store.commit()), Err(StoreError::BaseLost));
}

/// On a file system that takes two names for one, the second name leads to the same inode, as a hard link does here.
#[test]
fn a_file_that_stays_is_not_replaced_by_another_of_its_names() {
    let bench = updated();
    fs::remove_file(bench.target().join(CHANGED)).unwrap();
    fs::hard_link(bench.target().join("big.bin"), bench.target().join(CHANGED)).unwrap();
    thread::sleep(Duration::from_millis(20));
    let before = inode(&bench, "big.bin");
    bench.check(update(&bench, &mut bench.remembering(true)).unwrap());
    // Neither name has the file that stayed until then.
    assert!(["big.bin", CHANGED].iter().all(|path| inode(&bench, path) != before));
}

/// A file that was changed before it is hashed is copied, if its content is as the sender has it.
#[test]
fn a_file_whose_attributes_change_during_the_transfer_is_copied() {
    let bench = updated();
    let before = inode(&bench, "big.bin");
    let mut store = bench.remembering(true);
    let manifest = bench.archive.info.shape.manifest as usize;
    advance(&bench, &mut store, manifest + 1).unwrap();
    thread::sleep(Duration::from_millis(20));
    for mode in [0o600, 0o644] {
        fs::set_permissions(bench.target().join("big.bin"), fs::Permissions::from_mode(mode)).unwrap();
    }
    bench.check(update(&bench, &mut store).unwrap());
    assert_ne!(inode(&bench, "big.bin"), before);
}

/// A damaged file is noticed when it is hashed.
#[test]
fn a_damaged_file_does_not_stay() {
    let bench = updated();
    damage(&bench.target().join("big.bin"));
    thread::sleep(Duration::from_millis(20));
    assert_eq!(update(&bench, &mut bench.remembering(true)), Err(StoreError::BaseLost));
}

/// After the clock was set back, a change can have an earlier time than what was there before it.
#[test]
fn a_file_with_another_time_than_when_it_was_read_does_not_stay() {
    let temp = tempfile::tempdir().unwrap();
    let found = |name: &str| Metadata::from_just_metadata(fs::metadata(temp.path().join(name)).unwrap());
    let pause = || thread::sleep(Duration::from_millis(20));
    put(temp.path(), "file", b"content", 0o644);
    let earlier = found("file");
    pause();
    put(temp.path(), "manifest", b"", 0o600);
    let manifest = found("manifest");
    pause();
    change_mode_and_back(&temp.path().join("file"));
    let later = found("file");
    pause();
    put(temp.path(), "manifest", b"", 0o600);
    let modified = Modified { seconds: 1_000_000_007, nanos: 123_456_789 };
    let item = Item { kind: Kind::File { size: 7 }, mode: 0o644, modified, depth: 1, index: 3 };
    let is_unchanged = |since: &Metadata, found: &Metadata| {
        Unchanged::since(since, Capabilities::ALL.files).unwrap().is_unchanged(found, 7, &item)
    };
    assert!(is_unchanged(&manifest, &earlier));
    // The clock was set back before the transfer began, or the file was changed in the same moment.
    assert!(!is_unchanged(&manifest, &later));
    assert!(!is_unchanged(&earlier, &earlier));
    // The clock was set back, or forward, after the file was read.
    let since = Unchanged::since(&found("manifest"), Capabilities::ALL.files).unwrap();
    for (read, other) in [(&later, &earlier), (&earlier, &later)] {
        let mut stays = Stays::default();
        stays.add(item.index, read, since);
        assert!(!stays.has_changed(&item, Some(read)));
        assert!(stays.has_changed(&item, Some(other)) && stays.has_changed(&item, None));
        stays.remove(&[item.index]);
        assert!(!stays.has_changed(&item, Some(other)) && stays.is_empty());
    }
}

/// The session gives up beginning when the connection breaks, or when its user interrupts it.
#[test]
fn what_is_staged_is_kept_when_beginning_is_given_up() {
    let large = crate::testing::content(1, 32 << 20);
    let bench = Bench::new(|at| {
        put(at, "a", &large, 0o644);
        put(at, "b", b"old", 0o644);
    });
    bench.check(bench.receive(&mut bench.remembering(true)).unwrap());
    let bench = changed(bench, |from| put(from, "b", b"changed", 0o644));
    let mut store = bench.remembering(true);
    let length = bench.bytes().len();
    advance(&bench, &mut store, length).unwrap();
    block_on(store.suspend());
    // Before anything is read back, while the file that stays is, and perhaps after that. The target is compared with what
    // is offered, and then what is staged, so the store asks twice.
    for pause in [None, Some(0), Some(1), Some(5), Some(1000)] {
        let ((ask, asked), (answer, answered)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
        let offered = bench.offered();
        let begin = move |store: &mut BlockingStore| {
            let is_it = |_: &Digest| ask.send(()).is_ok() && answered.recv().is_ok();
            store.begin(&offered, &is_it).map(|held| held.offset).ok()
        };
        let mut begun = Box::pin(store.worker().run(begin));
        assert!(poll_once(&mut begun).is_pending());
        asked.recv().unwrap();
        if let Some(pause) = pause {
            answer.send(()).unwrap();
            asked.recv().unwrap();
            answer.send(()).unwrap();
            thread::sleep(Duration::from_millis(pause));
        }
        drop(begun);
        answer.send(()).ok();
        let held = bench.begin(&mut store).unwrap();
        assert!(bench.is_prefix(&held) && held.offset as usize == staged(&bench, length), "{pause:?}: {held:?}");
    }
}
