//! What only one family of systems has, and its twin on the other.
//!
//! Private files, durability, free space, the terminal, signals. Each function here means the same on every platform,
//! as far as the platform can; where it cannot, its twin says so.

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

/// A private file that others can read or change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is open to other users (mode {mode:03o}); close it with: chmod 600 '{}'", path.display(), path.display())]
pub struct TooOpen {
    /// The file.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
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
    fn durability_and_free_space_are_told() {
        let folder = tempfile::tempdir().unwrap();
        sync_directory(folder.path()).unwrap();
        assert!(free_space(folder.path()).unwrap() > 0);
        // Windows asks the volume, where any name may be.
        assert!(cfg!(windows) || free_space(&folder.path().join("absent")).is_err());
    }
}
