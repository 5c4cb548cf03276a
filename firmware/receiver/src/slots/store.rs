//! The [`Store`] of a session on slots: receives an archive into the free slot, verifies it, and commits it.

use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_storage_async::nor_flash::NorFlash;
use waft_core::certificate::CertificateHash;
use waft_core::digest::Digest;
use waft_core::limits::{ENTRIES_MAX, MANIFEST_MAX, PATH_MAX};
use waft_core::session::{Capacity, Held, Offered, Receipt, Store, StoreError};
use waft_core::wire::message::{BaseFiles, Limit};

use super::area::Slot;
use super::journal::Journal;
use super::lock::Guard;
use super::record::{CELL, Committed, Record, Sizes, Stamp};
use super::review::{AcceptAll, Rejection, Review};
use super::stage::Stage;
use super::transfer::Transfer;
use super::{RevertError, SlotChange, Slots, change, check};

/// The shortest buffer, in bytes. A longer one, up to an erase block, needs fewer calls of the flash driver.
pub const BUFFER_MIN: usize = 2 * CELL;

/// Why the slots cannot be mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum MountError {
    /// The buffer is shorter than [`BUFFER_MIN`].
    Buffer,
    /// A factory reset was begun, and cannot be completed because the flash fails.
    Reset,
}

/// The only writer of [`Slots`], as long as it exists.
pub struct SlotStore<'a, M: RawMutex, F, V = AcceptAll> {
    slots: &'a Slots<'a, M, F>,
    buffer: &'a mut [u8],
    journal: Guard<'a, M, Journal>,
    allow_older: bool,
    memory: &'a mut Transfer,
    work: Work,
    review: V,
}

enum Work {
    /// No archive is offered.
    Idle,
    /// The offered archive is the committed folder.
    Whole(Committed, Offered),
    /// The offered archive is received into the free slot.
    Part(Stage),
}

impl<'a, M: RawMutex, F: NorFlash> SlotStore<'a, M, F> {
    /// Mounts the slots, and opens them for writing.
    ///
    /// `buffer` collects bytes before they are written. Only whole cells of 32 bytes of it are used.
    pub async fn mount(
        slots: &'a Slots<'a, M, F>,
        buffer: &'a mut [u8],
        memory: &'a mut Transfer,
    ) -> Result<Self, MountError> {
        slots.mount(buffer).await?;
        Ok(Self::open(slots, buffer, memory, AcceptAll).await)
    }
}

impl<'a, M: RawMutex, F: NorFlash, V: Review<M, F>> SlotStore<'a, M, F, V> {
    /// Opens mounted slots for writing. Waits until nothing else writes to them. `review` decides about each folder
    /// before it is committed.
    pub async fn open(slots: &'a Slots<'a, M, F>, buffer: &'a mut [u8], memory: &'a mut Transfer, review: V) -> Self {
        let journal = slots.lock_journal().await;
        Self { slots, buffer, journal, allow_older: false, memory, work: Work::Idle, review }
    }

    /// Sets whether a sender may send an archive that is older than its last one. Initially it may not.
    pub fn allow_older(&mut self, allow: bool) {
        self.allow_older = allow;
    }

    /// Does what [`Slots::reset_guard`] does.
    pub async fn reset_guard(&mut self) -> Result<(), StoreError> {
        change::make(self.slots, &mut self.journal, SlotChange::ResetGuard).await
    }

    /// Does what [`Slots::forget`] does.
    pub async fn forget(&mut self) -> Result<(), StoreError> {
        change::make(self.slots, &mut self.journal, SlotChange::Forget).await
    }

    /// Does what [`Slots::revert`] does.
    pub async fn revert(&mut self) -> Result<(), RevertError> {
        change::revert(self.slots, &mut self.journal, self.buffer).await
    }

    /// The slot for the next folder, unless a reader holds a lease on it or receiving is paused. **Never the slot of the
    /// committed folder**, and none at all while there is a journal error, because either slot may contain that folder.
    fn free_slot(&self) -> Result<Slot, StoreError> {
        if self.journal.error().is_some() {
            return Err(StoreError::Io);
        }
        let state = self.journal.state();
        let slot = match (state.committed, state.begun) {
            (Some(committed), _) => committed.slot.other(),
            (None, Some((begun, _))) => begun.slot,
            (None, None) => Slot::A,
        };
        if self.slots.is_leased(slot) || self.slots.is_paused() { Err(StoreError::InUse) } else { Ok(slot) }
    }

    /// Starts a transfer from the first byte.
    fn start_transfer(&mut self, offered: Offered, sizes: Sizes, slot: Slot) {
        self.memory.manifest().restart(sizes.manifest);
        self.work = Work::Part(Stage::new(offered, sizes, slot));
    }

