//! A change of the slots: a transfer, FORGET, or REVERT. It is performed, cut, and performed again, and what each boot shows is
//! compared with what it may show: the state before the change or the state after it, and never the former again once a
//! boot showed the latter.

use std::iter::repeat;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use embedded_storage_async::nor_flash::NorFlash;
use waft_core::session::Store;
use waft_receiver::slots::Slots;

use super::damage::Damage;
use super::table::Harm;
use crate::archive::{Archive, Tree, archive, read, tree};
use crate::bench::{Board, begin, boot, send, update};
use crate::nor::{Failing, Nor, Reads, Tear};

pub(crate) type Flash<const W: usize, const E: usize> = Mutex<NoopRawMutex, Nor<W, E>>;

/// A power cut: the number of the operation in its boot, or in the change for the first cut, and how it is torn.
pub(crate) type Cut = (u64, Tear);

/// The content of the flash before the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum History {
    /// There is no journal.
    Blank,
    /// A folder was committed in an earlier boot.
    Folder,
    /// A folder was committed in the same boot as the change.
    SameBoot,
    /// A folder was committed, and the first erase block of the new folder was received.
    BrokenOff,
}

pub(crate) const HISTORIES: [History; 4] = [History::Blank, History::Folder, History::SameBoot, History::BrokenOff];

pub(crate) struct Change {
    pub(crate) history: History,
    /// The folder that was committed before `old`, if any.
    before: Option<Archive>,
    old: Archive,
    kind: Kind,
    blocks: usize,
}

/// The change of the slots.
enum Kind {
    Transfer(Archive),
    /// The same, but files that did not change are copied from the folder before.
    Update(Archive),
    Forget,
    /// Reverting to the previous folder.
    Revert,
}

/// What a boot shows.
struct Shown {
    /// The generation and the content of the folder. The content is `None` if it is damaged.
    folder: Option<(u64, Option<Tree>)>,
    has_journal_error: bool,
}

/// Compares what boots show with what they may show.
#[derive(Clone, Copy)]
pub(crate) struct Observer<'c> {
    change: &'c Change,
    /// Whether the change was acknowledged, or a boot showed it.
    is_changed: bool,
    /// Whether an unreadable folder was forgotten while the flash failed. Then a later boot may report a journal error again.
    gives_up: bool,
}

impl Change {
    /// A transfer of a folder that takes a little more than `halves` half erase blocks.
    pub(crate) fn transfer(erase: usize, history: History, halves: usize) -> Self {
        let new = archive(tree(9, &[33, halves * erase / 2, 500]), 20);
        Self { kind: Kind::Transfer(new), ..Self::forget(erase, history) }
    }

    /// A transfer into the slot of the previous folder.
    pub(crate) fn second_transfer(erase: usize, history: History) -> Self {
        Self { before: Some(archive(tree(5, &[erase / 2, 70]), 5)), ..Self::transfer(erase, history, 2) }
    }

    /// A transfer of the folder before with one file that changed. The others are copied.
    pub(crate) fn update(erase: usize, history: History) -> Self {
        let mut tree = tree(7, &[100, 0, erase + 5, 40]);
        tree[1].1.as_mut().expect("it is a file")[0] ^= 1;
        Self { kind: Kind::Update(archive(tree, 20)), ..Self::forget(erase, history) }
    }

    /// Reverting to the previous folder.
    pub(crate) fn revert(erase: usize, history: History) -> Self {
        Self { kind: Kind::Revert, ..Self::second_transfer(erase, history) }
    }

    /// A transfer so long that the journal moves to its other block on the way, because the records of its many erase
    /// blocks do not fit into one.
    pub(crate) fn long_transfer(erase: usize, history: History) -> Self {
        let new = archive(tree(9, &[100, 30 * erase, 30 * erase]), 20);
        Self { kind: Kind::Transfer(new), blocks: 130, ..Self::forget(erase, history) }
    }

    pub(crate) fn forget(erase: usize, history: History) -> Self {
        let old = archive(tree(7, &[100, 0, erase + 5]), 10);
        Self { history, before: None, old, kind: Kind::Forget, blocks: 8 }
    }

    /// The generation of the folder before the change.
    fn old_generation(&self) -> u64 {
        u64::from(self.has_old()) + u64::from(self.before.is_some())
    }

    fn is_forget(&self) -> bool {
        matches!(self.kind, Kind::Forget)
    }

