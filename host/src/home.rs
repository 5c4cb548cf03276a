//! The configuration folder. It holds this machine's identity ([`crate::identity`]) and the trusted peers
//! ([`crate::trust`]).
//!
//! Files are replaced atomically, see `crate::files`. A lock file serializes the changes of several processes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::error::Class::{Identity, Storage};
use crate::error::{Error, is_disk_full};
use crate::files::{FileLock, NewFile};
pub use crate::platform::{Openness, TooOpen};

use crate::platform;

const LOCK: &str = "lock";
/// How long to wait for the lock. A change takes milliseconds, so a process that holds the lock longer hangs.
const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// The configuration folder, which exists.
#[derive(Clone, Debug)]
pub struct Home {
    path: PathBuf,
}

impl Home {
    /// Opens the folder `path`. Creates it, accessible only to its owner, if it does not exist.
    pub fn at(path: impl AsRef<Path>) -> Result<Self, HomeError> {
        let given = path.as_ref();
        let failed = |source| HomeError::Folder { path: given.to_owned(), source };
        let path = std::path::absolute(given).map_err(failed)?;
        platform::create_private_directory(&path).map_err(failed)?;
        platform::check_unchangeable(&path).map_err(failed)??;
        Ok(Self { path })
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of the file `name` in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads a file; `None` if it does not exist. A file that other users can change is rejected.
    pub fn read(&self, name: &str, max: u64) -> Result<Option<Vec<u8>>, HomeError> {
        let path = self.file(name);
        let checked = platform::check_unchangeable(&path);
        match checked.and_then(|checked| read_at_most(&path, max).map(|bytes| checked.map(|()| bytes))) {
            Ok(checked) => Ok(Some(checked?)),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(HomeError::Read { path, source }),
        }
    }

    /// Creates or replaces a file that only its owner can read. After a crash it holds either the old or the new
    /// bytes.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), HomeError> {
        self.write_all(&[(name, bytes)])
    }

    /// Creates or replaces several files, as [`write`](Self::write) does. All of them are written under temporary
    /// names before the first one is replaced, so a full disk changes none.
    pub fn write_all(&self, files: &[(&str, &[u8])]) -> Result<(), HomeError> {
        let failed = |name: &str| {
            let path = self.file(name);
            |source| HomeError::Write { path, source }
        };
        let mut written = Vec::new();
        for (name, bytes) in files {
            written.push(NewFile::write(&self.path, |file| file.write_all(bytes)).map_err(failed(name))?);
        }
        for ((name, _), new) in files.iter().zip(written) {
            new.replace(&self.file(name)).map_err(failed(name))?;
        }
        platform::sync_directory(&self.path).map_err(|source| HomeError::Write { path: self.path.clone(), source })
    }

    /// Returns an error if other users could read a new file in this folder because its file system keeps no
    /// permission bits.
    pub(crate) fn check_keeps_private(&self) -> Result<(), HomeError> {
        let failed = |source| HomeError::Write { path: self.path.clone(), source };
        let probe = NewFile::write(&self.path, |_| Ok(())).map_err(failed)?;
        let private = platform::check_private(probe.path()).map_err(failed)?;
        private.map_err(|_| HomeError::NotPrivate { path: self.path.clone() })
    }

    /// Copies those of the files that exist to `NAME.N`, where N is the first number that is free for all of them.
    /// Returns the path of the first copy.
    pub(crate) fn back_up(&self, names: &[&str]) -> Result<Option<PathBuf>, HomeError> {
        let numbered = |name: &str, number: u32| format!("{name}.{number}");
        let is_taken = |number: &u32| names.iter().any(|name| self.file(&numbered(name, *number)).exists());
        let number =
            (1..).find(|number| !is_taken(number)).expect("a folder has fewer than four thousand million files");
        let mut first = None;
        for name in names {
            let path = self.file(name);
            let mut from = match File::open(&path) {
                Err(source) if source.kind() == io::ErrorKind::NotFound => continue,
                from => from.map_err(|source| HomeError::Read { path, source })?,
            };
            let copy = numbered(name, number);
            self.write_with(&copy, |file| copy_secret(&mut from, file))?;
            first.get_or_insert(self.file(&copy));
        }
        Ok(first)
    }

