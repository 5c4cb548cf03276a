//! The target folder of `receive` and `open`. It is opened and checked before the user is asked for anything.

use std::path::Path;

use crate::cli::ui::Ui;
use crate::error::{Error, shown};
use crate::home::Home;
use crate::store::DirectoryStore;
use crate::store::error::target_error;
use crate::worker::in_background;

/// A target folder and how to use it.
pub(super) struct Target<'a> {
    /// The path of the target.
    pub(super) into: &'a Path,
    /// Whether the target may already hold other files.
    pub(super) overwrite: bool,
    /// Whether to discard what an interrupted run left for this target.
    pub(super) abandon: bool,
    /// The configuration folder where the sender of the target's content is recorded; `None` if the content does not
    /// come from a sender.
    pub(super) home: Option<&'a Home>,
}

/// Opens the store of a target. Completes a commit that an interrupted run had begun, or discards what that run left;
/// warns the user about limitations of the target.
pub(super) async fn open(target: &Target<'_>, ui: &Ui) -> Result<DirectoryStore, Error> {
    let Target { into, overwrite, abandon, home } = target;
    let (path, overwrite) = (into.to_path_buf(), *overwrite);
    let opened = in_background(move || DirectoryStore::open(&path, overwrite)).await;
    let mut store = opened.map_err(|error| target_error(&error))?;
    if let Some(home) = home {
        store = store.remembering((*home).clone());
    }
    if *abandon {
        if store.abandon().await.map_err(|error| target_error(&error))? {
            ui.say(format!(
                "Gave up what an interrupted run had received for {}. The folder is as it was.",
                shown(into)
            ));
        }
    } else if store.recover().await.map_err(|error| target_error(&error))? {
        ui.say(format!("Finished what an interrupted run had begun to put into {}.", shown(into)));
    }
    for note in store.probe().await.map_err(|error| target_error(&error))? {
        ui.warn(format!("{}: {note}", shown(into)));
    }
    Ok(store)
}
