//! The journal: an append-only log in two blocks that take turns.
//!
//! A block begins with a snapshot of the state, then SETTLED; appended records change it. When it is full, or may not be trusted
//! with another record, the state moves to the other block.
//!
//! What power left half-written, or half-erased, may read well on one day and not on the next. So a boot does not trust the
//! last record of a block: the newer block counts for certain once two records stand behind its snapshot, of which at least the first
//! ended well. Until then both blocks say the same, the older one counts, and the newer one is the next to be erased. Where
//! they differ, the older one is being erased already, and the newer one counts, if its snapshot is whole. And a boot that
//! finds COMMIT, or less than two records, at the end moves to the other block before it shows the folder to anybody.

use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_storage_async::nor_flash::NorFlash;

use super::area::{Area, Fault};
use super::record::{CELL, Head, RECORD_MAX, Record};
use super::state::State;

/// The log, and where it ends.
pub(super) struct Journal {
    state: State,
    /// The live block; `None` on a flash that has no journal yet.
    block: Option<u8>,
    sequence: u32,
    /// The first free cell.
    next: u32,
    /// Whether this boot opened the live block, and all that it wrote there since then ended well.
    fresh: bool,
    /// Whether all that the committed folder hangs on is known to have ended well: a later record stands behind it.
    settled: bool,
    /// Whether something is there that cannot be read.
    doubtful: bool,
}

