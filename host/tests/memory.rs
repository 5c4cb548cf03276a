//! Sending and receiving a folder of 20 000 files uses no memory that grows with the number of files.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;

use embassy_futures::block_on;
use waft::folder::{Folder, FolderSource, Options};
use waft::store::DirectoryStore;
use waft_core::certificate::CertificateHash;
use waft_core::session::sender::Source;
use waft_core::session::{Offered, Store};

const FOLDERS: usize = 100;
const FILES: usize = 200;

#[test]
fn twenty_thousand_files() {
    // On a file system in memory, which does not count for this process. A disk would have to write all of it.
    let temp = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let (from, to) = (temp.path().join("from"), temp.path().join("to"));
    plant(&from);
    let before = memory("VmRSS");
    let folder = block_on(Folder::walk(&from, &Options::default())).unwrap();
    assert!(folder.info.shape.manifest > 1 << 20, "the manifest leaves memory: {}", folder.info.shape.manifest);
    receive(FolderSource::new(folder), &to);
    let grown = memory("VmHWM").saturating_sub(before);
    assert!(grown < 6 << 10, "{grown} KiB");
    let files = fs::read_dir(&to).unwrap().map(|folder| fs::read_dir(folder.unwrap().path()).unwrap().count());
    assert_eq!(files.sum::<usize>(), FOLDERS * FILES);
}

fn plant(from: &Path) {
    for folder in 0..FOLDERS {
        let folder = from.join(format!("folder {folder:04}"));
        fs::create_dir_all(&folder).unwrap();
        for file in 0..FILES {
            let name = format!("a file whose name has about the length of those in a photo archive {file:04}");
            fs::write(folder.join(name), [file as u8; 100]).unwrap();
        }
    }
}

fn receive(mut source: FolderSource, to: &Path) {
    let info = source.info();
    let offered = Offered { sender: CertificateHash([0; 32]), created: 0, shape: info.shape };
    let mut store = DirectoryStore::open(to, false).unwrap();
    let mut buffer = vec![0; 65536];
    block_on(async {
        store.begin(&offered, &|digest| *digest == info.manifest_digest).await.unwrap();
        loop {
            match source.read(&mut buffer).await.unwrap() {
                0 => break,
                got => store.write(&buffer[..got]).await.unwrap(),
            }
        }
        assert_eq!(Some(store.commit().await.unwrap().digest), source.root());
    });
}

/// A value of this process's memory statistics, in KiB.
fn memory(what: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
