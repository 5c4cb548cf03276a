//! The state that results from the journal's records, and its snapshot as records.

use waft_core::certificate::CertificateHash;

use super::STAMPS;
use super::area::ERASE_MIN;
use super::record::{Begun, CELL, Committed, Record, Stamp};

/// The most cells of a snapshot: two COMMITs, CLEAR, STAMPs.
const SNAPSHOT_MAX: usize = 5 + 5 + 1 + 2 * STAMPS;
/// The most cells of a snapshot during a transfer, which has overwritten the folder before: FORGET, COMMIT, CLEAR,
/// STAMPs, BEGIN, PROGRESS.
const IN_TRANSFER_MAX: usize = 1 + 5 + 1 + 2 * STAMPS + 2 + 1;
const _: () = assert!(IN_TRANSFER_MAX <= SNAPSHOT_MAX);

// Head, snapshot, ACK, and room for as much again.
const _: () = assert!(2 * (1 + SNAPSHOT_MAX + 1) * CELL <= ERASE_MIN);

/// The state after the records so far.
pub(super) struct State {
    pub(super) committed: Option<Committed>,
    /// The folder that was committed before, as long as nothing was written over it.
    pub(super) previous: Option<Committed>,
    /// The latest transfer, and how many bytes of it are durable.
    pub(super) begun: Option<(Begun, u32)>,
    /// The generation of the latest commit.
    pub(super) generation: u64,
    stamps: heapless::Vec<Stamp, STAMPS>,
}

impl State {
    pub(super) const fn new() -> Self {
        Self { committed: None, previous: None, begun: None, generation: 0, stamps: heapless::Vec::new() }
    }

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
                self.previous = self.previous.filter(|previous| previous.slot != begun.slot);
                self.begun = Some((begun, 0));
            }
            Record::Progress { offset } => self.begun = self.begun.map(|(begun, _)| (begun, offset)),
            Record::Commit(committed) => {
                self.note(Stamp { sender: committed.sender, created: committed.created });
                self.generation = self.generation.max(committed.generation);
                self.previous = self.committed.filter(|previous| previous.slot != committed.slot);
                self.committed = Some(committed);
                self.begun = None;
            }
            Record::Stamp(stamp) => self.note(stamp),
            Record::Clear => self.stamps.clear(),
            Record::Abandon => self.begun = None,
            Record::Forget { generation } => {
                self.generation = generation;
                self.forget();
            }
            Record::Revert { generation } => {
                // Without the folder before, its COMMIT was lost. The other folder must not be shown again.
                self.committed = self.previous.take().filter(|previous| previous.generation == generation);
            }
            Record::Ack => {}
        }
    }

    /// Forgets the committed folder and the one before.
    pub(super) fn forget(&mut self) {
        (self.committed, self.previous) = (None, None);
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

    /// The records that produce this state. CLEAR removes the stamps that COMMIT adds, because they may have been
    /// cleared. FORGET keeps the generation where no COMMIT does: without a folder, and after REVERT. The iterator holds
    /// references, not records, because futures keep it while they write.
    pub(super) fn snapshot(&self) -> impl Iterator<Item = Record> {
        let is_latest = self.committed.is_some_and(|committed| committed.generation == self.generation);
        let generation = (!is_latest).then_some(self.generation).into_iter();
        let generation = generation.map(|generation| Record::Forget { generation });
        let previous = self.previous.iter().filter(|_| self.committed.is_some());
        let folders = previous.chain(&self.committed).map(|committed| Record::Commit(*committed));
        let clear = core::iter::once(()).map(|()| Record::Clear);
        let stamps = self.stamps.iter().map(|stamp| Record::Stamp(*stamp));
        let begin = self.begun.iter().map(|(begun, _)| Record::Begin(*begun));
        let progress = self.begun.iter().map(|(_, offset)| Record::Progress { offset: *offset });
        generation.chain(folders).chain(clear).chain(stamps).chain(begin).chain(progress)
    }
}
