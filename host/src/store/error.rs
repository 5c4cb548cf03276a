//! The errors of the store, with the part for the session and the part for the user.

use std::io::ErrorKind;

use waft_core::session::StoreError;
use waft_core::wire::message::Kibibytes;

use crate::error::Class::{Refused, Storage};
use crate::error::{Cause, Error, FileError, more_space};
use crate::folder::entries::EntriesError;
use crate::worker::is_given_up;

pub(super) type Result<T> = std::result::Result<T, Failure>;

/// A failure, before the store splits it into a [`StoreError`] and a [`FileError`].
#[derive(Debug)]
pub(super) enum Failure {
    /// The file system reported an error, from which the error for the session is derived.
    Io(FileError),
    /// An error for the session that concerns no path in particular.
    Refused(StoreError),
    /// An error for the session, with the path and cause for the user.
    At(StoreError, FileError),
}

/// The error for an archive that needs `needed` bytes where `free` bytes are free.
pub(super) fn no_space(needed: u64, free: u64) -> StoreError {
    StoreError::NoSpace { missing: Kibibytes::missing(needed, free) }
}

/// Fails if the work was given up. This failure ends the work early, and is never reported.
pub(super) fn check_wanted() -> Result<()> {
    if is_given_up() { Err(StoreError::Io.into()) } else { Ok(()) }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::Io(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl Failure {
    /// The staged manifest cannot be read back, although it was checked when it arrived.
    pub(super) fn manifest(error: EntriesError, path: impl AsRef<std::ffi::OsStr>) -> Self {
        match error {
            EntriesError::Io(error) => Self::Io(FileError::new(path, error)),
            EntriesError::Damaged => Self::Refused(StoreError::Verify),
        }
    }
}

/// The error for an entry in the target that the folder cannot replace.
fn in_the_way(file: &FileError) -> Error {
    Error::new(
        Storage,
        format!("The folder does not fit among what the target holds: {file}."),
        "Move that away, or take another target. Nothing in the target was changed.",
    )
}

/// The error for a folder of which only a part was moved into the target and the rest cannot be moved.
fn unfinished(file: &FileError) -> Error {
    Error::new(
        Storage,
        format!("A part of the new folder is in the target, and the rest cannot be moved there: {file}."),
        "Look at the owner and permissions of what is named, and start the same command again: it moves the rest. Or \
         give the rest up with --abandon: then the target stays as it is now, with some files old and some new.",
    )
}

/// The error for a target that rejects the folder.
pub(crate) fn store_error(error: StoreError, file: Option<&FileError>) -> Error {
    if let Some(error) = file.and_then(specific) {
        return error;
    }
    let detail = file.map_or(String::new(), |file| format!(" {file}."));
    match error {
        StoreError::NoSpace { missing } => Error::new(
            Storage,
            format!("The disk is too full{}.", more_space(missing)),
            "Make room, or give a target on another disk.",
        ),
        StoreError::NotEmpty => Error::new(
            Refused,
            "The target is not empty.",
            "Put the folder among what it holds with --merge, or give another target.",
        ),
        StoreError::InUse => Error::new(
            Refused,
            format!("The target is in use.{detail}"),
            "Start the same command again when that is over, or give another target.",
        ),
        StoreError::NotWritable => Error::new(
            Storage,
            format!("The target cannot be written.{detail}"),
            "Look at its owner and permissions, or give another target.",
        ),
        StoreError::Name { .. } | StoreError::Collision { .. } => Error::new(
            Refused,
            format!("The folder has a name that cannot be held safely here, or two that mean the same file.{detail}"),
            "Have it renamed where the folder comes from.",
        ),
        StoreError::Archive(_) | StoreError::Limit(_) => Error::new(
            Refused,
            "What was sealed is no well-formed folder, though its key is right.",
            "Seal it again with the same release of waft. If it stays, do not trust where it comes from.",
        ),
        _ => Error::new(
            Storage,
            format!("Reading or writing the target failed.{detail}"),
            "Look at the disk. What the target held before is still in place.",
        ),
    }
}

/// The error for a problem that explains more than the error of the session does.
pub(crate) fn specific(file: &FileError) -> Option<Error> {
    if file.is_in_the_way() {
        Some(in_the_way(file))
    } else if file.is_unfinished() {
        Some(unfinished(file))
    } else {
        None
    }
}

/// The error for a folder that cannot be used as a target.
pub(crate) fn target_error(file: &FileError) -> Error {
    if file.is_unfinished() {
        return unfinished(file);
    }
    if file.io_kind() == Some(ErrorKind::DirectoryNotEmpty) {
        return store_error(StoreError::NotEmpty, None);
    }
    if matches!(file.cause, Cause::InUse) {
        return store_error(StoreError::InUse, Some(file));
    }
    Error::new(
        Storage,
        format!("The target cannot be used: {file}."),
        "Look at its name and permissions, or give another target.",
    )
}
