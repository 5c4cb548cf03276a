//! The errors inside the store, with the part for the session and the part for the user.

use waft_core::session::StoreError;

use crate::folder::entries::EntriesError;
use crate::trouble::Trouble;
use crate::worker::is_given_up;

pub(super) type Result<T> = std::result::Result<T, Failure>;

/// A failure, before the store splits it into a [`StoreError`] and a [`Trouble`].
#[derive(Debug)]
pub(super) enum Failure {
    /// The file system reported an error, which determines the error for the session.
    Io(Trouble),
    /// The archive or the offer is at fault.
    Refused(StoreError),
    /// The same, with the path that is concerned.
    At(StoreError, Trouble),
}

/// Fails if the work was given up. Nothing looks at that failure.
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
    /// The staged manifest cannot be read back, although it was checked when it arrived.
    pub(super) fn manifest(error: EntriesError, path: impl AsRef<std::ffi::OsStr>) -> Self {
        match error {
            EntriesError::Io(error) => Self::Io(Trouble::new(path, error)),
            EntriesError::Damaged => Self::Refused(StoreError::Verify),
        }
    }
}
