//! The operations of [`DirectoryStore`](super::DirectoryStore), as calls that block the thread of the caller.
//!
//! Everything is staged beside the target (see `staging`) and appears in the target at commit: with one rename if the
//! target is absent or empty, otherwise file by file under an intent log (see `merge`). PROTOCOL.md, section 8.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use cap_std::fs::Dir;
use waft_core::archive::Shape;
use waft_core::digest::Digest;
use waft_core::session::{Held, Offered, Receipt, StoreError};

use super::base::Base;
use super::capabilities::Capabilities;
use super::check::left_behind;
use super::committed::Received;
use super::compare::Whole;
use super::error::{Failure, Result, check_wanted, no_space};
use super::inbox::{Inbox, Tidied};
use super::merge::{self, Step, preflight};
use super::place::{Found, Place};
use super::replace::{self, Onto};
use super::small_files::SmallFiles;
use super::staging::{MANIFEST, Staging};
use super::stays::Stays;
use super::tree::{Incoming, Tree};
use super::{Earlier, LeftBehind, Piece, Placed, held};
use crate::error::{FileError, is_disk_full};
use crate::queue::Output;

/// A directory store with blocking calls.
pub(super) struct BlockingStore {
    pub(super) place: Place,
    pub(super) overwrite: bool,
    /// The inbox, if the sender and the name of a folder decide about its place.
    pub(super) inbox: Option<Inbox>,
    /// How the current archive gets into a target that holds something.
    onto: Onto,
    state: State,
    /// Digest of the manifest of the current archive, once the manifest is complete.
    manifest: Option<Digest>,
    /// Records of which folder the target holds and which sender it came from.
    pub(super) received: Option<Received>,
    /// The folder in the target, if the sender of the current archive sent that as well.
    pub(super) base: Option<Base>,
    /// The archive that was begun last.
    begun: Option<Offered>,
    /// Whether that archive has lost its base. Then the sender leaves nothing out, until its run ends.
    is_base_lost: bool,
    /// The attributes that the target's file system keeps, once they were measured.
    pub(super) capabilities: Option<Capabilities>,
    /// The result of writing the last bytes of the archive.
    pub(super) written: std::result::Result<(), ErrorAndCause>,
}

/// The error for the session, and the path and cause that the user may see.
pub(super) type ErrorAndCause = (StoreError, Option<FileError>);

/// What the store holds of the offered archive.
enum State {
    Idle,
    /// The target already holds the offered folder.
    Whole {
        offered: Offered,
        root: Digest,
    },
    /// A part of the archive is staged.
    Staged(Box<Staged>),
}

/// A manifest that is staged and complete.
pub(super) struct StagedManifest {
    pub(super) file: File,
    pub(super) length: u32,
    /// The attributes that the file system keeps.
    pub(super) capabilities: Capabilities,
    /// Whether its folder is merged into the target.
    pub(super) is_merged: bool,
}

/// An archive of which a part is staged.
pub(super) struct Staged {
    pub(super) staging: Staging,
    pub(super) offered: Offered,
    position: u64,
    pub(super) part: Part,
    pub(super) capabilities: Capabilities,
    pub(super) onto: Onto,
}

/// The part of the archive that comes next.
pub(super) enum Part {
    Manifest(Box<Incoming>),
    Content(Box<Tree>),
    /// Only during the change from one part to the other, and after an error.
    Broken,
}

impl BlockingStore {
    pub(super) fn new(place: Place, overwrite: bool) -> Self {
        Self {
            place,
            overwrite,
            inbox: None,
            onto: Onto::Nothing,
            state: State::Idle,
            manifest: None,
            received: None,
            base: None,
            begun: None,
            is_base_lost: false,
            capabilities: None,
            written: Ok(()),
        }
    }

    /// Completes or undoes what interrupted processes had begun to put in place.
    pub(super) fn recover(&self) -> Result<Tidied> {
        self.in_staged_places(recover)
    }

    /// Removes what interrupted processes left in staging areas.
    pub(super) fn abandon(&self) -> Result<Tidied> {
        self.in_staged_places(|place| {
            replace::recover(place)?;
            let Some(staging) = Staging::existing(place)? else { return Ok(None) };
            staging.remove(place).map(|()| Some(Earlier::Abandoned)).map_err(|error| place.at_staging("", error).into())
        })
    }

    /// What an interrupted transfer left in the staging area, if it left anything.
    pub(super) fn left_behind(&self) -> Option<LeftBehind> {
        left_behind(&self.place)
    }

    /// Digest of the manifest of the current archive, once the manifest is complete.
    pub(super) fn manifest(&self) -> Option<Digest> {
        self.manifest
    }

    /// Number of bytes of the current archive that are written.
    pub(super) fn durable(&self) -> u64 {
        match &self.state {
            State::Idle => 0,
            State::Whole { offered, .. } => offered.shape.total,
            State::Staged(staged) => staged.position,
        }
    }

