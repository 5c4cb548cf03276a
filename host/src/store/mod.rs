//! A directory on this computer as the place where a received folder goes.
//!
//! TLS -> frame -> open -> decompress -> **store**. Everything is staged beside the target (see `staging`) and appears
//! there at commit: by one rename where nothing is in the target yet, else file by file under an intent log (see
//! `merge`). Paths are resolved component by component relative to open directories, and no symlink is followed below
//! the target or the staging area. PROTOCOL.md, section 8; who calls what when: [`waft_core::session::Store`].

mod aside;
mod capabilities;
mod check;
mod committed;
mod compare;
mod failure;
mod held;
mod incoming;
mod merge;
mod notes;
mod place;
mod preflight;
mod received;
mod staging;
mod tree;

use std::io;
use std::path::{Path, PathBuf};

use cap_std::fs::Dir;
use waft_core::digest::Digest;
use waft_core::limits;
use waft_core::session::{Capacity, Held, Offered, Receipt, Store, StoreError};

use self::aside::aside;
use self::capabilities::Capabilities;
use self::compare::Whole;
use self::failure::{Failure, Result};
use self::incoming::Incoming;
use self::merge::{Intent, Step};
pub use self::notes::Note;
pub use self::place::InPlace;
use self::place::{Found, Place};
use self::preflight::preflight;
use self::received::{Folder, Received};
use self::staging::{MANIFEST, Staging, TREE};
use self::tree::Tree;
use crate::home::Home;
use crate::platform;
use crate::trouble::{Cause, Trouble, is_disk_full};

/// Receives folders into one directory.
///
/// On a host *durable* means handed to the file system: a crash of this process loses none of it. A power cut may; that
/// is found out when the bytes are read back, and again by the sender, who compares their digest.
pub struct DirectoryStore {
    place: Place,
    overwrite: bool,
    state: State,
    /// Digest of the manifest that was taken up last, once it is whole.
    manifest: Option<Digest>,
    trouble: Option<Trouble>,
    /// Which folder the target holds, and who sent it.
    received: Option<Received>,
    /// What the target's file system keeps, once it was measured.
    capabilities: Option<Capabilities>,
}

/// What the store holds of the offered archive.
enum State {
    Idle,
    /// The target is the offered folder already.
    Whole {
        offered: Offered,
        root: Digest,
    },
    /// Some of it is staged.
    Staged(Box<Staged>),
}

struct Staged {
    staging: Staging,
    offered: Offered,
    position: u64,
    part: Part,
    capabilities: Capabilities,
}

/// Which part of the archive comes next.
enum Part {
    Manifest(Box<Incoming>),
    Content(Box<Tree>),
    /// Only while one follows the other, and after an error.
    Broken,
}

impl DirectoryStore {
    /// A store for `target`, which need not exist, in a folder that does. `overwrite`: whether it may hold other
    /// things.
    pub fn open(target: &Path, overwrite: bool) -> std::result::Result<Self, Trouble> {
        Ok(Self {
            place: Place::of(target)?,
            overwrite,
            state: State::Idle,
            manifest: None,
            trouble: None,
            received: None,
            capabilities: None,
        })
    }

    /// The same store, which remembers in `home` who sent what the target holds: that sender need not send it again.
    pub fn remembering(self, home: Home) -> Self {
        Self { received: Some(Received::new(home)), ..self }
    }

    /// Finishes what an interrupted process had begun to move into `target`. Says whether there was such a thing.
    pub async fn recover(target: &Path) -> std::result::Result<bool, Trouble> {
        let place = Place::of(target)?;
        merge::recover(&place).await.map_err(|failure| match failure {
            Failure::Io(trouble) | Failure::At(_, trouble) => trouble,
            Failure::Refused(_) => place.at_staging(MANIFEST, io::Error::from(io::ErrorKind::InvalidData)),
        })
    }

    /// Gives up what an interrupted process left of a folder for `target`, which stays as it is: with a part of the
    /// folder, if moving it had begun. Says whether there was such a thing.
    pub fn abandon(target: &Path) -> std::result::Result<bool, Trouble> {
        let place = Place::of(target)?;
        match Staging::existing(&place) {
            Ok(None) => Ok(false),
            Ok(Some(staging)) => staging.remove(&place).map(|()| true).map_err(|error| place.at_staging("", error)),
            Err(Failure::Io(trouble) | Failure::At(_, trouble)) => Err(trouble),
            Err(Failure::Refused(_)) => Err(place.at_staging("", Cause::NotOurs)),
        }
    }