    /// Creates or replaces a file as [`write`](Self::write) does; `fill` writes its content.
    pub(crate) fn write_with(
        &self,
        name: &str,
        fill: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<(), HomeError> {
        let path = self.file(name);
        let written = NewFile::write(&self.path, fill).and_then(|new| new.replace(&path));
        written.and_then(|()| platform::sync_directory(&self.path)).map_err(|source| HomeError::Write { path, source })
    }

    /// Locks the folder against changes by other processes until the returned lock is dropped. Waits while another
    /// process holds the lock.
    pub fn lock(&self) -> Result<Lock, HomeError> {
        let path = self.file(LOCK);
        let failed = |source| HomeError::Write { path: path.clone(), source };
        let file = File::options().create(true).append(true).open(&path).map_err(failed)?;
        match FileLock::lock(file, LOCK_LIMIT).map_err(failed)? {
            Some(lock) => Ok(Lock { _lock: lock }),
            None => Err(HomeError::Locked { path }),
        }
    }
}

/// The lock on the folder, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _lock: FileLock,
}

/// Why the configuration folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The folder does not exist and cannot be created.
    #[error("cannot make the configuration folder {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file in the folder cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file in the folder cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Other users can change the folder or a file in it.
    #[error(transparent)]
    TooOpen(#[from] TooOpen),
    /// Other users can read new files in the folder.
    #[error("{}: its file system keeps no permission bits, so other users could read a private key there", path.display())]
    NotPrivate {
        /// The folder.
        path: PathBuf,
    },
    /// Another process holds the lock.
    #[error("another waft has held {} for 10 s; end it and try again", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
}

impl From<HomeError> for Error {
    fn from(error: HomeError) -> Self {
        let (class, what, next) = if error.is_disk_full() {
            (
                Storage,
                format!("Identity and trust cannot be stored: {error}."),
                "Make room on that disk, or name a folder on another one in WAFT_HOME. What was there before is as it was.",
            )
        } else if let HomeError::NotPrivate { .. } = error {
            (
                Identity,
                format!("Identity and trust cannot be stored: {error}."),
                "Name a folder on another file system in WAFT_HOME. Nothing was written.",
            )
        } else {
            (
                Identity,
                format!("Identity and trust cannot be opened: {error}."),
                "Look at the folder's owner and permissions, or name another one in WAFT_HOME.",
            )
        };
        Self::new(class, what, next).caused_by(error)
    }
}

impl HomeError {
    /// Whether the cause is a full disk.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Folder { source, .. } | Self::Write { source, .. } => is_disk_full(source.kind()),
            Self::Read { .. } | Self::Locked { .. } | Self::TooOpen(_) | Self::NotPrivate { .. } => false,
        }
    }
}

/// Copies a stream to its end. Unlike [`io::copy`], this wipes its buffer, because the bytes may be private keys.
fn copy_secret(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut buffer = Zeroizing::new(vec![0; 4096]);
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads a file of at most `max` bytes.
pub(crate) fn read_at_most(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    read_stream_at_most(File::open(path)?, max)
}

/// Reads a stream of at most `max` bytes to its end.
pub(crate) fn read_stream_at_most(stream: impl Read, max: u64) -> io::Result<Vec<u8>> {
    // The full capacity is allocated first: when a buffer with private keys grows, it leaves copies behind.
    let mut bytes = Vec::with_capacity(max as usize + 1);
    stream.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {max} bytes")));
    }
    Ok(bytes)
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
    fn backups_are_complete() {
        let (_folder, home) = home();
        let long: Vec<u8> = (0..10_000u32).flat_map(u32::to_le_bytes).collect();
        home.write("a", &long).unwrap();
        for number in 1..3 {
            assert_eq!(home.back_up(&["none", "a"]).unwrap(), Some(home.file(&format!("a.{number}"))));
            assert_eq!(home.read(&format!("a.{number}"), 1 << 20).unwrap().unwrap(), long);
        }
        assert_eq!(home.back_up(&["none"]).unwrap(), None);
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
        // Long enough for the second thread to continue if the lock did not block it.
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
