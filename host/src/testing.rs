//! What the tests of several modules share: sample folders, archives, and TCP connections within this process.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use cap_std::fs::Dir;
use embassy_futures::block_on;
use tokio::net::{TcpListener, TcpStream};
use waft_core::digest::Digest;
use waft_core::session::sender::{ArchiveInfo, Source};

use crate::folder::{Folder, FolderSource, Options};
use crate::platform::holds_name;

/// An archive in memory.
pub(crate) struct Archive {
    pub(crate) info: ArchiveInfo,
    pub(crate) bytes: Vec<u8>,
    pub(crate) root: Digest,
}

/// Creates a folder with all kinds of names, sizes, modes and times that this system supports.
pub(crate) fn plant(root: &Path) {
    let files: [(&str, usize, u32); 12] = [
        ("-rf", 10, 0o644),
        ("a b/ leading space", 1, 0o600),
        ("a b/trailing dot.", 2, 0o755),
        ("a/x/y/z.txt", 5000, 0o640),
        ("a-b", 0, 0o444),
        ("aux.c", 100, 0o644),
        ("big.bin", 300_000, 0o644),
        ("con", 3, 0o777),
        ("ünï/ço:d\\é*?", 77, 0o400),
        ("ünï/empty", 0, 0o644),
        ("z/日本", 31, 0o604),
        ("zz", 1, 0o404),
    ];
    let held = files.into_iter().filter(|(name, ..)| name.split('/').all(holds_name));
    for (at, (name, size, mode)) in held.enumerate() {
        put(root, name, &content(at, size), mode);
    }
    for name in ["empty", "a/empty", "z/e/e", "zzz"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    for (name, mode) in [("a/x", 0o750), ("z/e", 0o700), ("empty", 0o555), ("a b", 0o755)] {
        set_mode(&root.join(name), mode);
    }
    for (at, name) in ["z/e/e", "z/e", "z", "a/x/y", "a/x", "a", "empty", "ünï"].into_iter().enumerate() {
        set_dir_time(&root.join(name), 900_000_000 + at as u64);
    }
}

/// Writes a file and creates its parent folders.
pub(crate) fn put(root: &Path, name: &str, content: &[u8], mode: u32) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    set_time(&path, 1_000_000_000 + content.len() as u64);
    set_mode(&path, mode);
}

/// Bytes that differ from file to file and do not repeat.
pub(crate) fn content(seed: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(2_654_435_761).wrapping_add(seed * 977) >> 7) as u8).collect()
}

/// Runs a test again as an unprivileged user if this user is root, whom no mode keeps from a file. Returns whether it
/// did so.
#[cfg(unix)]
#[track_caller]
pub(crate) fn again_unprivileged(test: &str) -> bool {
    use std::os::unix::process::CommandExt as _;

    use crate::needs::{NOBODY, again, is_root};

    if !is_root() {
        return false;
    }
    let mut within = std::process::Command::new("env");
    within.uid(NOBODY).gid(NOBODY);
    again(test, within);
    true
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    #[cfg(not(unix))]
    let _ = (path, mode);
}

pub(crate) fn set_time(path: &Path, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::new(seconds, 123_456_789);
    // Windows changes the time only of a file that was opened for writing; Unix cannot open a directory for writing.
    let file = fs::OpenOptions::new().read(true).write(path.is_file()).open(path);
    file.unwrap().set_modified(time).unwrap();
}

fn set_dir_time(path: &Path, seconds: u64) {
    if cfg!(unix) {
        set_time(path, seconds);
    }
}

/// The whole archive of a folder.
pub(crate) fn archive(folder: &Path) -> Archive {
    let root = Dir::open_ambient_dir(folder, cap_std::ambient_authority()).unwrap();
    let walked = Folder::walk_dir(root, folder, &Options::default());
    let mut source = FolderSource::new(walked.unwrap());
    let bytes = read_all(&mut source, 4096);
    Archive { info: source.info(), bytes, root: source.root().unwrap() }
}

/// Reads a source to its end, in pieces of `piece` bytes.
pub(crate) fn read_all(source: &mut FolderSource, piece: usize) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; piece]);
    loop {
        let got = block_on(source.read(&mut buffer)).unwrap();
        all.extend_from_slice(&buffer[..got]);
        if got < piece {
            return all;
        }
    }
}

/// All entries below a folder as text, to be compared.
pub(crate) fn snapshot(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    look(folder, "", &mut lines);
    lines
}

fn look(folder: &Path, below: &str, lines: &mut Vec<String>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()).collect();
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let found = entry.path().symlink_metadata().unwrap();
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        let time = found.modified().unwrap();
        let mode = mode(&found);
        if found.is_dir() {
            // On other systems the time of a folder is that of the last change in it.
            let time = cfg!(unix).then_some(time);
            lines.push(format!("{name}/ {mode:o} {time:?}"));
            look(&entry.path(), &format!("{name}/"), lines);
        } else if found.is_symlink() {
            lines.push(format!("{name} -> {}", fs::read_link(entry.path()).unwrap().display()));
        } else {
            let digest = Digest::of(&fs::read(entry.path()).unwrap());
            lines.push(format!("{name} {mode:o} {time:?} {} {digest}", found.len()));
        }
    }
}

#[cfg(unix)]
fn mode(found: &fs::Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::mode(found) & 0o7777
}

#[cfg(not(unix))]
fn mode(_found: &fs::Metadata) -> u32 {
    0
}

/// The two ends of a TCP connection: first the one that connected, then the accepted one.
pub(crate) async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (dialled, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (dialled.unwrap(), accepted.unwrap().0)
}
