//! The configuration folder: who we are (`identity`) and whom we trust (`trust`).
//!
//! Files are replaced whole: written beside their place, flushed, renamed. Two processes that change the same file take
//! turns by a lock.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcetera::BaseStrategy;
use rand_core::{OsRng, RngCore};

use crate::lock::FileLock;
use crate::platform::{self, TooOpen};
use crate::trouble::is_disk_full;

/// The environment variable that names another folder.
const VARIABLE: &str = "WAFT_HOME";

const LOCK: &str = "lock";
/// A change takes milliseconds; who holds the lock longer hangs.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// The folder, which exists.
#[derive(Clone, Debug)]
pub struct Home {
    path: PathBuf,
}

impl Home {
    /// The folder that `WAFT_HOME` names, else the platform's place for configuration; made if there is none.
    pub fn open() -> Result<Self, HomeError> {
        match std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
            Some(path) => Self::at(path),
            None => {
                let places = etcetera::choose_base_strategy().map_err(|_| HomeError::Nowhere)?;
                Self::at(places.config_dir().join("waft"))
            }
        }
    }

    /// The folder `path`; made, for its owner alone, if there is none.
    pub fn at(path: impl AsRef<Path>) -> Result<Self, HomeError> {
        let given = path.as_ref();
        let failed = |source| HomeError::Folder { path: given.to_owned(), source };
        let path = std::path::absolute(given).map_err(failed)?;
        platform::create_private_directory(&path).map_err(failed)?;
        platform::check_unchangeable(&path).map_err(failed)??;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the file `name` is.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The bytes of a file; `None` if there is none. One that others can change is not read.
    pub fn read(&self, name: &str, max: u64) -> Result<Option<Vec<u8>>, HomeError> {
        let path = self.file(name);
        let checked = platform::check_unchangeable(&path);
        match checked.and_then(|checked| read_at_most(&path, max).map(|bytes| checked.map(|()| bytes))) {
            Ok(checked) => Ok(Some(checked?)),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(HomeError::Read { path, source }),
        }
    }

    /// Replaces a file, or makes it, readable by its owner alone. After a crash it holds either the old bytes or the
    /// new.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), HomeError> {
        self.write_all(&[(name, bytes)])
    }

    /// The same with several files. All are written beside their places before the first is replaced: a full disk
    /// changes none.
    pub fn write_all(&self, files: &[(&str, &[u8])]) -> Result<(), HomeError> {
        let failed = |name: &str| {
            let path = self.file(name);
            |source| HomeError::Write { path, source }
        };
        let mut written = Vec::new();
        for (name, bytes) in files {
            written.push(Beside::write(&self.path, |file| file.write_all(bytes)).map_err(failed(name))?);
        }
        for ((name, _), beside) in files.iter().zip(&written) {
            std::fs::rename(&beside.0, self.file(name)).map_err(failed(name))?;
        }
        platform::sync_directory(&self.path).map_err(|source| HomeError::Write { path: self.path.clone(), source })
    }

    /// Fails where a new file can be read by others: the file system keeps no permission bits.
    pub(crate) fn check_keeps_private(&self) -> Result<(), HomeError> {
        let failed = |source| HomeError::Write { path: self.path.clone(), source };
        let probe = Beside::write(&self.path, |_| Ok(())).map_err(failed)?;
        let private = platform::check_private(&probe.0).map_err(failed)?;
        private.map_err(|_| HomeError::NotPrivate { path: self.path.clone() })
    }

    /// Copies those of the files that there are to names with the same number behind, which are free. Names the first
    /// copy.
    pub(crate) fn back_up(&self, names: &[&str]) -> Result<Option<PathBuf>, HomeError> {
        let numbered = |name: &str, number: u32| format!("{name}.{number}");
        let is_taken = |number: &u32| names.iter().any(|name| self.file(&numbered(name, *number)).exists());
        let number = (1..).find(|number| !is_taken(number)).expect("no folder has that many files");
        let mut first = None;
        for name in names {
            let path = self.file(name);
            let mut from = match File::open(&path) {
                Err(source) if source.kind() == io::ErrorKind::NotFound => continue,
                from => from.map_err(|source| HomeError::Read { path, source })?,
            };
            let copy = numbered(name, number);
            self.write_with(&copy, |file| io::copy(&mut from, file).map(drop))?;
            first.get_or_insert(self.file(&copy));
        }
        Ok(first)
    }

    /// As [`write`](Self::write), with what `fill` writes.
    pub(crate) fn write_with(
        &self,
        name: &str,
        fill: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<(), HomeError> {
        let path = self.file(name);
        let written = Beside::write(&self.path, fill).and_then(|beside| std::fs::rename(&beside.0, &path));
        written.and_then(|()| platform::sync_directory(&self.path)).map_err(|source| HomeError::Write { path, source })
    }

    /// Waits until no other process changes this folder, and keeps others from it until the lock is dropped.
    pub fn lock(&self) -> Result<Lock, HomeError> {
        let path = self.file(LOCK);
        let failed = |source| HomeError::Write { path: path.clone(), source };
        let file = File::options().create(true).append(true).open(&path).map_err(failed)?;
        match FileLock::lock(file, LOCK_PATIENCE).map_err(failed)? {
            Some(lock) => Ok(Lock { _lock: lock }),
            None => Err(HomeError::Locked { path }),
        }
    }
}

