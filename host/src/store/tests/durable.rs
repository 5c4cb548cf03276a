//! Tests of the calls that make files durable one by one, on systems where no single call does it for all.

use super::overwrite::old;
use super::*;
use crate::platform::handed::below;

/// The paths of a folder and of all files and folders below it.
fn all_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    if folder.is_dir() {
        found.extend(fs::read_dir(folder).unwrap().flat_map(|entry| all_below(&entry.unwrap().path())));
    }
    found
}

#[test]
fn every_file_and_folder_is_handed_over_before_the_rename() {
    let bench = Bench::planted();
    bench.receive(&mut bench.store()).unwrap();
    let handed = below(&bench.staging().join("tree"));
    for path in all_below(&bench.from()) {
        let path = path.strip_prefix(bench.from()).unwrap();
        assert!(handed.iter().any(|handed| handed == path), "{path:?} is not in {handed:?}");
    }
}

/// The process may have been killed before it handed over a file that is complete.
#[test]
fn every_whole_file_that_is_found_is_handed_over_again() {
    let bench = Bench::planted();
    let mut store = bench.store();
    bench.begin(&mut store).unwrap();
    write(&mut store, bench.bytes(), 8192).unwrap();
    block_on(store.suspend());
    let tree = bench.staging().join("tree");
    let before = below(&tree).len();
    bench.begin(&mut store).unwrap();
    let handed = &below(&tree)[before..];
    for path in all_below(&bench.from()).into_iter().filter(|path| path.is_file()) {
        let path = path.strip_prefix(bench.from()).unwrap();
        assert!(handed.iter().any(|handed| handed == path), "{path:?} is not in {handed:?}");
    }
}

#[test]
fn every_folder_of_a_merge_is_handed_over() {
    let bench = Bench::planted();
    old(&bench.target());
    bench.receive(&mut bench.overwriting()).unwrap();
    let handed = below(&bench.target());
    for path in all_below(&bench.from()).into_iter().filter(|path| path.is_dir()) {
        let path = path.strip_prefix(bench.from()).unwrap();
        assert!(handed.iter().any(|handed| handed == path), "{path:?} is not in {handed:?}");
    }
    assert_eq!(handed.last().unwrap(), Path::new(""), "the target itself comes last");
}