impl Journal {
    /// Reads what stands on the flash; writes nothing.
    pub(super) async fn read<M: RawMutex, F: NorFlash>(area: &Area<'_, M, F>) -> Self {
        let found = [read_block(area, 0).await, read_block(area, 1).await];
        let mut doubtful = found.iter().any(|found| matches!(found, Found::Torn));
        let live = live(found);
        doubtful |= live.as_ref().is_some_and(|live| live.torn);
        Self {
            block: live.as_ref().map(|live| live.block),
            sequence: live.as_ref().map_or(0, |live| live.head.sequence),
            next: 0,
            fresh: false,
            settled: live.as_ref().is_none_or(Told::is_settled),
            doubtful,
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

    /// Does not believe in the committed folder any more. On the flash that stands with the next rotation.
    pub(super) fn disown(&mut self) {
        self.state.committed = None;
    }

    /// **Rotates before a COMMIT is exposed whose acknowledgement was never given**: what power left half-written may read
    /// well now and not later. At rest, and in a loop of crashes, nothing is written.
    pub(super) async fn settle<M: RawMutex, F: NorFlash>(&mut self, area: &Area<'_, M, F>) -> Result<(), Fault> {
        if self.settled {
            return Ok(());
        }
        self.rotate(area).await?;
        // Behind that of the rotation: with two, the block counts for certain.
        self.append(area, &Record::Settled).await?;
        self.settled = true;
        Ok(())
    }

    /// Adds a record; once this returns, it stands.
    pub(super) async fn append<M: RawMutex, F: NorFlash>(
        &mut self,
        area: &Area<'_, M, F>,
        record: &Record,
    ) -> Result<(), Fault> {
        self.make_ready(area, record.cells()).await?;
        self.write(area, record).await?;
        self.state.apply(record);
        Ok(())
    }

    /// **Never appends to a block that was live before this boot**: its last record may be torn, and the space behind it too.
    /// The same holds behind a write that failed or was given up.
    async fn make_ready<M: RawMutex, F: NorFlash>(&mut self, area: &Area<'_, M, F>, cells: u32) -> Result<(), Fault> {
        let room = area.layout().block() / CELL as u32;
        if self.fresh && self.next + cells <= room { Ok(()) } else { self.rotate(area).await }
    }

    /// Moves the state to the other block. **Erases before use, without a blank check.** Writes the head last: it
    /// counts what stands before it.
    async fn rotate<M: RawMutex, F: NorFlash>(&mut self, area: &Area<'_, M, F>) -> Result<(), Fault> {
        self.fresh = false;
        let layout = area.layout();
        let target = match self.block {
            Some(block) => 1 - block,
            None => {
                // A head that cannot be read now must not come back beside the new one.
                area.erase(layout.cell(1, 0)).await?;
                0
            }
        };
        area.erase(layout.cell(target, 0)).await?;
        let sequence = self.sequence + 1;
        let mut next = 1;
        for record in self.state.snapshot() {
            next += put(area, target, next, sequence, &record).await?;
        }
        let head = Head { sequence, snapshot: (next - 1) as u16 };
        area.program(layout.cell(target, 0), &head.encode(layout)).await?;
        (self.block, self.sequence, self.next) = (Some(target), sequence, next);
        self.write(area, &Record::Settled).await
    }

    async fn write<M: RawMutex, F: NorFlash>(&mut self, area: &Area<'_, M, F>, record: &Record) -> Result<(), Fault> {
        // Stays so when the write fails, or its future is dropped.
        self.fresh = false;
        let block = self.block.expect("rotate() opened a block");
        self.next += put(area, block, self.next, self.sequence, record).await?;
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
    /// Whole records behind the snapshot.
    appended: u32,
    /// Whether the last record is COMMIT.
    ends_in_commit: bool,
    /// Whether something is there that is no record.
    torn: bool,
}

impl Told {
    fn take(&mut self, cell: u32, record: &Record) {
        self.state.apply(record);
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

/// The block that counts. **While both say the same, the older one, until the newer one is established; where they differ, the newer one,
/// if it is established or intact.**
fn live(found: [Found<Told>; 2]) -> Option<Told> {
    let (first, second) = match found {
        [Found::Whole(first), Found::Whole(second)] => (first, second),
        [Found::Whole(one), _] | [_, Found::Whole(one)] => return Some(one),
        _ => return None,
    };
    let (older, newer) = if first.head.sequence < second.head.sequence { (first, second) } else { (second, first) };
    let counts = newer.is_established() || newer.is_intact() && newer.state != older.state;
    Some(if counts { newer } else { older })
}

/// Reads a block: its head, and every whole record.
async fn read_block<M: RawMutex, F: NorFlash>(area: &Area<'_, M, F>, block: u8) -> Found<Told> {
    let head = match read_head(area, block).await {
        Found::Whole(head) => head,
        Found::Torn => return Found::Torn,
        Found::Blank => return Found::Blank,
    };
    let mut told =
        Told { block, head, state: State::default(), snapshot: 0, appended: 0, ends_in_commit: false, torn: false };
    let mut cell = 1;
    while cell < area.layout().block() / CELL as u32 {
        match read_record(area, block, cell, head.sequence).await {
            Found::Whole(record) => {
                told.take(cell, &record);
                cell += record.cells();
            }
            Found::Torn => {
                told.torn = true;
                cell += 1;
            }
            Found::Blank => cell += 1,
        }
    }
    Found::Whole(told)
}

/// What was found where a record may stand. `Blank` is what it looks like, and nothing is ever built on that.
enum Found<T> {
    Whole(T),
    Torn,
    Blank,
}

impl<T> Found<T> {
    fn of(whole: Option<T>, first: &[u8]) -> Self {
        match whole {
            Some(whole) => Self::Whole(whole),
            None if first.iter().all(|byte| *byte == 0xff) => Self::Blank,
            None => Self::Torn,
        }
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

async fn read_head<M: RawMutex, F: NorFlash>(area: &Area<'_, M, F>, block: u8) -> Found<Head> {
    let mut cell = [0; CELL];
    match area.read(area.layout().cell(block, 0), &mut cell).await {
        Ok(()) => Found::of(Head::decode(area.layout(), &cell), &cell),
        Err(Fault) => Found::Torn,
    }
}

/// Reads the record at that cell. **A read error is an invalid record.**
async fn read_record<M: RawMutex, F: NorFlash>(
    area: &Area<'_, M, F>,
    block: u8,
    cell: u32,
    sequence: u32,
) -> Found<Record> {
    let mut bytes = [0; RECORD_MAX];
    let layout = area.layout();
    if area.read(layout.cell(block, cell), &mut bytes[..CELL]).await.is_err() {
        return Found::Torn;
    }
    let cells = Record::cells_of(bytes[0]).filter(|cells| cell as usize + cells <= layout.block() as usize / CELL);
    let Some(cells) = cells else { return Found::of(None, &bytes[..CELL]) };
    if area.read(layout.cell(block, cell), &mut bytes[..cells * CELL]).await.is_err() {
        return Found::Torn;
    }
    Found::of(Record::decode(sequence, &bytes[..cells * CELL]), &bytes[..CELL])
}
