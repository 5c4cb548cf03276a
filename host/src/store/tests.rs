use std::fs;
use std::mem::discriminant;
use std::path::PathBuf;

use embassy_futures::block_on;
use tempfile::TempDir;
use waft_core::archive::{ArchiveError, Shape};
use waft_core::certificate::CertificateHash;

use super::*;
use crate::samples::{Archive, archive, plant, put, snapshot};
use crate::trouble::Cause;

/// A folder to send, its archive, and a place to receive it in.
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

    /// A store that remembers who sent what.
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

    /// The same, with a store for a target in or at another place.
    fn begin_in(&self, store: &mut DirectoryStore, place: &Path) -> Answer<Held> {
        let before = snapshot(place);
        let foreseen = block_on(store.check(&self.offered())).err();
        assert_eq!(snapshot(place), before, "a check writes nothing");
        let begun = block_on(store.begin(&self.offered(), &|digest| *digest == self.archive.info.manifest_digest));
        // All that is refused is refused before the key is asked for, except that the place is in use, or that what an
        // interrupted process left is damaged.
        let refused = begun.err().filter(|error| !matches!(error, StoreError::InUse | StoreError::Verify));
        assert_eq!(
            foreseen.as_ref().map(discriminant),
            refused.as_ref().map(discriminant),
            "{foreseen:?}, {refused:?}"
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

    /// Nothing stands beside the target.
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
    assert_eq!(store.durable(), before + bytes.len() as u64);
    Ok(())
}

#[test]
fn a_folder_survives() {
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
fn folders_without_files_survive() {
    let bench = Bench::new(|at| fs::create_dir_all(at.join("a/b")).unwrap());
    bench.check(bench.receive(&mut bench.store()).unwrap());
}

#[cfg(target_os = "linux")]
#[test]
fn an_empty_target_keeps_its_owner_group_bits_and_lists() {
    use std::os::unix::fs::MetadataExt as _;
    if !crate::needs::is_root() {
        let within = crate::needs::unshare(&["--map-auto"]);
        return crate::needs::again("store::tests::an_empty_target_keeps_its_owner_group_bits_and_lists", within);
    }
    // Version 2: tag, permissions and id of the owner, a user, the group, the mask, others.
    let list = |user: u32| -> Vec<u8> {
        let entries = [(1, 7, u32::MAX), (2, 5, user), (4, 7, u32::MAX), (16, 7, u32::MAX), (32, 5, u32::MAX)];
        let entry = |(tag, permissions, id): (u16, u16, u32)| {
            [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        [2_u32.to_le_bytes().to_vec(), entries.into_iter().flat_map(entry).collect()].concat()
    };
    let lists = [("system.posix_acl_access", list(11)), ("system.posix_acl_default", list(12))];
    let bench = Bench::planted();
    fs::create_dir(bench.target()).unwrap();
    std::os::unix::fs::chown(bench.target(), Some(7), Some(8)).unwrap();
    for (name, list) in &lists {
        rustix::fs::setxattr(bench.target(), *name, list, rustix::fs::XattrFlags::empty()).unwrap();
    }
    crate::samples::set_mode(&bench.target(), 0o3775);
    let mut store = bench.store();
    assert_eq!(store.probe().unwrap(), []);
    bench.receive(&mut store).unwrap();
    let found = fs::metadata(bench.target()).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (7, 8, 0o3775));
    for (name, list) in &lists {
        let mut value = vec![0; 1000];
        let length = rustix::fs::getxattr(bench.target(), *name, &mut value[..]).unwrap();
        assert_eq!(value[..length], list[..], "{name}");
    }
    // What is below is what it would be had it been made there.
    let below = fs::metadata(bench.target().join("a/x")).unwrap();
    assert_eq!((below.uid(), below.gid(), below.mode() & 0o7777), (0, 8, 0o2750));
    bench.check_clean();
}

/// What this user may not give to a new directory is told before anything is received.
#[cfg(unix)]
#[test]
fn lost_attributes_are_told() {
    use crate::needs::{NOBODY, again, is_again, is_root};
    let test = "store::tests::lost_attributes_are_told";
    if is_root() {
        let temp = tempfile::tempdir().unwrap();
        crate::samples::set_mode(temp.path(), 0o755);
        for (name, owner) in [("to", NOBODY), ("to/folder", 0)] {
            fs::create_dir(temp.path().join(name)).unwrap();
            std::os::unix::fs::chown(temp.path().join(name), Some(owner), Some(owner)).unwrap();
        }
        let mut within = std::process::Command::new("setpriv");
        within.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).env("WAFT_TEST_TARGET", temp.path());
        return again(test, within);
    }
    let Some(temp) = std::env::var_os("WAFT_TEST_TARGET").map(PathBuf::from).filter(|_| is_again()) else {
        return crate::needs::left_out("nobody else's folder is at hand");
    };
    let mut store = DirectoryStore::open(&temp.join("to/folder"), false).unwrap();
    assert_eq!(store.probe().unwrap(), [Note::Attribute("group"), Note::Attribute("owner")]);
    // In a sticky folder, as /tmp is, another user's cannot be replaced at all.
    let sticky = tempfile::tempdir_in("/tmp").unwrap();
    assert!(DirectoryStore::open(sticky.path(), false).unwrap().probe().is_ok());
}

/// Whoever stands in the current folder would stand in a folder that is gone.
#[cfg(unix)]
#[test]
fn the_current_folder_is_filled_in_place() {
    use crate::needs::{again, is_again};
    use std::os::unix::fs::MetadataExt as _;
    if !is_again() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("current")).unwrap();
        let mut within = std::process::Command::new("env");
        within.current_dir(place.path().join("current"));
        again("store::tests::the_current_folder_is_filled_in_place", within);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing is left beside it");
        return;
    }
    let bench = Bench::planted();
    let current = std::env::current_dir().unwrap();
    let inode = fs::metadata(&current).unwrap().ino();
    let mut store = DirectoryStore::open(Path::new("."), false).unwrap();
    assert_eq!(store.probe().unwrap(), [Note::InPlace(InPlace::CurrentFolder)]);
    bench.receive(&mut store).unwrap();
    assert_eq!(fs::metadata(&current).unwrap().ino(), inode);
    assert_eq!(snapshot(&current), snapshot(&bench.from()));
}

