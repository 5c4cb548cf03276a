//! Puts a complete folder into its target: by one rename, in exchange for its predecessor (see `replace`), or file by file
//! (see `merge`).
//!
//! Before that everything that was staged is made durable, and the sender is recorded (see `committed`). PROTOCOL.md,
//! section 6, step 9.

use std::fs::File;
use std::io;

use cap_std::fs::Dir;
use waft_core::digest::Digest;
use waft_core::session::StoreError;

use super::Placed;
use super::blocking::{Part, Staged};
use super::committed::{Folder, Received};
use super::compare::Rules;
use super::error::Result;
use super::merge::{self, Intent, Step};
use super::place::{Found, Place};
use super::replace::{Onto, commit_over, edited, others};
use super::staging::TREE;
use super::stays::Stays;
use super::tree::Digests;
use crate::home::HomeError;
use crate::platform;

impl Staged {
    /// Moves the whole folder into the target. Returns the archive's root digest, and how the folder got there.
    pub(super) fn commit(
        mut self,
        place: &Place,
        received: Option<&Received>,
        step: Step<'_>,
    ) -> Result<(Digest, Placed)> {
        let Part::Content(mut tree) = std::mem::replace(&mut self.part, Part::Broken) else {
            return Err(StoreError::Io.into());
        };
        let mut stays = std::mem::take(&mut tree.stays);
        let digests = tree.end(place)?;
        platform::sync_all(&self.staging.dir).map_err(|error| place.at_staging("", error))?;
        let is_replaced = match received {
            Some(received) => self.replace(place, received, &digests, &mut *step)?,
            None => false,
        };
        let placed = match is_replaced {
            true => Placed::Replaced,
            false => self.put_into(place, received, &digests, &mut stays, step)?,
        };
        // The folder is in place. If the staging area cannot be removed, the next process removes it.
        let _ = self.staging.remove(place);
        Ok((digests.root, placed))
    }

    /// Puts the folder in the place of its predecessor, if it is to replace that. Returns `false` if it is not in place: a
    /// predecessor that was changed is kept, and the folder may be merged into it.
    fn replace(&mut self, place: &Place, received: &Received, digests: &Digests, step: Step<'_>) -> Result<bool> {
        let Onto::Replaced { merges } = self.onto else { return Ok(false) };
        let Found::Filled(target) = place.inspect()? else { return Ok(false) };
        let store_next =
            || self.remember(digests, |folder, manifest| received.store_next(&place.target_path(), folder, manifest));
        let rules = Rules { capabilities: self.capabilities, others: others(merges), place };
        let is_replaced = commit_over(rules, &self.staging, target, received, store_next, step)?;
        match (is_replaced, merges) {
            (true, _) => Ok(true),
            (false, false) => Err(edited(place)),
            (false, true) => {
                self.onto = Onto::Merged;
                Ok(false)
            }
        }
    }

    /// Puts the folder into the target, by one rename or file by file.
    fn put_into(
        &self,
        place: &Place,
        received: Option<&Received>,
        digests: &Digests,
        stays: &mut Stays,
        step: Step<'_>,
    ) -> Result<Placed> {
        let found = place.inspect()?;
        let is_filled = matches!(found, Found::Filled(_));
        if is_filled && self.onto != Onto::Merged {
            return Err(StoreError::NotEmpty.into());
        }
        self.stage_changed(place, &found, stays, digests)?;
        if let Some(received) = received {
            self.remember(digests, |folder, manifest| received.store(&place.target_path(), folder, manifest));
        }
        match found {
            Found::Empty(target) if place.in_place.is_none() => {
                self.rename(place, Some(&target)).map_err(|error| place.at_target("", error))?;
            }
            Found::Filled(target) | Found::Empty(target) => self.merge(place, target, digests, stays, step)?,
            Found::Nothing => self.rename(place, None).map_err(|error| place.at_target("", error))?,
        }
        Ok(if is_filled { Placed::Merged } else { Placed::New })
    }

    /// Moves the files into the target one by one, but those that stay there.
    fn merge(&self, place: &Place, target: Dir, digests: &Digests, stays: &Stays, step: Step<'_>) -> Result<()> {
        let intent = Intent { manifest: self.offered.shape.manifest, digest: digests.manifest };
        let intended = step().and_then(|()| merge::intend(&self.staging, intent));
        intended.map_err(|error| place.at_staging("", error))?;
        merge::forward(place, &self.staging, target, intent, self.capabilities, stays, step)
    }

    /// Records which sender this folder came from. If that fails, the sender has to send the folder in full next time.
    fn remember(
        &self,
        digests: &Digests,
        store: impl FnOnce(&Folder<'_>, &mut File) -> std::result::Result<(), HomeError>,
    ) {
        let Ok(mut file) = self.staging.manifest() else { return };
        let folder = Folder { sender: &self.offered.sender, digests, manifest_length: self.offered.shape.manifest };
        let _ = store(&folder, &mut file);
    }

    /// Renames the tree to the target, which is absent or empty. An empty target's own attributes are copied to the
    /// tree.
    fn rename(&self, place: &Place, replaced: Option<&Dir>) -> io::Result<()> {
        if let Some(replaced) = replaced {
            // Before the transfer the user was warned which attributes cannot be copied.
            platform::copy_attributes(replaced, &self.staging.tree()?)?;
        }
        platform::rename_over_empty(&self.staging.dir, TREE.as_ref(), &place.parent, place.target.as_ref())?;
        platform::sync_names(&place.parent)
    }
}