    fn has_old(&self) -> bool {
        self.history != History::Blank
    }

    /// The flash before the boot with the first cut.
    pub(crate) fn before<const W: usize, const E: usize>(&self, damage: Damage) -> Nor<W, E> {
        let flash = Mutex::new(Nor::new(self.blocks, damage.level()));
        if let Some(folder) = &self.before {
            boot(&flash, async |_, store| send(store, folder).await.unwrap());
        }
        if matches!(self.history, History::Folder | History::BrokenOff) {
            boot(&flash, async |_, store| send(store, &self.old).await.unwrap());
        }
        if let (History::BrokenOff, Kind::Transfer(new) | Kind::Update(new)) = (self.history, &self.kind) {
            boot(&flash, async |_, store| {
                begin(store, new).await.unwrap();
                store.write(&new.bytes[..E + 100]).await.unwrap();
            });
        }
        flash.into_inner()
    }

    /// Runs the boot with the first cut. The number of the cut counts from the beginning of the change.
    pub(crate) fn first_boot<const W: usize, const E: usize>(
        &self,
        flash: &Flash<W, E>,
        cut: Option<Cut>,
    ) -> Observer<'_> {
        let mut observer = Observer { change: self, is_changed: false, gives_up: false };
        boot(flash, async |_, store| {
            if self.history == History::SameBoot {
                send(store, &self.old).await.unwrap();
            }
            let mut nor = flash.lock().await;
            nor.cut = cut.map(|(at, tear)| (nor.operations + at, tear));
            drop(nor);
            observer.is_changed = self.perform(store).await;
        });
        observer
    }

    /// The number of operations that the change takes.
    pub(crate) fn operations<const W: usize, const E: usize>(&self, before: &Nor<W, E>) -> u64 {
        let mut flash = Mutex::new(before.clone());
        let start = match self.history {
            History::SameBoot => {
                let flash = Mutex::new(before.clone());
                boot(&flash, async |_, store| send(store, &self.old).await.unwrap());
                flash.into_inner().operations
            }
            _ => before.operations,
        };
        self.first_boot(&flash, None);
        flash.get_mut().operations - start
    }

    /// Performs the change. Returns whether it was acknowledged.
    async fn perform<F: NorFlash>(&self, store: &mut Board<'_, F>) -> bool {
        match &self.kind {
            Kind::Transfer(new) => send(store, new)
                .await
                .is_ok_and(|(_, receipt)| receipt.digest == new.root && receipt.generation > self.old_generation()),
            Kind::Update(new) => match update(store, new).await {
                Ok(_) => store.commit().await.is_ok_and(|receipt| receipt.digest == new.root),
                Err(_) => false,
            },
            Kind::Forget => store.forget().await.is_ok(),
            Kind::Revert => store.revert().await.is_ok(),
        }
    }

    /// Whether `folder` is the state before the change, and whether it is the state after it.
    fn which(&self, folder: Option<(u64, &Tree)>) -> (bool, bool) {
        let old = self.has_old().then_some((self.old_generation(), &self.old.tree));
        let is_new = match (&self.kind, folder) {
            // The generation may be higher, because a folder that was unreadable is received again.
            (Kind::Transfer(new) | Kind::Update(new), Some((generation, tree))) => {
                generation > self.old_generation() && *tree == new.tree
            }
            (Kind::Forget, folder) => folder.is_none(),
            (Kind::Revert, folder) => folder == self.before.as_ref().map(|before| (1, &before.tree)),
            (Kind::Transfer(_) | Kind::Update(_), None) => false,
        };
        (folder == old, is_new)
    }
}

