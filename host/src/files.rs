//! Files that appear under their name only when they are complete and durable, and file locks, by which processes exclude
//! each other.
//!
//! create under a temporary name in the same folder -> write -> flush -> **rename** -> flush the folder
//!
//! Used by the configuration folder, `waft id cert`, `waft provision`, `waft seal` and the flash of a simulated board.
//! An interruption at any moment, or a full disk, leaves nothing or a file under the temporary name.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use tempfile::{Builder, NamedTempFile, TempPath};

use crate::platform;

/// A complete and durable file under a temporary name. Dropping it removes the file.
#[derive(Debug)]
pub(crate) struct NewFile(TempPath);

impl NewFile {
    /// Creates a file in `folder` that only its owner can read; `fill` writes its content.
    pub(crate) fn write(folder: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<Self> {
        Self::fill(begin(folder)?, fill)
    }

    /// Creates a file in `folder` that other users can read as the user's settings allow.
    #[cfg_attr(not(feature = "cli"), allow(dead_code))] // for the command
    pub(crate) fn write_public(folder: &Path, bytes: &[u8]) -> io::Result<Self> {
        Self::fill(builder().make_in(folder, |path| File::create_new(path))?, |file| file.write_all(bytes))
    }

    fn fill(new: NamedTempFile, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<Self> {
        let (mut file, path) = new.into_parts();
        fill(&mut file)?;
        file.sync_all()?;
        Ok(Self(path))
    }

    /// The file with this temporary name, which [`begin`] created. The caller has written and flushed it.
    #[cfg_attr(not(feature = "cli"), allow(dead_code))] // for the command
    pub(crate) fn durable(path: TempPath) -> Self {
        Self(path)
    }

    /// The path with the temporary name.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Renames the file to `path`, and replaces a file of that name. The caller flushes the folder.
    ///
    /// Not by `TempPath::persist`: on Windows that fails while another process reads the file to replace, and the
    /// standard library's rename does not.
    pub(crate) fn replace(mut self, path: &Path) -> io::Result<()> {
        std::fs::rename(&self.0, path)?;
        self.0.disable_cleanup(true);
        Ok(())
    }

    /// Renames the file to `path` and makes the name durable. Fails if anything has that name.
    pub(crate) fn publish(self, path: &Path) -> io::Result<Published> {
        match self.0.persist_noclobber(path) {
            Ok(()) => {}
            Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => return Err(failed.error),
            Err(failed) => Self(failed.path).publish_reserved(path)?,
        }
        let published = Published(TempPath::try_from_path(path)?);
        platform::sync_directory(folder_of(path))?;
        Ok(published)
    }

    /// Reserves the name with an empty file, and replaces that: for file systems such as FAT, where some systems can
    /// neither rename without replacing nor link.
    fn publish_reserved(self, path: &Path) -> io::Result<()> {
        File::create_new(path)?;
        let mut reserved = TempPath::try_from_path(path)?;
        self.replace(path)?;
        reserved.disable_cleanup(true);
        Ok(())
    }
}

/// A file under its final name. Dropping it removes the file unless it was kept.
#[must_use]
#[derive(Debug)]
pub(crate) struct Published(TempPath);

impl Published {
    /// Keeps the file.
    pub(crate) fn keep(mut self) {
        self.0.disable_cleanup(true);
    }
}

/// Creates an empty file in `folder`, under a temporary name, that only its owner can read. Dropping it removes the
/// file.
pub(crate) fn begin(folder: &Path) -> io::Result<NamedTempFile> {
    builder().make_in(folder, platform::create_private)
}

/// The folder that a file is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn builder() -> Builder<'static, 'static> {
    let mut builder = Builder::new();
    builder.prefix(".waft-");
    builder
}

/// An exclusive lock on a file, held until it is dropped. It excludes other processes and other handles of this
/// process. The lock is that of the standard library: the system releases it when a process ends, for whatever reason.
#[derive(Debug)]
pub(crate) struct FileLock(File);

impl FileLock {
    /// Locks the file without waiting; `None` if it is already locked.
    pub(crate) fn try_lock(file: File) -> io::Result<Option<Self>> {
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Waits for the lock; `None` if it cannot be acquired within `limit`. Blocks the thread.
    pub(crate) fn lock(file: File, limit: Duration) -> io::Result<Option<Self>> {
        // The system call waits without a limit, so it runs on a thread of its own. If it succeeds too late, nothing
        // receives the message, and dropping the message closes the file and releases the lock.
        let (sender, result) = channel();
        thread::spawn(move || sender.send(file.lock().map(|()| Self(file))));
        result.recv_timeout(limit).map_or(Ok(None), |locked| locked.map(Some))
    }

    /// The locked file.
    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.0
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Unlock explicitly: a child process may have inherited the descriptor, which would keep the file locked.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn new(folder: &Path) -> NewFile {
        NewFile::write(folder, |file| file.write_all(b"new")).unwrap()
    }

    fn names(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"old and longer").unwrap();
        new(folder.path()).replace(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(platform::check_private(&path).unwrap(), Ok(()));
        assert_eq!(names(folder.path()), 1);
    }

    #[test]
    fn a_published_file_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        type Publish = fn(NewFile, &Path) -> io::Result<()>;
        let ways: [Publish; 2] = [|new, path| new.publish(path).map(Published::keep), NewFile::publish_reserved];
        for publish in ways {
            publish(new(folder.path()), &path).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"new");
            fs::write(&path, b"precious").unwrap();
            let error = publish(new(folder.path()), &path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read(&path).unwrap(), b"precious");
            assert_eq!(names(folder.path()), 1, "the temporary file is gone");
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn what_is_not_kept_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        drop(new(folder.path()));
        drop(new(folder.path()).publish(&path).unwrap());
        let full = NewFile::write(folder.path(), |_| Err(io::ErrorKind::StorageFull.into())).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        assert_eq!(names(folder.path()), 0);
    }

    #[test]
    fn one_holds_the_lock_at_a_time() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || File::options().write(true).open(file.path()).unwrap();
        let mut first = FileLock::try_lock(open()).unwrap().expect("it is free");
        first.file().set_len(7).unwrap();
        assert!(FileLock::try_lock(open()).unwrap().is_none());
        assert!(FileLock::lock(open(), Duration::from_millis(50)).unwrap().is_none());
        let waiting = open();
        let second = thread::spawn(move || FileLock::lock(waiting, Duration::from_secs(60)).unwrap());
        drop(first);
        assert!(second.join().unwrap().is_some());
        assert!(
            FileLock::lock(open(), Duration::from_secs(60)).unwrap().is_some(),
            "the one that came too late has gone"
        );
    }
}
