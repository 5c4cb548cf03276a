//! Goes through a folder in the order of its manifest: [`Entries`] reads a manifest from a file, entry by entry, and
//! [`Descent`] keeps the directories open that contain the current entry.
//!
//! The sender reads the temporary file that the walk wrote, to open the files that it sends (`source`). The receiver
//! reads the staged manifest, to create the files (`store::tree`) and to move them into the target (`store::merge`),
//! and any manifest with which it compares the target (`store::compare`). PROTOCOL.md, section 8.1.

use std::io::{self, BufRead};
use std::time::{Duration, SystemTime};

use cap_std::fs::Dir;
use waft_core::archive::{Kind, ManifestReader, Modified};

/// Reads the entries of a manifest, one after the other.
pub(crate) struct Entries<R> {
    input: R,
    reader: ManifestReader,
    path: String,
    index: u32,
}

/// An entry of a manifest without its path, which [`Entries::path`] returns until the next call of [`Entries::next`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub(crate) kind: Kind,
    pub(crate) mode: u16,
    pub(crate) modified: Modified,
    /// Number of components in the entry's path: 1 in the root directory.
    pub(crate) depth: usize,
    /// Index of the entry in the manifest, from 0.
    pub(crate) index: u32,
}

/// The reason why the next entry of a manifest cannot be read.
#[derive(Debug)]
pub(crate) enum EntriesError {
    /// Reading failed, or the manifest is shorter than stated.
    Io(io::Error),
    /// The bytes are not a valid manifest.
    Damaged,
}

impl<R: BufRead> Entries<R> {
    /// Reads the manifest of `length` bytes that begins at the current position of `input`.
    pub(crate) fn new(input: R, length: u32) -> Self {
        Self { input, reader: ManifestReader::new(length), path: String::new(), index: 0 }
    }

    /// Returns the next entry, or `None` after the last one.
    pub(crate) fn next(&mut self) -> Result<Option<Item>, EntriesError> {
        loop {
            let before = self.input.fill_buf().map_err(EntriesError::Io)?;
            let mut rest = before;
            let entry = self.reader.next(&mut rest).map_err(|_| EntriesError::Damaged)?;
            let item = entry.map(|entry| {
                self.path.clear();
                self.path.push_str(entry.path.as_str());
                let depth = entry.path.components().count();
                Item { kind: entry.kind, mode: entry.mode, modified: entry.modified, depth, index: self.index }
            });
            let (taken, ended) = (before.len() - rest.len(), before.is_empty());
            self.input.consume(taken);
            if let Some(item) = item {
                self.index += 1;
                return Ok(Some(item));
            }
            if self.reader.is_complete() {
                return Ok(None);
            }
            if ended {
                return Err(EntriesError::Io(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// The path of the entry that [`next`](Self::next) returned last.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The last component of [`path`](Self::path).
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit_once('/').map_or(self.path.as_str(), |(_, name)| name)
    }

    /// Returns the input, positioned after the entries that were read.
    pub(crate) fn into_input(self) -> R {
        self.input
    }
}

/// The directories that contain the current entry, from the root downwards, kept open. Each of them except the root has
/// a value of type `T`, in which the caller keeps what it needs when it leaves the directory.
///
/// In a manifest the entries below a directory follow that directory directly, so the open directories form a stack. An
/// entry of depth n is in n directories, of which one is the root.
pub(crate) struct Descent<T, D = Dir> {
    root: D,
    levels: Vec<(D, T)>,
}

impl<T, D> Descent<T, D> {
    pub(crate) fn new(root: D) -> Self {
        Self { root, levels: Vec::new() }
    }

    /// Removes and returns the deepest open directory, unless it contains the next entry, whose depth is `depth`. Call
    /// this before each entry until it returns `None`. After the last entry, a depth of 1 closes all directories but
    /// the root.
    pub(crate) fn leave(&mut self, depth: usize) -> Option<(D, T)> {
        if self.levels.len() >= depth { self.levels.pop() } else { None }
    }

    /// The deepest open directory: the one that contains the current entry.
    pub(crate) fn here(&self) -> &D {
        self.levels.last().map_or(&self.root, |(dir, _)| dir)
    }

    /// All open directories from the root downwards, each with its value: `None` for the root.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&D, Option<&T>)> {
        let levels = self.levels.iter().map(|(dir, kept)| (dir, Some(kept)));
        std::iter::once((&self.root, None)).chain(levels)
    }

    /// The value of the directory that contains the current entry, or `None` if that directory is the root.
    pub(crate) fn kept(&mut self) -> Option<&mut T> {
        self.levels.last_mut().map(|(_, kept)| kept)
    }

    /// Makes `dir`, which is in [`here`](Self::here), the deepest open directory. `kept` is its value.
    pub(crate) fn enter(&mut self, dir: D, kept: T) {
        self.levels.push((dir, kept));
    }
}

/// Converts a modification time from an archive to the system's type. `None` if the system's type cannot express it.
pub(crate) fn system_time(modified: Modified) -> Option<SystemTime> {
    let whole = Duration::from_secs(modified.seconds.unsigned_abs());
    let at = if modified.seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(whole)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(whole)
    };
    at?.checked_add(Duration::from_nanos(modified.nanos.into()))
}

/// Converts a modification time from the file system to the archive's type.
pub(crate) fn modified(time: SystemTime) -> Modified {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => Modified { seconds: after.as_secs() as i64, nanos: after.subsec_nanos() },
        Err(error) => {
            // Seconds are rounded down, and the nanoseconds are counted upwards from there.
            let before = error.duration();
            let (borrow, nanos) = match before.subsec_nanos() {
                0 => (0, 0),
                nanos => (1, 1_000_000_000 - nanos),
            };
            Modified { seconds: -(before.as_secs() as i64) - borrow, nanos }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_the_same_after_conversion_to_the_system_and_back() {
        for (seconds, nanos) in [(0, 0), (1, 5), (-1, 0), (-1, 999_999_999), (-2, 1), (1 << 33, 7)] {
            // The system time of Windows has a resolution of 100 ns.
            let time = Modified { seconds, nanos: if cfg!(windows) { nanos / 100 * 100 } else { nanos } };
            assert_eq!(modified(system_time(time).unwrap()), time);
        }
    }
}