#[cfg(unix)]
#[test]
fn an_empty_target_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::planted();
    fs::create_dir(bench.target()).unwrap();
    crate::samples::set_mode(&bench.target(), 0o700);
    bench.check(bench.receive(&mut bench.store()).unwrap());
    assert_eq!(fs::metadata(bench.target()).unwrap().permissions().mode() & 0o777, 0o700);
}

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
        // The digest behind a whole file and the root are not kept, an unfinished manifest is not looked at.
        let least = if cut < manifest { 0 } else { cut.min(total - 32) };
        assert!((least..least + 33).contains(&(held.offset as usize)), "{cut}: {held:?}");
        write(&mut store, &bench.bytes()[held.offset as usize..], 8192).unwrap();
        bench.check(block_on(store.commit()).unwrap());
        fs::remove_dir_all(bench.target()).unwrap();
    }
}

/// Receives up to the middle of the big file, changes what is staged, and goes on as a session does. Says whether
/// something was held.
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
    // Beyond the prefix: removed.
    assert!(poisoned(|bench| put(&bench.staging(), "tree/zz", b"x", 0o600)));
    assert!(poisoned(|bench| put(&bench.staging(), "tree/zz/more/x", b"x", 0o600)));
    // Gone: the prefix is shorter.
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
    assert!(matches!(store.take_trouble().unwrap().cause, Cause::NotAFolder));
    assert_eq!(snapshot(outside.path()), before);
}

#[cfg(unix)]
#[test]
fn another_users_staging_area_is_left_alone() {
    let bench = Bench::planted();
    fs::create_dir(bench.staging()).unwrap();
    if std::os::unix::fs::chown(bench.staging(), Some(65_533), None).is_err() {
        // Only root can give a folder away.
        let mut within = std::process::Command::new("sudo");
        within.arg("-n");
        return crate::needs::again("store::tests::another_users_staging_area_is_left_alone", within);
    }
    let mut store = bench.store();
    assert_eq!(bench.begin(&mut store), Err(StoreError::NotWritable));
    assert!(matches!(store.take_trouble().unwrap().cause, Cause::NotOurs));
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
    crate::samples::set_mode(&bench.staging(), 0o755);
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
    // Nor is one with another manifest believed.
    bench.begin(&mut store).unwrap();
    write(&mut store, &bench.bytes()[..100_000], 8192).unwrap();
    block_on(store.suspend());
    assert_eq!(block_on(store.begin(&bench.offered(), &|_| false)).unwrap().offset, 0);
}

