//! Why the store cannot go on: what the session is told, and what its person may see.

use waft_core::session::StoreError;

use crate::folder::entries::EntriesError;
use crate::trouble::Trouble;
use crate::worker::is_given_up;

pub(super) type Result<T> = std::result::Result<T, Failure>;

/// A failure, before the store makes a [`StoreError`] of it and keeps the trouble.
#[derive(Debug)]
pub(super) enum Failure {
    /// The file system said no; its error decides what the session is told.
    Io(Trouble),
    /// The archive's or the offer's fault.
    Refused(StoreError),
    /// The same, and a path belongs to it.
    At(StoreError, Trouble),
}

/// Fails if the work was given up: nothing looks at this failure.
pub(super) fn go_on() -> Result<()> {
    if is_given_up() { Err(StoreError::Io.into()) } else { Ok(()) }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::Io(trouble)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl Failure {
    /// The staged manifest, checked when it came, does not read back.
    pub(super) fn manifest(error: EntriesError, path: impl AsRef<std::ffi::OsStr>) -> Self {
        match error {
            EntriesError::Io(error) => Self::Io(Trouble::new(path, error)),
            EntriesError::Damaged => Self::Refused(StoreError::Verify),
        }
    }
}
