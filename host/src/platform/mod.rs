//! Functions that differ between operating systems, with one implementation for Unix and one for Windows.
//!
//! They cover private files and durability. Each function has the same meaning on
//! every platform as far as the platform allows; the docs of an implementation state where it does not.

mod names;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::path::PathBuf;

#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;

/// A file or folder that other users can read or change but should not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} {problem} '{}'", path.display(), path.display())]
pub struct TooOpen {
    /// Its path.
    pub path: PathBuf,
    /// The problem.
    pub problem: Openness,
}

/// The reason why a path is too open. Its text ends with a command that fixes it, without the last argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Openness {
    /// Its mode gives access to other users.
    #[error("is open to other users (mode {mode:03o}); close it with: chmod {cure}")]
    Mode {
        /// Its permission bits.
        mode: u32,
        /// The permission bits that it should have, in octal.
        cure: &'static str,
    },
    /// It belongs to another user.
    #[error("belongs to another user (number {owner}); take it over with: sudo chown \"$(id -u)\"")]
    Foreign {
        /// That user's number.
        owner: u32,
    },
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn private_files_are_new_and_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create_private(&path).unwrap().write_all(b"secret").unwrap();
        assert_eq!(check_private(&path).unwrap(), Ok(()));
        let again = create_private(&path).unwrap_err();
        assert_eq!(again.kind(), std::io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn only_an_existing_directory_is_made_durable() {
        let folder = tempfile::tempdir().unwrap();
        sync_directory(folder.path()).unwrap();
        assert!(sync_directory(&folder.path().join("absent")).is_err());
    }
}
