//! Reads the two blocks of the journal, and decides which of them is live.
//!
//! This module only reads. It relies on the rules for writing in [`super::journal`].

use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_storage_async::nor_flash::NorFlash;

use super::JournalError;
use super::area::{Locked, Slot};
use super::record::{self, CELL, CellError, Head, RECORD_MAX, Record};
use super::state::State;

/// The cell in which a block holds a copy of the other block's head. It is not cell 0, so no block takes it for its
/// own.
pub(super) const COPY: u32 = 1;
/// The cells of COMMIT, the longest record.
const COMMIT: u32 = (RECORD_MAX / CELL) as u32;
/// The cells of ACK.
const ACK: u32 = 1;

/// The result of reading the journal.
pub(super) struct Found {
    /// The live block, or `None` if the flash has no journal yet.
    pub(super) live: Option<Block>,
    /// Whether some bytes are neither blank nor a record.
    pub(super) is_doubtful: bool,
    /// Why the journal may contain more than `live` shows.
    pub(super) error: Option<JournalError>,
}

/// A block with a head.
pub(super) struct Block {
    pub(super) index: u8,
    pub(super) head: Head,
    pub(super) state: State,
    /// The number of cells of valid records in the snapshot.
    snapshot: u32,
    /// The number of cells of the head and of all valid records.
    pub(super) next: u32,
    /// The number of valid records after the snapshot.
    appended: u32,
    /// Whether the last record requires an ACK record, which is missing.
    is_open: bool,
    /// The most severe reason why a cell holds no record.
    worst: CellError,
    /// Whether invalid cells precede a valid record.
    has_gap: bool,
    /// Whether a record may exist that could not be read, and was not torn when it was written.
    has_unread: bool,
}

/// Reads both blocks.
pub(super) async fn read<M: RawMutex, F: NorFlash>(area: &mut Locked<'_, M, F>) -> Found {
    let blocks = [read_block(area, 0).await, read_block(area, 1).await];
    let has_error = |error| blocks.iter().any(|block| block.as_ref().is_err_and(|found| *found == error));
    let (torn, unread, foreign) =
        (has_error(CellError::Torn), has_error(CellError::Unreadable), has_error(CellError::Foreign));
    let live = live(blocks);
    let hidden = match &live {
        None => unread,
        Some(live) => live.has_unread || unread && !live.is_whole(),
    };
    // A power cut during the first use of a flash may leave a block that is only partly readable as the only block.
    let hidden = hidden && !is_void(area, Slot::A).await && !is_void(area, Slot::B).await;
    let error = match foreign {
        true => Some(JournalError::OtherLayout),
        false => hidden.then_some(JournalError::Unreadable),
    };
    Found {
        is_doubtful: torn || unread || live.as_ref().is_some_and(|live| live.worst != CellError::Blank),
        error,
        live,
    }
}

impl Block {
    fn new(index: u8, head: Head) -> Self {
        let (is_open, worst, has_gap, has_unread) = (false, CellError::Blank, false, false);
        let (state, snapshot, next, appended) = (State::new(), 0, 1, 0);
        Self { index, head, state, snapshot, next, appended, is_open, worst, has_gap, has_unread }
    }

    fn take(&mut self, cell: u32, record: &Record) {
        self.state.apply(record);
        self.next += record.cells();
        match cell <= self.head.snapshot.into() {
            true => self.snapshot += record.cells(),
            false => self.appended += 1,
        }
        self.is_open = record.needs_ack();
    }

    /// Whether no record of the snapshot was lost.
    fn is_intact(&self) -> bool {
        self.snapshot == self.head.snapshot.into()
    }

    /// Whether the block was finished, and shows no sign of an interrupted erasure. Its head is certainly complete if a
    /// record follows the snapshot, because that was written later.
    fn is_whole(&self) -> bool {
        self.is_intact() && !self.has_gap && self.appended > 0
    }

    /// Whether a record after the snapshot is certainly complete, because another record follows it.
    fn is_established(&self) -> bool {
        self.appended > 1
    }

    /// Whether everything that readers and senders may know depends only on records that are certainly complete.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.is_established() && !self.is_open
    }
}

