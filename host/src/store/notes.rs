//! Notes for the user before a transfer: which attributes the target will not keep, and how it will be filled.

use std::fmt;

use super::capabilities::{Capabilities, Times};
use super::place::InPlace;

/// A note about a target. Its text speaks of the target as `it`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The target is filled in place.
    InPlace(InPlace),
    /// The directory that replaces the target cannot be given this attribute of the target.
    Attribute(&'static str),
    /// The target's file system keeps no permission bits.
    NoModes,
    /// The target's file system rounds modification times.
    RoundedTimes,
    /// The target's file system keeps no modification times.
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
    /// The attributes of files that are not kept. Directories have fewer attributes to lose and get no notes of their
    /// own.
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