    /// Closes the staging area and keeps its content.
    pub(super) fn suspend(&mut self) {
        self.state = State::Idle;
        self.written = Ok(());
    }

    /// Removes the staging area with its content.
    pub(super) fn discard(&mut self) {
        self.written = Ok(());
        if let State::Staged(staged) = std::mem::replace(&mut self.state, State::Idle) {
            let Staged { staging, part, .. } = *staged;
            drop(part);
            // If something cannot be removed now, the next archive removes it.
            let _ = staging.remove(&self.place);
        }
    }

    /// Starts or resumes the offered archive. Returns the prefix of the archive that the store already holds.
    pub(super) fn begin(&mut self, offered: &Offered, is_it: &dyn Fn(&Digest) -> bool) -> Result<Held> {
        self.state = State::Idle;
        self.manifest = None;
        self.base = None;
        self.is_base_lost &= self.begun.replace(*offered) == Some(*offered);
        self.written = Ok(());
        self.onto = if self.overwrite { Onto::Merged } else { Onto::Nothing };
        recover(&self.place)?;
        if self.may_replace() {
            self.settle_record();
        }
        if let Found::Filled(target) = self.place.inspect()?
            && let Some(held) = self.begin_onto(target, offered, is_it)?
        {
            return Ok(held);
        }
        let mut staging = Staging::open(&self.place)?;
        let capabilities = self.measure(&staging)?;
        let found = match staging.is_of(offered).unwrap_or(false) {
            true => {
                let base = self.base.as_mut().filter(|_| self.onto == Onto::Merged);
                held::read_back(&self.place, &staging, offered, is_it, capabilities, base, self.is_base_lost)
            }
            false => None,
        };
        // What was given up in the middle says nothing about what is staged.
        check_wanted()?;
        match found {
            Some((held, tree)) => self.resume(staging, offered, held, tree),
            None => self.start(staging, offered),
        }
    }

    /// Finds out how the offered folder gets into `target`, which holds something. If that is the folder itself, returns
    /// that the store holds all of it.
    fn begin_onto(&mut self, target: Dir, offered: &Offered, is_it: &dyn Fn(&Digest) -> bool) -> Result<Option<Held>> {
        if self.overwrite || self.may_replace() {
            self.base = self.find_base(offered)?;
        }
        let Some((manifest, Whole { archive, root })) = self.committed(target, offered, is_it) else {
            let Found::Filled(target) = self.place.inspect()? else { return Err(StoreError::InUse.into()) };
            self.onto = self.onto(target, offered)?;
            return Ok(None);
        };
        self.manifest = Some(manifest);
        if self.may_replace() {
            // If the sender's content differs after all, it replaces this one.
            self.onto = Onto::Replaced { merges: self.overwrite };
        }
        self.state = State::Whole { offered: *offered, root };
        Ok(Some(Held { offset: offered.shape.total, digest: archive }))
    }

    /// Goes on after the prefix of the archive that is staged.
    fn resume(&mut self, staging: Staging, offered: &Offered, held: Held, tree: Tree) -> Result<Held> {
        self.enough(offered.shape.total - held.offset)?;
        self.manifest = Some(tree.manifest);
        let capabilities = self.measure(&staging)?;
        let (part, onto) = (Part::Content(Box::new(tree)), self.onto);
        let staged = Staged { staging, offered: *offered, position: held.offset, part, capabilities, onto };
        // Whether files stay where they are is asked only at the commit.
        staged.check(&self.place, &self.place.inspect()?, &Stays::default())?;
        self.state = State::Staged(Box::new(staged));
        Ok(held)
    }

    /// Starts at the archive's first byte.
    fn start(&mut self, mut staging: Staging, offered: &Offered) -> Result<Held> {
        staging.clear().map_err(|error| self.place.at_staging("", error))?;
        if let Err(failure) = self.enough(offered.shape.total) {
            // The staging area is empty. If it cannot be removed, the next session reuses it.
            let _ = staging.remove(&self.place);
            return Err(failure);
        }
        let capabilities = self.measure(&staging)?;
        let target = match self.place.inspect()? {
            Found::Empty(target) | Found::Filled(target) => Some(target),
            Found::Nothing => None,
        };
        let begun = staging.begin(offered, target.as_ref());
        let manifest = begun.map_err(|error| self.place.at_staging("", error))?;
        let part = Part::Manifest(Box::new(Incoming::new(manifest, offered.shape.manifest)));
        self.manifest = None;
        let staged = Staged { staging, offered: *offered, position: 0, part, capabilities, onto: self.onto };
        self.state = State::Staged(Box::new(staged));
        Ok(Held { offset: 0, digest: Digest::of(&[]) })
    }

