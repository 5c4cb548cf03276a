//! `waft seal` and `waft open`: round trips, and all files that cannot be opened.

use std::fs;
use std::path::PathBuf;

use super::harness::{Ended, text};
use super::refusals::other_key;
use super::world::{World, listed, write};

/// A sealed folder, its file and its key.
struct Seal {
    world: World,
    file: PathBuf,
    key: String,
}

impl Seal {
    fn new() -> Self {
        let world = World::strangers();
        world.small();
        let sealed = world.laptop.call(&["seal", "folder", "-o", "folder.waft"]).run().succeeded();
        let key = text(sealed.last("key"), "key");
        assert_eq!(sealed.last("sealed")["files"], 3);
        Self { file: world.laptop.work.join("folder.waft"), world, key }
    }

    fn open(&self, key: &str) -> Ended {
        let open = self.world.kitchen.call(&["open"]).arg(&self.file).arg("--into").arg("into");
        open.env("WAFT_KEY", key).run()
    }

    /// Asserts that the file cannot be opened and that nothing of it is left anywhere.
    fn fails(&self, key: &str, exit: i32, class: &str, says: &[&str]) {
        let before = listed(&self.world.kitchen.work);
        self.open(key).failed(exit, class, says).never_contains(key);
        assert_eq!(listed(&self.world.kitchen.work), before, "nothing is written");
    }

    fn with_bytes(&self, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let good = fs::read(&self.file).unwrap();
        let mut bytes = good.clone();
        change(&mut bytes);
        fs::write(&self.file, bytes).unwrap();
        good
    }
}

#[test]
fn there_and_back() {
    let seal = Seal::new();
    let opened = seal.open(&seal.key).succeeded();
    opened.never_contains(&seal.key);
    assert_eq!(opened.last("opened")["files"], 3);
    seal.world.arrived();
    // A second time: the folder is already there.
    seal.open(&seal.key).succeeded();
    seal.world.arrived();
}

/// Reproducible builds give every version the same names, sizes and times.
#[test]
fn a_target_that_only_looks_the_same() {
    let seal = Seal::new();
    seal.open(&seal.key).succeeded();
    let file = seal.world.target().join("deep/er/numbers");
    let time = fs::metadata(&file).unwrap().modified().unwrap();
    let change = || {
        let mut bytes = fs::read(&file).unwrap();
        bytes[200_000] ^= 1;
        fs::write(&file, bytes).unwrap();
        fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
    };
    change();
    seal.fails(&seal.key, 15, "refused", &["The target is not empty", "--merge"]);
    let open = || {
        let open = seal.world.kitchen.call(&["open", "--merge", "--into", "into"]).arg(&seal.file);
        open.env("WAFT_KEY", &seal.key).run()
    };
    open().succeeded();
    seal.world.arrived();
    // A damaged file is detected whatever the target holds.
    let whole = fs::read(&seal.file).unwrap();
    fs::write(&seal.file, &whole[..whole.len() / 2]).unwrap();
    seal.fails(&seal.key, 14, "storage", &["folder.waft is truncated"]);
    fs::write(&seal.file, [&whole[..], b"x"].concat()).unwrap();
    seal.fails(&seal.key, 14, "storage", &["folder.waft is damaged"]);
    assert_eq!(open().code, Some(14));
    let mut bytes = whole.clone();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&seal.file, bytes).unwrap();
    seal.fails(&seal.key, 14, "storage", &["folder.waft is damaged"]);
    seal.world.arrived();
}

#[test]
fn the_key_is_typed() {
    let seal = Seal::new();
    let mut open = seal.world.kitchen.call(&["open"]).arg(&seal.file).arg("--into").arg("into").start();
    open.answer("key", "what?");
    open.answer("key", &other_key(&seal.key));
    open.answer("key", &seal.key);
    open.end().succeeded();
    seal.world.arrived();
}

#[test]
fn a_wrong_key() {
    let seal = Seal::new();
    let says = ["The key is not the one of this file", "Nothing was written"];
    seal.fails(&other_key(&seal.key), 13, "key", &says);
    seal.fails("0123", 13, "key", &["That is not a key", "but 4 were typed"]);
    let mut open = seal.world.kitchen.call(&["open"]).arg(&seal.file).arg("--into").arg("into").start();
    (0..3).for_each(|_| open.answer("key", &other_key(&seal.key)));
    open.end().failed(13, "key", &says);
    let none = seal.world.kitchen.call(&["open"]).arg(&seal.file).arg("--into").arg("into").run();
    none.failed(13, "key", &["No answer was given for the key", "WAFT_KEY"]);
    seal.world.nothing_arrived();
}

