//! What a simulated board keeps from one power-on to the next: a folder with its identity and its flash.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::flash;
use crate::error::Error;
use crate::home::{Home, HomeError, read_at_most};

const IDENTITY: &str = "identity.bin";
const FLASH: &str = "flash.bin";
const LOG: &str = "log.bin";
const LOCK: &str = "power";

/// Longest identity image that is read, in bytes: the board judges it.
const IDENTITY_MAX: u64 = 64 << 10;

/// The folder of one board, which is powered on by one process at a time.
#[derive(Debug)]
pub struct State {
    folder: Home,
    _power: File,
}

impl State {
    /// The folder `path`, made if there is none, with a flash in it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let folder = Home::at(path).map_err(|error| match error {
            HomeError::Folder { path, source } => Error::File(path, source),
            error => Error::Home(error),
        })?;
        let lock = folder.file(LOCK);
        let failed = |cause| Error::File(lock.clone(), cause);
        let power = File::options().create(true).append(true).open(&lock).map_err(failed)?;
        match power.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::PoweredOn(path.to_owned())),
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        let state = Self { folder, _power: power };
        flash::make(&state.flash())?;
        Ok(state)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The file with its identity image.
    pub fn identity(&self) -> PathBuf {
        self.folder.file(IDENTITY)
    }

    /// The file that is its flash.
    pub fn flash(&self) -> PathBuf {
        self.folder.file(FLASH)
    }

    /// The file for the firmware's log.
    pub fn log(&self) -> PathBuf {
        self.folder.file(LOG)
    }

    /// Flashes an identity image.
    pub fn flash_identity(&self, image: &[u8]) -> Result<(), Error> {
        self.folder.write(IDENTITY, image).map_err(|error| match error {
            HomeError::Write { path, source } => Error::File(path, source),
            error => Error::Home(error),
        })
    }
}

/// An identity image in a file; the board finds out whether it is a good one.
pub fn read_image(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    read_at_most(path, IDENTITY_MAX).map(Zeroizing::new).map_err(|cause| Error::File(path.to_owned(), cause))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform;

    #[test]
    fn a_board_is_powered_on_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("boards/a");
        let state = State::open(&path).unwrap();
        assert!(matches!(State::open(&path), Err(Error::PoweredOn(_))));
        state.flash_identity(b"image").unwrap();
        assert_eq!(read_image(&state.identity()).unwrap().as_slice(), b"image");
        assert_eq!(platform::check_private(&state.identity()).unwrap(), Ok(()));
        drop(state);
        assert!(State::open(&path).unwrap().identity().exists());
    }
}
