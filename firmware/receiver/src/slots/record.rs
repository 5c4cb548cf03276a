//! The records of the journal, and their byte format.
//!
//! A record takes whole cells of 32 bytes, a multiple of every write unit. The first byte is its kind. The last six are
//! the beginning of BLAKE3(sequence of its block ‖ the bytes before them). The bytes between the fields and the
//! checksum are zero. Integers are big-endian.
//!
//! ```text
//! kind  cells  fields after the kind
//!   1     2    BEGIN     slot:1 sizes:16 sender:32        a transfer uses the slot, from its first byte
//!   2     1    PROGRESS  offset:4                         this many bytes, whole erase blocks, are durable
//!   3     5    COMMIT    slot:1 sizes:16 sender:32 created:8 generation:8 manifest digest:32 root:32
//!   4     2    STAMP     sender:32 created:8              newest archive of that sender
//!   5     1    CLEAR                                      forgets all stamps
//!   6     1    ABANDON                                    forgets the transfer
//!   7     1    FORGET    generation:8                     no folder is committed; generations continue from this one
//!   8     1    ACK                                        the records before it were acknowledged
//!   9     1    REVERT    generation:8                     the previous folder, which has this generation, is committed again
//! sizes = total:4 manifest:4 entries:4 files:4
//!
//! head, cell 0 of a block: "WAFTSLOT" version:1 erase size:4 slot size:4 sequence:4 snapshot cells:2 cells before:2, zeros, checksum:6
//! mark, cell 0 of a slot:  "WAFTVOID" 1,         zeros, checksum:6        no folder was ever committed, see `journal`
//! ```
//!
//! Every version of this format keeps the first nine bytes of a head, its length and its checksum, so that each version
//! recognizes the blocks of all others. Everything else may change with the version. A new kind of record requires a
//! new version. Version 2 adds REVERT, and writes what a snapshot needs for it. This code reads both versions and writes
//! version 2.

use waft_core::archive::Shape;
use waft_core::certificate::CertificateHash;
use waft_core::digest::Digest;
use waft_core::session::Offered;

use super::area::{Layout, Slot};
use crate::flash::Fault;

/// The bytes of a cell.
pub(super) const CELL: usize = 32;
/// The bytes of the longest record.
pub(super) const RECORD_MAX: usize = 5 * CELL;

const CHECKSUM: usize = 6;
const MAGIC: &[u8; 8] = b"WAFTSLOT";
const VOID: &[u8; 8] = b"WAFTVOID";
const VERSION: u8 = 2;
/// The version before, which this code reads as well.
const FIRST_VERSION: u8 = 1;
/// The version of the mark in a slot.
const VOID_VERSION: u8 = 1;

/// The shape of an archive that a slot can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) total: u32,
    pub(super) manifest: u32,
    pub(super) entries: u32,
    pub(super) files: u32,
}

impl Sizes {
    /// The sizes of an offer, or `None` if they exceed every flash.
    pub(super) fn of(offered: &Offered) -> Option<Self> {
        let Shape { total, files, entries, manifest } = offered.shape;
        Some(Self { total: total.try_into().ok()?, manifest, entries, files })
    }

    /// The shape that the archive's manifest must state.
    pub(super) fn shape(&self) -> Shape {
        let &Self { total, manifest, entries, files } = self;
        Shape { total: total.into(), files, entries, manifest }
    }
}

/// A transfer that uses a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Begun {
    pub(super) slot: Slot,
    pub(super) sizes: Sizes,
    pub(super) sender: CertificateHash,
}

/// A committed folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Committed {
    pub(super) slot: Slot,
    pub(super) sizes: Sizes,
    pub(super) sender: CertificateHash,
    pub(super) created: u64,
    pub(super) generation: u64,
    pub(super) manifest: Digest,
    pub(super) root: Digest,
}

/// The creation time of the newest archive of a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) sender: CertificateHash,
    pub(super) created: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Begin(Begun),
    Progress { offset: u32 },
    Commit(Committed),
    Stamp(Stamp),
    Clear,
    Abandon,
    Forget { generation: u64 },
    Ack,
    Revert { generation: u64 },
}

impl Record {
    /// The number of cells of a record of this kind, or `None` if the kind is unknown.
    pub(super) fn cells_of(kind: u8) -> Option<usize> {
        match kind {
            1 | 4 => Some(2),
            3 => Some(5),
            2 | 5..=9 => Some(1),
            _ => None,
        }
    }

