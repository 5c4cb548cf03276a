//! The slot store: two places for a folder on NOR flash, and a journal that says which one counts.
//!
//! ```text
//! region of a flash, whole erase blocks:
//! +-----------+-----------+--------------------------+--------------------------+
//! | journal 0 | journal 1 | slot A                   | slot B                   |
//! +-----------+-----------+--------------------------+--------------------------+
//!   1 block     1 block     half of the other blocks   the other half
//!
//! a slot: the archive as it came, from the first byte of the slot
//! +----------+-----------------+-----------+- - -+-----------------+-----------+------+
//! | manifest | content, file 1 | its BLAKE3 |     | content, file n | its BLAKE3 | root |
//! +----------+-----------------+-----------+- - -+-----------------+-----------+------+
//!
//! a journal block: cells of 32 bytes; records take one to five of them (see `record`)
//! +------+-----------------------------------------------+-----------------+-----------------------+- - - -
//! | head | snapshot: COMMIT CLEAR STAMP.. BEGIN PROGRESS | SETTLED SETTLED | records, as they come | blank
//! +------+-----------------------------------------------+-----------------+-----------------------+- - - -
//!   written behind its snapshot
//!
//! the other one: blank, but for a copy of that head in its second cell
//!
//! a transfer: BEGIN PROGRESS PROGRESS ... COMMIT SETTLED
//! ```
//!
//! A [`SlotStore`] is the [`Store`](waft_core::session::Store) of a session; applications read through [`Folder`]s,
//! which [`Slots`] hands out. Power may be cut, and a write torn, at any instant: what is there afterwards is the old
//! folder or the new one. The rules that make it so, and where each stands:
//!
//! | rule | place |
//! |---|---|
//! | erase before use, never trust a blank check | `Journal::rotate`, `Stage::flush` |
//! | never append to a block that was live before this boot; rotate when the first write comes | `Journal::make_ready` |
//! | a new block counts once it has two records behind its snapshot; before, only where the old one lost a record | `blocks::live` |
//! | no block with a damaged snapshot counts before it has them | `blocks::live` |
//! | erase the old block before the new one says anything else | `Journal::rotate` |
//! | a read error is an invalid record where a power cut may have left it | `blocks::read_block` |
//! | where it may hide what counts, show nothing, write nothing, and give no slot away | `blocks::read`, `Journal::committed`, `Journal::append`, `SlotStore::free_slot` |
//! | refuse what another version wrote, in the same way | `Head::decode`, `blocks::read` |
//! | resume at bounds of erase blocks only | `Stage::resume`, `Stage::flush` |
//! | say in this boot's journal where a transfer goes on before erasing there | `Stage::announce` |
//! | never erase the slot of the committed folder | `SlotStore::free_slot` |
//! | read back and verify before COMMIT | `SlotStore::conclude` |
//! | rotate before exposing what was never acknowledged: COMMIT, FORGET, CLEAR, STAMP | `Journal::settle` |

mod area;
mod blocks;
mod check;
mod folder;
mod journal;
mod record;
mod stage;
mod state;
mod store;

use core::cell::RefCell;
use core::ops::Range;

use embassy_sync::blocking_mutex::Mutex as BlockingMutex;
use embassy_sync::blocking_mutex::raw::RawMutex;
use embassy_sync::mutex::Mutex;
use embedded_storage_async::nor_flash::NorFlash;

pub use area::{ERASE_MAX, ERASE_MIN, LayoutError, Slot};
pub use folder::{Entries, File, Folder, Listed, ReadError, Verdict, Verification};
pub use store::{BUFFER_MIN, MountError, SlotStore, Transfer};

use area::Area;
use record::Committed;

/// Why a flash shows no folder and takes none, though one may be there. [`SlotStore::forget`] gives up what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Trouble {
    /// The flash could not read what may say where the folder is. The next start tries again.
    Unreadable,
    /// Another version of the firmware wrote it, or one whose slots have another place or size. That firmware can read
    /// it still.
    OtherLayout,
}

/// Senders whose newest stamp is kept for the rollback guard.
pub const STAMPS: usize = 8;

/// A region of a flash that holds slots, shared by one [`SlotStore`] and any number of [`Folder`]s.
pub struct Slots<'f, M: RawMutex, F> {
    area: Area<'f, M, F>,
    shelf: BlockingMutex<M, RefCell<Shelf>>,
}

/// What readers find.
#[derive(Default)]
struct Shelf {
    /// The folder that readers get.
    committed: Option<Committed>,
    /// Why there may be another one.
    trouble: Option<Trouble>,
    /// Open folders in slot A, and in slot B.
    leases: [usize; 2],
}

impl<'f, M: RawMutex, F: NorFlash> Slots<'f, M, F> {
    /// The slots in `region` of a flash: whole erase blocks, at least four. Nobody else may write there. Readers find
    /// nothing before [`SlotStore::mount`].
    pub async fn new(flash: &'f Mutex<M, F>, region: Range<u32>) -> Result<Self, LayoutError> {
        let capacity = flash.lock().await.capacity();
        let area = Area::new(flash, region, capacity)?;
        Ok(Self { area, shelf: BlockingMutex::new(RefCell::new(Shelf::default())) })
    }

    /// Longest archive that fits, in bytes.
    pub fn capacity(&self) -> u32 {
        self.area.layout().slot()
    }

    /// The committed folder, under a lease: it stays as it is until it is dropped, and a transfer that needs its slot
    /// waits.
    pub fn folder(&self) -> Option<Folder<'_, M, F>> {
        let committed = self.shelf(|shelf| {
            let committed = shelf.committed?;
            shelf.leases[committed.slot as usize] += 1;
            Some(committed)
        })?;
        Some(Folder::new(self, committed))
    }

    /// Why [`folder`](Self::folder) gives none, if there may be one nevertheless.
    pub fn trouble(&self) -> Option<Trouble> {
        self.shelf(|shelf| shelf.trouble)
    }

    fn shelf<T>(&self, change: impl FnOnce(&mut Shelf) -> T) -> T {
        self.shelf.lock(|shelf| change(&mut shelf.borrow_mut()))
    }

    fn show(&self, committed: Option<Committed>, trouble: Option<Trouble>) {
        self.shelf(|shelf| (shelf.committed, shelf.trouble) = (committed, trouble));
    }

    fn is_leased(&self, slot: Slot) -> bool {
        self.shelf(|shelf| shelf.leases[slot as usize] > 0)
    }
}

impl<M: RawMutex, F> Slots<'_, M, F> {
    fn release(&self, slot: Slot) {
        self.shelf.lock(|shelf| shelf.borrow_mut().leases[slot as usize] -= 1);
    }
}
