//! Measures which permission bits and modification times the target's file system keeps, and whether its files can have
//! holes, once, by writing and reading back; and the notes that tell the user what will be lost.
//!
//! FAT keeps times in steps of 2 s and no permission bits, NTFS in steps of 100 ns, some network file systems neither.
//! Without this knowledge the store would fail where it cannot set them, and would not recognise a folder that it has
//! just written.

use std::fs::File;
use std::ops::Range;
use std::time::{Duration, SystemTime};
use std::{fmt, io};

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt as _};
use cap_std::fs::{Dir, OpenOptions};
use waft_core::archive::Modified;

use crate::folder::entries::system_time;
use crate::platform;
use crate::store::place::InPlace;
use crate::store::staging::remove;

const PROBE: &str = "probe";
/// Two modes that no file system shows for every file by chance.
const MODES: [u16; 2] = [0o640, 0o701];
/// An odd second, with nanoseconds that no coarser step divides.
const TIME: Modified = Modified { seconds: 1_000_000_001, nanos: 123_456_789 };
/// The coarsest step in use: that of FAT.
const COARSEST: Duration = Duration::from_secs(2);
/// Length of the hole in the file with which holes are measured, in bytes.
const HOLE: u64 = 64 << 10;
/// Seconds since 1970 that every file system can hold: from 1980, where FAT begins, to 2038, where signed 32 bits end.
const HELD_EVERYWHERE: Range<i64> = 315_532_800..1 << 31;

/// The attributes that a file system keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Capabilities {
    /// The attributes of files that are kept.
    pub(super) files: Kept,
    /// The attributes of directories that are kept.
    pub(super) directories: Kept,
    /// Whether a part of a file that was never written takes no room on the disk.
    pub(super) holes: bool,
}

/// The attributes that are kept for one kind of entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// Whether permission bits are kept.
    pub(super) modes: bool,
    /// How modification times are kept.
    pub(super) times: Times,
}

/// How modification times are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Times {
    /// Exact to the nanosecond.
    Exact,
    /// Rounded by less than 2 s.
    Rounded,
    /// Not kept, or they cannot be set.
    Lost,
}

impl Capabilities {
    /// The capabilities of a file system that keeps everything.
    pub(super) const ALL: Self = {
        let all = Kept { modes: true, times: Times::Exact };
        Self { files: all, directories: all, holes: true }
    };

    /// The capabilities of a file system that keeps nothing.
    pub(super) const NONE: Self = {
        let none = Kept { modes: false, times: Times::Lost };
        Self { files: none, directories: none, holes: false }
    };

    /// Measures the capabilities in the directory `dir`, in which it uses the name `probe`.
    pub(super) fn measure(dir: &Dir) -> io::Result<Self> {
        remove(dir, PROBE)?;
        let measured = Self::measure_file(dir).and_then(|(files, holes)| {
            remove(dir, PROBE)?;
            Ok(Self { files, directories: Self::measure_directory(dir)?, holes })
        });
        remove(dir, PROBE)?;
        measured
    }

    fn measure_file(dir: &Dir) -> io::Result<(Kept, bool)> {
        let mut options = OpenOptions::new();
        platform::private(options.read(true).write(true).create_new(true).follow(FollowSymlinks::No));
        let file = dir.open_with(PROBE, &options)?.into_std();
        let holes = has_hole(&file);
        let set_mode = |mode| platform::set_file_mode(&file, mode);
        let time = system_time(TIME).expect("every system can express a time of this century");
        let set_time = platform::set_file_time(&file, time);
        Ok((Kept::measure(dir, set_mode, set_time)?, holes))
    }

    fn measure_directory(dir: &Dir) -> io::Result<Kept> {
        platform::create_private_dir(dir, PROBE)?;
        let probe = platform::open_dir(dir, PROBE)?;
        let set_mode = |mode| platform::set_dir_mode(&probe, mode);
        let set_time = platform::set_dir_time(&probe, TIME);
        Kept::measure(dir, set_mode, set_time)
    }
}

/// Makes an empty file longer, and returns whether what it has then is a hole.
fn has_hole(file: &File) -> bool {
    let made_longer = file.set_len(HOLE).and_then(|()| file.metadata());
    made_longer.is_ok_and(|found| found.len() == HOLE && platform::allocated(&found).is_some_and(|room| room < HOLE))
}

impl Kept {
    /// Reads back a time that was set before the call, and modes that are set here. A mode or time that cannot be set
    /// is a result, not a failure.
    fn measure(dir: &Dir, set_mode: impl Fn(u16) -> io::Result<()>, set_time: io::Result<()>) -> io::Result<Self> {
        let found = dir.symlink_metadata(PROBE)?.modified()?.into_std();
        let times = match system_time(TIME) {
            Some(wanted) if set_time.is_ok() => Times::measure(wanted, found),
            _ => Times::Lost,
        };
        let mut modes = true;
        for mode in MODES {
            modes &= set_mode(mode).is_ok() && platform::mode(&dir.symlink_metadata(PROBE)?) == mode;
        }
        Ok(Self { modes, times })
    }

    /// Whether an entry with the mode and time `found` can be one that was written here with `mode` and `modified`.
    pub(super) fn is_written(self, found: (u16, SystemTime), mode: u16, modified: Modified) -> bool {
        let (found_mode, found_time) = found;
        let same_mode = !self.modes || found_mode == mode;
        // A time that the file system cannot hold was changed to some other time, or was not set at all.
        let comparable = HELD_EVERYWHERE.contains(&modified.seconds).then(|| system_time(modified)).flatten();
        same_mode && comparable.is_none_or(|wanted| self.times.is_written(found_time, wanted))
    }

    /// Whether an entry with the mode and time `found` has all that is kept of `mode` and `modified`, and the time is kept
    /// exactly.
    pub(super) fn is_exactly(self, found: (u16, SystemTime), mode: u16, modified: Modified) -> bool {
        let is_exact = self.times == Times::Exact && HELD_EVERYWHERE.contains(&modified.seconds);
        is_exact && self.is_written(found, mode, modified)
    }
}

impl Times {
    fn measure(wanted: SystemTime, found: SystemTime) -> Self {
        if found == wanted {
            Self::Exact
        } else if distance(wanted, found) < COARSEST {
            Self::Rounded
        } else {
            Self::Lost
        }
    }

    fn is_written(self, found: SystemTime, wanted: SystemTime) -> bool {
        match self {
            Self::Exact => found == wanted,
            Self::Rounded => distance(wanted, found) < COARSEST,
            Self::Lost => true,
        }
    }

    /// Whether setting a time has any effect.
    pub(super) fn can_be_set(self) -> bool {
        self != Self::Lost
    }
}

fn distance(one: SystemTime, other: SystemTime) -> Duration {
    one.duration_since(other).unwrap_or_else(|error| error.duration())
}

/// A note about a target. Its text speaks of the target as `it`.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// What an interrupted process left in an inbox can be neither completed nor undone, because of this path and
    /// problem.
    Untidied(String),
    /// In an inbox there are parts of so many folders, whose transfers were interrupted.
    Parts(u32),
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
            Self::Untidied(why) => {
                write!(f, "what an interrupted run left there is in the way of one folder, not of the others: {why}")
            }
            Self::Parts(count) => write!(
                f,
                "interrupted transfers left parts in it (folders: {count}); sending one again continues it, and --abandon \
                 removes all"
            ),
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
