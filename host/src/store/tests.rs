use std::fs;
use std::mem::discriminant;
use std::path::PathBuf;

use cap_std::fs::Dir;
use embassy_futures::block_on;
use tempfile::TempDir;
use waft_core::archive::{ArchiveError, Shape};
use waft_core::certificate::CertificateHash;
use waft_core::path::FolderName;
use waft_core::session::{Held, Offered, Receipt, Store};
use waft_core::wire::message::Kibibytes;

use super::capabilities::Capabilities;
use super::place::Found;
use super::staging::Staging;
use super::stays::Stays;
use super::*;
use crate::error::Cause;
use crate::platform;
use crate::testing::{Archive, archive, plant, put, snapshot};

/// A folder to send, its archive, and a directory to receive it in.
struct Bench {
    temp: TempDir,
    archive: Archive,
}

type Answer<T> = std::result::Result<T, StoreError>;

impl Bench {
    fn new(fill: impl FnOnce(&Path)) -> Self {
        let temp = tempfile::tempdir().unwrap();
        for name in ["from", "to"] {
            fs::create_dir(temp.path().join(name)).unwrap();
        }
        fill(&temp.path().join("from"));
        let archive = archive(&temp.path().join("from"));
        Self { temp, archive }
    }

    fn planted() -> Self {
        Self::new(plant)
    }

    fn from(&self) -> PathBuf {
        self.temp.path().join("from")
    }

    fn to(&self) -> PathBuf {
        self.temp.path().join("to")
    }

    fn target(&self) -> PathBuf {
        self.to().join("folder")
    }

    fn staging(&self) -> PathBuf {
        self.to().join(".folder.waft")
    }

    fn store(&self) -> DirectoryStore {
        DirectoryStore::open(&self.target(), false).unwrap()
    }

    fn overwriting(&self) -> DirectoryStore {
        DirectoryStore::open(&self.target(), true).unwrap()
    }

    fn home(&self) -> PathBuf {
        self.temp.path().join("home")
    }

    /// A store that records which sender the target's content came from.
    fn remembering(&self, overwrite: bool) -> DirectoryStore {
        let store = DirectoryStore::open(&self.target(), overwrite).unwrap();
        store.remembering(Home::at(self.home()).unwrap())
    }

    fn offered(&self) -> Offered {
        Offered { sender: CertificateHash([1; 32]), created: 0, shape: self.archive.info.shape }
    }

    fn begin(&self, store: &mut DirectoryStore) -> Answer<Held> {
        self.begin_in(store, &self.to())
    }

    /// Begins the same transfer in a store for a target in or at another path.
    fn begin_in(&self, store: &mut DirectoryStore, place: &Path) -> Answer<Held> {
        let before = snapshot(place);
        let expected = block_on(store.check(&self.offered())).err();
        assert_eq!(snapshot(place), before, "a check writes nothing");
        let begun = block_on(store.begin(&self.offered(), &|digest| *digest == self.archive.info.manifest_digest));
        // Everything that is refused is refused before the key is needed, except a damaged staging area.
        let refused = begun.err().filter(|error| *error != StoreError::Verify);
        assert_eq!(
            expected.as_ref().map(discriminant),
            refused.as_ref().map(discriminant),
            "{expected:?}, {refused:?}"
        );
        let held = begun?;
        assert_eq!(store.durable(), held.offset);
        Ok(held)
    }

    fn bytes(&self) -> &[u8] {
        &self.archive.bytes
    }

    /// Whether what is held is a prefix of the archive.
    fn is_prefix(&self, held: &Held) -> bool {
        held.digest == Digest::of(&self.bytes()[..held.offset as usize])
    }

    fn check(&self, receipt: Receipt) {
        let Shape { total: bytes, files, .. } = self.archive.info.shape;
        assert_eq!(receipt, Receipt { digest: self.archive.root, files, bytes, generation: 0 });
        assert_eq!(snapshot(&self.target()), snapshot(&self.from()));
        self.check_clean();
    }