impl Observer<'_> {
    /// The number of operations in the boot after the first cut.
    pub(crate) fn operations<const W: usize, const E: usize>(mut self, left: &Nor<W, E>, reads: Reads) -> u64 {
        let mut flash = Mutex::new(left.clone());
        start(&mut flash, reads);
        // The result is ignored here: the trials with a second cut check it.
        let _ = self.boot(&flash, true);
        flash.get_mut().operations - left.operations
    }

    /// Runs boots with the further cuts, then one that only reads, another one, one that performs the whole change, and
    /// a last one that reads. Also returns whether every cut hit an operation.
    pub(crate) fn observe<const W: usize, const E: usize>(
        mut self,
        left: Nor<W, E>,
        cuts: &[Cut],
        reads: &[Reads],
    ) -> (bool, Result<(), Harm>) {
        let mut are_met = left.is_off;
        let mut flash = Mutex::new(left);
        for ((at, tear), reads) in cuts.iter().zip(reads) {
            start(&mut flash, *reads);
            let nor = flash.get_mut();
            nor.cut = Some((nor.operations + at, *tear));
            if let Err(harm) = self.boot(&flash, true) {
                return (are_met, Err(harm));
            }
            are_met &= flash.get_mut().is_off;
        }
        (are_met, self.recover(&mut flash, &reads[cuts.len()..]))
    }

    /// Runs a boot in which reads fail, and then what [`observe`](Self::observe) does, without further cuts.
    pub(crate) fn observe_half_blind<const W: usize, const E: usize>(
        mut self,
        left: Nor<W, E>,
        failing: Failing,
        reads: &[Reads],
    ) -> Result<(), Harm> {
        let mut flash = Mutex::new(left);
        start(&mut flash, reads[0]);
        flash.get_mut().failing = Some(failing);
        self.boot_half_blind(&flash)?;
        flash.get_mut().failing = None;
        self.recover(&mut flash, &reads[1..])
    }

    fn recover<const W: usize, const E: usize>(
        &mut self,
        flash: &mut Flash<W, E>,
        reads: &[Reads],
    ) -> Result<(), Harm> {
        let reads = reads.iter().copied().chain(repeat(Reads::PerRead));
        for (performs, reads) in [false, false, true, false].into_iter().zip(reads) {
            start(flash, reads);
            self.boot(flash, performs)?;
            if performs && !self.is_changed {
                return Err(Harm::Wrong);
            }
        }
        Ok(())
    }

    /// Runs a boot that checks what is shown, and performs the change again if `performs` is set.
    fn boot<const W: usize, const E: usize>(&mut self, flash: &Flash<W, E>, performs: bool) -> Result<(), Harm> {
        let booted = boot(flash, async |slots, store| {
            // If power fails during the mount, the boot shows nothing.
            if flash.lock().await.is_off {
                return Ok(());
            }
            self.see(shown(slots).await)?;
            self.is_changed |= performs && self.change.perform(store).await;
            Ok(())
        });
        booted.expect("the buffer is long enough")
    }

    /// Runs a boot in which reads fail. It may show and receive nothing then, but must not show anything older.
    fn boot_half_blind<const W: usize, const E: usize>(&mut self, flash: &Flash<W, E>) -> Result<(), Harm> {
        let booted = boot(flash, async |slots, store| {
            let generation = slots.folder().map(|folder| folder.generation());
            let is_old = self.change.has_old() && generation == Some(self.change.old_generation());
            let is_new = generation.is_some() && !is_old;
            if is_old && self.is_changed || is_new && self.change.is_forget() {
                return Err(Harm::Wrong);
            }
            self.is_changed |= is_new;
            self.gives_up |= slots.journal_error().is_some() && self.change.is_forget();
            self.is_changed |= self.change.perform(store).await;
            Ok(())
        });
        booted.expect("the buffer is long enough")
    }

    fn see(&mut self, shown: Shown) -> Result<(), Harm> {
        let folder = match &shown.folder {
            None => None,
            Some((_, None)) => return Err(Harm::Mixed),
            Some((generation, Some(tree))) => Some((*generation, tree)),
        };
        if shown.has_journal_error {
            return if self.gives_up { Ok(()) } else { Err(Harm::Wrong) };
        }
        match (self.change.which(folder), folder) {
            ((_, true), _) => self.is_changed = true,
            ((true, _), _) if !self.is_changed => {}
            // The new folder has disappeared again, or the old one is lost.
            ((true, _), _) if !self.change.is_forget() => return Err(Harm::Lost),
            (_, None) => return Err(Harm::Lost),
            _ => return Err(Harm::Wrong),
        }
        Ok(())
    }
}

/// Restores power.
fn start<const W: usize, const E: usize>(flash: &mut Flash<W, E>, reads: Reads) {
    flash.get_mut().revive();
    flash.get_mut().reads = reads;
}

async fn shown<F: NorFlash>(slots: &Slots<'_, NoopRawMutex, F>) -> Shown {
    let folder = match slots.folder() {
        Some(folder) => Some((folder.generation(), read(&folder).await)),
        None => None,
    };
    Shown { folder, has_journal_error: slots.journal_error().is_some() }
}