    /// What the last error was about. Told once.
    pub fn take_trouble(&mut self) -> Option<Trouble> {
        self.trouble.take()
    }

    /// The staging area, if a part of a folder is kept there.
    pub fn left_behind(&self) -> Option<PathBuf> {
        let staging = Staging::existing(&self.place).ok()??;
        let some = staging.manifest().and_then(|manifest| manifest.metadata()).is_ok_and(|found| found.len() > 0);
        some.then(|| self.place.base_path.join(&self.place.staging))
    }

    async fn take_up(&mut self, offered: &Offered, is_it: &dyn Fn(&Digest) -> bool) -> Result<Held> {
        self.state = State::Idle;
        self.manifest = None;
        merge::recover(&self.place).await?;
        if let Found::Filled(target) = self.place.look()? {
            if let Some((manifest, Whole { archive, root })) = self.committed(target, offered, is_it).await {
                self.manifest = Some(manifest);
                self.state = State::Whole { offered: *offered, root };
                return Ok(Held { offset: offered.shape.total, digest: archive });
            }
            if !self.overwrite {
                return Err(self.not_empty());
            }
        }
        let mut staging = Staging::open(&self.place)?;
        let capabilities = self.measure(&staging)?;
        let ours = staging.is_of(offered).unwrap_or(false);
        let found = match ours {
            true => held::read_back(&self.place, &staging, offered, is_it, capabilities).await,
            false => None,
        };
        let Some((held, tree)) = found else { return self.start(staging, offered).await };
        self.enough(offered.shape.total - held.offset)?;
        self.manifest = Some(tree.manifest);
        let part = Part::Content(Box::new(tree));
        let staged = Staged { staging, offered: *offered, position: held.offset, part, capabilities };
        staged.check(&self.place)?;
        self.state = State::Staged(Box::new(staged));
        Ok(held)
    }

    /// Begins at the archive's first byte.
    async fn start(&mut self, mut staging: Staging, offered: &Offered) -> Result<Held> {
        let staging = aside(move || staging.clear().map(|()| staging)).await;
        let mut staging = staging.map_err(|error| self.place.at_staging("", error))?;
        if let Err(failure) = self.enough(offered.shape.total) {
            // Nothing is in it; should it stay, the next session takes it up.
            let _ = staging.remove(&self.place);
            return Err(failure);
        }
        let capabilities = self.measure(&staging)?;
        let target = match self.place.look()? {
            Found::Empty(target) | Found::Filled(target) => Some(target),
            Found::Nothing => None,
        };
        let begun = staging.begin(offered, target.as_ref());
        let manifest = begun.map_err(|error| self.place.at_staging("", error))?;
        let part = Part::Manifest(Box::new(Incoming::new(manifest, offered.shape.manifest)));
        self.manifest = None;
        let staged = Staged { staging, offered: *offered, position: 0, part, capabilities };
        self.state = State::Staged(Box::new(staged));
        Ok(Held { offset: 0, digest: Digest::of(&[]) })
    }

    fn enough(&self, needed: u64) -> Result<()> {
        let free = self.free();
        if needed > free { Err(StoreError::NoSpace { needed, free }.into()) } else { Ok(()) }
    }

    fn free(&self) -> u64 {
        platform::free_space(&self.place.base_path).unwrap_or(0)
    }

