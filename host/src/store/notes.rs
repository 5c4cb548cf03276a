//! What whoever receives into a target should know before anything is received: what will not be as it was sent, or as
//! it was before.

use std::fmt;

use super::capabilities::{Capabilities, Times};
use super::place::InPlace;

/// Something to know about a target. Its text speaks of the target as `it`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// It is filled in place.
    InPlace(InPlace),
    /// The directory that takes its place does not get this attribute of it.
    Attribute(&'static str),
    /// Its file system keeps no permission bits.
    NoModes,
    /// Its file system rounds modification times.
    RoundedTimes,
    /// Its file system keeps no modification times.
    NoTimes,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InPlace(why) => {
                let why = match why {
                    InPlace::CurrentFolder => "it is the current folder",
                    InPlace::MountPoint => "something is mounted there",
                };
                write!(f, "{why}, so it is filled file by file, not in one step; if that is interrupted, start again")
            }
            Self::Attribute(name) => {
                write!(f, "a new folder will take its place, and this user may not set its {name}")
            }
            Self::NoModes => f.write_str("its file system keeps no permission bits: those of the sender are lost"),
            Self::RoundedTimes => f.write_str("its file system rounds modification times"),
            Self::NoTimes => f.write_str("its file system keeps no modification times: those of the sender are lost"),
        }
    }
}

impl Capabilities {
    /// What is not kept of files. Directories have less to lose, and say nothing of their own.
    pub(super) fn notes(self) -> Vec<Note> {
        let modes = (!self.files.modes).then_some(Note::NoModes);
        let times = match self.files.times {
            Times::Exact => None,
            Times::Rounded => Some(Note::RoundedTimes),
            Times::Lost => Some(Note::NoTimes),
        };
        modes.into_iter().chain(times).collect()
    }
}