#[test]
fn a_truncated_file() {
    let seal = Seal::new();
    let whole = fs::read(&seal.file).unwrap();
    for length in [0, 7, 9, 20, 60, 89, 100, 5000, whole.len() / 2, whole.len() - 1] {
        fs::write(&seal.file, &whole[..length]).unwrap();
        seal.fails(&seal.key, 14, "storage", &["folder.waft is truncated", "compare the sizes"]);
    }
    // Without its last chunk, cut exactly at the end of a frame.
    let frame =
        |at: usize| 4 + ((whole[at + 1] as usize) << 16 | (whole[at + 2] as usize) << 8 | whole[at + 3] as usize);
    let header = 10 + usize::from(whole[9]);
    let (mut at, mut last) = (header + 32, 0);
    while at < whole.len() {
        last = at;
        at += frame(at);
    }
    fs::write(&seal.file, &whole[..last]).unwrap();
    seal.fails(&seal.key, 14, "storage", &["folder.waft is truncated"]);
}

#[test]
fn a_damaged_file() {
    let seal = Seal::new();
    let length = fs::metadata(&seal.file).unwrap().len() as usize;
    let header = 10 + usize::from(fs::read(&seal.file).unwrap()[9]);
    for at in [header + 32, header + 33, header + 36, header + 50, length / 2, length - 1] {
        let good = seal.with_bytes(|bytes| bytes[at] ^= 0x55);
        let ended = seal.open(&seal.key);
        // A changed length may point beyond the end.
        let says = if ended.errors.contains("cut short") { "is truncated" } else { "is damaged" };
        seal.fails(&seal.key, 14, "storage", &["folder.waft", says, "Copy it again"]);
        fs::write(&seal.file, good).unwrap();
    }
    seal.with_bytes(|bytes| bytes.push(0));
    seal.fails(&seal.key, 14, "storage", &["folder.waft is damaged"]);
}

#[test]
fn a_damaged_header_is_a_wrong_key_at_most() {
    let seal = Seal::new();
    let header = 10 + usize::from(fs::read(&seal.file).unwrap()[9]);
    for at in (8..header + 32).step_by(13) {
        let good = seal.with_bytes(|bytes| bytes[at] ^= 1);
        // A changed number of iterations may take longer or be rejected, but nothing is ever written.
        let ended = seal.open(&seal.key);
        assert!(matches!(ended.code, Some(13 | 14)), "byte {at}: {ended:#?}");
        fs::write(&seal.file, good).unwrap();
    }
    seal.world.nothing_arrived();
}

#[test]
fn a_file_that_is_none() {
    let seal = Seal::new();
    fs::write(&seal.file, b"PK\x03\x04 and so on, and so on").unwrap();
    seal.fails(&seal.key, 14, "storage", &["folder.waft is not a sealed file"]);
    seal.with_bytes(|bytes| *bytes = b"WAFTSEAL\xff\xff".repeat(100));
    assert_eq!(seal.open(&seal.key).code, Some(14));
    fs::remove_file(&seal.file).unwrap();
    seal.fails(&seal.key, 14, "storage", &["folder.waft cannot be used"]);
    fs::create_dir(&seal.file).unwrap();
    seal.fails(&seal.key, 14, "storage", &["folder.waft cannot be used"]);
}

#[test]
fn a_later_version() {
    let seal = Seal::new();
    seal.with_bytes(|bytes| bytes[10] = 2);
    seal.fails(&seal.key, 14, "storage", &["by a later release of waft", "Update waft"]);
}

#[test]
fn a_target_that_is_not_empty() {
    let seal = Seal::new();
    write(&seal.world.target(), "mine", b"mine");
    seal.fails(&seal.key, 15, "refused", &["The target is not empty", "--merge"]);
    let open = seal.world.kitchen.call(&["open"]).arg(&seal.file).with(|call| call.args(["--into", "into", "--merge"]));
    open.env("WAFT_KEY", &seal.key).run().succeeded();
    // Other files in the target are kept.
    fs::remove_file(seal.world.target().join("mine")).unwrap();
    seal.world.arrived();
}

#[test]
fn what_cannot_be_sealed() {
    let seal = Seal::new();
    let call = |args: &[&str]| seal.world.laptop.call(args).run();
    let before = fs::read(&seal.file).unwrap();
    call(&["seal", "folder", "-o", "folder.waft"]).failed(
        14,
        "storage",
        &["folder.waft already exists", "never overwritten"],
    );
    assert_eq!(fs::read(&seal.file).unwrap(), before);
    call(&["seal", "nowhere", "-o", "x.waft"]).failed(14, "storage", &["nowhere: no such file or folder"]);
    call(&["seal", "folder", "-o", "nowhere/x.waft"]).failed(14, "storage", &["nowhere/x.waft cannot be used"]);
    assert!(!seal.world.laptop.work.join("x.waft").exists());
}