    /// The sizes of the offered archive, if it fits into a slot.
    fn sizes(&self, offered: &Offered) -> Result<Sizes, StoreError> {
        let sizes = Sizes::of(offered).filter(|sizes| sizes.total <= self.slots.capacity());
        sizes.ok_or(StoreError::Limit(Limit::Total))
    }

    fn check_age(&self, offered: &Offered) -> Result<(), StoreError> {
        let newest = self.journal.state().stamp(&offered.sender);
        let older = newest.is_some_and(|newest| offered.created < newest);
        if older && !self.allow_older { Err(StoreError::Older) } else { Ok(()) }
    }

    /// Reads the committed folder back and returns its digest, if the offered folder is the same. **Only its own sender
    /// may learn that it exists**, because the digest reveals what the files contain.
    async fn whole(
        &mut self,
        sender: &CertificateHash,
        sizes: &Sizes,
        matches: &dyn Fn(&Digest) -> bool,
    ) -> Option<(Committed, Held)> {
        let committed = self.journal.committed()?;
        if committed.sender != *sender || committed.sizes != *sizes || !matches(&committed.manifest) {
            return None;
        }
        let digest =
            check::digest(&self.slots.area, committed.slot, sizes.total, self.memory, self.buffer).await.ok()?;
        Some((committed, Held { offset: sizes.total.into(), digest }))
    }

    /// The committed folder, if it is the base of the transfer. **Only its own sender may learn which files it has.**
    fn base(&self) -> Option<Committed> {
        let Work::Part(stage) = &self.work else { return None };
        self.journal
            .committed()
            .filter(|committed| committed.sender == stage.offered.sender && committed.slot != stage.slot)
    }

    /// **Reads back and verifies the whole slot, then writes COMMIT**, then shows the folder to readers. The manifest was
    /// valid when it arrived, and every write was read back. So if the verification fails, the flash lost something
    /// since, unless the sender made wrong digests.
    async fn verify_and_commit(&mut self) -> Result<Receipt, StoreError> {
        let Work::Part(stage) = &mut self.work else { return Err(StoreError::Io) };
        let area = &self.slots.area;
        stage.finish(&mut area.lock().await, &mut self.journal, self.buffer).await?;
        let checked = check::whole(area, stage.slot, &stage.sizes, self.memory, self.buffer).await;
        let (summary, root) = checked.map_err(|error| match error {
            // The sender can send everything. What was copied is then compared with its own bytes, and replaced.
            StoreError::Archive(_) if stage.is_base_used() => StoreError::BaseLost,
            StoreError::Archive(_) => StoreError::Verify,
            other => other,
        })?;
        if stage.summary != Some(summary) {
            return Err(StoreError::Verify);
        }
        let committed = Committed {
            slot: stage.slot,
            sizes: stage.sizes,
            sender: stage.offered.sender,
            created: stage.offered.created,
            // Not 0 again, which means that nothing was ever committed.
            generation: self.journal.state().generation.saturating_add(1),
            manifest: summary.digest,
            root,
        };
        if V::REVIEWS {
            let folder = self.slots.candidate(committed);
            let verdict = self.review.review(&folder).await;
            verdict.map_err(|Rejection(code)| StoreError::Rejected { code })?;
        }
        let mut locked = area.lock().await;
        self.journal.append(&mut locked, &Record::Commit(committed)).await?;
        // There is no await in between, so that readers never see a folder whose slot the journal considers free.
        self.slots.show(Some(committed), None);
        self.work = Work::Idle;
        self.journal.acknowledge(&mut locked).await;
        Ok(receipt(&committed))
    }

    async fn commit_again(&mut self, committed: Committed, offered: Offered) -> Result<Receipt, StoreError> {
        let Offered { sender, created, .. } = offered;
        if self.journal.state().stamp(&sender) != Some(created) || !self.journal.is_acknowledged() {
            let mut locked = self.slots.area.lock().await;
            self.journal.append(&mut locked, &Record::Stamp(Stamp { sender, created })).await?;
            self.journal.acknowledge(&mut locked).await;
        }
        self.work = Work::Idle;
        Ok(receipt(&committed))
    }
}

