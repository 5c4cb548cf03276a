//! What the user leaves out of a folder: by patterns on the command line, and by the `.gitignore` files in it.
//!
//! Both have the syntax of `.gitignore` (`man gitignore`). The walk asks for every entry (`walk`), and reads nothing
//! below a directory that is left out.

use std::ffi::OsStr;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::FolderError;
use super::place::Place;

/// Name of the files with git's patterns.
const FILE: &str = ".gitignore";
/// Most bytes of such a file that are read.
const FILE_MAX: u64 = 1 << 20;
/// git's own directory in a work tree; in other places a file.
const GIT: &str = ".git";

/// Decides which entries of a folder are left out.
pub(super) struct Ignored {
    /// The patterns of the user, for paths below the folder.
    exclude: Gitignore,
    /// Whether git's patterns count.
    git: bool,
    /// git's patterns that hold in the current directory, from the outermost directory inwards.
    levels: Vec<Gitignore>,
}

impl Ignored {
    /// Parses the user's patterns. `git` says whether those of git count as well.
    pub(super) fn new(patterns: &[String], git: bool) -> Result<Self, FolderError> {
        let mut builder = GitignoreBuilder::new("");
        for pattern in patterns {
            let malformed = |error: ignore::Error| FolderError::Pattern(pattern.clone(), why(&error));
            builder.add_line(None, pattern).map_err(malformed)?;
        }
        let exclude = builder.build().map_err(|error| FolderError::Pattern(patterns.join(" "), why(&error)))?;
        Ok(Self { exclude, git, levels: Vec::new() })
    }

    /// The number of levels, for [`truncate`](Self::truncate).
    pub(super) fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Forgets git's patterns of the directories that were left.
    pub(super) fn truncate(&mut self, depth: usize) {
        self.levels.truncate(depth);
    }

    /// Adds git's patterns of the directories above `directory`, up to the root of its work tree.
    pub(super) fn enter_work_tree(&mut self, directory: &Path) {
        if !self.git || directory.join(GIT).exists() {
            return;
        }
        let above: Vec<&Path> = directory.ancestors().skip(1).collect();
        let Some(root) = above.iter().position(|parent| parent.join(GIT).exists()) else { return };
        for parent in above[..=root].iter().rev() {
            let mut builder = GitignoreBuilder::new(parent);
            // A pattern or file that cannot be read is no pattern, as in git.
            builder.add(parent.join(FILE));
            self.levels.extend(builder.build().ok());
        }
    }

    /// Adds git's patterns in `place`, a directory that is entered and whose path is `path`.
    pub(super) fn enter(&mut self, place: &Place, path: &Path) {
        if !self.git {
            return;
        }
        let Ok(file) = place.open_file(OsStr::new(FILE)) else { return };
        let mut text = Vec::new();
        if file.take(FILE_MAX).read_to_end(&mut text).is_err() {
            return;
        }
        let mut builder = GitignoreBuilder::new(path);
        for line in String::from_utf8_lossy(&text).lines() {
            let _ = builder.add_line(None, line);
        }
        self.levels.extend(builder.build().ok());
    }

    /// Whether an entry is left out. `below` is its path below the folder, `path` its path on the disk.
    pub(super) fn leaves_out(&self, below: &Path, path: Option<&PathBuf>, is_dir: bool) -> bool {
        if self.exclude.matched(below, is_dir).is_ignore() {
            return true;
        }
        let Some(path) = path.filter(|_| self.git) else { return false };
        if below.file_name() == Some(OsStr::new(GIT)) {
            return true;
        }
        let decided = self.levels.iter().rev().map(|level| level.matched(path, is_dir)).find(|found| !found.is_none());
        matches!(decided, Some(Match::Ignore(_)))
    }
}

/// The problem of a pattern, without its text.
fn why(error: &ignore::Error) -> String {
    match error {
        ignore::Error::Glob { err, .. } => err.clone(),
        error => error.to_string(),
    }
}
