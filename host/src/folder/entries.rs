//! Goes through a manifest, entry by entry, and through the directories that it names.
//!
//! Both sides read their spooled manifest a second time: the sender to open each file, the receiver to make it.
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

/// An entry without its path, which [`Entries::path`] holds until the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub(crate) kind: Kind,
    pub(crate) mode: u16,
    pub(crate) modified: Modified,
    /// Components in its path.
    pub(crate) depth: usize,
    /// From 0.
    pub(crate) index: u32,
}

/// A manifest that was checked once does not read back.
#[derive(Debug)]
pub(crate) enum EntriesError {
    Io(io::Error),
    Damaged,
}

impl<R: BufRead> Entries<R> {
    /// The entries of the manifest of `length` bytes that `input` begins with.
    pub(crate) fn new(input: R, length: u32) -> Self {
        Self { input, reader: ManifestReader::new(length), path: String::new(), index: 0 }
    }

    /// The next entry.
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

    /// Its last component.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit_once('/').map_or(self.path.as_str(), |(_, name)| name)
    }

    /// What the entries were read from.
    pub(crate) fn into_input(self) -> R {
        self.input
    }
}

/// The directories that stand open between the root and the current entry, each with what is kept for it.
///
/// Entries below a directory follow it directly, so a stack is enough, and an entry's depth tells how much of it stays.
pub(crate) struct Descent<T> {
    root: Dir,
    levels: Vec<(Dir, T)>,
}

impl<T> Descent<T> {
    pub(crate) fn new(root: Dir) -> Self {
        Self { root, levels: Vec::new() }
    }

    /// Takes the deepest directory off when an entry of that depth is not below it. Called until it returns `None`.
    pub(crate) fn leave(&mut self, depth: usize) -> Option<(Dir, T)> {
        if self.levels.len() >= depth { self.levels.pop() } else { None }
    }

    /// The directory in which the current entry stands.
    pub(crate) fn here(&self) -> &Dir {
        self.levels.last().map_or(&self.root, |(dir, _)| dir)
    }

    /// All of them, the root first, which has nothing kept.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Dir, Option<&T>)> {
        let levels = self.levels.iter().map(|(dir, kept)| (dir, Some(kept)));
        std::iter::once((&self.root, None)).chain(levels)
    }

    /// What is kept for that directory, unless it is the root.
    pub(crate) fn kept(&mut self) -> Option<&mut T> {
        self.levels.last_mut().map(|(_, kept)| kept)
    }

    /// Goes into a directory that stands in [`Descent::here`].
    pub(crate) fn enter(&mut self, dir: Dir, kept: T) {
        self.levels.push((dir, kept));
    }
}

/// An archive's time as the system's; `None` if that cannot express it.
pub(crate) fn system_time(modified: Modified) -> Option<SystemTime> {
    let whole = Duration::from_secs(modified.seconds.unsigned_abs());
    let at = if modified.seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(whole)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(whole)
    };
    at?.checked_add(Duration::from_nanos(modified.nanos.into()))
}

/// The system's time as an archive's.
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
            // Windows counts in hundreds.
            let time = Modified { seconds, nanos: if cfg!(windows) { nanos / 100 * 100 } else { nanos } };
            assert_eq!(modified(system_time(time).unwrap()), time);
        }
    }
}
