//! The state that results from the journal's records, and its snapshot as records.

use waft_core::certificate::CertificateHash;

use super::STAMPS;
use super::area::ERASE_MIN;
use super::record::{Begun, CELL, Committed, Record, Stamp};

/// The most cells of a snapshot: COMMIT, CLEAR, STAMPs, BEGIN, PROGRESS.
const SNAPSHOT_MAX: usize = 5 + 1 + 2 * STAMPS + 2 + 1;

// Head, snapshot, SETTLED, and room for as much again.
const _: () = assert!(2 * (1 + SNAPSHOT_MAX + 1) * CELL <= ERASE_MIN);

/// The state after the records so far.
#[derive(Default)]
pub(super) struct State {
    pub(super) committed: Option<Committed>,
    /// The latest transfer, and how many bytes of it are durable.
    pub(super) begun: Option<(Begun, u32)>,
    /// The generation of the latest commit.
    pub(super) generation: u64,
    stamps: heapless::Vec<Stamp, STAMPS>,
}

impl State {
    /// The creation time of the newest archive of `sender`.
    pub(super) fn stamp(&self, sender: &CertificateHash) -> Option<u64> {
        self.stamps.iter().find(|stamp| stamp.sender == *sender).map(|stamp| stamp.created)
    }

    /// Whether nothing was ever committed, and no transfer can be resumed.
    pub(super) fn is_void(&self) -> bool {
        self.generation == 0 && self.begun.is_none()
    }

    pub(super) fn apply(&mut self, record: &Record) {
        match *record {
            Record::Begin(begun) => {
                // Only happens if the COMMIT of the other slot was lost. This slot is being erased.
                self.committed = self.committed.filter(|committed| committed.slot != begun.slot);
                self.begun = Some((begun, 0));
            }
            Record::Progress { offset } => self.begun = self.begun.map(|(begun, _)| (begun, offset)),
            Record::Commit(committed) => {
                self.note(Stamp { sender: committed.sender, created: committed.created });
                self.generation = committed.generation;
                self.committed = Some(committed);
                self.begun = None;
            }
            Record::Stamp(stamp) => self.note(stamp),
            Record::Clear => self.stamps.clear(),
            Record::Abandon => self.begun = None,
            Record::Forget { generation } => {
                self.generation = generation;
                self.committed = None;
            }
            Record::Settled => {}
        }
    }

    /// Stores the stamp of a sender. If there is no room, the stamp with the oldest archive is dropped.
    fn note(&mut self, stamp: Stamp) {
        self.stamps.retain(|kept| kept.sender != stamp.sender);
        if self.stamps.is_full()
            && let Some(oldest) = (0..self.stamps.len()).min_by_key(|index| self.stamps[*index].created)
        {
            self.stamps.remove(oldest);
        }
        let _ = self.stamps.push(stamp);
    }

    /// The records that produce this state. CLEAR removes the stamp that COMMIT adds, because it may have been cleared.
    pub(super) fn snapshot(&self) -> impl Iterator<Item = Record> {
        let folder = self.committed.map_or(Record::Forget { generation: self.generation }, Record::Commit);
        let begun = self.begun.into_iter();
        let begun = begun.flat_map(|(begun, offset)| [Record::Begin(begun), Record::Progress { offset }]);
        [folder, Record::Clear].into_iter().chain(self.stamps.iter().copied().map(Record::Stamp)).chain(begun)
    }
}