    fn enough(&self, needed: u64) -> Result<()> {
        let free = self.free();
        if needed > free { Err(no_space(needed, free).into()) } else { Ok(()) }
    }

    pub(super) fn free(&self) -> u64 {
        fs4::available_space(&self.place.base_path).unwrap_or(0)
    }

    /// Starts the current archive again from its first byte.
    pub(super) fn start_over(&mut self) -> Result<()> {
        let (staging, offered) = match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => return Err(StoreError::Io.into()),
            State::Staged(staged) => (staged.staging, staged.offered),
            State::Whole { .. } if !self.overwrite && !self.may_replace() => return Err(self.not_empty()),
            State::Whole { offered, root } => {
                // The state is kept while another process uses the staging area, because this is called again then.
                self.state = State::Whole { offered, root };
                (Staging::open(&self.place)?, offered)
            }
        };
        self.start(staging, &offered).map(drop)
    }

    /// Whether this store itself holds the staging area.
    pub(super) fn is_staging(&self) -> bool {
        matches!(self.state, State::Staged(_))
    }

    /// The staged manifest, once it is complete.
    pub(super) fn staged_manifest(&self) -> Option<StagedManifest> {
        let State::Staged(staged) = &self.state else { return None };
        let Part::Content(_) = staged.part else { return None };
        let (file, length) = (staged.staging.manifest().ok()?, staged.offered.shape.manifest);
        let is_merged = staged.onto == Onto::Merged;
        Some(StagedManifest { file, length, capabilities: staged.capabilities, is_merged })
    }

    /// Creates the next file (see [`Tree::share_next`]).
    pub(super) fn share_next(&mut self, source: &File) -> Result<Option<File>> {
        let State::Staged(staged) = &mut self.state else { return Err(StoreError::Io.into()) };
        let Part::Content(tree) = &mut staged.part else { return Err(StoreError::Io.into()) };
        tree.share_next(&self.place, source)
    }

    /// The target as the base of the current archive, and the files of the archive that stay there.
    pub(super) fn base_and_stays(&mut self) -> Option<(&mut Base, &mut Stays)> {
        let State::Staged(staged) = &mut self.state else { return None };
        let Part::Content(tree) = &mut staged.part else { return None };
        Some((self.base.as_mut()?, &mut tree.stays))
    }

    /// Whether the next bytes are content. The result of writing content need not be known before more of it arrives.
    pub(super) fn takes_content(&self) -> bool {
        matches!(&self.state, State::Staged(staged) if matches!(staged.part, Part::Content(_)))
    }

    /// Writes the next bytes of the archive, and keeps the result in `written`.
    pub(super) fn write(&mut self, archive: &[u8]) {
        self.written = self.take(archive, None).map_err(|failure| self.explain(failure));
    }

    /// Writes the pieces of content in a queue until it ends, or until one cannot be written, and keeps the result in
    /// `written`. `durable` shows how many bytes of the archive are written.
    pub(super) fn write_content(&mut self, pieces: Output<Piece>, durable: &AtomicU64) {
        let written = thread::scope(|scope| self.take_pieces(pieces, SmallFiles::new(scope), durable));
        self.written = written.map_err(|failure| self.explain(failure));
        if self.written.is_err()
            && let State::Staged(staged) = &mut self.state
        {
            // A small file may be missing before others that are complete, so nothing can follow.
            staged.part = Part::Broken;
        }
    }

    fn take_pieces(
        &mut self,
        mut pieces: Output<Piece>,
        mut small: SmallFiles<'_, '_>,
        durable: &AtomicU64,
    ) -> Result<()> {
        while let Some(piece) = pieces.blocking_next() {
            let taken = match piece.from_base {
                0 => self.take(&piece.bytes, Some(&mut small)),
                length => self.take_from_base(length, Some(&mut small)),
            };
            let written = small.durable(self.durable());
            durable.store(written, Ordering::Relaxed);
            if taken.is_err() {
                self.set_position(written);
                return taken;
            }
            pieces.give_back(piece);
        }
        let written = small.durable(self.durable());
        small.finish().map_err(|failed| {
            self.set_position(written);
            Tree::not_written(&self.place, failed)
        })
    }

    /// After a failure: only so many bytes of the archive are written, and the rest still needs room.
    fn set_position(&mut self, written: u64) {
        if let State::Staged(staged) = &mut self.state {
            staged.position = written;
        }
    }

    /// Consumes the next bytes of the archive.
    pub(super) fn take(&mut self, mut archive: &[u8], small: Option<&mut SmallFiles<'_, '_>>) -> Result<()> {
        let State::Staged(staged) = &mut self.state else { return Err(StoreError::Io.into()) };
        let length = archive.len() as u64;
        let taken = staged.take(&self.place, &mut archive, small);
        if taken.is_err() {
            staged.part = Part::Broken;
        }
        if let Part::Content(tree) = &staged.part {
            self.manifest = Some(tree.manifest);
        }
        taken.map(|()| staged.position += length)
    }

    /// Commits: moves the whole folder into the target. Returns the receipt, and how the folder got there.
    pub(super) fn put_in_place(&mut self, step: Step<'_>) -> Result<(Receipt, Placed)> {
        // It keeps the target open, and Windows renames no directory that is open.
        self.base = None;
        let (offered, root, placed) = match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => return Err(StoreError::Io.into()),
            State::Whole { offered, root } => {
                // A process that was stopped between the rename and this point may have left a staging area.
                if let Ok(Some(staging)) = Staging::existing(&self.place) {
                    let _ = staging.remove(&self.place);
                }
                (offered, root, Placed::Unchanged)
            }
            State::Staged(staged) => {
                let offered = staged.offered;
                let committed = staged.commit(&self.place, self.received.as_ref(), step);
                let (root, placed) = committed.map_err(|failure| match failure {
                    Failure::Refused(StoreError::NotEmpty) => self.not_empty(),
                    failure => failure,
                })?;
                (offered, root, placed)
            }
        };
        let Shape { files, total, .. } = offered.shape;
        Ok((Receipt { digest: root, files, bytes: total, generation: 0 }, placed))
    }

    /// Splits a failure into the error for the session and the details for the user.
    pub(super) fn explain(&mut self, failure: Failure) -> ErrorAndCause {
        let (error, cause) = match failure {
            Failure::Refused(error) => (error, None),
            Failure::At(error, file_error) => (error, Some(file_error)),
            Failure::Io(file_error) => (self.io_error(&file_error), Some(file_error)),
        };
        self.is_base_lost |= error == StoreError::BaseLost;
        (error, cause)
    }

    fn io_error(&self, file_error: &FileError) -> StoreError {
        match file_error.io_kind() {
            Some(kind) if is_disk_full(kind) => no_space(self.left(), self.free()),
            Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => StoreError::NotWritable,
            Some(_) => StoreError::Io,
            None => StoreError::NotWritable,
        }
    }

    /// Number of bytes of the archive that are still to come.
    pub(super) fn left(&self) -> u64 {
        match &self.state {
            State::Staged(staged) => staged.offered.shape.total - staged.position,
            State::Idle | State::Whole { .. } => 0,
        }
    }
}

