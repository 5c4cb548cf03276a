//! The journal: an append-only log of records in two blocks that are used alternately.
//!
//! A block begins with a snapshot of the state, followed by ACK, twice; appended records change the state. When the
//! block is full, or must not take another record, the state moves to the other block, and the old block is erased.
//!
//! Bytes that were torn by a power cut during a write or an erasure may read correctly on one day and not on the next.
//! So a boot does not trust the last record of a block. The newer block is certainly live once two records follow its
//! snapshot, because at least the first of them is complete. Until then both blocks contain the same state, the older
//! one is live, and the newer one is the next to be erased; so if its snapshot is damaged, that erasure has begun, and
//! the older one stays live. If the older one lost a record, its own erasure has begun, and the newer one is live if its
//! snapshot is intact. A boot that finds COMMIT or fewer than two records at the end moves
//! to the other block before it shows the folder to readers.
//!
//! So two power cuts in a row do no harm, and any number does none as long as torn bytes read the same in every boot.
//! Three can do harm: the first cut tears the record that makes the newer block live. A boot that can read this record
//! begins to erase the older block, and is cut. The next boot cannot read it, finds the older block unchanged, begins
//! to erase the newer one, and is cut. Then the older block reads as half-erased. One record must be the decisive one,
//! and a boot can do no more than erase, so no rule for two blocks is better.
//!
//! The flash may also fail to read. Unreadable does not mean empty: if the unreadable bytes may contain decisive
//! records, the journal has a *journal error*: it writes nothing, and no folder is shown, not even an older one. A
//! later boot may be able to read everything again. These are the cases:
//!
//! - A block is unreadable, and the other one has no head, was not finished, or looks as if its erasure had begun.
//! - The older block lost something, and the newer one is partly unreadable.
//! - A record before another record is unreadable.
//! - At the end of a block more cells are unreadable than a power cut can tear.
//!
//! A power cut causes none of these, except during the first use of a flash, where an unreadable block may be beside a
//! blank one. So before the first use, a mark is written to a slot. It means that nothing was ever committed here, and
//! it is erased before a commit becomes possible.
//!
//! Another journal error is a head that belongs to another version of this format, or to a layout with other slots.

use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_storage_async::nor_flash::NorFlash;

use super::JournalError;
use super::area::{Locked, Slot};
use super::blocks::{self, Block, COPY, Found, is_void};
use super::record::{self, CELL, Committed, Head, RECORD_MAX, Record};
use super::state::State;
use crate::flash::Fault;

/// The log and its end.
pub(super) struct Journal {
    state: State,
    /// The live block, or `None` if the flash has no journal yet.
    block: Option<u8>,
    /// The head in the first cell of the live block.
    head: Head,
    /// The first free cell. For a block from an earlier boot, torn cells are not counted.
    next: u32,
    /// Whether this boot opened the live block, and completed all its writes to it so far.
    is_fresh: bool,
    /// Whether all records on which the committed folder depends are certainly complete, because a later record
    /// follows.
    is_acknowledged: bool,
    /// Whether some bytes are neither blank nor a record.
    is_doubtful: bool,
    /// Why the journal may contain more than `state`.
    error: Option<JournalError>,
    /// Whether the journal was read from the flash. **Before that, nothing is written.**
    is_read: bool,
}

impl Journal {
    /// A journal that was not read yet. Nothing may be appended to it.
    pub(super) const fn unread() -> Self {
        Self {
            state: State::new(),
            block: None,
            head: Head { sequence: 0, snapshot: 0, before: 0 },
            next: 0,
            is_fresh: false,
            is_acknowledged: true,
            is_doubtful: false,
            error: None,
            is_read: false,
        }
    }

    /// Reads the journal from the flash. Writes nothing.
    pub(super) async fn read<M: RawMutex, F: NorFlash>(area: &mut Locked<'_, M, F>) -> Self {
        let Found { live, is_doubtful, error } = blocks::read(area).await;
        Self {
            block: live.as_ref().map(|live| live.index),
            head: live.as_ref().map(|live| live.head).unwrap_or_default(),
            next: live.as_ref().map_or(0, |live| live.next),
            is_fresh: false,
            is_acknowledged: live.as_ref().is_none_or(Block::is_acknowledged),
            is_doubtful,
            error,
            is_read: true,
            state: live.map_or(State::new(), |live| live.state),
        }
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// The committed folder. **`None` while there is a journal error**, because the known folder may be an older one.
    pub(super) fn committed(&self) -> Option<Committed> {
        self.state.committed.filter(|_| self.error.is_none())
    }

    /// The committed folder, if it should be verified before it is shown.
    pub(super) fn doubtful(&self) -> Option<Committed> {
        self.committed().filter(|_| self.is_doubtful)
    }

    /// Why the journal may contain more than the state. **While there is such an error, nothing is written, and no slot may
    /// be erased.**
    pub(super) fn error(&self) -> Option<JournalError> {
        self.error
    }

    /// The folder that was committed before the current one, if no transfer has begun to overwrite it.
    pub(super) fn previous(&self) -> Option<Committed> {
        self.state.previous.filter(|_| self.error.is_none())
    }

    /// Whether the journal was read, and everything in it.
    pub(super) fn is_usable(&self) -> bool {
        self.is_read && self.error.is_none()
    }

    /// Drops the committed folder, and the previous one, from the state. The flash only reflects this after the next
    /// rotation.
    pub(super) fn drop_folders(&mut self) {
        self.state.forget();
    }

    /// **Rotates if the last record was never acknowledged, before readers see its effect**, because a torn record may
    /// be readable now and not later. Otherwise writes nothing, so neither a normal boot nor a crash loop wears the
    /// flash. After an error, the next write rotates.
    pub(super) async fn rotate_unless_acknowledged<M: RawMutex, F: NorFlash>(&mut self, area: &mut Locked<'_, M, F>) {
        if !self.is_acknowledged && self.error.is_none() {
            self.is_acknowledged = self.rotate(area).await.is_ok();
        }
    }

    /// Appends a record. It is durable when this returns `Ok`.
    pub(super) async fn append<M: RawMutex, F: NorFlash>(
        &mut self,
        area: &mut Locked<'_, M, F>,
        record: &Record,
    ) -> Result<(), Fault> {
        if self.error.is_some() || !self.is_read {
            return Err(Fault);
        }
        self.make_ready(area, record.cells()).await?;
        self.write(area, record).await?;
        self.state.apply(record);
        Ok(())
    }

    /// Whether the next boot will certainly read the same state.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.is_acknowledged
    }

