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
use std::sync::atomic::{AtomicU8, Ordering};

#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;

/// What a signal, or an event of the console, asks of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-\, or Ctrl-Break.
    Quit,
    /// The terminal was closed.
    HangUp,
    /// The system, or a supervisor of the process.
    Terminate,
    /// Ctrl-Z: to stop until it is told to continue.
    #[cfg_attr(windows, allow(dead_code))]
    Pause,
    /// To go on.
    #[cfg_attr(windows, allow(dead_code))]
    Continue,
}

impl Signal {
    /// The exit status of a process that this ends, as a shell gives it: 128 and the number of the signal.
    fn exit_status(self) -> u8 {
        match self {
            Self::HangUp => 129,
            Self::Quit => 131,
            Self::Terminate => 143,
            Self::Interrupt | Self::Pause | Self::Continue => 130,
        }
    }
}

/// The first signal that asked the command to end.
static ENDED_BY: AtomicU8 = AtomicU8::new(0);

/// Remembers what asked the command to end.
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

/// A file or folder that others can read or change, and should not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} {problem} '{}'", path.display(), path.display())]
pub struct TooOpen {
    /// Which.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: Openness,
}

/// Why something is too open; its text ends with a command that mends that, without its last argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Openness {
    /// Its mode lets others in.
    #[error("is open to other users (mode {mode:03o}); close it with: chmod {cure}")]
    Mode {
        /// Its permission bits.
        mode: u32,
        /// Those that it should have, in octal.
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
        // Windows asks the volume, where any name may be.
        assert!(cfg!(windows) || free_space(&folder.path().join("absent")).is_err());
    }
}
