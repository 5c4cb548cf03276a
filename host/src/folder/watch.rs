//! Notices that files change, so that a folder can be walked and sent again.
//!
//! The operating system reports changes (inotify, kqueue, ReadDirectoryChangesW). [`Watch::changed`] waits until they have
//! come to an end, and does not say what has changed: only the next walk knows what is sent.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::FolderError;
use crate::error::shown;

/// Changes have come to an end when there was none for this time.
const SETTLED: Duration = Duration::from_millis(300);
/// Files that never stop changing are looked at after this time.
const SETTLING_MAX: Duration = Duration::from_secs(10);

/// Watches files and folders for changes.
pub struct Watch {
    paths: Vec<PathBuf>,
    watcher: RecommendedWatcher,
    changes: watch::Receiver<u64>,
}

impl Watch {
    /// Starts to watch what is at these paths, and below them. A path may be absent for a time: a build often removes its
    /// output and makes it again.
    pub fn start(paths: &[PathBuf]) -> Result<Self, FolderError> {
        let (sender, changes) = watch::channel(0);
        let names: Vec<PathBuf> = paths.iter().filter_map(|path| std::path::absolute(path).ok()).collect();
        let watched = names.clone();
        let watcher = RecommendedWatcher::new(
            move |event: notify::Result<Event>| {
                // After an error, too, something may have changed.
                if event.map_or(true, |event| is_change(&event, &watched)) {
                    sender.send_modify(|count| *count += 1);
                }
            },
            Config::default(),
        );
        let mut watch = Self { paths: names, watcher: watcher.map_err(|error| failed(paths, &error))?, changes };
        watch.follow().map_err(|error| failed(paths, &error))?;
        Ok(watch)
    }

    /// Waits for a change since the last call, and then until there is none for a moment. Cancel-safe.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // The watcher lives as long as this value, and has the sender.
            return std::future::pending().await;
        }
        let end = Instant::now() + SETTLING_MAX;
        let settle = async { while let Ok(Ok(())) = timeout(SETTLED, self.changes.changed()).await {} };
        let _ = timeout_at(end, settle).await;
        // A folder that was made again is another one, which is not watched yet. What cannot be watched is reported by
        // the walk.
        let _ = self.follow();
    }

    /// Watches every path, and the folder that it is in.
    fn follow(&mut self) -> notify::Result<()> {
        let mut result = Ok(());
        for path in &self.paths {
            let _ = self.watcher.unwatch(path);
            if path.is_dir() {
                result = result.and(self.watcher.watch(path, RecursiveMode::Recursive));
            }
            if let Some(parent) = path.parent().filter(|parent| !self.paths.iter().any(|path| path == parent)) {
                let _ = self.watcher.unwatch(parent);
                result = result.and(self.watcher.watch(parent, RecursiveMode::NonRecursive));
            }
        }
        result
    }
}

/// Whether the event is a change of one of these paths or of something below it. Reading a file is no change.
fn is_change(event: &Event, paths: &[PathBuf]) -> bool {
    if matches!(event.kind, EventKind::Access(_)) {
        return false;
    }
    // Events without paths say that some were lost.
    event.paths.is_empty() || event.paths.iter().any(|changed| paths.iter().any(|path| changed.starts_with(path)))
}

fn failed(paths: &[PathBuf], error: &notify::Error) -> FolderError {
    let first = paths.first().map_or(Path::new("."), PathBuf::as_path);
    FolderError::Unwatched(shown(first.as_os_str()), error.to_string())
}

#[cfg(test)]
mod tests {
    use std::{fs, slice};

    use super::*;

    /// A deadline for what should take a moment.
    const SOON: Duration = Duration::from_secs(20);

    async fn changes(watch: &mut Watch) -> bool {
        timeout(SOON, watch.changed()).await.is_ok()
    }

    /// Whether no change is reported, though one that takes place at the end is.
    async fn is_quiet(watch: &mut Watch, probe: &Path) -> bool {
        let early = timeout(2 * SETTLED, watch.changed()).await.is_err();
        fs::write(probe, "probe").unwrap();
        changes(watch).await && early
    }

    #[tokio::test]
    async fn changes_below_a_folder_are_noticed_and_reading_is_not() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("folder");
        fs::create_dir_all(folder.join("deep")).unwrap();
        fs::write(folder.join("deep/file"), "1").unwrap();
        let mut watch = Watch::start(slice::from_ref(&folder)).unwrap();
        fs::write(folder.join("deep/file"), "2").unwrap();
        assert!(changes(&mut watch).await);
        fs::create_dir(folder.join("new")).unwrap();
        assert!(changes(&mut watch).await);
        fs::write(folder.join("new/file"), "3").unwrap();
        assert!(changes(&mut watch).await);
        fs::read(folder.join("new/file")).unwrap();
        fs::write(temp.path().join("beside"), "4").unwrap();
        assert!(is_quiet(&mut watch, &folder.join("deep/file")).await);
    }

    #[tokio::test]
    async fn a_folder_that_is_made_again_is_watched() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("dist");
        fs::create_dir(&folder).unwrap();
        let mut watch = Watch::start(slice::from_ref(&folder)).unwrap();
        fs::remove_dir(&folder).unwrap();
        assert!(changes(&mut watch).await);
        fs::create_dir(&folder).unwrap();
        assert!(changes(&mut watch).await);
        fs::write(folder.join("file"), "1").unwrap();
        assert!(changes(&mut watch).await);
    }

    #[tokio::test]
    async fn a_file_that_an_editor_replaces_is_watched() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("notes.txt");
        fs::write(&file, "1").unwrap();
        let mut watch = Watch::start(slice::from_ref(&file)).unwrap();
        for content in ["2", "3"] {
            fs::write(temp.path().join("new"), content).unwrap();
            fs::rename(temp.path().join("new"), &file).unwrap();
            assert!(changes(&mut watch).await, "{content}");
        }
        fs::write(temp.path().join("other.txt"), "4").unwrap();
        assert!(is_quiet(&mut watch, &file).await);
    }
}
