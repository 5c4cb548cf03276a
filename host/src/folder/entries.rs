//! Reads a manifest entry by entry, and keeps the directories open that lead to the current entry.
//!
//! Both sides read their spooled manifest a second time: the sender to open each file, the receiver to create it.
//! PROTOCOL.md, section 8.1.

use std::io::{self, BufRead};
use std::time::{Duration, SystemTime};

use cap_std::fs::Dir;
use waft_core::archive::{Kind, ManifestReader, Modified};

/// The entries of a manifest.
pub(crate) struct Entries<R> {
    input: R,
    reader: ManifestReader,
    path: String,
    index: u32,
}

/// An entry without its path, which [`Entries::path`] holds until the next call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub(crate) kind: Kind,
    pub(crate) mode: u16,
    pub(crate) modified: Modified,
    /// Number of components in its path.
    pub(crate) depth: usize,
    /// Position in the manifest, from 0.
    pub(crate) index: u32,
}

/// The reason why a manifest that was checked before cannot be read back.
#[derive(Debug)]
pub(crate) enum EntriesError {
    Io(io::Error),
    Damaged,
}

impl<R: BufRead> Entries<R> {
    /// Reads the manifest of `length` bytes at the start of `input`.
    pub(crate) fn new(input: R, length: u32) -> Self {
        Self { input, reader: ManifestReader::new(length), path: String::new(), index: 0 }
    }

    /// Returns the next entry.
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

    /// The path of the entry that was returned last.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The last component of that path.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit_once('/').map_or(self.path.as_str(), |(_, name)| name)
    }

    /// Returns the input.
    pub(crate) fn into_input(self) -> R {
        self.input
    }
}

/// The open directories between the root and the current entry, each with a value of the caller.
///
/// Entries below a directory follow it directly in the manifest, so a stack is enough, and an entry's depth says how
/// many directories stay open.
pub(crate) struct Descent<T> {
    root: Dir,
    levels: Vec<(Dir, T)>,
}

impl<T> Descent<T> {
    pub(crate) fn new(root: Dir) -> Self {
        Self { root, levels: Vec::new() }
    }

    /// Removes and returns the deepest directory if an entry of that depth is not inside it. Call it until it returns
    /// `None`.
    pub(crate) fn leave(&mut self, depth: usize) -> Option<(Dir, T)> {
        if self.levels.len() >= depth { self.levels.pop() } else { None }
    }

    /// The directory that contains the current entry.
    pub(crate) fn here(&self) -> &Dir {
        self.levels.last().map_or(&self.root, |(dir, _)| dir)
    }

    /// All open directories with their values, from the root, which has no value.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Dir, Option<&T>)> {
        let levels = self.levels.iter().map(|(dir, kept)| (dir, Some(kept)));
        std::iter::once((&self.root, None)).chain(levels)
    }

    /// The value of the directory that contains the current entry. `None` for the root.
    pub(crate) fn kept(&mut self) -> Option<&mut T> {
        self.levels.last_mut().map(|(_, kept)| kept)
    }

    /// Enters a directory that is in [`Descent::here`].
    pub(crate) fn enter(&mut self, dir: Dir, kept: T) {
        self.levels.push((dir, kept));
    }
}

/// Converts an archive's time to the system's. `None` if the system cannot express it.
pub(crate) fn system_time(modified: Modified) -> Option<SystemTime> {
    let whole = Duration::from_secs(modified.seconds.unsigned_abs());
    let at = if modified.seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(whole)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(whole)
    };
    at?.checked_add(Duration::from_nanos(modified.nanos.into()))
}

/// Converts the system's time to an archive's.
pub(crate) fn modified(time: SystemTime) -> Modified {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => Modified { seconds: after.as_secs() as i64, nanos: after.subsec_nanos() },
        Err(error) => {
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
    fn times_survive() {
        for (seconds, nanos) in [(0, 0), (1, 5), (-1, 0), (-1, 999_999_999), (-2, 1), (1 << 33, 7)] {
            // Windows counts in units of 100 ns.
            let time = Modified { seconds, nanos: if cfg!(windows) { nanos / 100 * 100 } else { nanos } };
            assert_eq!(modified(system_time(time).unwrap()), time);
        }
    }
}
