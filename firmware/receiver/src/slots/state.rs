//! What the journal's records say when they are taken together, and the records that say it again.

use waft_core::certificate::CertificateHash;

use super::STAMPS;
use super::area::ERASE_MIN;
use super::record::{Begun, CELL, Committed, Record, Stamp};

/// Most cells of a snapshot: COMMIT, CLEAR, STAMPs, BEGIN, PROGRESS.
const SNAPSHOT_MAX: usize = 5 + 1 + 2 * STAMPS + 2 + 1;

// Head, snapshot, SETTLED, and room for as much again.
const _: () = assert!(2 * (1 + SNAPSHOT_MAX + 1) * CELL <= ERASE_MIN);

/// What the records so far say.
#[derive(Default)]
pub(super) struct State {
    pub(super) committed: Option<Committed>,
    /// The transfer that was begun last, and how much of it is durable.
    pub(super) begun: Option<(Begun, u32)>,
    /// The last generation.
    pub(super) generation: u64,
    stamps: heapless::Vec<Stamp, STAMPS>,
}

impl State {
    /// When that sender's newest archive was made.
    pub(super) fn stamp(&self, sender: &CertificateHash) -> Option<u64> {
        self.stamps.iter().find(|stamp| stamp.sender == *sender).map(|stamp| stamp.created)
    }

    /// Whether nothing was ever committed, and nothing stands in a slot that a transfer goes on with.
    pub(super) fn is_void(&self) -> bool {
        self.generation == 0 && self.begun.is_none()
    }

    pub(super) fn apply(&mut self, record: &Record) {
        match *record {
            Record::Begin(begun) => {
                // Only where the COMMIT of the other slot got lost: this one is being erased.
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

    /// Keeps the sender's stamp; without room, at the cost of the sender that was silent longest.
    fn note(&mut self, stamp: Stamp) {
        self.stamps.retain(|kept| kept.sender != stamp.sender);
        if self.stamps.is_full()
            && let Some(oldest) = (0..self.stamps.len()).min_by_key(|index| self.stamps[*index].created)
        {
            self.stamps.remove(oldest);
        }
        let _ = self.stamps.push(stamp);
    }

    /// The records that lead to this state. CLEAR takes back the stamp that COMMIT brings: it may have been cleared.
    pub(super) fn snapshot(&self) -> impl Iterator<Item = Record> {
        let folder = self.committed.map_or(Record::Forget { generation: self.generation }, Record::Commit);
        let begun = self.begun.into_iter();
        let begun = begun.flat_map(|(begun, offset)| [Record::Begin(begun), Record::Progress { offset }]);
        [folder, Record::Clear].into_iter().chain(self.stamps.iter().copied().map(Record::Stamp)).chain(begun)
    }
}
