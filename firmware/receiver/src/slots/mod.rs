//! The slot store: two slots for a folder on NOR flash, and a journal that records which one is committed.
//!
//! ```text
//! region of a flash, whole erase blocks:
//! +-----------+-----------+--------------------------+--------------------------+
//! | journal 0 | journal 1 | slot A                   | slot B                   |
//! +-----------+-----------+--------------------------+--------------------------+
//!   1 block     1 block     half of the other blocks   the other half
//!
//! a slot: the archive as it was received, from the first byte of the slot
//! +----------+-----------------+-----------+- - -+-----------------+-----------+------+
//! | manifest | content, file 1 | its BLAKE3 |     | content, file n | its BLAKE3 | root |
//! +----------+-----------------+-----------+- - -+-----------------+-----------+------+
//!
//! a journal block: cells of 32 bytes; a record takes one to five of them (see `record`)
//! +------+-------------------------------------------------+---------+------------------+- - - -
//! | head | snapshot: COMMIT.. CLEAR STAMP.. BEGIN PROGRESS | ACK ACK | appended records | blank
//! +------+-------------------------------------------------+---------+------------------+- - - -
//!   written after its snapshot
//!
//! the other block: blank, except for a copy of that head in its second cell
//!
//! a transfer: BEGIN PROGRESS PROGRESS ... COMMIT ACK
//! back to the previous folder: REVERT ACK
//! ```
//!
//! A [`SlotStore`] is the [`Store`] of a session. Applications read through [`Folder`]s, which they get from [`Slots`].
//! Power may fail, and a write may be torn, at any instant: afterwards the slots contain either the old folder or the
//! new one. These rules ensure that:
//!
//! | rule | implemented in |
//! |---|---|
//! | erase before use, never trust a blank check | `Journal::rotate`, `Stage::flush` |
//! | never append to a block that was live before this boot; rotate at the first write | `Journal::make_ready` |
//! | a new block is live once two records follow its intact snapshot | `blocks::live` |
//! | if the old one lost a record, either of both suffices: two records, or an intact snapshot | `blocks::live` |
//! | erase the old block before the new one gets other records | `Journal::rotate` |
//! | a read error counts as an invalid record if a power cut may have caused it | `blocks::read_block` |
//! | if it may hide a decisive record, show nothing, write nothing, and use no slot | `blocks::read`, `Journal::committed`, `Journal::append`, `SlotStore::free_slot` |
//! | treat a journal of another version in the same way | `Head::decode`, `blocks::read` |
//! | resume only at boundaries of erase blocks | `Stage::resume`, `Stage::flush` |
//! | record in this boot's journal where a transfer resumes, before erasing there | `Stage::announce` |
//! | never erase the slot of the committed folder | `SlotStore::free_slot` |
//! | read back and verify before COMMIT, and before REVERT | `SlotStore::verify_and_commit`, `change::revert` |
//! | the previous folder is lost with the first record of a transfer into its slot | `State::apply` |
//! | rotate before exposing a record that was never acknowledged: COMMIT, FORGET, REVERT, CLEAR, STAMP | `Journal::rotate_unless_acknowledged` |

mod area;
mod base;
mod blocks;
mod change;
mod check;
mod folder;
mod journal;
mod lock;
mod record;
mod review;
mod stage;
mod state;
mod store;
mod transfer;

use core::cell::RefCell;
use core::future::poll_fn;
use core::ops::Range;
use core::pin::pin;
use core::task::Poll;

use embassy_sync::blocking_mutex::Mutex as BlockingMutex;
use embassy_sync::blocking_mutex::raw::RawMutex;
use embassy_sync::mutex::Mutex;
use embassy_sync::waitqueue::MultiWakerRegistration;
use embedded_storage_async::nor_flash::NorFlash;
use waft_core::session::own_frame::own_frame;

pub use waft_core::archive::{Entry, Kind, Modified};
pub use waft_core::certificate::CertificateHash;
pub use waft_core::digest::Digest;
pub use waft_core::limits::PATH_MAX;
pub use waft_core::path::RelPath;
pub use waft_core::session::{Offered, Receipt, Store, StoreError};

pub use area::{ERASE_MAX, ERASE_MIN, LayoutError, Slot};
pub(crate) use change::SlotChange;
pub use change::{Pause, RevertError};
pub use folder::{Entries, File, Folder, Listed, ReadError, Verdict, Verification};
pub use review::{AcceptAll, Rejection, Review};
pub use store::{BUFFER_MIN, MountError, SlotStore};
pub use transfer::Transfer;

use area::Area;
use change::is_not_stored;
use journal::Journal;
use lock::Guard;
use record::Committed;

/// Why no folder is shown and none is received, although one may exist. [`SlotStore::forget`] discards what may exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum JournalError {
    /// The flash failed to read bytes that may contain the record of the committed folder. The next start tries again.
    Unreadable,
    /// The journal was written by another version of the firmware, or by one whose slots have another address or size.
    /// That firmware can still read it.
    OtherLayout,
}