#[test]
fn a_committed_folder_is_held_in_full_by_its_sender() {
    let bench = Bench::planted();
    bench.check(bench.receive(&mut bench.remembering(false)).unwrap());
    // Also after a restart.
    let mut store = bench.remembering(false);
    let held = bench.begin(&mut store).unwrap();
    assert_eq!(held.offset, bench.archive.info.shape.total);
    assert!(bench.is_prefix(&held));
    assert_eq!(store.manifest(), Some(bench.archive.info.manifest_digest));
    bench.check(block_on(store.commit()).unwrap());
    // A sender that does not agree starts over, where that is allowed.
    bench.begin(&mut store).unwrap();
    assert_eq!(block_on(store.restart()), Err(StoreError::NotEmpty));
    let mut store = bench.remembering(true);
    bench.begin(&mut store).unwrap();
    let another = Staging::open(&store.place).ok().unwrap();
    assert_eq!(block_on(store.restart()), Err(StoreError::InUse));
    drop(another);
    block_on(store.restart()).unwrap();
    write(&mut store, bench.bytes(), 65536).unwrap();
    bench.check(block_on(store.commit()).unwrap());
}

#[cfg(unix)]
#[test]
fn a_folder_with_more_in_it_is_another_one() {
    for place in ["", "a", "a/x"] {
        let bench = Bench::planted();
        bench.receive(&mut bench.remembering(false)).unwrap();
        // Its time tells nothing.
        let folder = fs::File::open(bench.target().join(place)).unwrap();
        let time = folder.metadata().unwrap().modified().unwrap();
        fs::write(bench.target().join(place).join("more"), b"").unwrap();
        folder.set_modified(time).unwrap();
        assert_eq!(bench.begin(&mut bench.remembering(false)), Err(StoreError::NotEmpty), "{place}");
        let held = bench.begin(&mut bench.remembering(true)).unwrap();
        assert_eq!(held.offset, bench.archive.info.shape.total, "others may be there: {place}");
    }
}

/// The digest of all its content would tell another sender what is in it.
#[test]
fn a_committed_folder_is_offered_to_no_other_sender() {
    let bench = Bench::planted();
    bench.receive(&mut bench.remembering(false)).unwrap();
    let other = Offered { sender: CertificateHash([2; 32]), ..bench.offered() };
    assert_eq!(block_on(bench.remembering(false).begin(&other, &|_| true)), Err(StoreError::NotEmpty));
    let mut store = bench.remembering(true);
    assert_eq!(block_on(store.begin(&other, &|_| true)).unwrap(), Held { offset: 0, digest: Digest::of(&[]) });
    block_on(store.discard());
    // Nor one that nobody sent, or that was opened from a file.
    assert_eq!(bench.begin(&mut bench.store()), Err(StoreError::NotEmpty));
    fs::remove_dir_all(bench.home()).unwrap();
    assert_eq!(bench.begin(&mut bench.remembering(false)), Err(StoreError::NotEmpty));
    bench.check_clean();
    // Nor what its own sender did not send.
    bench.receive(&mut bench.remembering(true)).unwrap();
    assert!(bench.begin(&mut bench.remembering(false)).is_ok());
    assert_eq!(block_on(bench.remembering(false).begin(&bench.offered(), &|_| false)), Err(StoreError::NotEmpty));
}

/// Whether the target is still offered to its sender after that change.
fn is_held_after(overwrite: bool, change: impl FnOnce(&Path)) -> bool {
    let bench = Bench::planted();
    bench.receive(&mut bench.remembering(false)).unwrap();
    change(&bench.target());
    // What looks the same is not read before the key is asked for.
    let mut store = bench.remembering(overwrite);
    let begun = block_on(store.begin(&bench.offered(), &|digest| *digest == bench.archive.info.manifest_digest));
    let held = begun.as_ref().is_ok_and(|held| held.offset > 0);
    assert!(held || overwrite || begun == Err(StoreError::NotEmpty), "{begun:?}");
    held
}

#[test]
fn a_folder_that_was_changed_is_not_held() {
    // Of the same size, and with the same time.
    let rewrite = |at: &Path| {
        let (path, found) = (at.join("big.bin"), fs::metadata(at.join("big.bin")).unwrap());
        let mut bytes = fs::read(&path).unwrap();
        bytes[77_777] ^= 1;
        fs::write(&path, bytes).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(found.modified().unwrap()).unwrap();
    };
    assert!(is_held_after(false, |_| ()));
    assert!(!is_held_after(false, rewrite) && !is_held_after(true, rewrite));
    assert!(!is_held_after(true, |at| fs::remove_file(at.join("zz")).unwrap()));
    assert!(!is_held_after(true, |at| fs::rename(at.join("zz"), at.join("zy")).unwrap()));
    assert!(!is_held_after(true, |at| put(at, "zz", b"xy", 0o404)));
    let more = |at: &Path| put(at, "more", b"", 0o644);
    assert!(!is_held_after(false, more) && is_held_after(true, more), "beside other things, where those may be");
    if cfg!(unix) {
        assert!(!is_held_after(true, |at| crate::samples::set_mode(&at.join("zz"), 0o600)));
        assert!(!is_held_after(true, |at| crate::samples::set_mode(&at.join("z/e"), 0o755)));
        assert!(!is_held_after(true, |at| drop(fs::File::create(at.join("z/e/new")).unwrap())), "its time changed");
    }
}

