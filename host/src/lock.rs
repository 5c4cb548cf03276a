//! File locks, by which processes exclude each other. They are those of the standard library: the system releases
//! them when a process ends, for whatever reason.

use std::fs::{File, TryLockError};
use std::io;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// An exclusive lock on a file, held until it is dropped. It excludes other processes and other handles of this
/// process.
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

    /// Waits for the lock; `None` if it cannot be acquired within `patience`. Blocks the thread.
    pub(crate) fn lock(file: File, patience: Duration) -> io::Result<Option<Self>> {
        // The system call waits without a limit, so it runs on a thread of its own. If it succeeds too late, nothing
        // receives the message, and dropping the message closes the file and releases the lock.
        let (sender, result) = channel();
        thread::spawn(move || sender.send(file.lock().map(|()| Self(file))));
        result.recv_timeout(patience).map_or(Ok(None), |locked| locked.map(Some))
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
    use super::*;

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