/// The number of senders whose newest stamp is kept for the rollback guard.
pub const STAMPS: usize = 8;

/// The length of the pieces in which a folder is read back to revert to it.
const PIECE: usize = 256;

/// The number of tasks that can wait for another folder or the journal without waking each other.
const WAITING: usize = 5;

/// A flash region with slots, shared by one [`SlotStore`] and any number of [`Folder`]s.
pub struct Slots<'f, M: RawMutex, F> {
    area: Area<'f, M, F>,
    shared: SharedState<M>,
    /// What may be written. A [`SlotStore`] locks it as long as it exists.
    journal: Mutex<M, Journal>,
}

/// The state that readers share with the store, and its mutex.
type SharedState<M> = BlockingMutex<M, RefCell<Shared>>;

/// The state that readers share with the store.
struct Shared {
    /// The folder that is shown to readers.
    committed: Option<Committed>,
    /// Why another folder may exist.
    journal_error: Option<JournalError>,
    /// The number of leases on slot A and on slot B.
    leases: [usize; 2],
    /// The tasks that wait for another folder, or for the journal.
    waiting: MultiWakerRegistration<WAITING>,
    /// How often a folder was reverted.
    reverted: u32,
    /// The number of [`Pause`]s.
    pauses: usize,
}

impl<'f, M: RawMutex, F: NorFlash> Slots<'f, M, F> {
    /// The slots in `region` of a flash, which must consist of at least four whole erase blocks that nothing else
    /// writes. Readers find no folder before [`mount`](Self::mount), which the receiver calls.
    pub async fn new(flash: &'f Mutex<M, F>, region: Range<u32>) -> Result<Self, LayoutError> {
        let capacity = flash.lock().await.capacity();
        let area = Area::new(flash, region, capacity)?;
        let shared = BlockingMutex::new(RefCell::new(Shared::new()));
        Ok(Self { area, shared, journal: Mutex::new(Journal::unread()) })
    }

    /// Erases up to this many bytes of a slot with one call of the flash driver, at multiples of it, and rounds it to whole
    /// erase blocks. Many flashes erase 64 KiB in a fraction of the time that their sectors take one by one, if the
    /// driver uses that command for a long range. Each power cut in a transfer then wears the blocks that were erased and not
    /// written. By default one block is erased at once.
    pub fn erase_at_once(mut self, bytes: u32) -> Self {
        self.area.set_erase_unit(bytes);
        self
    }

    /// Reads the journal, and shows the committed folder to readers. Writes only if a power cut hit the end of a
    /// commit. `buffer` is for reading; it holds at least [`BUFFER_MIN`] bytes.
    pub async fn mount(&self, buffer: &mut [u8]) -> Result<(), MountError> {
        if buffer.len() < BUFFER_MIN {
            return Err(MountError::Buffer);
        }
        let mut locked = self.lock_journal().await;
        // Reading takes several states of the journal, and what follows takes the buffers of a whole verification.
        let mut journal = own_frame(pin!(Journal::read(&mut self.area.lock().await))).await;
        if let Some(committed) = journal.doubtful()
            && is_not_stored(self, &committed, buffer).await
        {
            journal.drop_folders();
        }
        journal.rotate_unless_acknowledged(&mut self.area.lock().await).await;
        self.show(journal.committed(), journal.error());
        *locked = journal;
        Ok(())
    }

    /// Goes back to the folder that was committed before the current one. Readers get it as the changed folder, with the
    /// generation that it had; the generation of the reverted folder is not used again. Every sender may send any folder
    /// again, including the reverted one, in a new run.
    ///
    /// This works once: until the next commit there is no previous folder. It is also no longer possible once a transfer
    /// begins to overwrite the previous folder. Waits while a session uses the slots, and reads the whole folder back
    /// first. Power may be cut at any instant: afterwards either the current folder or the previous one is committed.
    pub async fn revert(&self) -> Result<(), RevertError> {
        change::revert(self, &mut *self.lock_journal().await, &mut [0; PIECE]).await
    }

    /// Forgets the committed folder, and any folder that the journal error may hide. Current readers of the folder may
    /// continue. Waits while a session uses the slots. Fails if the slots are not mounted yet.
    pub async fn forget(&self) -> Result<(), StoreError> {
        self.change(SlotChange::Forget).await
    }

    /// Forgets the creation times of the senders' newest archives, so that each sender may send an older one. Waits
    /// while a session uses the slots. Fails if the slots are not mounted yet.
    pub async fn reset_guard(&self) -> Result<(), StoreError> {
        self.change(SlotChange::ResetGuard).await
    }

    /// Forgets the interrupted transfer of this sender, so that it cannot be resumed. Waits while a session uses the slots.
    pub async fn abandon(&self, sender: &CertificateHash) -> Result<(), StoreError> {
        self.change(SlotChange::Abandon(sender)).await
    }

