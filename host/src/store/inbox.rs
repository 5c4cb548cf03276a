//! An inbox: a directory in which each sender has a directory of its own, with the folders that it sent side by side.
//!
//! ```text
//! DIR/anna/photos           the folder `photos` of the sender that is trusted as `anna`
//! DIR/anna/.photos.waft     its staging area, while it is received
//! ```
//!
//! The sender's directory has the name that this machine's user gave the sender in the trust list. The folder's name is the
//! sender's choice, so it is checked as the names in a folder are: this platform has to hold it, it has to be the only
//! one of its spelling, and no link is followed. `place` and everything after it work as for a single target.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fs, io};

use waft_core::limits::COMPONENT_MAX;
use waft_core::session::StoreError;

use super::blocking::BlockingStore;
use super::check::left_behind;
use super::error::{Failure, Result};
use super::place::{Place, is_staging_name, staged_target, staging_name};
use super::{Earlier, LeftBehind, Note};
use crate::error::{Cause, FileError};
use crate::name::Name;
use crate::platform;

/// The place where an inbox looks at its directory before a folder has a name. No sender can have this name, because
/// names of peers do not begin with a dot.
const NEUTRAL: &str = ".inbox";

/// An inbox.
pub(super) struct Inbox {
    /// Absolute path of its directory.
    path: PathBuf,
    /// The name of the sender of the next folder.
    pub(super) sender: Option<Name>,
}

impl Inbox {
    /// Opens the inbox at `path`, and creates its directory if it does not exist.
    pub(super) fn open(path: &Path) -> std::result::Result<Self, FileError> {
        create(path)?;
        let path = path.canonicalize().map_err(|error| FileError::new(path, error))?;
        Ok(Self { path, sender: None })
    }

    /// The absolute path of its directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The place that stands for the inbox as a whole.
    pub(super) fn neutral(&self) -> std::result::Result<Place, FileError> {
        Place::of(&self.path.join(NEUTRAL))
    }

    /// The place of the sender's folder with this name. Creates the sender's directory.
    fn place(&self, folder: &str) -> Result<Place> {
        let Some(sender) = &self.sender else { return Err(StoreError::FolderName.into()) };
        let of_sender = self.path.join(sender.as_str());
        let target = of_sender.join(folder);
        let unfit = |cause| Failure::At(StoreError::FolderName, FileError::new(&target, cause));
        if is_staging_name(folder.as_ref()) {
            return Err(unfit(Cause::StagingName));
        }
        let is_too_long = staging_name(folder.as_ref()).len() > COMPONENT_MAX;
        if is_too_long || !platform::holds_name(folder) {
            return Err(unfit(Cause::NotHeld));
        }
        if !platform::holds_name(sender.as_str()) {
            return Err(Failure::At(StoreError::NotWritable, FileError::new(&of_sender, Cause::SenderName)));
        }
        create(&of_sender)?;
        match target.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(FileError::new(&target, error).into()),
            Ok(found) if !found.is_dir() => return Err(unfit(Cause::NotAFolder)),
            Ok(_) => {
                let names = fs::read_dir(&of_sender).map_err(|error| FileError::new(&of_sender, error))?;
                let has_it = names.flatten().any(|entry| entry.file_name() == folder);
                if !has_it {
                    // The file system takes another name for the same.
                    return Err(unfit(Cause::OtherSpelling));
                }
            }
        }
        Ok(Place::of(&target)?)
    }

    /// The targets of staging areas, in which a process may have been interrupted. Leaves out directories that are no
    /// sender's or cannot be read, such as `lost+found`.
    fn staged(&self) -> std::result::Result<Vec<PathBuf>, FileError> {
        let mut targets = Vec::new();
        for sender in directories(&self.path).map_err(|error| FileError::new(&self.path, error))? {
            if sender.to_str().is_none_or(|name| Name::new(name).is_err()) {
                continue;
            }
            let sender = self.path.join(sender);
            let staging = directories(&sender).unwrap_or_default();
            let staged = staging.iter().filter_map(|staging| staged_target(staging));
            targets.extend(staged.map(|target| sender.join(target)));
        }
        Ok(targets)
    }
}

/// What was done about processes that were interrupted.
#[derive(Default)]
pub(super) struct Tidied {
    /// What was done, each once.
    pub(super) earlier: Vec<Earlier>,
    /// What the user should know about an inbox.
    pub(super) notes: Vec<Note>,
}

impl BlockingStore {
    /// Chooses the place for the folder of this name, if this is an inbox.
    pub(super) fn choose(&mut self, folder: Option<&str>) -> Result<()> {
        let Some(inbox) = &self.inbox else { return Ok(()) };
        let place = inbox.place(folder.ok_or(StoreError::FolderName)?)?;
        self.move_to(place);
        // The directory of a sender may be on another file system.
        self.capabilities = None;
        Ok(())
    }

    /// Leaves the staging area of the place before, which a transfer that was dropped still has open.
    fn move_to(&mut self, place: Place) {
        self.suspend();
        self.place = place;
    }

    /// The next session is with this sender.
    pub(super) fn expect(&mut self, sender: &Name) -> std::result::Result<(), FileError> {
        if let Some(inbox) = &mut self.inbox {
            inbox.sender = Some(sender.clone());
        }
        self.forget_place()
    }

    /// Leaves the place of the folder before, if this is an inbox: the next one has no name yet.
    pub(super) fn forget_place(&mut self) -> std::result::Result<(), FileError> {
        if let Some(inbox) = &self.inbox {
            let neutral = inbox.neutral()?;
            self.move_to(neutral);
        }
        Ok(())
    }

    /// Runs `work` in each place in which a process may have been interrupted. Where it fails in an inbox, the other
    /// places are not affected: the next transfer to that place reports it.
    pub(super) fn in_staged_places(&self, work: impl Fn(&Place) -> Result<Option<Earlier>>) -> Result<Tidied> {
        let mut tidied = Tidied::default();
        let Some(inbox) = &self.inbox else {
            tidied.earlier.extend(work(&self.place)?);
            return Ok(tidied);
        };
        let mut parts = 0;
        for target in inbox.staged()? {
            let place = Place::of(&target).map_err(Failure::Io);
            let done = place.and_then(|place| Ok((work(&place)?, left_behind(&place))));
            match done {
                Ok((earlier, left)) => {
                    tidied.earlier.extend(earlier.filter(|earlier| !tidied.earlier.contains(earlier)));
                    parts += u32::from(matches!(left, Some(LeftBehind::Part(_))));
                }
                // Another process receives there at the moment.
                Err(Failure::At(StoreError::InUse, _)) => {}
                Err(Failure::At(_, why) | Failure::Io(why)) => tidied.notes.push(Note::Untidied(why.to_string())),
                Err(Failure::Refused(_)) => {
                    let why = FileError::new(&target, io::Error::from(io::ErrorKind::InvalidData));
                    tidied.notes.push(Note::Untidied(why.to_string()));
                }
            }
        }
        tidied.notes.extend((parts > 0).then_some(Note::Parts(parts)));
        Ok(tidied)
    }
}

/// Creates a directory in an existing one, if it does not exist.
fn create(path: &Path) -> std::result::Result<(), FileError> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(FileError::new(path, Cause::NotAFolder)),
        created => created.map_err(|error| FileError::new(path, error)),
    }
}

/// The names of the directories in a directory, without links to directories.
fn directories(path: &Path) -> io::Result<Vec<OsString>> {
    let is_directory = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let entries = fs::read_dir(path)?.flatten();
    Ok(entries.filter(is_directory).map(|entry| entry.file_name()).collect())
}