#[test]
fn damaged_records_are_not_believed() {
    let bench = Bench::planted();
    let begin = || block_on(bench.remembering(false).begin(&bench.offered(), &|_| true));
    bench.receive(&mut bench.remembering(false)).unwrap();
    let records = bench.home().join("received");
    let path = fs::read_dir(&records).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&path).unwrap();
    for length in (0..whole.len()).step_by(97) {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(begin(), Err(StoreError::NotEmpty), "{length}");
    }
    for at in [0, 20, 50, 90, 113, 118, 121, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        fs::write(&path, bytes).unwrap();
        assert_eq!(begin(), Err(StoreError::NotEmpty), "{at}");
    }
    fs::write(&path, whole).unwrap();
    assert!(begin().is_ok());
}

#[test]
fn records_of_folders_that_are_gone_are_removed() {
    let bench = Bench::planted();
    let count = || fs::read_dir(bench.home().join("received")).unwrap().count();
    for name in ["one", "two"] {
        let home = Home::at(bench.home()).unwrap();
        let mut store = DirectoryStore::open(&bench.to().join(name), false).unwrap().remembering(home);
        bench.receive(&mut store).unwrap();
    }
    assert_eq!(count(), 2);
    fs::remove_dir_all(bench.to().join("one")).unwrap();
    bench.receive(&mut bench.remembering(false)).unwrap();
    assert_eq!(count(), 2);
}

#[test]
fn a_filled_target_is_left_alone() {
    let bench = Bench::planted();
    put(&bench.target(), "old", b"old", 0o644);
    let mut store = bench.store();
    assert_eq!(bench.begin(&mut store), Err(StoreError::NotEmpty));
    assert!(store.take_trouble().unwrap().path.ends_with("folder"));
    bench.check_clean();
    // It may also be filled meanwhile.
    fs::remove_file(bench.target().join("old")).unwrap();
    bench.begin(&mut store).unwrap();
    write(&mut store, bench.bytes(), 65536).unwrap();
    put(&bench.target(), "new", b"new", 0o644);
    assert_eq!(block_on(store.commit()), Err(StoreError::NotEmpty));
    block_on(store.discard());
    assert_eq!(fs::read_dir(bench.target()).unwrap().count(), 1);
    // What came is still there for another try.
    fs::remove_file(bench.target().join("new")).unwrap();
    assert!(bench.begin(&mut store).unwrap().offset > 100_000);
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
    assert!(!matches!(other.take_trouble().unwrap().cause, Cause::InUse), "it is over");
}

/// Each file system has its own way to say that it cannot hold a name.
#[cfg(unix)]
#[test]
fn a_name_that_is_refused_is_no_failure_of_the_disk() {
    use rustix::io::Errno;
    for errno in [Errno::INVAL, Errno::ILSEQ, Errno::NAMETOOLONG] {
        assert!(platform::is_refused_name(&errno.into()), "{errno}");
    }
    assert!(!platform::is_refused_name(&Errno::IO.into()) && !platform::is_refused_name(&Errno::NOSPC.into()));
    // This one cannot hold it, and says so in one of these ways.
    let bench = Bench::new(|at| put(at, "short", b"x", 0o644));
    let long = format!("{}/short", ["n".repeat(200).as_str(); 22].join("/"));
    assert!(fs::write(bench.to().join(long), "x").is_err_and(|error| platform::is_refused_name(&error)));
}

#[test]
fn places_that_cannot_be_a_target_are_told() {
    let temp = tempfile::tempdir().unwrap();
    let at = temp.path();
    let open = |path: &Path| DirectoryStore::open(path, true).map(drop);
    assert!(open(&at.join("absent/target")).is_err());
    assert!(matches!(open(Path::new("/")).unwrap_err().cause, Cause::Nameless));
    fs::write(at.join("file"), "x").unwrap();
    let bench = Bench::planted();
    let mut store = DirectoryStore::open(&at.join("file"), true).unwrap();
    assert_eq!(bench.begin(&mut store), Err(StoreError::NotWritable));
    assert!(matches!(store.take_trouble().unwrap().cause, Cause::NotAFolder));
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
    assert!(matches!(refused, StoreError::NoSpace { needed, free } if needed == huge.shape.total && free > 0));
    bench.check_clean();
}

mod hostile;
mod overwrite;
#[cfg(target_os = "linux")]
mod space;
