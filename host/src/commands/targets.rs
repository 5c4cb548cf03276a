//! The folder into which `receive` and `open` put what they get: looked at before anything else is asked for.

use std::path::Path;

use super::in_background;
use crate::error::{Error, shown};
use crate::home::Home;
use crate::store::DirectoryStore;
use crate::ui::Ui;

/// How a target is to be used.
pub(super) struct Target<'a> {
    /// Where it is.
    pub(super) into: &'a Path,
    /// Whether it may hold other things.
    pub(super) overwrite: bool,
    /// Whether what an interrupted run left is given up.
    pub(super) abandon: bool,
    /// Where it is remembered who sent what is in it, if it comes from senders.
    pub(super) home: Option<&'a Home>,
}

/// A store for that target. Finishes what an interrupted run had begun to move into it, or gives it up; says what the
/// user should know about the target.
pub(super) async fn open(target: &Target<'_>, ui: &Ui) -> Result<DirectoryStore, Error> {
    let Target { into, overwrite, abandon, home } = target;
    let (path, overwrite) = (into.to_path_buf(), *overwrite);
    let opened = in_background(move || DirectoryStore::open(&path, overwrite)).await;
    let mut store = opened.map_err(Error::Place)?;
    if let Some(home) = home {
        store = store.remembering((*home).clone());
    }
    if *abandon {
        if store.abandon().await.map_err(Error::Place)? {
            ui.say(format!(
                "Gave up what an interrupted run had received for {}. The folder is as it was.",
                shown(into)
            ));
        }
    } else if store.recover().await.map_err(Error::Place)? {
        ui.say(format!("Finished what an interrupted run had begun to put into {}.", shown(into)));
    }
    for note in store.probe().await.map_err(Error::Place)? {
        ui.warn(format!("{}: {note}", shown(into)));
    }
    Ok(store)
}
