//! Changes of the committed folder other than a transfer: forgetting it, going back to the previous one, and pauses.

use core::fmt;

use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_storage_async::nor_flash::NorFlash;
use waft_core::certificate::CertificateHash;
use waft_core::session::StoreError;

use super::Slots;
use super::check;
use super::journal::Journal;
use super::record::{Committed, Record};
use super::transfer::Transfer;

/// Why the previous folder cannot be committed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RevertError {
    /// No folder was committed before the current one, or a transfer has begun to overwrite it.
    NoFolder,
    /// The previous folder does not read back as it was committed. The current folder stays.
    Damaged,
    /// The flash failed, or the slots are not mounted yet. The current folder stays, unless the record was written and a
    /// later start reads it.
    Flash,
}

impl fmt::Display for RevertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoFolder => "there is no previous folder",
            Self::Damaged => "the previous folder is damaged",
            Self::Flash => "the flash failed",
        })
    }
}

impl core::error::Error for RevertError {}

/// While this value exists, no folder is received: see [`Slots::pause`].
pub struct Pause<'s, M: RawMutex, F> {
    pub(super) slots: &'s Slots<'s, M, F>,
}

impl<M: RawMutex, F: NorFlash> Pause<'_, M, F> {
    /// Waits for the end of the session that uses the slots. From then on nothing is written to them until this value is
    /// dropped, unless the application itself reverts or forgets a folder.
    pub async fn idle(&self) {
        self.slots.idle().await;
    }
}

impl<M: RawMutex, F> Drop for Pause<'_, M, F> {
    fn drop(&mut self) {
        self.slots.shared(|shared| shared.pauses -= 1);
    }
}

/// **Reads the previous folder back, then writes REVERT**, then shows that folder to readers.
pub(super) async fn revert<M: RawMutex, F: NorFlash>(
    slots: &Slots<'_, M, F>,
    journal: &mut Journal,
    buffer: &mut [u8],
) -> Result<(), RevertError> {
    if !journal.is_usable() {
        return Err(RevertError::Flash);
    }
    let previous = journal.previous().ok_or(RevertError::NoFolder)?;
    match check::whole(&slots.area, previous.slot, &previous.sizes, &mut Transfer::new(), buffer).await {
        Ok((summary, root)) if summary.digest == previous.manifest && root == previous.root => {}
        Err(StoreError::Io) => return Err(RevertError::Flash),
        _ => return Err(RevertError::Damaged),
    }
    let record = Record::Revert { generation: previous.generation };
    let mut locked = slots.area.lock().await;
    journal.append(&mut locked, &record).await.map_err(|_| RevertError::Flash)?;
    // There is no await in between, so that readers never see a folder whose slot the journal considers free.
    slots.show_reverted(journal.committed());
    journal.acknowledge(&mut locked).await;
    Ok(())
}

/// A change that needs only one record in the journal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SlotChange<'c> {
    /// Forgets the committed folder.
    Forget,
    /// Forgets the creation times of the senders' newest archives.
    ResetGuard,
    /// Forgets the transfer of this sender that could be resumed.
    Abandon(&'c CertificateHash),
}

/// Makes a change.
pub(super) async fn make<M: RawMutex, F: NorFlash>(
    slots: &Slots<'_, M, F>,
    journal: &mut Journal,
    change: SlotChange<'_>,
) -> Result<(), StoreError> {
    let mut locked = slots.area.lock().await;
    let is_forgotten = journal.is_usable() && journal.committed().is_none();
    let (record, error) = match change {
        SlotChange::Forget if is_forgotten && journal.is_acknowledged() => return Ok(()),
        SlotChange::Forget => journal.begin_to_forget(),
        SlotChange::ResetGuard => (Record::Clear, None),
        SlotChange::Abandon(sender) => match journal.state().begun {
            Some((begun, _)) if begun.sender == *sender => (Record::Abandon, None),
            _ => return Ok(()),
        },
    };
    if let Err(fault) = journal.append(&mut locked, &record).await {
        journal.restore_error(error);
        return Err(fault.into());
    }
    if let SlotChange::Forget = change {
        slots.show(None, None);
    }
    journal.acknowledge(&mut locked).await;
    Ok(())
}

/// Whether the slot does not contain what was committed. A read error does not prove that.
pub(super) async fn is_not_stored<M: RawMutex, F: NorFlash>(
    slots: &Slots<'_, M, F>,
    committed: &Committed,
    buffer: &mut [u8],
) -> bool {
    match check::whole(&slots.area, committed.slot, &committed.sizes, &mut Transfer::new(), buffer).await {
        Ok((summary, root)) => summary.digest != committed.manifest || root != committed.root,
        Err(error) => error != StoreError::Io,
    }
}
