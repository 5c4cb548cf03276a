//! The journal: an append-only log in two blocks that take turns.
//!
//! A block begins with a snapshot of the state, then SETTLED, twice; appended records change it. When it is full, or
//! may not be trusted with another record, the state moves to the other block, and the first one is erased.
//!
//! What power left half-written, or half-erased, may read well on one day and not on the next. So a boot does not trust
//! the last record of a block: the newer block counts for certain once two records stand behind its snapshot, of which
//! at least the first ended well. Until then both blocks say the same, the older one counts, and the newer one is the
//! next to be erased. Where the older one lost a record, it is being erased already, and the newer one counts, if its
//! snapshot is whole. And a boot that finds COMMIT, or less than two records, at the end moves to the other block
//! before it shows the folder to anybody.
//!
//! So two cuts in a row do no harm, and any number of them does none as long as what is torn reads the same from boot
//! to boot. Three can be too much: the first in the record that lets the newer block count; a boot that reads that
//! record begins to erase the older block, and is cut off; one that does not read it anymore, and finds the older block
//! as it was, begins to erase the newer one, and is cut off; and then the older one reads half-erased. Some record has
//! to be the one that decides, and a boot can do no more than erase: no rule for two blocks is better.
//!
//! A flash may fail to read what is there. What was not read is not empty: where it may say something that counts, there
//! is *trouble*, and then the journal writes nothing, and nothing is shown, not even an older folder. In a later boot all
//! may be there again. There is trouble where a block cannot be read and the other one has no head, or was not
//! finished, or looks as if it was being erased; where the older block lost something, and the newer one cannot be read
//! in full; where a record cannot be read that stands before another one; and where more cells cannot be read at the end
//! than a cut leaves torn. A power cut leaves none of these, but in the first use of a flash: there, a block that cannot
//! be read may stand beside a blank one. So before that, a mark is written into a slot. It says that nothing
//! was ever committed here; it is erased before anything can be.
//!
//! There is trouble, too, where a head tells of another version of this layout, or of slots that lie elsewhere.

use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_storage_async::nor_flash::NorFlash;

use super::Trouble;
use super::area::{Area, Fault, Slot};
use super::blocks::{self, Block, COPY, Found, is_void};
use super::record::{self, CELL, Committed, Head, RECORD_MAX, Record};
use super::state::State;

/// The log, and where it ends.
pub(super) struct Journal {
    state: State,
    /// The live block; `None` on a flash that has no journal yet.
    block: Option<u8>,
    /// What stands in its first cell.
    head: Head,
    /// The first free cell; in a block of an earlier boot, as if no cell was torn.
    next: u32,
    /// Whether this boot opened the live block, and all that it wrote there since then ended well.
    fresh: bool,
    /// Whether all that the committed folder hangs on is known to have ended well: a later record stands behind it.
    settled: bool,
    /// Whether something is there that is no record.
    doubtful: bool,
    /// Why more may be there than the state says.
    trouble: Option<Trouble>,
}

impl Journal {
    /// Reads what stands on the flash; writes nothing.
    pub(super) async fn read<M: RawMutex, F: NorFlash>(area: &Area<'_, M, F>) -> Self {
        let Found { live, doubtful, trouble } = blocks::read(area).await;
        Self {
            block: live.as_ref().map(|live| live.index),
            head: live.as_ref().map(|live| live.head).unwrap_or_default(),
            next: live.as_ref().map_or(0, |live| live.next),
            fresh: false,
            settled: live.as_ref().is_none_or(Block::is_settled),
            doubtful,
            trouble,
            state: live.map(|live| live.state).unwrap_or_default(),
        }
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// The committed folder, as far as it is known. **Where there is trouble it is not**: it may be an older one.
    pub(super) fn committed(&self) -> Option<Committed> {
        self.state.committed.filter(|_| self.trouble.is_none())
    }

    /// The committed folder, if it should be checked before it is believed in.
    pub(super) fn doubtful(&self) -> Option<Committed> {
        self.committed().filter(|_| self.doubtful)
    }

    /// Why more may be there than the state says. **Then nothing is written, and nobody may erase a slot.**
    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.trouble
    }

    /// Does not believe in the committed folder any more. On the flash that stands with the next rotation.
    pub(super) fn disown(&mut self) {
        self.state.committed = None;
    }

    /// **Rotates before anybody is shown what a last record says that was never acknowledged**: what power left
    /// half-written may read well now and not later. At rest, and in a loop of crashes, nothing is written. What fails
    /// is tried again when something is written.
    pub(super) async fn settle<M: RawMutex, F: NorFlash>(&mut self, area: &Area<'_, M, F>) {
        if !self.settled && self.trouble.is_none() {
            self.settled = self.rotate(area).await.is_ok();
        }
    }