    async fn start_over(&mut self) -> Result<()> {
        let (staging, offered) = match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => return Err(StoreError::Io.into()),
            State::Staged(staged) => (staged.staging, staged.offered),
            State::Whole { .. } if !self.overwrite => return Err(StoreError::NotEmpty.into()),
            State::Whole { offered, root } => {
                // Stays while another process is there: this is called again.
                self.state = State::Whole { offered, root };
                (Staging::open(&self.place)?, offered)
            }
        };
        self.start(staging, &offered).await.map(drop)
    }

    fn take(&mut self, mut archive: &[u8]) -> Result<()> {
        let State::Staged(staged) = &mut self.state else { return Err(StoreError::Io.into()) };
        let length = archive.len() as u64;
        let taken = staged.take(&self.place, &mut archive);
        if taken.is_err() {
            staged.part = Part::Broken;
        }
        if let Part::Content(tree) = &staged.part {
            self.manifest = Some(tree.manifest);
        }
        taken.map(|()| staged.position += length)
    }

    async fn put_in_place(&mut self, step: Step<'_>) -> Result<Receipt> {
        let (offered, root) = match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => return Err(StoreError::Io.into()),
            State::Whole { offered, root } => {
                // Left by a process that was stopped between the rename and this.
                if let Ok(Some(staging)) = Staging::existing(&self.place) {
                    let _ = staging.remove(&self.place);
                }
                (offered, root)
            }
            State::Staged(staged) => {
                let received = self.received.as_ref();
                (staged.offered, staged.commit(&self.place, self.overwrite, received, step).await?)
            }
        };
        Ok(Receipt { digest: root, files: offered.shape.files, bytes: offered.shape.total, generation: 0 })
    }

    /// Keeps the trouble for the person, and says what the session needs to know.
    fn told<T>(&mut self, result: Result<T>) -> std::result::Result<T, StoreError> {
        self.trouble = None;
        result.map_err(|failure| {
            let (error, trouble) = match failure {
                Failure::Refused(error) => (error, None),
                Failure::At(error, trouble) => (error, Some(trouble)),
                Failure::Io(trouble) => (self.io_error(&trouble), Some(trouble)),
            };
            self.trouble = trouble;
            error
        })
    }

    fn io_error(&self, trouble: &Trouble) -> StoreError {
        match trouble.io_kind() {
            Some(kind) if is_disk_full(kind) => StoreError::NoSpace { needed: self.left(), free: self.free() },
            Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => StoreError::NotWritable,
            Some(_) => StoreError::Io,
            None => StoreError::NotWritable,
        }
    }

    /// Bytes of archive that are still to come.
    fn left(&self) -> u64 {
        match &self.state {
            State::Staged(staged) => staged.offered.shape.total - staged.position,
            State::Idle | State::Whole { .. } => 0,
        }
    }
}

impl Store for DirectoryStore {
    fn capacity(&mut self) -> Capacity {
        Capacity {
            total: limits::ARCHIVE_MAX,
            entries: limits::ENTRIES_MAX,
            manifest: limits::MANIFEST_MAX,
            path: limits::PATH_MAX as u16,
            free: self.room(),
        }
    }

    async fn check(&mut self, offered: &Offered) -> std::result::Result<(), StoreError> {
        let found = self.foresee(offered).await;
        self.told(found)
    }

    async fn begin(
        &mut self,
        offered: &Offered,
        is_it: &dyn Fn(&Digest) -> bool,
    ) -> std::result::Result<Held, StoreError> {
        let taken = self.take_up(offered, is_it).await;
        self.told(taken)
    }

    async fn restart(&mut self) -> std::result::Result<(), StoreError> {
        let started = self.start_over().await;
        self.told(started)
    }

    async fn write(&mut self, archive: &[u8]) -> std::result::Result<(), StoreError> {
        let taken = self.take(archive);
        self.told(taken)
    }

    fn manifest(&self) -> Option<Digest> {
        self.manifest
    }

    fn durable(&self) -> u64 {
        match &self.state {
            State::Idle => 0,
            State::Whole { offered, .. } => offered.shape.total,
            State::Staged(staged) => staged.position,
        }
    }

    async fn commit(&mut self) -> std::result::Result<Receipt, StoreError> {
        let committed = self.put_in_place(&mut || Ok(())).await;
        self.told(committed)
    }

    async fn suspend(&mut self) {
        self.state = State::Idle;
    }

    async fn discard(&mut self) {
        if let State::Staged(staged) = std::mem::replace(&mut self.state, State::Idle) {
            let Staged { mut staging, part, .. } = *staged;
            drop(part);
            // What cannot be removed now will be when the next archive comes.
            let cleared = aside(move || staging.clear().map(|()| staging)).await;
            let _ = cleared.and_then(|staging| staging.remove(&self.place));
        }
    }
}

