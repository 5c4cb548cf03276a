//! Tests of how content gets into files: holes, modes at creation, and the threads that write small files.

use embassy_futures::poll_once;

use super::*;

/// A folder whose first file leaves no room for the others in the first piece, so that threads write those.
fn many_small(count: usize) -> Bench {
    Bench::new(|at| {
        put(at, "0", &crate::testing::content(0, 200_000), 0o644);
        for number in 0..count {
            let length = number * 7 % 3000;
            put(at, &format!("d{}/{number:04}", number % 7), &crate::testing::content(number, length), 0o640);
        }
    })
}

#[test]
fn small_files_are_received_in_pieces_of_any_size() {
    let bench = many_small(700);
    for piece in [1 << 20, 65536, 5000, 999] {
        let mut store = bench.store();
        bench.begin(&mut store).unwrap();
        write(&mut store, bench.bytes(), piece).unwrap();
        bench.check(block_on(store.commit()).unwrap());
        fs::remove_dir_all(bench.target()).unwrap();
    }
}

#[test]
fn small_files_that_were_not_written_are_not_held() {
    let bench = many_small(700);
    let mut store = bench.store();
    bench.begin(&mut store).unwrap();
    let half = bench.bytes().len() / 2;
    for piece in bench.bytes()[..half].chunks(4096) {
        block_on(store.write(piece)).unwrap();
    }
    // The work is given up while pieces are in the queue and batches are with the threads.
    let durable = store.durable();
    block_on(store.suspend());
    let held = bench.begin(&mut store).unwrap();
    assert!(bench.is_prefix(&held) && held.offset >= durable, "{held:?} of {half}, {durable} were reported");
    write(&mut store, &bench.bytes()[held.offset as usize..], 65536).unwrap();
    bench.check(block_on(store.commit()).unwrap());
}

#[test]
fn content_that_is_dropped_is_given_up() {
    let bench = many_small(700);
    let mut store = bench.store();
    bench.begin(&mut store).unwrap();
    let mut pieces = bench.bytes().chunks(4096);
    // The queue is full at some point, because nothing is taken from it faster than it is filled here.
    let waiting = pieces.any(|piece| poll_once(store.write(piece)).is_pending());
    block_on(store.suspend());
    let held = bench.begin(&mut store).unwrap();
    assert!(bench.is_prefix(&held), "{waiting}: {held:?}");
    block_on(store.discard());
    bench.check_clean();
}

#[test]
fn damaged_small_files_are_refused() {
    let bench = many_small(300);
    let mut store = bench.store();
    bench.begin(&mut store).unwrap();
    let mut bytes = bench.bytes().to_vec();
    let at = bytes.len() - 1000;
    bytes[at] ^= 1;
    assert_eq!(write(&mut store, &bytes, 65536), Err(StoreError::Archive(ArchiveError::FileDigest)));
    block_on(store.discard());
    bench.check_clean();
}

#[cfg(unix)]
#[test]
fn zeros_become_holes() {
    use std::os::unix::fs::MetadataExt as _;
    // Zeros at the start, in the middle and at the end, beside blocks that are not all zeros, at positions of any
    // alignment.
    let mut sparse = vec![0; 9 << 20];
    for at in [300_000, 300_001, 1 << 20, (1 << 20) + 8191, (5 << 20) - 1] {
        sparse[at] = 7;
    }
    let bench = Bench::new(|at| {
        put(at, "odd", b"moves what follows", 0o644);
        put(at, "sparse", &sparse, 0o644);
        put(at, "zeros", &vec![0; (8 << 20) + 5], 0o644);
    });
    let mut store = bench.store();
    bench.begin(&mut store).unwrap();
    write(&mut store, bench.bytes(), 65521).unwrap();
    bench.check(block_on(store.commit()).unwrap());
    let probe = bench.temp.path().join("probe");
    fs::File::create(&probe).unwrap().set_len(1 << 20).unwrap();
    if fs::metadata(probe).unwrap().blocks() * 512 >= 1 << 20 {
        return crate::needs::skip("the file system of the temporary folder has no holes");
    }
    for name in ["sparse", "zeros"] {
        let room = fs::metadata(bench.target().join(name)).unwrap().blocks() * 512;
        assert!(room <= 64 << 10, "{name} takes {room} bytes");
    }
}

#[test]
fn a_hole_at_the_end_is_held() {
    let bench = Bench::new(|at| put(at, "zeros", &vec![0; 1 << 20], 0o644));
    let cut = 500_000;
    let mut store = bench.store();
    bench.begin(&mut store).unwrap();
    write(&mut store, &bench.bytes()[..cut], 8192).unwrap();
    block_on(store.suspend());
    let held = bench.begin(&mut store).unwrap();
    assert!(bench.is_prefix(&held) && held.offset == cut as u64, "{held:?}");
    write(&mut store, &bench.bytes()[cut..], 8192).unwrap();
    bench.check(block_on(store.commit()).unwrap());
}

/// A file that its owner may not change, or not even read, is continued nevertheless.
#[cfg(unix)]
#[test]
fn a_part_of_a_file_is_continued_whatever_its_mode() {
    if crate::testing::again_unprivileged("store::tests::content::a_part_of_a_file_is_continued_whatever_its_mode") {
        return;
    }
    let bench = Bench::new(|at| put(at, "file", &crate::testing::content(1, 200_000), 0o400));
    let mut store = bench.store();
    bench.begin(&mut store).unwrap();
    write(&mut store, &bench.bytes()[..100_000], 8192).unwrap();
    block_on(store.suspend());
    let held = bench.begin(&mut store).unwrap();
    assert_eq!(held.offset, 100_000);
    write(&mut store, &bench.bytes()[100_000..], 8192).unwrap();
    bench.check(block_on(store.commit()).unwrap());
}

/// A directory can have its final mode while the content of its files is still being written.
#[cfg(unix)]
#[test]
fn unwritten_files_are_continued_in_a_directory_that_must_not_change() {
    use crate::testing::{again_unprivileged, set_mode};

    let name = "store::tests::content::unwritten_files_are_continued_in_a_directory_that_must_not_change";
    if again_unprivileged(name) {
        return;
    }
    let bench = Bench::new(|at| {
        for file in ["d/a", "d/b", "d/c"] {
            put(at, file, b"small", 0o644);
        }
        put(at, "e", &crate::testing::content(1, 100_000), 0o644);
        set_mode(&at.join("d"), 0o555);
    });
    let mut store = bench.store();
    bench.begin(&mut store).unwrap();
    write(&mut store, &bench.bytes()[..50_000], 8192).unwrap();
    block_on(store.suspend());
    // As if the process had been killed before this file was written.
    fs::write(bench.staging().join("tree/d/a"), b"").unwrap();
    let held = bench.begin(&mut store).unwrap();
    assert!(bench.is_prefix(&held) && held.offset > 0, "{held:?}");
    write(&mut store, &bench.bytes()[held.offset as usize..], 8192).unwrap();
    bench.check(block_on(store.commit()).unwrap());
    for folder in [bench.from(), bench.target()] {
        // So that the temporary folder can be removed.
        set_mode(&folder.join("d"), 0o755);
    }
}

/// Nothing can interrupt the commit, so it must not have to wait for content.
#[test]
fn all_is_written_before_the_commit() {
    let bench = many_small(700);
    let mut store = bench.store();
    bench.begin(&mut store).unwrap();
    for piece in bench.bytes().chunks(65536) {
        block_on(store.write(piece)).unwrap();
    }
    assert_eq!(store.durable(), bench.bytes().len() as u64);
    bench.check(block_on(store.commit()).unwrap());
}
