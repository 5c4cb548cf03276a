//! The journal: an append-only log in two blocks that take turns.
//!
//! A block begins with a snapshot of the state, then SETTLED; appended records change it. When it is full, or may not be trusted
//! with another record, the state moves to the other block.
//!
//! What power left half-written at the end of a block may read well on one day and not on the next. So nothing that matters
//! hangs on the last record of a block: a block is *confirmed*, and outranks the other by its sequence, by a record behind its snapshot, which
//! was begun only after the head had ended well; and a boot that finds COMMIT or the first SETTLED at the end moves to the
//! other block before it shows the folder to anybody.

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
        let heads = [read_head(area, 0).await, read_head(area, 1).await];
        let live = live(area, &heads).await;
        let mut journal = Self {
            state: State::default(),
            block: live.map(|(block, _)| block),
            sequence: live.map_or(0, |(_, head)| head.sequence),
            next: 0,
            fresh: false,
            settled: live.is_none(),
            doubtful: heads.iter().any(|head| matches!(head, Found::Torn)),
        };
        if let Some((block, head)) = live {
            journal.replay(area, block, head).await;
        }
        journal
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
        // The first SETTLED confirms the block; the second says that the first one stands.
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

    /// Moves the state to the other block. **Erases before use, without a blank check. Writes the head last, so that it never
    /// announces records that are not there yet.**
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

    /// Applies every whole record of the live block.
    async fn replay<M: RawMutex, F: NorFlash>(&mut self, area: &Area<'_, M, F>, block: u8, head: Head) {
        let (mut cell, mut appended) = (1, 0);
        while cell < area.layout().block() / CELL as u32 {
            match read_record(area, block, cell, self.sequence).await {
                Found::Whole(record) => {
                    self.state.apply(&record);
                    appended += u32::from(cell > u32::from(head.snapshot));
                    self.settled = appended > 1 && !matches!(record, Record::Commit(_));
                    cell += record.cells();
                }
                Found::Torn => {
                    self.doubtful = true;
                    cell += 1;
                }
                Found::Blank => cell += 1,
            }
        }
    }
}

/// The block that counts: the confirmed one with the higher sequence. Where none is confirmed, the lower sequence: its state is the
/// same, and the other head may be the half-written one.
async fn live<M: RawMutex, F: NorFlash>(area: &Area<'_, M, F>, heads: &[Found<Head>; 2]) -> Option<(u8, Head)> {
    let mut best: Option<(bool, i64, u8, Head)> = None;
    for (block, head) in [0, 1].into_iter().zip(heads) {
        let Found::Whole(head) = head else { continue };
        let confirmed = is_confirmed(area, block, head).await;
        let rank = if confirmed { i64::from(head.sequence) } else { -i64::from(head.sequence) };
        if best.is_none_or(|best| (best.0, best.1) < (confirmed, rank)) {
            best = Some((confirmed, rank, block, *head));
        }
    }
    best.map(|(_, _, block, head)| (block, head))
}

/// Whether a record stands behind the snapshot.
async fn is_confirmed<M: RawMutex, F: NorFlash>(area: &Area<'_, M, F>, block: u8, head: &Head) -> bool {
    for cell in 1 + u32::from(head.snapshot)..area.layout().block() / CELL as u32 {
        if let Found::Whole(_) = read_record(area, block, cell, head.sequence).await {
            return true;
        }
    }
    false
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
