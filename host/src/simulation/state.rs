//! The persistent state of a simulated board: a folder with its identity and its flash.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use waft_receiver::identity::{IMAGE_MAX, Identity, IdentityError};
use zeroize::Zeroizing;

use super::flash;
use crate::board::Storage;
use crate::error::{Class, Error, shown};
use crate::files::FileLock;
use crate::home::{Home, HomeError, read_at_most};

const IDENTITY: &str = "identity.bin";
const FLASH: &str = "flash.bin";
const LOG: &str = "log.bin";
const LOCK: &str = "power";

/// Longest file that is read as an identity image, in bytes. The image may fill a whole flash sector.
const IDENTITY_MAX: u64 = 64 << 10;

/// The sector of the identity image on a board that was never provisioned.
pub const UNPROVISIONED: [u8; IMAGE_MAX] = [0xFF; IMAGE_MAX];

/// The folder of one board. The lock lets only one process power the board on at a time.
#[derive(Debug)]
pub struct State {
    folder: Home,
    storage: Storage,
    _power: FileLock,
}

impl State {
    /// Opens the folder `path`, and creates it if necessary, with the flash of a board that has this storage.
    pub fn open(path: &Path, storage: &Storage) -> Result<Self, Error> {
        let folder = Home::at(path).map_err(|error| match error {
            HomeError::Folder { path, source } => Error::file(&path, source),
            error => error.into(),
        })?;
        let lock = folder.file(LOCK);
        let failed = |cause| Error::file(&lock, cause);
        let power = File::options().create(true).append(true).open(&lock).map_err(failed)?;
        let power = FileLock::try_lock(power).map_err(failed)?;
        let power = power.ok_or_else(|| powered_on(path))?;
        let state = Self { folder, storage: *storage, _power: power };
        flash::make(&state.flash(), storage)?;
        Ok(state)
    }

    /// Path of the folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Path of the identity image.
    pub fn identity(&self) -> PathBuf {
        self.folder.file(IDENTITY)
    }

    /// Parses the identity image. The inner result says whether it is valid.
    pub fn parse_identity(&self) -> Result<Result<Identity, IdentityError>, Error> {
        Ok(Identity::parse(&read_image(&self.identity())?))
    }

    /// Path of the flash file.
    pub fn flash(&self) -> PathBuf {
        self.folder.file(FLASH)
    }

    /// Path of the firmware's log.
    pub fn log(&self) -> PathBuf {
        self.folder.file(LOG)
    }

    /// Writes an identity image, and erases the settings that an earlier board left in the flash. A board that was
    /// provisioned with another identity keeps it, because nothing else holds its private key.
    pub fn flash_identity(&self, image: &[u8]) -> Result<(), Error> {
        let path = self.identity();
        match read_at_most(&path, IDENTITY_MAX).map(Zeroizing::new) {
            Ok(present) if present.as_slice() == image => return Ok(()),
            Ok(present) if !Identity::is_missing(&present) => return Err(other_identity(&path)),
            Ok(_) => {}
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => return Err(Error::file(&path, cause)),
        }
        self.erase_settings()?;
        self.folder.write(IDENTITY, image).map_err(|error| match error {
            HomeError::Write { path, source } => Error::file(&path, source),
            error => error.into(),
        })
    }

    /// Erases the settings, as the commands do that flash a real board: what another board or another layout left there
    /// would be taken for damaged settings.
    pub fn erase_settings(&self) -> Result<(), Error> {
        flash::erase_settings(&self.flash(), &self.storage)
    }
}

/// Reads a file that should be an identity image.
pub fn read_image(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    read_at_most(path, IDENTITY_MAX).map(Zeroizing::new).map_err(|cause| Error::file(path, cause))
}

/// The error for a simulated board whose identity would be overwritten.
fn other_identity(path: &Path) -> Error {
    Error::new(
        Class::Identity,
        format!("The board has another identity already: {}.", shown(path)),
        "Leave --identity or --unprovisioned out to run it as it is, or name another folder with --state to run the new board beside it. \
         That file may be the only copy of its private key: remove it only to give that board up.",
    )
}

/// The error for a simulated board that another process already runs.
fn powered_on(state: &Path) -> Error {
    Error::new(
        Class::Storage,
        format!("The board in {} is on already.", shown(state)),
        "End the other `waft simulate`, or run another board: --name NAME.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Board;
    use crate::platform;

    fn open(path: &Path) -> Result<State, Error> {
        State::open(path, &Board::named("mps2").unwrap().storage)
    }

    #[test]
    fn a_board_keeps_its_identity() {
        let folder = tempfile::tempdir().unwrap();
        let state = open(folder.path()).unwrap();
        state.flash_identity(b"image").unwrap();
        state.flash_identity(b"image").unwrap();
        let error = state.flash_identity(b"other").unwrap_err();
        assert!(error.to_string().contains("another identity"), "{error}");
        assert_eq!(read_image(&state.identity()).unwrap().as_slice(), b"image");
        assert_eq!(platform::check_private(&state.identity()).unwrap(), Ok(()));
    }

    #[test]
    fn a_new_identity_finds_no_settings_of_an_earlier_one() {
        let folder = tempfile::tempdir().unwrap();
        let state = open(folder.path()).unwrap();
        let [first, second] = state.storage.settings.map(|sector| sector as usize);
        let holds = |state: &State, byte: u8| {
            let flash = std::fs::read(state.flash()).unwrap();
            [first, second].iter().all(|sector| flash[*sector..][..flash::BLOCK].iter().all(|it| *it == byte))
                && flash[..8] == *b"WAFTSEED"
        };
        let fill = |state: &State| {
            let mut flash = std::fs::read(state.flash()).unwrap();
            [first, second].iter().for_each(|sector| flash[*sector..][..flash::BLOCK].fill(7));
            std::fs::write(state.flash(), flash).unwrap();
        };
        fill(&state);
        state.flash_identity(&UNPROVISIONED).unwrap();
        assert!(holds(&state, 0xFF));
        fill(&state);
        state.flash_identity(&UNPROVISIONED).unwrap();
        assert!(holds(&state, 7), "it is the same board");
        state.flash_identity(b"image").unwrap();
        assert!(holds(&state, 0xFF));
        fill(&state);
        assert!(state.flash_identity(&UNPROVISIONED).is_err() && holds(&state, 7));
    }

    #[test]
    fn a_board_is_powered_on_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("boards/a");
        let state = open(&path).unwrap();
        let error = open(&path).unwrap_err();
        assert!(error.to_string().contains("is on already"), "{error}");
        state.flash_identity(b"image").unwrap();
        drop(state);
        assert!(open(&path).unwrap().identity().exists());
    }
}