/// Decides which block is live. **As long as the older block lost nothing, it is live until the newer one is intact and
/// established. If it lost something, the newer one is live if it is established or intact.**
///
/// An established block that is not intact is being erased: a start that could not read its last record chose the older
/// block, and was cut.
fn live(found: [Result<Block, CellError>; 2]) -> Option<Block> {
    let (first, second) = match found {
        [Ok(first), Ok(second)] => (first, second),
        [one, other] => return one.or(other).ok(),
    };
    let (mut older, newer) = if first.head.is_older_than(&second.head) { (first, second) } else { (second, first) };
    let lost = older.next < newer.head.before.into();
    // The older block is being erased. The newer one contains what it lost.
    older.has_unread |= lost && newer.worst == CellError::Unreadable;
    let counts = match lost {
        false => newer.is_established() && newer.is_intact(),
        true => newer.is_established() || newer.is_intact(),
    };
    Some(if counts { newer } else { older })
}

/// Reads a block: its head, or else the copy of it in the other block, and all valid records.
async fn read_block<M: RawMutex, F: NorFlash>(area: &mut Locked<'_, M, F>, index: u8) -> Result<Block, CellError> {
    let head = match (read_head(area, 1 - index, COPY).await, read_head(area, index, 0).await) {
        (Ok(head), _) | (_, Ok(head)) => head,
        // The cell of the copy is blank, or contains a record of the other block.
        (Err(CellError::Blank | CellError::Torn), Err(own)) => return Err(own),
        (Err(copy), Err(own)) => return Err(copy.max(own)),
    };
    let mut block = Block::new(index, head);
    // The number of invalid cells since the last valid record, and how many of them could not be read.
    let (mut gap, mut unread) = (0, 0);
    let mut cell = 1;
    while cell < area.layout().block() / CELL as u32 {
        match read_record(area, index, cell, head.sequence).await {
            Ok(record) => {
                // A torn record is always the last one, so these cells contained something else.
                block.has_unread |= unread > 0;
                block.has_gap |= gap > 0;
                (gap, unread) = (0, 0);
                block.take(cell, &record);
                cell += record.cells();
            }
            Err(error) => {
                block.worst = block.worst.max(error);
                unread += u32::from(error == CellError::Unreadable);
                gap += 1;
                cell += 1;
            }
        }
    }
    // A power cut leaves at most one unreadable record: one of the two ACK records, or a record after them.
    let torn = if block.is_established() { COMMIT } else { ACK };
    block.has_unread |= unread > torn;
    Ok(block)
}

async fn read_head<M: RawMutex, F: NorFlash>(
    area: &mut Locked<'_, M, F>,
    block: u8,
    cell: u32,
) -> Result<Head, CellError> {
    let mut bytes = [0; CELL];
    let at = area.layout().cell(block, cell);
    area.read(at, &mut bytes).await?;
    Head::decode(area.layout(), &bytes)
}

/// Reads the record at a cell. **A read error counts as an invalid record.**
async fn read_record<M: RawMutex, F: NorFlash>(
    area: &mut Locked<'_, M, F>,
    block: u8,
    cell: u32,
    sequence: u32,
) -> Result<Record, CellError> {
    let mut bytes = [0; RECORD_MAX];
    let (at, room) = (area.layout().cell(block, cell), area.layout().block() as usize / CELL);
    area.read(at, &mut bytes[..CELL]).await?;
    let cells = Record::cells_of(bytes[0]).filter(|cells| cell as usize + cells <= room);
    let Some(cells) = cells else { return Err(CellError::of(&bytes[..CELL])) };
    area.read(at, &mut bytes[..cells * CELL]).await?;
    Record::decode(sequence, &bytes[..cells * CELL]).ok_or(CellError::Torn)
}

/// Whether the slot contains the mark that no folder was ever committed.
pub(super) async fn is_void<M: RawMutex, F: NorFlash>(area: &mut Locked<'_, M, F>, slot: Slot) -> bool {
    let mut bytes = [0; CELL];
    let at = area.layout().byte(slot, 0);
    area.read(at, &mut bytes).await.is_ok() && bytes == record::void()
}