    /// The number of cells of this record.
    pub(super) fn cells(&self) -> u32 {
        Self::cells_of(self.kind()).expect("kind() gives numbers that cells_of() knows") as u32
    }

    /// Encodes the record for the block with this sequence number, as whole cells at the start of `out`.
    pub(super) fn encode<'o>(&self, sequence: u32, out: &'o mut [u8; RECORD_MAX]) -> &'o [u8] {
        out.fill(0);
        let mut fields = Writer(&mut out[..]);
        fields.put(&[self.kind()]);
        match self {
            Self::Begin(Begun { slot, sizes, sender }) => fields.place(*slot, sizes, sender),
            Self::Progress { offset } => fields.put(&offset.to_be_bytes()),
            Self::Commit(commit) => {
                fields.place(commit.slot, &commit.sizes, &commit.sender);
                fields.put(&commit.created.to_be_bytes());
                fields.put(&commit.generation.to_be_bytes());
                fields.put(&commit.manifest.0);
                fields.put(&commit.root.0);
            }
            Self::Stamp(Stamp { sender, created }) => {
                fields.put(&sender.0);
                fields.put(&created.to_be_bytes());
            }
            Self::Forget { generation } | Self::Revert { generation } => fields.put(&generation.to_be_bytes()),
            Self::Clear | Self::Abandon | Self::Ack => {}
        }
        let bytes = &mut out[..self.cells() as usize * CELL];
        close(sequence, bytes);
        bytes
    }

    /// Decodes the record that fills `bytes`, or returns `None` if it is not a valid record of the block with this
    /// sequence number.
    pub(super) fn decode(sequence: u32, bytes: &[u8]) -> Option<Self> {
        let mut fields = Reader(checked(sequence, bytes)?);
        let [kind] = fields.take()?;
        Some(match kind {
            1 => {
                let (slot, sizes, sender) = fields.place()?;
                Self::Begin(Begun { slot, sizes, sender })
            }
            2 => Self::Progress { offset: fields.u32()? },
            3 => {
                let (slot, sizes, sender) = fields.place()?;
                let (created, generation) = (fields.u64()?, fields.u64()?);
                let (manifest, root) = (Digest(fields.take()?), Digest(fields.take()?));
                Self::Commit(Committed { slot, sizes, sender, created, generation, manifest, root })
            }
            4 => Self::Stamp(Stamp { sender: CertificateHash(fields.take()?), created: fields.u64()? }),
            5 => Self::Clear,
            6 => Self::Abandon,
            7 => Self::Forget { generation: fields.u64()? },
            8 => Self::Ack,
            9 => Self::Revert { generation: fields.u64()? },
            _ => return None,
        })
    }

    /// Whether readers or senders learn of the record, so that every later boot must read it in the same way.
    pub(super) fn needs_ack(&self) -> bool {
        matches!(self, Self::Commit(_) | Self::Stamp(_) | Self::Clear | Self::Forget { .. } | Self::Revert { .. })
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Begin(_) => 1,
            Self::Progress { .. } => 2,
            Self::Commit(_) => 3,
            Self::Stamp(_) => 4,
            Self::Clear => 5,
            Self::Abandon => 6,
            Self::Forget { .. } => 7,
            Self::Ack => 8,
            Self::Revert { .. } => 9,
        }
    }
}

/// The head in the first cell of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// Grows by one with each new block.
    pub(super) sequence: u32,
    /// The number of cells of the snapshot, which follows the head and was written before it.
    pub(super) snapshot: u16,
    /// The number of valid cells in the older block when the head was written, including that block's head.
    pub(super) before: u16,
}

impl Head {
    pub(super) fn encode(&self, layout: &Layout) -> [u8; CELL] {
        let mut cell = [0; CELL];
        let mut fields = Writer(&mut cell);
        fields.put(MAGIC);
        fields.put(&[VERSION]);
        fields.put(&layout.block().to_be_bytes());
        fields.put(&layout.slot().to_be_bytes());
        fields.put(&self.sequence.to_be_bytes());
        fields.put(&self.snapshot.to_be_bytes());
        fields.put(&self.before.to_be_bytes());
        close(0, &mut cell);
        cell
    }