impl<M: RawMutex, F: NorFlash, V: Review<M, F>> Store for SlotStore<'_, M, F, V> {
    fn capacity(&mut self) -> Capacity {
        let slot = self.slots.capacity();
        Capacity {
            total: slot.into(),
            entries: ENTRIES_MAX,
            manifest: slot.min(MANIFEST_MAX),
            path: PATH_MAX as u16,
            free: slot.into(),
        }
    }

    fn refuses(&mut self, _: &CertificateHash) -> Option<StoreError> {
        self.slots.is_paused().then_some(StoreError::InUse)
    }

    async fn check(&mut self, offered: &Offered) -> Result<(), StoreError> {
        self.check_age(offered)?;
        self.sizes(offered)?;
        if self.journal.error().is_some() { Err(StoreError::Io) } else { Ok(()) }
    }

    async fn begin(&mut self, offered: &Offered, matches: &dyn Fn(&Digest) -> bool) -> Result<Held, StoreError> {
        self.work = Work::Idle;
        self.check_age(offered)?;
        let sizes = self.sizes(offered)?;
        if self.slots.is_paused() {
            return Err(StoreError::InUse);
        }
        if let Some((committed, held)) = self.whole(&offered.sender, &sizes, matches).await {
            self.work = Work::Whole(committed, *offered);
            return Ok(held);
        }
        let slot = self.free_slot()?;
        self.start_transfer(*offered, sizes, slot);
        if let Work::Part(stage) = &mut self.work
            && let Some((begun, durable)) = self.journal.state().begun
            && (begun.slot, begun.sizes, begun.sender) == (slot, sizes, offered.sender)
            && durable > 0
        {
            match stage.resume(&self.slots.area, durable, matches, self.memory, self.buffer).await {
                Some(held) => return Ok(held),
                None => self.start_transfer(*offered, sizes, slot),
            }
        }
        Ok(Held { offset: 0, digest: Digest::of(&[]) })
    }

    async fn restart(&mut self) -> Result<(), StoreError> {
        let offered = match &self.work {
            Work::Idle => return Ok(()),
            Work::Whole(_, offered) => *offered,
            Work::Part(stage) => stage.offered,
        };
        let sizes = Sizes::of(&offered).ok_or(StoreError::Limit(Limit::Total))?;
        let slot = self.free_slot()?;
        self.start_transfer(offered, sizes, slot);
        Ok(())
    }

    async fn write(&mut self, archive: &[u8]) -> Result<(), StoreError> {
        match &mut self.work {
            Work::Part(stage) => {
                stage.write(&self.slots.area, &mut self.journal, self.memory.manifest(), archive, self.buffer).await
            }
            // An error of the caller: the archive is complete.
            Work::Idle | Work::Whole(..) => Err(StoreError::Io),
        }
    }

    fn has_base(&self) -> bool {
        // The committed folder is a base as well if it turns out that only its manifest is the offered one.
        matches!(self.work, Work::Whole(..)) || self.base().is_some()
    }

    async fn base_files(&mut self, files: &mut BaseFiles) -> Result<(), StoreError> {
        if let Some(base) = self.base()
            && let Work::Part(stage) = &mut self.work
        {
            stage.list(&self.slots.area, &base, files, self.buffer).await;
        }
        Ok(())
    }

    async fn take(&mut self, length: u64) -> Result<(), StoreError> {
        let Work::Part(stage) = &mut self.work else { return Err(StoreError::Io) };
        let length = u32::try_from(length).map_err(|_| StoreError::NotListed)?;
        stage.take(&self.slots.area, &mut self.journal, length, self.buffer).await
    }

    fn manifest(&self) -> Option<Digest> {
        match &self.work {
            Work::Part(stage) => stage.summary.map(|summary| summary.digest),
            // The offered archive is the committed one.
            _ => self.journal.committed().map(|committed| committed.manifest),
        }
    }

    fn durable(&self) -> u64 {
        match &self.work {
            Work::Idle => 0,
            Work::Whole(committed, _) => committed.sizes.total.into(),
            Work::Part(stage) => stage.durable().into(),
        }
    }

    async fn commit(&mut self) -> Result<Receipt, StoreError> {
        match self.work {
            Work::Whole(committed, offered) => self.commit_again(committed, offered).await,
            _ => self.verify_and_commit().await,
        }
    }

    async fn suspend(&mut self) {
        self.work = Work::Idle;
    }

    async fn discard(&mut self) {
        let is_in_journal = matches!(&self.work, Work::Part(stage) if stage.is_in_journal());
        self.work = Work::Idle;
        if is_in_journal {
            // If this fails, the same archive is resumed and refused again.
            let _ = self.journal.append(&mut self.slots.area.lock().await, &Record::Abandon).await;
        }
    }
}

fn receipt(committed: &Committed) -> Receipt {
    let Committed { root, sizes, generation, .. } = *committed;
    Receipt { digest: root, files: sizes.files, bytes: sizes.total.into(), generation }
}