/// If a process was interrupted while it put a folder into this place, undoes or completes that. Returns what was done.
fn recover(place: &Place) -> Result<Option<Earlier>> {
    let undone = replace::recover(place)?.then_some(Earlier::Undone);
    Ok(merge::recover(place)?.then_some(Earlier::Completed).or(undone))
}

impl Staged {
    fn take(&mut self, place: &Place, archive: &mut &[u8], small: Option<&mut SmallFiles<'_, '_>>) -> Result<()> {
        if let Part::Manifest(incoming) = &mut self.part {
            incoming.write(place, archive)?;
            if !incoming.is_complete() {
                return Ok(());
            }
            self.part = Part::Content(Box::new(self.begin_content(place)?));
        }
        match &mut self.part {
            Part::Content(tree) => tree.write(place, self.position, archive, small),
            Part::Manifest(_) | Part::Broken => Err(StoreError::Io.into()),
        }
    }

    /// Called when the manifest is complete: checks it and prepares for the content.
    fn begin_content(&mut self, place: &Place) -> Result<Tree> {
        let Part::Manifest(incoming) = std::mem::replace(&mut self.part, Part::Broken) else {
            return Err(StoreError::Io.into());
        };
        let summary = incoming.finish(&self.offered.shape)?;
        self.check(place, &place.inspect()?, &Stays::default())?;
        Tree::begin(place, &self.staging, summary, self.capabilities)
    }

    /// Checks that everything can be moved into a target that holds other files, which was `found`. Returns the entries
    /// of `stays` whose files cannot stay there (see [`preflight`]).
    pub(super) fn check(&self, place: &Place, found: &Found, stays: &Stays) -> Result<Vec<u32>> {
        if matches!(self.onto, Onto::Replaced { .. }) {
            return Ok(Vec::new());
        }
        let target = match found {
            Found::Filled(target) => target,
            Found::Empty(target) if place.in_place.is_some() => target,
            Found::Empty(_) | Found::Nothing if stays.is_empty() => return Ok(Vec::new()),
            Found::Empty(_) | Found::Nothing => return Err(StoreError::BaseLost.into()),
        };
        let manifest = self.staging.manifest().map_err(|error| place.at_staging(MANIFEST, error))?;
        let target = target.try_clone().map_err(|error| place.at_target("", error))?;
        preflight(place, target, merge::entries(place, manifest, self.offered.shape.manifest)?, stays)
    }
}