    /// Appends ACK, which acknowledges the last record. If this fails, tries the other block. If that fails, too,
    /// the next boot rotates the journal.
    pub(super) async fn acknowledge<M: RawMutex, F: NorFlash>(&mut self, area: &mut Locked<'_, M, F>) {
        for _ in 0..2 {
            if self.append(area, &Record::Ack).await.is_ok() {
                return;
            }
        }
    }

    /// Begins to forget the committed folder, and whatever the journal error may hide. Returns the record to append, and
    /// the error for [`restore_error`](Self::restore_error) if that fails. Once the record is appended, the folder is gone;
    /// [`acknowledge`](Self::acknowledge) then makes sure that every later boot finds it so.
    pub(super) fn begin_to_forget(&mut self) -> (Record, Option<JournalError>) {
        let error = self.error.take();
        if error.is_some() {
            // Unread records may be newer than the ones that were read, so no folder moves to the other block. No slot
            // is marked as never used either: if this fails, the folder may still exist.
            self.state.forget();
            self.block.get_or_insert(1);
        }
        (Record::Forget { generation: self.state.generation }, error)
    }

    /// Restores the error before [`begin_to_forget`](Self::begin_to_forget).
    pub(super) fn restore_error(&mut self, error: Option<JournalError>) {
        self.error = self.error.or(error);
    }

    /// **Never appends to a block that was live before this boot**, because its last record and the space after it may
    /// be torn. The same holds after a write that failed or was cancelled.
    async fn make_ready<M: RawMutex, F: NorFlash>(
        &mut self,
        area: &mut Locked<'_, M, F>,
        cells: u32,
    ) -> Result<(), Fault> {
        let room = area.layout().block() / CELL as u32;
        if self.is_fresh && self.next + cells <= room { Ok(()) } else { self.rotate(area).await }
    }

    /// Moves the state to the other block. **Erases that block before use, without a blank check.** Writes the head
    /// last, because it states how many cells precede it. **Erases the older block before the newer one gets a record
    /// with new state**: if the newer one becomes unreadable, the older one must not pass for the latest state. The copy of
    /// the head in the erased block shows that the newer one exists.
    async fn rotate<M: RawMutex, F: NorFlash>(&mut self, area: &mut Locked<'_, M, F>) -> Result<(), Fault> {
        self.is_fresh = false;
        if self.block.is_none() {
            write_void(area).await?;
        }
        let layout = *area.layout();
        let (newer, older) = self.block.map_or((0, 1), |block| (1 - block, block));
        area.erase(layout.cell(newer, 0)).await?;
        let sequence = self.head.sequence.wrapping_add(1);
        let mut next = 1;
        for record in self.state.snapshot() {
            next += put(area, newer, next, sequence, &record).await?;
        }
        let head = Head { sequence, snapshot: (next - 1) as u16, before: self.next as u16 };
        let bytes = head.encode(&layout);
        area.program(layout.cell(newer, 0), &bytes).await?;
        // Two records make the block certainly live.
        for _ in 0..2 {
            next += put(area, newer, next, sequence, &Record::Ack).await?;
        }
        (self.block, self.head, self.next) = (Some(newer), head, next);
        area.erase(layout.cell(older, 0)).await?;
        area.program(layout.cell(older, COPY), &bytes).await?;
        if self.state.is_void() {
            area.erase(layout.byte(Slot::B, 0)).await?;
        }
        self.is_fresh = true;
        Ok(())
    }

    async fn write<M: RawMutex, F: NorFlash>(
        &mut self,
        area: &mut Locked<'_, M, F>,
        record: &Record,
    ) -> Result<(), Fault> {
        // Remains false if the write fails or its future is dropped.
        self.is_fresh = false;
        let block = self.block.expect("rotate() opened a block");
        self.next += put(area, block, self.next, self.head.sequence, record).await?;
        self.is_fresh = true;
        Ok(())
    }
}

/// Marks a slot as never used, before the blocks are written for the first time. An existing mark stays, because it may
/// be the only complete one; but the other slot is marked too, because the existing mark may be torn. The first
/// rotation erases the mark in slot B, and the first transfer erases the one in slot A.
async fn write_void<M: RawMutex, F: NorFlash>(area: &mut Locked<'_, M, F>) -> Result<(), Fault> {
    for slot in [Slot::A, Slot::B] {
        if !is_void(area, slot).await {
            let at = area.layout().byte(slot, 0);
            area.erase(at).await?;
            return area.program(at, &record::void()).await;
        }
    }
    Ok(())
}

async fn put<M: RawMutex, F: NorFlash>(
    area: &mut Locked<'_, M, F>,
    block: u8,
    cell: u32,
    sequence: u32,
    record: &Record,
) -> Result<u32, Fault> {
    let mut bytes = [0; RECORD_MAX];
    let bytes = record.encode(sequence, &mut bytes);
    let at = area.layout().cell(block, cell);
    area.program(at, bytes).await?;
    Ok(record.cells())
}
