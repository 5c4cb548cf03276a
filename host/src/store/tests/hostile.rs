//! Tests with archives that no honest sender writes.

use waft_core::limits::ENTRY_MAX;

use super::*;

/// Encodes an entry of a manifest without any check; `size` is that of a file.
fn entry(path: &str, size: Option<u8>) -> Vec<u8> {
    let mut body = size.map_or(vec![0], |size| vec![1, size]);
    body.push(path.len() as u8);
    body.extend_from_slice(path.as_bytes());
    body.extend_from_slice(&[0xa4, 0x03, 0, 0]);
    [&(body.len() as u16).to_be_bytes()[..], &body].concat()
}

/// The offer that matches these files and directories.
fn offered(manifest: &[u8], files: u32, entries: u32, content: u64) -> Offered {
    let total = manifest.len() as u64 + content + 32 * (u64::from(files) + 1);
    let shape = Shape { total, files, entries, manifest: manifest.len() as u32 };
    Offered { sender: CertificateHash([1; 32]), created: 0, shape }
}

fn refused(offered: &Offered, bytes: &[u8]) -> StoreError {
    let bench = Bench::new(|at| fs::write(at.join("a"), b"honest").unwrap());
    let mut store = bench.store();
    block_on(store.begin(offered, &|_| true)).unwrap();
    let error = write(&mut store, bytes, 1000).unwrap_err();
    // Bytes after an error change nothing.
    assert!(block_on(store.write(b"more")).is_err());
    bench.check_absent();
    block_on(store.discard());
    bench.check_absent();
    bench.check_clean();
    assert_eq!(fs::read_dir(bench.temp.path()).unwrap().count(), 2);
    error
}

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    for path in ["..", "../x", "/x", "a/../x", ".", "a//b", "a/", "", "a\0b", "a\nb", "a\u{9b}b"] {
        let manifest = entry(path, Some(1));
        let error = refused(&offered(&manifest, 1, 1, 1), &[&manifest[..], b"x"].concat());
        assert!(matches!(error, StoreError::Archive(ArchiveError::Path(_))), "{path}: {error:?}");
    }
}

#[test]
fn manifests_that_break_the_rules_are_refused() {
    let two = |one: Vec<u8>, other: Vec<u8>| [one, other].concat();
    let cases = [
        (two(entry("a", Some(1)), entry("a", Some(1))), ArchiveError::Duplicate),
        (two(entry("b", Some(1)), entry("a", Some(1))), ArchiveError::Order),
        (two(entry("a", Some(1)), entry("a/b", Some(1))), ArchiveError::ParentIsFile),
        (two(entry("a", None), entry("b/c", Some(1))), ArchiveError::ParentMissing),
        (two(entry("a", None), vec![0xff; ENTRY_MAX]), ArchiveError::EntryTooLong),
        (two(entry("a", None), vec![0, 9, 1]), ArchiveError::Truncated),
        (two(entry("a", None), vec![0, 2, 7, 7]), ArchiveError::Malformed),
    ];
    for (manifest, expected) in cases {
        assert_eq!(refused(&offered(&manifest, 2, 2, 2), &manifest), StoreError::Archive(expected));
    }
}

#[test]
fn offers_that_do_not_fit_are_refused() {
    let manifest = [entry("a", None), entry("a/b", Some(2)), entry("c", Some(1))].concat();
    let right = offered(&manifest, 2, 3, 3);
    let shape = right.shape;
    for wrong in [Shape { total: shape.total + 1, ..shape }, Shape { files: 1, ..shape }, Shape { entries: 4, ..shape }]
    {
        let wrong = Offered { shape: wrong, ..right };
        assert_eq!(refused(&wrong, &manifest), StoreError::Archive(ArchiveError::Counts));
    }
}

#[test]
fn content_that_does_not_match_is_refused() {
    let bench = Bench::planted();
    let (manifest, total) = (bench.archive.info.shape.manifest as usize, bench.bytes().len());
    let first = manifest + 10;
    for (at, expected) in [
        (manifest, ArchiveError::FileDigest),
        (first, ArchiveError::FileDigest),
        (total - 1, ArchiveError::Root),
        (total - 33, ArchiveError::FileDigest),
    ] {
        let mut bytes = bench.bytes().to_vec();
        bytes[at] ^= 0x10;
        assert_eq!(refused(&bench.offered(), &bytes), StoreError::Archive(expected), "{at}");
    }
    let long = [bench.bytes(), b"x"].concat();
    assert_eq!(refused(&bench.offered(), &long), StoreError::Archive(ArchiveError::Trailing));
}

#[test]
fn a_short_archive_is_not_committed() {
    let bench = Bench::planted();
    for short in [1, 31, 33, 200_000, bench.bytes().len()] {
        let mut store = bench.store();
        let held = bench.begin(&mut store).unwrap().offset as usize;
        let end = (bench.bytes().len() - short).max(held);
        write(&mut store, &bench.bytes()[held..end], 65536).unwrap();
        assert!(block_on(store.commit()).is_err());
        bench.check_absent();
    }
}

#[test]
fn names_that_mean_one_file_here_are_refused() {
    // A file that already exists stands in for a file system that treats two names as the same.
    let bench = Bench::planted();
    for name in ["big.bin", "z/e/e"] {
        let mut store = bench.store();
        bench.begin(&mut store).unwrap();
        write(&mut store, &bench.bytes()[..bench.archive.info.shape.manifest as usize], 1000).unwrap();
        put(&bench.staging(), "tree/big.bin", b"x", 0o600);
        let error = write(&mut store, &bench.bytes()[bench.archive.info.shape.manifest as usize..], 65536).unwrap_err();
        assert!(matches!(error, StoreError::Collision { entry } if entry > 3), "{name}: {error:?}");
        assert!(store.take_error().unwrap().path.ends_with("big.bin"));
        block_on(store.discard());
        bench.check_clean();
    }
}

#[test]
fn the_manifest_comes_before_anything_is_made() {
    let bench = Bench::planted();
    let mut store = bench.store();
    bench.begin(&mut store).unwrap();
    write(&mut store, &bench.bytes()[..bench.archive.info.shape.manifest as usize - 1], 100).unwrap();
    assert_eq!(fs::read_dir(bench.staging().join("tree")).unwrap().count(), 0);
}
