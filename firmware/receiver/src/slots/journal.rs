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
//! A flash may fail to read what is there. Beside a block that can be read this does no harm: there is none but where
//! the other one says nothing else, or is being erased. Where there is none, or where as much as a COMMIT is missing in
//! the middle of it, the journal is *unsure*, and writes nothing: in a later boot all may be there again.

use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_storage_async::nor_flash::NorFlash;

use super::area::{Area, Fault};
use super::record::{CELL, Head, RECORD_MAX, Record};
use super::state::State;

/// Where a block holds a copy of the other one's head: no head of its own can be taken for it.
const COPY: u32 = 1;
/// Cells of COMMIT, the longest record.
const COMMIT: u32 = (RECORD_MAX / CELL) as u32;

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
    /// Whether a COMMIT may be there that could not be read.
    unsure: bool,
}

impl Journal {
    /// Reads what stands on the flash; writes nothing.
    pub(super) async fn read<M: RawMutex, F: NorFlash>(area: &Area<'_, M, F>) -> Self {
        let found = [read_block(area, 0).await, read_block(area, 1).await];
        let doubtful = found.iter().any(|found| matches!(found, Err(Lack::Torn | Lack::Unread)));
        let silent = found.iter().all(|found| matches!(found, Err(Lack::Unread)));
        let live = live(found);
        Self {
            block: live.as_ref().map(|live| live.block),
            head: live.as_ref().map(|live| live.head).unwrap_or_default(),
            next: live.as_ref().map_or(0, |live| live.next),
            fresh: false,
            settled: live.as_ref().is_none_or(Told::is_settled),
            doubtful: doubtful || live.as_ref().is_some_and(|live| live.torn),
            unsure: live.as_ref().map_or(silent, |live| live.unread),
            state: live.map(|live| live.state).unwrap_or_default(),
        }
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// Whether what the state says of the flash should be checked before it is believed.
    pub(super) fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// **Whether a COMMIT may be there that could not be read.** Then nothing is written, and nobody may erase a slot.
    pub(super) fn is_unsure(&self) -> bool {
        self.unsure
    }

    /// Gives up what could not be read.
    pub(super) fn resign(&mut self) {
        self.unsure = false;
    }

    /// Does not believe in the committed folder any more. On the flash that stands with the next rotation.
    pub(super) fn disown(&mut self) {
        self.state.committed = None;
    }

    /// **Rotates before a COMMIT is exposed whose acknowledgement was never given**: what power left half-written may
    /// read well now and not later. At rest, and in a loop of crashes, nothing is written.
    pub(super) async fn settle<M: RawMutex, F: NorFlash>(&mut self, area: &Area<'_, M, F>) -> Result<(), Fault> {
        if self.settled || self.unsure {
            return Ok(());
        }
        self.rotate(area).await?;
        self.settled = true;
        Ok(())
    }

    /// Adds a record; once this returns, it stands.
    pub(super) async fn append<M: RawMutex, F: NorFlash>(
        &mut self,
        area: &Area<'_, M, F>,
        record: &Record,
    ) -> Result<(), Fault> {
        if self.unsure {
            return Err(Fault);
        }
        self.make_ready(area, record.cells()).await?;
        self.write(area, record).await?;
        self.state.apply(record);
        Ok(())
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

/// What a block says.
struct Told {
    block: u8,
    head: Head,
    state: State,
    /// Cells of the snapshot's records that are whole.
    snapshot: u32,
    /// Cells of the head and of all whole records.
    next: u32,
    /// Whole records behind the snapshot.
    appended: u32,
    /// Whether the last record is COMMIT.
    ends_in_commit: bool,
    /// Whether something is there that is no record.
    torn: bool,
    /// Whether a COMMIT may be there that could not be read, and was not torn when it was written.
    unread: bool,
}

impl Told {
    fn new(block: u8, head: Head) -> Self {
        let (ends_in_commit, torn, unread) = (false, false, false);
        Self { block, head, state: State::default(), snapshot: 0, next: 1, appended: 0, ends_in_commit, torn, unread }
    }

    fn take(&mut self, cell: u32, record: &Record) {
        self.state.apply(record);
        self.next += record.cells();
        match cell <= self.head.snapshot.into() {
            true => self.snapshot += record.cells(),
            false => self.appended += 1,
        }
        self.ends_in_commit = matches!(record, Record::Commit(_));
    }

    /// Whether nothing that stood before its head was lost.
    fn is_intact(&self) -> bool {
        self.snapshot == self.head.snapshot.into()
    }

    /// Whether a record behind the snapshot ended well, for sure: another one was begun behind it.
    fn is_established(&self) -> bool {
        self.appended > 1
    }

    fn is_settled(&self) -> bool {
        self.is_established() && !self.ends_in_commit
    }
}

/// The block that counts. **While the older one holds what it held, that one, until the newer one is established; where
/// it lost something, the newer one, if it is established or intact.**
fn live(found: [Result<Told, Lack>; 2]) -> Option<Told> {
    let (first, second) = match found {
        [Ok(first), Ok(second)] => (first, second),
        [one, other] => return one.or(other).ok(),
    };
    let (older, newer) = if first.head.sequence < second.head.sequence { (first, second) } else { (second, first) };
    let counts = newer.is_established() || newer.is_intact() && older.next < newer.head.before.into();
    Some(if counts { newer } else { older })
}

/// Reads a block: its head, or the copy in the other one, and every whole record.
async fn read_block<M: RawMutex, F: NorFlash>(area: &Area<'_, M, F>, block: u8) -> Result<Told, Lack> {
    let mut head = Err(Lack::Blank);
    for (block, cell) in [(1 - block, COPY), (block, 0)] {
        if head.is_err() {
            head = read_head(area, block, cell).await;
        }
    }
    let mut told = Told::new(block, head?);
    // Since the last whole record: cells, and those of them that could not be read.
    let (mut gap, mut unread) = (0, 0);
    let mut cell = 1;
    while cell < area.layout().block() / CELL as u32 {
        match read_record(area, block, cell, told.head.sequence).await {
            Ok(record) => {
                // Whoever was cut off writing a COMMIT wrote nothing behind it.
                told.unread |= unread > 0 && gap >= COMMIT;
                (gap, unread) = (0, 0);
                told.take(cell, &record);
                cell += record.cells();
            }
            Err(lack) => {
                told.torn |= lack != Lack::Blank;
                unread += u32::from(lack == Lack::Unread);
                gap += 1;
                cell += 1;
            }
        }
    }
    // A power cut leaves one record unreadable, and no more.
    told.unread |= unread > COMMIT;
    Ok(told)
}

/// Why there is nothing where a record may stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lack {
    /// It looks erased; nothing is ever built on that.
    Blank,
    /// It is no record.
    Torn,
    /// The flash failed.
    Unread,
}

impl Lack {
    fn of(bytes: &[u8]) -> Self {
        if bytes.iter().all(|byte| *byte == 0xff) { Self::Blank } else { Self::Torn }
    }
}

impl From<Fault> for Lack {
    fn from(_: Fault) -> Self {
        Self::Unread
    }
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

async fn read_head<M: RawMutex, F: NorFlash>(area: &Area<'_, M, F>, block: u8, cell: u32) -> Result<Head, Lack> {
    let mut bytes = [0; CELL];
    area.read(area.layout().cell(block, cell), &mut bytes).await?;
    Head::decode(area.layout(), &bytes).ok_or_else(|| Lack::of(&bytes))
}

/// Reads the record at that cell. **A read error is no record.**
async fn read_record<M: RawMutex, F: NorFlash>(
    area: &Area<'_, M, F>,
    block: u8,
    cell: u32,
    sequence: u32,
) -> Result<Record, Lack> {
    let mut bytes = [0; RECORD_MAX];
    let layout = area.layout();
    area.read(layout.cell(block, cell), &mut bytes[..CELL]).await?;
    let cells = Record::cells_of(bytes[0]).filter(|cells| cell as usize + cells <= layout.block() as usize / CELL);
    let Some(cells) = cells else { return Err(Lack::of(&bytes[..CELL])) };
    area.read(layout.cell(block, cell), &mut bytes[..cells * CELL]).await?;
    Record::decode(sequence, &bytes[..cells * CELL]).ok_or(Lack::Torn)
}
