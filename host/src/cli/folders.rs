//! The folders of commands: walks the source of `send` and `seal`, opens the target of `receive` and `open`, and reports
//! what the user should know about them.

use std::path::Path;

use waft_core::session::sender::SourceError;

use crate::cli::ui::Ui;
use crate::error::{Error, shown};
use crate::folder::{self, Folder, FolderSource, Options, SkippedWhy};
use crate::store::{self, DirectoryStore, Earlier, Prepared};

/// How many skipped entries are listed by name; the others are only counted.
const NAMED: usize = 10;

/// Walks a folder and reports the entries that are skipped.
pub(super) async fn walk(path: &Path, skip_unsendable: bool, ui: &Ui) -> Result<Folder, Error> {
    let folder = Folder::walk(path, &Options { skip_unsendable }).await?;
    for skipped in folder.skipped.first.iter().take(NAMED) {
        let what = match skipped.why {
            SkippedWhy::Symlink => "a symbolic link",
            SkippedWhy::Special => "a device, pipe or socket",
        };
        ui.warn(format!("left out: {} is {what}", skipped.path));
    }
    for unsendable in folder.unsendable.first.iter().take(NAMED) {
        ui.warn(format!("left out: {}: {}", unsendable.path, unsendable.why));
    }
    let more = unnamed(folder.skipped.count) + unnamed(folder.unsendable.count);
    if more > 0 {
        ui.warn(format!("left out: {more} more"));
    }
    Ok(folder)
}

fn unnamed(count: u64) -> u64 {
    count.saturating_sub(NAMED as u64)
}

/// Adds the path and the problem to a source's error.
pub(super) fn source_error(error: SourceError, source: &mut FolderSource) -> Error {
    folder::source_error(error, source.take_error().as_ref())
}

/// Opens a target, before the user is asked for anything.
pub(super) async fn open_target(into: &Path, options: store::Options, ui: &Ui) -> Result<DirectoryStore, Error> {
    let Prepared { store, earlier, notes } = DirectoryStore::prepare(into, options).await?;
    let into = shown(into);
    match earlier {
        Some(Earlier::Completed) => ui.say(format!("Finished what an interrupted run had begun to put into {into}.")),
        Some(Earlier::Abandoned) => {
            ui.say(format!("Gave up what an interrupted run had received for {into}. The folder is as it was."));
        }
        None => {}
    }
    for note in notes {
        ui.warn(format!("{into}: {note}"));
    }
    Ok(store)
}

/// The text for the user about a part of a folder in the staging area whose removal was interrupted.
pub(super) fn not_removed(staging: &Path) -> String {
    format!(
        "What was not removed in time is in {}. The next folder takes its place; it can be removed.",
        shown(staging)
    )
}