    /// Asserts that nothing is left beside the target.
    fn check_clean(&self) {
        let names: Vec<_> = fs::read_dir(self.to()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(names.iter().all(|name| name == "folder"), "{names:?}");
    }

    fn check_absent(&self) {
        assert!(self.target().symlink_metadata().is_err());
    }

    /// Receives the whole archive.
    fn receive(&self, store: &mut DirectoryStore) -> Answer<Receipt> {
        let held = self.begin(store)?;
        write(store, &self.bytes()[held.offset as usize..], 65536)?;
        block_on(store.commit())
    }
}

fn write(store: &mut DirectoryStore, bytes: &[u8], piece: usize) -> Answer<()> {
    let before = store.durable();
    bytes.chunks(piece).try_for_each(|piece| block_on(store.write(piece)))?;
    block_on(store.finish_writing())?;
    assert_eq!(store.durable(), before + bytes.len() as u64);
    Ok(())
}

/// Finishes what an interrupted process had begun to move.
fn recover(target: &Path) -> Result<bool, FileError> {
    block_on(DirectoryStore::open(target, false).unwrap().recover())
}

/// Removes what an interrupted process had left.
fn abandon(target: &Path) -> Result<bool, FileError> {
    block_on(DirectoryStore::open(target, false).unwrap().abandon())
}

/// A step that simulates a crash after so many changes.
fn stop_after(changes: u32) -> impl FnMut() -> io::Result<()> + Send {
    let mut left = changes;
    move || {
        left = left.checked_sub(1).ok_or_else(|| io::Error::other("stopped here"))?;
        Ok(())
    }
}

/// Commits with a simulated crash after so many changes.
fn commit_and_stop(store: &mut DirectoryStore, changes: u32) -> Answer<Receipt> {
    let mut step = stop_after(changes);
    block_on(store.run(move |store| store.put_in_place(&mut step))).map(|(receipt, _)| receipt)
}

#[test]
fn a_folder_is_received_in_pieces_of_any_size() {
    let bench = Bench::planted();
    for piece in [1 << 20, 65536, 1024, 31, 1] {
        let mut store = bench.store();
        assert_eq!(bench.begin(&mut store).unwrap(), Held { offset: 0, digest: Digest::of(&[]) });
        write(&mut store, bench.bytes(), piece).unwrap();
        bench.check_absent();
        bench.check(block_on(store.commit()).unwrap());
        fs::remove_dir_all(bench.target()).unwrap();
    }
}

#[test]
fn a_folder_with_only_empty_directories_is_received() {
    let bench = Bench::new(|at| fs::create_dir_all(at.join("a/b")).unwrap());
    bench.check(bench.receive(&mut bench.store()).unwrap());
}

/// File systems report a name that they cannot hold with different errors.
#[cfg(unix)]
#[test]
fn a_name_that_is_refused_is_no_failure_of_the_disk() {
    use rustix::io::Errno;
    for errno in [Errno::INVAL, Errno::ILSEQ, Errno::NAMETOOLONG] {
        assert!(platform::is_refused_name(&errno.into()), "{errno}");
    }
    assert!(!platform::is_refused_name(&Errno::IO.into()) && !platform::is_refused_name(&Errno::NOSPC.into()));
    // This file system cannot hold such a name, and reports it with one of these errors.
    let bench = Bench::new(|at| put(at, "short", b"x", 0o644));
    let long = format!("{}/short", ["n".repeat(200).as_str(); 22].join("/"));
    assert!(fs::write(bench.to().join(long), "x").is_err_and(|error| platform::is_refused_name(&error)));
}

#[test]
fn free_space_is_stated() {
    let bench = Bench::planted();
    let mut store = bench.store();
    let free = store.capacity().free;
    assert!(free > 0);
    let offered = bench.offered();
    let huge = Offered { shape: Shape { total: u64::MAX / 2, ..offered.shape }, ..offered };
    let refused = block_on(store.begin(&huge, &|_| true)).unwrap_err();
    assert_eq!(refused, StoreError::NoSpace { missing: Kibibytes(u32::MAX) });
    bench.check_clean();
}

mod committed;
mod content;
#[cfg(target_os = "linux")]
mod durable;
mod hostile;
mod inbox;
mod overwrite;
mod resume;
#[cfg(target_os = "linux")]
mod space;
#[cfg(unix)]
mod stays;
mod target;