    /// Compares sequence numbers, which wrap around.
    pub(super) fn is_older_than(&self, other: &Self) -> bool {
        (other.sequence.wrapping_sub(self.sequence) as i32) > 0
    }

    /// Decodes a head of this version and this layout.
    pub(super) fn decode(layout: &Layout, cell: &[u8; CELL]) -> Result<Self, CellError> {
        let fields = checked(0, cell).and_then(|body| body.strip_prefix(MAGIC)).ok_or_else(|| CellError::of(cell))?;
        Self::fields(layout, fields).ok_or(CellError::Foreign)
    }

    fn fields(layout: &Layout, body: &[u8]) -> Option<Self> {
        let mut fields = Reader(body);
        let [version] = fields.take()?;
        let same = matches!(version, FIRST_VERSION | VERSION);
        let same = same & (fields.u32()? == layout.block()) & (fields.u32()? == layout.slot());
        let (sequence, [snapshot, before]) = (fields.u32()?, [fields.take()?, fields.take()?].map(u16::from_be_bytes));
        same.then_some(Self { sequence, snapshot, before })
    }
}

/// Why a cell contains no head or record. The variants are ordered by severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CellError {
    /// The cell reads as erased, which does not prove that it is.
    Blank,
    /// The cell is neither blank nor valid.
    Torn,
    /// The flash failed to read it.
    Unreadable,
    /// It is a head of another version, or of another layout.
    Foreign,
}

impl CellError {
    /// Classifies bytes that are neither a head nor a record.
    pub(super) fn of(bytes: &[u8]) -> Self {
        if bytes.iter().all(|byte| *byte == 0xff) { Self::Blank } else { Self::Torn }
    }
}

impl From<Fault> for CellError {
    fn from(_: Fault) -> Self {
        Self::Unreadable
    }
}

/// The mark that a slot contains while a flash gets its first journal.
pub(super) fn void() -> [u8; CELL] {
    let mut cell = [0; CELL];
    let mut fields = Writer(&mut cell);
    fields.put(VOID);
    fields.put(&[VOID_VERSION]);
    close(0, &mut cell);
    cell
}

/// Hashes one array, because a hasher of a stream takes 2 KiB of stack.
fn checksum(sequence: u32, body: &[u8]) -> [u8; CHECKSUM] {
    const SEQUENCE: usize = size_of::<u32>();
    let mut bytes = [0; SEQUENCE + RECORD_MAX];
    let length = SEQUENCE + body.len();
    bytes[..SEQUENCE].copy_from_slice(&sequence.to_be_bytes());
    bytes[SEQUENCE..length].copy_from_slice(body);
    *Digest::of(&bytes[..length]).0.first_chunk().expect("a digest is longer than a checksum")
}

fn close(sequence: u32, bytes: &mut [u8]) {
    let (body, end) = bytes.split_last_chunk_mut().expect("a cell is longer than a checksum");
    *end = checksum(sequence, body);
}

fn checked(sequence: u32, bytes: &[u8]) -> Option<&[u8]> {
    let (body, end) = bytes.split_last_chunk()?;
    (checksum(sequence, body) == *end).then_some(body)
}

struct Writer<'o>(&'o mut [u8]);

impl Writer<'_> {
    fn put(&mut self, field: &[u8]) {
        let (here, rest) = core::mem::take(&mut self.0).split_at_mut(field.len());
        here.copy_from_slice(field);
        self.0 = rest;
    }

    fn place(&mut self, slot: Slot, sizes: &Sizes, sender: &CertificateHash) {
        self.put(&[u8::from(slot == Slot::B)]);
        for size in [sizes.total, sizes.manifest, sizes.entries, sizes.files] {
            self.put(&size.to_be_bytes());
        }
        self.put(&sender.0);
    }
}

struct Reader<'b>(&'b [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn place(&mut self) -> Option<(Slot, Sizes, CertificateHash)> {
        let slot = match self.take()? {
            [0] => Slot::A,
            [1] => Slot::B,
            _ => return None,
        };
        let sizes = Sizes { total: self.u32()?, manifest: self.u32()?, entries: self.u32()?, files: self.u32()? };
        Some((slot, sizes, CertificateHash(self.take()?)))
    }
}

#[cfg(test)]
mod tests;