/// This process's turn to change the folder.
#[derive(Debug)]
pub struct Lock {
    _lock: FileLock,
}

/// Why the configuration folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The platform knows no home of this user.
    #[error("this user has no home folder; name a folder for waft's configuration in WAFT_HOME")]
    Nowhere,
    /// The folder is not there and cannot be made.
    #[error("cannot make the configuration folder {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file in it cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file in it cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The folder, or a file in it, can be changed by others.
    #[error(transparent)]
    TooOpen(#[from] TooOpen),
    /// What is written there can be read by others.
    #[error("{}: its file system keeps no permission bits, so other users could read a private key there", path.display())]
    NotPrivate {
        /// The folder.
        path: PathBuf,
    },
    /// Another process keeps the lock.
    #[error("another waft has held {} for 10 s; end it and try again", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
}

impl HomeError {
    /// Whether nothing is wrong but that the disk is full.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Folder { source, .. } | Self::Write { source, .. } => is_disk_full(source.kind()),
            Self::Nowhere | Self::Read { .. } | Self::Locked { .. } | Self::TooOpen(_) | Self::NotPrivate { .. } => {
                false
            }
        }
    }
}

/// The bytes of a file that is no longer than `max`.
pub(crate) fn read_at_most(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    read_stream_at_most(File::open(path)?, max)
}

/// All bytes of a stream that has no more than `max`.
pub(crate) fn read_stream_at_most(stream: impl Read, max: u64) -> io::Result<Vec<u8>> {
    // With room for all of it: where private keys are read, a buffer that grows would leave copies behind.
    let mut bytes = Vec::with_capacity(max as usize + 1);
    stream.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {max} bytes")));
    }
    Ok(bytes)
}

/// A file that is to take another's place; removed unless it does.
struct Beside(PathBuf);

impl Beside {
    fn write(folder: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<Self> {
        let path = folder.join(format!(".new-{:016x}", OsRng.next_u64()));
        let mut file = platform::create_private(&path)?;
        let beside = Self(path);
        fill(&mut file)?;
        file.sync_all()?;
        Ok(beside)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // Once it has the other's place, nothing is there; a leftover is only untidy.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().join("deep/home")).unwrap();
        (folder, home)
    }

    #[test]
    fn files_are_replaced_whole_and_private() {
        let (_folder, home) = home();
        assert!(home.read("a", 10).unwrap().is_none());
        home.write("a", b"long text").unwrap();
        home.write_all(&[("a", b"short"), ("b", b"")]).unwrap();
        assert_eq!(home.read("a", 10).unwrap().unwrap(), b"short");
        assert_eq!(platform::check_private(&home.file("a")).unwrap(), Ok(()));
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 2, "nothing is left over");
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let (_folder, home) = home();
        std::fs::create_dir(home.file("a")).unwrap();
        assert!(matches!(home.write("a", b"x"), Err(HomeError::Write { .. })));
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    fn long_files_are_refused() {
        let (_folder, home) = home();
        home.write("a", &[0; 11]).unwrap();
        let Err(HomeError::Read { source, .. }) = home.read("a", 10) else { panic!("must not read") };
        assert_eq!(source.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn the_lock_gives_turns() {
        let (_folder, home) = home();
        let first = home.lock().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let (home, is_over) = (home.clone(), over.clone());
        let second = std::thread::spawn(move || home.lock().map(|_| is_over.load(Ordering::SeqCst)).unwrap());
        // Time enough for a lock that holds nobody up.
        std::thread::sleep(Duration::from_millis(100));
        over.store(true, Ordering::SeqCst);
        drop(first);
        assert!(second.join().unwrap(), "the second had its turn before the first was over");
    }

    #[cfg(unix)]
    #[test]
    fn what_others_can_change_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_folder, home) = home();
        home.write("a", b"x").unwrap();
        let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        for mode in [0o620, 0o602] {
            set(&home.file("a"), mode);
            assert!(matches!(home.read("a", 10), Err(HomeError::TooOpen(_))), "{mode:o}");
        }
        set(&home.file("a"), 0o644);
        assert!(home.read("a", 10).unwrap().is_some());
        for (mode, fits) in [(0o755, true), (0o770, false), (0o702, false), (0o700, true)] {
            set(home.path(), mode);
            assert_eq!(Home::at(home.path()).is_ok(), fits, "{mode:o}");
        }
        if crate::needs::is_root() {
            for path in [home.file("a"), home.path().to_owned()] {
                std::os::unix::fs::chown(&path, Some(crate::needs::NOBODY), None).unwrap();
                let error = home.read("a", 10).unwrap_err();
                assert!(error.to_string().contains("belongs to another user"), "{error}");
                assert!(path.is_file() || Home::at(home.path()).is_err());
            }
        }
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("home"), b"").unwrap();
        assert!(matches!(Home::at(folder.path().join("home")), Err(HomeError::Folder { .. })));
    }
}
