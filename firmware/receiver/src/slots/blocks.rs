//! What the journal's two blocks hold, and which of them counts.
//!
//! Reads only. The rules of writing, which this relies on, stand in [`super::journal`].

use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_storage_async::nor_flash::NorFlash;

use super::Trouble;
use super::area::{Area, Slot};
use super::record::{self, CELL, Head, Lack, RECORD_MAX, Record};
use super::state::State;

/// Where a block holds a copy of the other one's head: no head of its own can be taken for it.
pub(super) const COPY: u32 = 1;
/// Cells of COMMIT, the longest record.
const COMMIT: u32 = (RECORD_MAX / CELL) as u32;

/// What the journal says when its flash is read.
pub(super) struct Found {
    /// The block that counts; `None` on a flash that has no journal yet.
    pub(super) live: Option<Block>,
    /// Whether something is there that is no record.
    pub(super) doubtful: bool,
    /// Why more may be there than `live` says.
    pub(super) trouble: Option<Trouble>,
}

/// A block that has a head.
pub(super) struct Block {
    pub(super) index: u8,
    pub(super) head: Head,
    pub(super) state: State,
    /// Cells of the snapshot's records that are whole.
    snapshot: u32,
    /// Cells of the head and of all whole records.
    pub(super) next: u32,
    /// Whole records behind the snapshot.
    appended: u32,
    /// Whether the last record is one that has to be settled.
    is_open: bool,
    /// The worst reason why a cell holds no record.
    lack: Lack,
    /// Whether cells are missing before the last record.
    has_gap: bool,
    /// Whether a record may be there that could not be read, and was not torn when it was written.
    unread: bool,
}

/// Reads both blocks.
pub(super) async fn read<M: RawMutex, F: NorFlash>(area: &Area<'_, M, F>) -> Found {
    let blocks = [read_block(area, 0).await, read_block(area, 1).await];
    let lacks = |lack| blocks.iter().any(|block| block.as_ref().is_err_and(|found| *found == lack));
    let (torn, unread, foreign) = (lacks(Lack::Torn), lacks(Lack::Unread), lacks(Lack::Foreign));
    let live = live(blocks);
    let hidden = match &live {
        None => unread,
        Some(live) => live.unread || unread && !live.is_whole(),
    };
    // A power cut in the first use of a flash may leave a block that cannot be read in full, and no other one.
    let hidden = hidden && !is_void(area, Slot::A).await && !is_void(area, Slot::B).await;
    let trouble = match foreign {
        true => Some(Trouble::OtherLayout),
        false => hidden.then_some(Trouble::Unreadable),
    };
    Found { doubtful: torn || unread || live.as_ref().is_some_and(|live| live.lack != Lack::Blank), trouble, live }
}

impl Block {
    fn new(index: u8, head: Head) -> Self {
        let (is_open, lack, has_gap, unread) = (false, Lack::Blank, false, false);
        let (state, snapshot, next, appended) = (State::default(), 0, 1, 0);
        Self { index, head, state, snapshot, next, appended, is_open, lack, has_gap, unread }
    }

    fn take(&mut self, cell: u32, record: &Record) {
        self.state.apply(record);
        self.next += record.cells();
        match cell <= self.head.snapshot.into() {
            true => self.snapshot += record.cells(),
            false => self.appended += 1,
        }
        self.is_open = record.is_to_be_settled();
    }

    /// Whether nothing that stood before its head was lost.
    fn is_intact(&self) -> bool {
        self.snapshot == self.head.snapshot.into()
    }

    /// Whether it was finished, and looks as a block that nobody began to erase. Its head ended well, for sure, once a
    /// record was begun behind it.
    fn is_whole(&self) -> bool {
        self.is_intact() && !self.has_gap && self.appended > 0
    }

    /// Whether a record behind the snapshot ended well, for sure: another one was begun behind it.
    fn is_established(&self) -> bool {
        self.appended > 1
    }

    /// Whether all that people were told hangs on records that ended well, for sure.
    pub(super) fn is_settled(&self) -> bool {
        self.is_established() && !self.is_open
    }
}

/// The block that counts. **While the older one holds what it held, that one, until the newer one is established; where
/// it lost something, the newer one, if it is established or intact.**
fn live(found: [Result<Block, Lack>; 2]) -> Option<Block> {
    let (first, second) = match found {
        [Ok(first), Ok(second)] => (first, second),
        [one, other] => return one.or(other).ok(),
    };
    let (mut older, newer) = if first.head.sequence < second.head.sequence { (first, second) } else { (second, first) };
    let lost = older.next < newer.head.before.into();
    // It is being erased already: the newer block holds what it lost.
    older.unread |= lost && newer.lack == Lack::Unread;
    let counts = newer.is_established() || newer.is_intact() && lost;
    Some(if counts { newer } else { older })
}

/// Reads a block: its head, or the copy in the other one, and every whole record.
async fn read_block<M: RawMutex, F: NorFlash>(area: &Area<'_, M, F>, index: u8) -> Result<Block, Lack> {
    let head = match (read_head(area, 1 - index, COPY).await, read_head(area, index, 0).await) {
        (Ok(head), _) | (_, Ok(head)) => head,
        // Where a copy may stand there is a record, else.
        (Err(Lack::Blank | Lack::Torn), Err(own)) => return Err(own),
        (Err(copy), Err(own)) => return Err(copy.max(own)),
    };
    let mut block = Block::new(index, head);
    // Since the last whole record: cells, and those of them that could not be read.
    let (mut gap, mut unread) = (0, 0);
    let mut cell = 1;
    while cell < area.layout().block() / CELL as u32 {
        match read_record(area, index, cell, head.sequence).await {
            Ok(record) => {
                // Whoever was cut off writing a record wrote nothing behind it.
                block.unread |= unread > 0;
                block.has_gap |= gap > 0;
                (gap, unread) = (0, 0);
                block.take(cell, &record);
                cell += record.cells();
            }
            Err(lack) => {
                block.lack = block.lack.max(lack);
                unread += u32::from(lack == Lack::Unread);
                gap += 1;
                cell += 1;
            }
        }
    }
    // A power cut leaves one record unreadable, and no more: in a block that counts, SETTLED behind the first SETTLED, or
    // any record behind both.
    let torn = if block.is_established() { COMMIT } else { block.appended };
    block.unread |= unread > torn;
    Ok(block)
}

async fn read_head<M: RawMutex, F: NorFlash>(area: &Area<'_, M, F>, block: u8, cell: u32) -> Result<Head, Lack> {
    let mut bytes = [0; CELL];
    area.read(area.layout().cell(block, cell), &mut bytes).await?;
    Head::decode(area.layout(), &bytes)
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

/// Whether the mark stands in that slot that no folder was ever committed.
pub(super) async fn is_void<M: RawMutex, F: NorFlash>(area: &Area<'_, M, F>, slot: Slot) -> bool {
    let mut bytes = [0; CELL];
    area.read(area.layout().byte(slot, 0), &mut bytes).await.is_ok() && bytes == record::void()
}
