//! Locks on files, by which processes take turns. They are std's: the system releases them when a process ends, however
//! it ends.

use std::fs::{File, TryLockError};
use std::io;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// A file that is locked, until this is dropped. Other processes and other handles of this one are kept out.
#[derive(Debug)]
pub(crate) struct FileLock(File);

impl FileLock {
    /// Locks the file at once; `None` where it is locked already.
    pub(crate) fn try_lock(file: File) -> io::Result<Option<Self>> {
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Waits for its turn; `None` where the lock is not free within `patience`. Blocks the thread.
    pub(crate) fn lock(file: File, patience: Duration) -> io::Result<Option<Self>> {
        // The system's lock waits without a limit, so it waits in a thread of its own. Where that comes too late, the file
        // is dropped with the message that nobody receives, and the lock with it.
        let (tell, told) = channel();
        thread::spawn(move || tell.send(file.lock().map(|()| Self(file))));
        told.recv_timeout(patience).map_or(Ok(None), |locked| locked.map(Some))
    }

    /// The file.
    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.0
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // A child process may have inherited the descriptor, which would keep the lock.
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
