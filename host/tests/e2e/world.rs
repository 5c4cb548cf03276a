//! Machines with their homes and their trust, and folders to send.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use waft::home::Home;
use waft::identity::Identity;
use waft::name::Name;
use waft::trust::Trust;

use super::harness::{Call, Ended, Waft};

/// The address at which a receiver listens in a test: any free port.
pub(crate) const ANY: &str = "127.0.0.1:0";

/// A computer: the folders `home` and `work` below one folder.
pub(crate) struct Machine {
    pub(crate) name: &'static str,
    pub(crate) home: PathBuf,
    pub(crate) work: PathBuf,
}

impl Machine {
    pub(crate) fn new(root: &Path, name: &'static str) -> Self {
        let (home, work) = (root.join(name).join("home"), root.join(name).join("work"));
        fs::create_dir_all(&work).expect("the temporary folder is ours");
        Self { name, home, work }
    }

    pub(crate) fn call(&self, args: &[&str]) -> Call {
        Call::new(&self.home, &self.work, args)
    }

    /// Writes its certificate to a file. Creates an identity if there is none.
    pub(crate) fn certificate(&self) -> PathBuf {
        let ended = self.call(&["id", "cert"]).run().succeeded();
        let path = self.work.with_file_name("certificate.pem");
        fs::write(&path, ended.last("certificate")["pem"].as_str().expect("a text")).expect("it is ours");
        path
    }

    /// Trusts another machine, with the options `how` of `waft trust add`.
    pub(crate) fn trust(&self, other: &Self, how: &[&str]) {
        let certificate = other.certificate();
        self.call(&["trust", "add", other.name]).arg(certificate).with(|call| call.args(how)).run().succeeded();
    }

    /// Its identity, as the library reads it.
    pub(crate) fn identity(&self) -> Identity {
        Identity::open(&self.open_home()).expect("the identity is good").0
    }

    pub(crate) fn known(&self) -> Trust {
        Trust::load(&self.open_home()).expect("the trust file is good")
    }

    pub(crate) fn open_home(&self) -> Home {
        Home::at(&self.home).expect("the home is ours")
    }
}

/// The sender "laptop" and the receiver "kitchen", which trust each other in the necessary directions.
pub(crate) struct World {
    pub(crate) laptop: Machine,
    pub(crate) kitchen: Machine,
    pub(crate) root: TempDir,
}

impl World {
    /// Two machines that do not trust each other.
    pub(crate) fn strangers() -> Self {
        let root = TempDir::new().expect("there is a temporary folder");
        Self { laptop: Machine::new(root.path(), "laptop"), kitchen: Machine::new(root.path(), "kitchen"), root }
    }

    /// Two machines that trust each other.
    pub(crate) fn new() -> Self {
        let world = Self::strangers();
        world.laptop.trust(&world.kitchen, &["--send-only"]);
        world.kitchen.trust(&world.laptop, &["--receive-only"]);
        world
    }

    /// A second sender with a folder of its own. It and the kitchen trust each other.
    pub(crate) fn attic(&self) -> Machine {
        let attic = Machine::new(self.root.path(), "attic");
        attic.trust(&self.kitchen, &["--send-only"]);
        self.kitchen.trust(&attic, &["--receive-only"]);
        write(&attic.work, "folder/theirs", b"theirs");
        attic
    }

    /// Starts the receiver on any free port, with the target `into`.
    pub(crate) fn receive(&self, options: &[&str]) -> Waft {
        self.receiving(options).start()
    }

    pub(crate) fn receiving(&self, options: &[&str]) -> Call {
        self.kitchen.call(&["receive", "--into", "into", "--listen", ANY]).with(|call| call.args(options))
    }

    /// Sends the folder `folder` to that address.
    pub(crate) fn sending(&self, address: &str) -> Call {
        self.laptop.call(&["send", "folder"]).arg(format!("kitchen@{address}"))
    }

    pub(crate) fn send(&self, address: &str) -> Waft {
        self.sending(address).start()
    }

    /// Sends, and types the code and the key when they are asked for.
    pub(crate) fn deliver(&self, receiver: &mut Waft, address: &str, code: &str) -> Ended {
        let mut sender = self.send(address);
        let key = sender.key();
        sender.answer("code", code);
        receiver.answer("key", &key);
        sender.end()
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.laptop.work.join("folder")
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.kitchen.work.join("into")
    }

    /// Asserts that the target holds exactly the folder.
    pub(crate) fn arrived(&self) {
        assert_eq!(listed(&self.target()), listed(&self.folder()));
        assert!(!self.staging().exists(), "nothing is left over");
    }

    /// Asserts that the target is still absent or empty.
    pub(crate) fn nothing_arrived(&self) {
        assert_eq!(listed(&self.target()), [""; 0]);
    }

    pub(crate) fn staging(&self) -> PathBuf {
        self.kitchen.work.join(".into.waft")
    }

    /// Creates a small folder with typical content.
    pub(crate) fn small(&self) {
        write(&self.folder(), "readme.txt", b"Hello, kitchen!\n");
        write(&self.folder(), "deep/er/numbers", &(0..100_000u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
        write(&self.folder(), "deep/none", b"");
        fs::create_dir_all(self.folder().join("empty/emptier")).expect("it is ours");
    }

    /// Creates a folder with that many bytes that do not compress, and a small file after them.
    pub(crate) fn large(&self, bytes: usize) {
        write(&self.folder(), "a-large", &noise(bytes));
        write(&self.folder(), "b-last", b"the end\n");
    }
}

/// The machine's name as the library's type.
pub(crate) fn name(machine: &Machine) -> Name {
    Name::new(machine.name).expect("a good name")
}

/// Writes a file and creates its parent folders.
pub(crate) fn write(folder: &Path, path: impl AsRef<Path>, bytes: &[u8]) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().expect("it is below the folder")).expect("it is ours");
    fs::write(path, bytes).expect("it is ours");
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

pub(crate) fn set_time(path: &Path, seconds: u64, nanos: u32) {
    let time = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
    fs::File::open(path).and_then(|file| file.set_modified(time)).expect("it is ours");
}

/// Bytes that do not compress: xorshift64*.
pub(crate) fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = (0..bytes.div_ceil(8)).flat_map(|_| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes()
    });
    let mut noise: Vec<u8> = words.collect();
    noise.truncate(bytes);
    noise
}

/// Everything below a folder, one line per entry: kind, mode, time and content. Empty if the folder does not exist.
pub(crate) fn listed(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    if folder.exists() {
        list(folder, "", &mut lines);
    }
    lines
}

fn list(folder: &Path, below: &str, lines: &mut Vec<String>) {
    let mut entries: Vec<_> = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")).collect();
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let found = entry.path().symlink_metadata().expect("it is there");
        let name = format!("{below}{:?}", entry.file_name());
        let (mode, time) = (found.mode() & 0o7777, (found.mtime(), found.mtime_nsec()));
        if found.is_dir() {
            lines.push(format!("{name}/ {mode:o} {time:?}"));
            list(&entry.path(), &format!("{name}/"), lines);
        } else {
            let digest = waft_core::digest::Digest::of(&fs::read(entry.path()).expect("it can be read"));
            lines.push(format!("{name} {mode:o} {time:?} {digest}"));
        }
    }
}