impl Staged {
    fn take(&mut self, place: &Place, archive: &mut &[u8]) -> Result<()> {
        if let Part::Manifest(incoming) = &mut self.part {
            incoming.write(place, archive)?;
            if !incoming.is_complete() {
                return Ok(());
            }
            self.part = Part::Content(Box::new(self.begin_content(place)?));
        }
        match &mut self.part {
            Part::Content(tree) => tree.write(place, archive),
            Part::Manifest(_) | Part::Broken => Err(StoreError::Io.into()),
        }
    }

    /// The whole manifest is here and right: makes ready for what follows.
    fn begin_content(&mut self, place: &Place) -> Result<Tree> {
        let Part::Manifest(incoming) = std::mem::replace(&mut self.part, Part::Broken) else {
            return Err(StoreError::Io.into());
        };
        let summary = incoming.finish(&self.offered.shape)?;
        self.check(place)?;
        Tree::begin(place, &self.staging, summary, self.capabilities)
    }

    /// Checks that everything can be moved into a target that holds other things.
    fn check(&self, place: &Place) -> Result<()> {
        let target = match place.look()? {
            Found::Filled(target) => target,
            Found::Empty(target) if place.in_place.is_some() => target,
            Found::Empty(_) | Found::Nothing => return Ok(()),
        };
        let manifest = self.staging.manifest().map_err(|error| place.at_staging(MANIFEST, error))?;
        preflight(place, target, merge::entries(place, manifest, self.offered.shape.manifest)?)
    }

    /// Puts the whole folder where readers find it. Returns the archive's root.
    async fn commit(
        mut self,
        place: &Place,
        overwrite: bool,
        received: Option<&Received>,
        step: Step<'_>,
    ) -> Result<Digest> {
        let Part::Content(tree) = std::mem::replace(&mut self.part, Part::Broken) else {
            return Err(StoreError::Io.into());
        };
        let (root, manifest) = tree.end(place)?;
        let synced = self.staging.dir.try_clone();
        let synced = aside(move || synced.and_then(|dir| platform::sync_all(&dir))).await;
        synced.map_err(|error| place.at_staging("", error))?;
        if let Some(received) = received {
            self.remember(place, received, &root, &manifest);
        }
        match place.look()? {
            Found::Filled(_) if !overwrite => {
                let full = io::Error::from(io::ErrorKind::DirectoryNotEmpty);
                return Err(Failure::At(StoreError::NotEmpty, place.at_target("", full)));
            }
            Found::Empty(target) if place.in_place.is_none() => {
                self.rename(place, Some(&target)).map_err(|error| place.at_target("", error))?;
            }
            Found::Filled(target) | Found::Empty(target) => {
                self.check(place)?;
                let intent = Intent { manifest: self.offered.shape.manifest, digest: manifest };
                step()
                    .and_then(|()| merge::intend(&self.staging, intent))
                    .map_err(|error| place.at_staging("", error))?;
                merge::forward(place, &self.staging, target, intent, self.capabilities, step).await?;
            }
            Found::Nothing => self.rename(place, None).map_err(|error| place.at_target("", error))?,
        }
        // The folder stands; what is left over here is removed by whoever comes next.
        let _ = self.staging.remove(place);
        Ok(root)
    }

    /// Remembers whose folder this is. Where that fails, the folder has to be sent again in full some day.
    fn remember(&self, place: &Place, received: &Received, root: &Digest, manifest: &Digest) {
        let Ok(mut file) = self.staging.manifest() else { return };
        let folder = Folder {
            sender: &self.offered.sender,
            root,
            manifest_digest: manifest,
            manifest_length: self.offered.shape.manifest,
        };
        let _ = received.store(&place.target_path(), &folder, &mut file);
    }

    /// Renames the tree to a target that is absent or empty: from that one it takes what belongs to a directory itself.
    fn rename(&self, place: &Place, replaced: Option<&Dir>) -> io::Result<()> {
        if let Some(replaced) = replaced {
            // What this user may not give was told before the transfer.
            platform::copy_attributes(replaced, &self.staging.tree()?)?;
        }
        platform::rename_over_empty(&self.staging.dir, TREE.as_ref(), &place.parent, place.target.as_ref())?;
        platform::sync_names(&place.parent)
    }
}

#[cfg(test)]
mod tests;
