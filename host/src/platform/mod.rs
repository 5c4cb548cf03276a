//! Functions that differ between operating systems, with one implementation for Unix and one for Windows.
//!
//! They cover private files, durability, the attributes of files, and names. Each function has the same meaning on every
//! platform as far as the platform allows; the docs of an implementation state where it does not.

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

/// Whether Windows creates a file with exactly that name, in the intended directory. Independent of the system, so that
/// every platform tests it. PROTOCOL.md, section 8.2.
#[cfg_attr(not(windows), allow(dead_code))]
pub(crate) fn windows_holds(component: &str) -> bool {
    let unsafe_ends = component.ends_with(['.', ' ']);
    let unsafe_inside = component.contains(['\\', ':', '*', '?', '"', '<', '>', '|']);
    !unsafe_ends && !unsafe_inside && !is_reserved(component)
}

/// Whether the name refers to a device, with or without an extension.
fn is_reserved(component: &str) -> bool {
    let stem = component.split('.').next().unwrap_or(component).trim_end_matches(' ').to_uppercase();
    if matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$") {
        return true;
    }
    let number = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    // The superscript digits are reserved as well.
    number.is_some_and(|number| {
        let mut chars = number.chars();
        matches!((chars.next(), chars.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
    })
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

    #[test]
    fn refuses_what_windows_takes_for_something_else() {
        for name in ["a\\b", "C:", "a:b", "*", "a?", "\"", "<", ">", "a|b", "a.", "a ", "..."] {
            assert!(!windows_holds(name), "{name}");
        }
        for name in ["con", "CON.txt", "aux.c", "NUL", "nul .tar.gz", "com1", "LPT9.x", "com¹", "conin$", "prn"] {
            assert!(!windows_holds(name), "{name}");
        }
        for name in ["con1", "auxiliary.c", ".nul", "com", "com10", "lptx", "a b", ".hidden", "ü", "-rf", "com11.txt"]
        {
            assert!(windows_holds(name), "{name}");
        }
    }
}