    /// Adds a record; once this returns, it stands.
    pub(super) async fn append<M: RawMutex, F: NorFlash>(
        &mut self,
        area: &Area<'_, M, F>,
        record: &Record,
    ) -> Result<(), Fault> {
        if self.trouble.is_some() {
            return Err(Fault);
        }
        self.make_ready(area, record.cells()).await?;
        self.write(area, record).await?;
        self.state.apply(record);
        Ok(())
    }

    /// Whether all that the state says will still be there in the next boot.
    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    /// Says that the last record is acknowledged. Where that fails, the other block may take it; where that fails as
    /// well, the next boot settles it.
    pub(super) async fn acknowledge<M: RawMutex, F: NorFlash>(&mut self, area: &Area<'_, M, F>) {
        if self.append(area, &Record::Settled).await.is_err() {
            let _ = self.append(area, &Record::Settled).await;
        }
    }

    /// Forgets the committed folder, and gives up what may be there besides. A forgotten folder is not known any more
    /// from the moment on that this returns `Ok`; it is settled with [`acknowledge`](Self::acknowledge).
    pub(super) async fn forget<M: RawMutex, F: NorFlash>(&mut self, area: &Area<'_, M, F>) -> Result<(), Fault> {
        let trouble = self.trouble.take();
        if trouble.is_some() {
            // What was not read may be newer than what was: none of that moves to the other block. Nor is a slot marked
            // as one that was never used: if this fails, the folder may still be there.
            self.state.committed = None;
            self.block.get_or_insert(1);
        }
        let forgotten = self.append(area, &Record::Forget { generation: self.state.generation }).await;
        if forgotten.is_err() {
            self.trouble = trouble;
        }
        forgotten
    }

    /// **Never appends to a block that was live before this boot**: its last record may be torn, and the space behind
    /// it too. The same holds behind a write that failed or was given up.
    async fn make_ready<M: RawMutex, F: NorFlash>(&mut self, area: &Area<'_, M, F>, cells: u32) -> Result<(), Fault> {
        let room = area.layout().block() / CELL as u32;
        if self.fresh && self.next + cells <= room { Ok(()) } else { self.rotate(area).await }
    }

    /// Moves the state to the other block. **Erases before use, without a blank check.** Writes the head last: it
    /// counts what stands before it. **Erases the older block before the newer one says anything else**: when the newer
    /// one cannot be read, it must not seem that nothing was committed since. A copy of the head stays there, to say
    /// that there is more.
    async fn rotate<M: RawMutex, F: NorFlash>(&mut self, area: &Area<'_, M, F>) -> Result<(), Fault> {
        self.fresh = false;
        if self.block.is_none() {
            write_void(area).await?;
        }
        let layout = area.layout();
        let (newer, older) = self.block.map_or((0, 1), |block| (1 - block, block));
        area.erase(layout.cell(newer, 0)).await?;
        let sequence = self.head.sequence + 1;
        let mut next = 1;
        for record in self.state.snapshot() {
            next += put(area, newer, next, sequence, &record).await?;
        }
        let head = Head { sequence, snapshot: (next - 1) as u16, before: self.next as u16 };
        let bytes = head.encode(layout);
        area.program(layout.cell(newer, 0), &bytes).await?;
        // With two records, the block counts for certain.
        for _ in 0..2 {
            next += put(area, newer, next, sequence, &Record::Settled).await?;
        }
        (self.block, self.head, self.next) = (Some(newer), head, next);
        area.erase(layout.cell(older, 0)).await?;
        area.program(layout.cell(older, COPY), &bytes).await?;
        if self.state.is_void() {
            area.erase(layout.byte(Slot::B, 0)).await?;
        }
        self.fresh = true;
        Ok(())
    }

    async fn write<M: RawMutex, F: NorFlash>(&mut self, area: &Area<'_, M, F>, record: &Record) -> Result<(), Fault> {
        // Stays so when the write fails, or its future is dropped.
        self.fresh = false;
        let block = self.block.expect("rotate() opened a block");
        self.next += put(area, block, self.next, self.head.sequence, record).await?;
        self.fresh = true;
        Ok(())
    }
}

/// Marks a slot, before the blocks are touched for the first time. A mark that is there already stays, since it may be
/// the one that counts; but then another one is written, since it may be torn as well. The one in slot A is gone when
/// the first transfer erases it, the one in slot B with the rotation before that.
async fn write_void<M: RawMutex, F: NorFlash>(area: &Area<'_, M, F>) -> Result<(), Fault> {
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
    area: &Area<'_, M, F>,
    block: u8,
    cell: u32,
    sequence: u32,
    record: &Record,
) -> Result<u32, Fault> {
    let mut bytes = [0; RECORD_MAX];
    let bytes = record.encode(sequence, &mut bytes);
    area.program(area.layout().cell(block, cell), bytes).await?;
    Ok(record.cells())
}