    /// Makes a change. Waits while a session uses the slots.
    pub(crate) async fn change(&self, change: SlotChange<'_>) -> Result<(), StoreError> {
        change::make(self, &mut *self.lock_journal().await, change).await
    }

    /// Erases the whole region: every folder, and the journal. Only before [`mount`](Self::mount), when nothing else uses
    /// it.
    pub(crate) async fn wipe(&self) -> Result<(), StoreError> {
        for block in self.area.layout().blocks() {
            self.area.lock().await.erase(block).await?;
        }
        Ok(())
    }

    /// Pauses receiving: until the value is dropped, senders are refused as *busy*, and try again for a while. A running
    /// transfer continues; [`Pause::idle`] waits for its end.
    pub fn pause(&self) -> Pause<'_, M, F> {
        self.shared(|shared| shared.pauses += 1);
        Pause { slots: self }
    }

    /// Whether receiving is paused.
    pub fn is_paused(&self) -> bool {
        self.shared(|shared| shared.pauses > 0)
    }

    /// Waits until nothing else writes to the slots. A session does so until it ends.
    fn lock_journal(&self) -> impl Future<Output = Guard<'_, M, Journal>> {
        lock::lock(&self.journal, &self.shared)
    }

    /// Waits until no session uses the slots.
    pub(crate) async fn idle(&self) {
        drop(self.lock_journal().await);
    }

    /// How often a folder was reverted. When this changes, what is remembered about the runs of senders is no longer valid.
    pub(crate) fn reverted(&self) -> u32 {
        self.shared(|shared| shared.reverted)
    }

    /// The length of the longest archive that fits, in bytes.
    pub fn capacity(&self) -> u32 {
        self.area.layout().slot()
    }

    /// The committed folder, under a lease: it does not change until it is dropped, and a transfer that needs its slot
    /// waits.
    pub fn folder(&self) -> Option<Folder<'_, M, F>> {
        let committed = self.shared(|shared| {
            let committed = shared.committed?;
            shared.lease(committed.slot);
            Some(committed)
        })?;
        Some(Folder::new(self, committed))
    }

    /// A verified folder that is not committed yet, under a lease.
    fn candidate(&self, committed: Committed) -> Folder<'_, M, F> {
        self.shared(|shared| shared.lease(committed.slot));
        Folder::new(self, committed)
    }

    /// Waits until the committed folder has another generation than `generation`, and returns it under a lease.
    /// `changed(0)` returns any folder at once, because generations start at 1.
    ///
    /// A task that passes the generation of the folder that it used last misses nothing: while it was busy, several
    /// folders may have been committed, and it gets the latest. Any number of tasks can wait at once. More than 5,
    /// including those that wait for a session to end, make each other poll again and again while they wait.
    ///
    /// A folder that is forgotten ends no wait: there is no other folder then. Cancel-safe.
    pub async fn changed(&self, generation: u64) -> Folder<'_, M, F> {
        let committed = poll_fn(|context| {
            self.shared(|shared| match shared.committed {
                Some(committed) if committed.generation != generation => {
                    shared.lease(committed.slot);
                    Poll::Ready(committed)
                }
                _ => {
                    shared.waiting.register(context.waker());
                    Poll::Pending
                }
            })
        });
        Folder::new(self, committed.await)
    }

    /// Why [`folder`](Self::folder) returns `None` although a folder may exist.
    pub fn journal_error(&self) -> Option<JournalError> {
        self.shared(|shared| shared.journal_error)
    }

    /// Shows the previous folder, after the current one was reverted.
    fn show_reverted(&self, committed: Option<Committed>) {
        self.shared(|shared| shared.reverted = shared.reverted.wrapping_add(1));
        self.show(committed, None);
    }

    fn show(&self, committed: Option<Committed>, error: Option<JournalError>) {
        self.shared(|shared| {
            (shared.committed, shared.journal_error) = (committed, error);
            shared.waiting.wake();
        });
    }

    fn is_leased(&self, slot: Slot) -> bool {
        self.shared(|shared| shared.leases[slot as usize] > 0)
    }
}

impl<M: RawMutex, F> Slots<'_, M, F> {
    fn shared<T>(&self, change: impl FnOnce(&mut Shared) -> T) -> T {
        self.shared.lock(|shared| change(&mut shared.borrow_mut()))
    }
}

impl Shared {
    const fn new() -> Self {
        let waiting = MultiWakerRegistration::new();
        Self { committed: None, journal_error: None, leases: [0; 2], waiting, reverted: 0, pauses: 0 }
    }

    fn lease(&mut self, slot: Slot) {
        self.leases[slot as usize] += 1;
    }

    fn release(&mut self, slot: Slot) {
        self.leases[slot as usize] -= 1;
    }
}
