//! Functions that differ between operating systems, with one implementation for Unix and one for Windows.
//!
//! They cover private files, durability, free space, the terminal and signals. Each function has the same meaning on
//! every platform as far as the platform allows; the docs of an implementation state where it does not.

mod names;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};

#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;

/// The meaning of a signal, or of a console event, for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-\, or Ctrl-Break.
    Quit,
    /// The terminal was closed.
    HangUp,
    /// Sent by the system or by a supervisor of the process.
    Terminate,
    /// Ctrl-Z: stop until a signal to continue.
    #[cfg_attr(windows, allow(dead_code))]
    Pause,
    /// Continue after a stop.
    #[cfg_attr(windows, allow(dead_code))]
    Continue,
}

impl Signal {
    /// The exit status of a process that this signal ends, as a shell reports it: 128 plus the number of the signal.
    fn exit_status(self) -> u8 {
        match self {
            Self::HangUp => 129,
            Self::Quit => 131,
            Self::Terminate => 143,
            Self::Interrupt | Self::Pause | Self::Continue => 130,
        }
    }
}

/// Exit status of the first signal that asked the command to end.
static ENDED_BY: AtomicU8 = AtomicU8::new(0);

/// Records the signal that asked the command to end. Only the first one counts.
pub(crate) fn set_ended_by(signal: Signal) {
    let _ = ENDED_BY.compare_exchange(0, signal.exit_status(), Ordering::Relaxed, Ordering::Relaxed);
}

/// The exit status of a command that was asked to end.
pub(crate) fn interrupted_status() -> u8 {
    match ENDED_BY.load(Ordering::Relaxed) {
        0 => Signal::Interrupt.exit_status(),
        status => status,
    }
}

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
    fn durability_and_free_space_are_told() {
        let folder = tempfile::tempdir().unwrap();
        sync_directory(folder.path()).unwrap();
        assert!(free_space(folder.path()).unwrap() > 0);
        // Windows reports the volume's space for any name on it.
        assert!(cfg!(windows) || free_space(&folder.path().join("absent")).is_err());
    }
}
