//! The settings: what may change on the board, and survives a loss of power. These are the list of trusted senders, which
//! begins as the list in the board's identity, and the policy and the Wi-Fi network, if a user changed them. Settings
//! contain no keys, except on a board that made its identity itself: there they contain the secret from which its keys are
//! derived. The passphrase of a network is in them as it was typed.
//!
//! They are stored in two erase sectors of NOR flash, which take turns.
//!
//! ```text
//! sector with a copy
//! +------+--------+----------+----------+- - - - - -+------+------+------+------+
//! | head | origin | sender 0 | sender 1 | ... blank | LIVE | LIVE | LIVE | LIVE |
//! +------+--------+----------+----------+- - - - - -+------+------+------+------+
//!  32     32       128        128                    32 each, from byte 1088
//!
//! head
//! 0   "WAFTSETT"                   8
//! 8   version                      1     2; 3 if there is a network; 1 is read as well: its bytes 21 and 22 are 0
//! 9   0                            3
//! 12  CRC-32 of all before         4     the same in every version up to here
//! 16  sequence, big-endian         4     grows from copy to copy
//! 20  number of senders            1     0 to 8
//! 21  policy                       1     0: the identity's policy applies; else bit 7, and bits 0 to 3 as in the identity image
//! 22  flags                        1     bit 0: the board made its identity itself; bit 1: a factory reset is not complete
//! 23  0                            5
//! 28  CRC-32 (IEEE)                4     over the head before it, the origin, the senders and the network
//!
//! origin: SHA-256 of the identity from which the list began: certificate, and the senders in it
//!         if the board made its identity itself: the secret from which its keys are derived
//!         zeros while a factory reset is not complete, until the board has made another identity
//! sender: name 32, zeros after it; SHA-256 of the certificate 32; public key 64, both coordinates of the point
//!
//! network, from byte 1216, after the LIVE marks, though it is written before them: name 32, passphrase 64, zeros after both;
//!         as in the identity image
//!         only if it was set at a board with Wi-Fi. Other boards leave settings of this version alone
//!
//! sector that was erased: a cell of 32 zeros, blank
//! ```
//!
//! A change writes all settings as a new copy to the erased sector, then its first LIVE mark, and then erases the other
//! sector. So a copy that is no longer valid does not stay in the flash. Bytes that were torn by a power cut may read
//! correctly in one boot and not in the next. Therefore:
//!
//! - A copy counts once a LIVE mark follows it. The mark is begun after the copy was written and read back, so the copy
//!   is certainly complete. Of two such copies the one with the higher sequence counts.
//! - The older copy is erased only after the same boot has completed a LIVE mark of the newer one.
//! - A sector is always erased before a copy is written to it. Once it was erased, its first cell is overwritten with
//!   zeros, which means that the erasure was completed. A boot that does not find these zeros in the other sector writes
//!   one more LIVE mark, erases the other sector again, and only then uses the settings.
//! - The first copy, with the senders of the identity, is written to the first sector. Until the second sector has its
//!   zeros, no change is possible. So if the second sector is blank and no copy counts, the list is that of the identity.
//!
//! If no copy counts and the second sector is not blank, the settings are lost, and **nobody is trusted** until a user
//! pairs again. If the flash fails while they are read, nobody is trusted either, but nothing is changed: the next start may
//! find them. If the board gets another identity, or one with other senders, the settings begin anew.
//!
//! A factory reset is such a change, to a copy without senders, policy, network and secret, whose flag says that the reset is not
//! complete. While this copy counts, each boot erases the folders before it shows anything, and only then writes a copy
//! without the flag. So a power cut leaves everything, or nothing that is shown.

mod error;
mod format;
#[cfg(feature = "wifi")]
mod network;
mod own;
mod sectors;

use core::cell::Cell as ValueCell;

use embassy_sync::blocking_mutex::Mutex as BlockingMutex;
use embassy_sync::blocking_mutex::raw::RawMutex;
use embassy_sync::mutex::Mutex;
use embedded_storage_async::nor_flash::NorFlash;
use waft_core::certificate::CertificateHash;

use crate::flash::Fault;
#[cfg(feature = "wifi")]
use crate::identity::Wifi;
use crate::identity::{Identity, Policy, TrustedSender, TrustedSenders};
use crate::slots::Slots;
use format::{Cell, ERASED, Head, NewCopy, OWN, POLICY, RESET, decode_policy, origin};
use sectors::{Sector, Sectors};

pub use error::SettingsError;
#[cfg(feature = "wifi")]
use network::load_network;

/// A list that begins anew after a loss skips as many sequence numbers: more than a sector can be erased, so the lost
/// copy has a lower one.
const SKIPPED: u32 = 1 << 20;

/// The settings in their two flash sectors.
pub struct Settings<'f, M: RawMutex, F> {
    flash: &'f Mutex<M, F>,
    offsets: [u32; 2],
    state: Mutex<M, State>,
    known: BlockingMutex<M, ValueCell<Known>>,
}

/// A change of the settings other than one of the list.
#[derive(Clone, Copy)]
pub(crate) enum Change {
    /// Another policy.
    Policy(Policy),
    /// A factory reset.
    Reset,
}

/// What is known about the sectors.
struct State {
    /// What identifies the identity to which the settings belong. `None` before the first mount.
    origin: Option<Cell>,
    /// The flags of a new copy.
    flags: u8,
    /// The sector whose copy counts.
    live: Option<usize>,
    /// The highest sequence number so far.
    sequence: u32,
    /// Whether the other sector was erased completely.
    is_settled: bool,
    /// Whether another version of the firmware wrote the settings.
    is_foreign: bool,
    /// The network that was set at the board.
    #[cfg(feature = "wifi")]
    network: Option<Wifi>,
}

/// What can be read at any time.
#[derive(Clone, Copy)]
struct Known {
    /// Why nobody is trusted.
    error: Option<SettingsError>,
    /// The policy that was set at the board, as in a head.
    policy: u8,
    /// Whether a factory reset has begun since the start. Nothing else is changed then.
    is_over: bool,
    /// Whether this start has completed a factory reset.
    was_reset: bool,
    /// Whether the board made its identity itself.
    is_own: bool,
}

impl<'f, M: RawMutex, F: NorFlash> Settings<'f, M, F> {
    /// The settings in the two erase sectors at these offsets, to which nothing else writes.
    pub const fn new(flash: &'f Mutex<M, F>, sectors: [u32; 2]) -> Self {
        let state = State {
            origin: None,
            flags: 0,
            live: None,
            sequence: 0,
            is_settled: false,
            is_foreign: false,
            #[cfg(feature = "wifi")]
            network: None,
        };
        let known = Known { error: None, policy: 0, is_over: false, was_reset: false, is_own: false };
        Self { flash, offsets: sectors, state: Mutex::new(state), known: BlockingMutex::new(ValueCell::new(known)) }
    }

    /// Reads the list of trusted senders into the identity, and completes a change that was interrupted. If this fails,
    /// nobody is trusted. Completes a factory reset that was begun before this start, which erases `slots`. So call it
    /// before the slots are mounted, also without an identity; [`Receiver::run`](crate::Receiver::run) does. Fails with
    /// [`SettingsError::Reset`] if the reset cannot be completed.
    pub async fn mount(
        &self,
        identity: Option<&Identity>,
        slots: Option<&Slots<'_, M, F>>,
    ) -> Result<(), SettingsError> {
        let mut state = self.state.lock().await;
        let mounted = self.read(&mut state, identity, slots).await;
        if let (Err(_), Some(identity)) = (mounted, identity) {
            identity.senders.clear();
        }
        self.update(|known| known.error = mounted.err());
        mounted
    }

    /// Why nobody is trusted, if the settings could not be read.
    pub fn error(&self) -> Option<SettingsError> {
        self.known().error
    }

    /// The policy that was set at the board. `None` means that the policy of the identity applies.
    pub fn policy(&self) -> Option<Policy> {
        decode_policy(self.known().policy).flatten()
    }

    /// Whether this start has completed a factory reset.
    pub fn was_reset(&self) -> bool {
        self.known().was_reset
    }

    /// Whether the board made its identity itself: [`own_identity`](Self::own_identity) succeeded.
    pub fn has_own_identity(&self) -> bool {
        self.known().is_own
    }

    /// Adds a sender to the list. It takes the place of one with the same certificate. If this fails, the sender is not
    /// in the list.
    pub async fn trust(&self, senders: &TrustedSenders, sender: TrustedSender) -> Result<(), SettingsError> {
        let (hash, before) = (sender.hash, senders.find(&sender.hash));
        senders.remove(&hash);
        let added = match senders.add(sender) {
            Ok(()) => self.commit(Some(senders)).await,
            Err(_) => Err(SettingsError::Full),
        };
        if added.is_err() {
            senders.remove(&hash);
            // A factory reset that began meanwhile removed it.
            let before = before.filter(|_| !self.known().is_over);
            before.into_iter().for_each(|before| senders.add(before).expect("its place is free"));
        }
        added
    }

    /// Removes a sender from the list. It is not trusted from the call on. Once this returns `Ok`, no copy in the flash
    /// contains it, whatever power cut follows. If it fails, call it again: a later boot may trust the sender otherwise.
    pub async fn untrust(&self, senders: &TrustedSenders, sender: &CertificateHash) -> Result<(), SettingsError> {
        senders.remove(sender);
        self.commit(Some(senders)).await
    }

    /// Changes what the board requires of senders. If this fails, the policy stays; but call it again, because a later
    /// boot may have the new one otherwise.
    pub async fn set_policy(&self, senders: &TrustedSenders, policy: Policy) -> Result<(), SettingsError> {
        self.change(Change::Policy(policy), Some(senders)).await
    }

    /// Begins a factory reset. From the call on nobody is trusted. Once this returns `Ok`, the flash contains neither the
    /// senders nor policy, network and secret of the board's own identity, whatever power cut follows, and the next start
    /// erases the folders: restart the board. If it fails, call it again. Call it only after [`mount`](Self::mount), also
    /// if that failed.
    pub async fn reset(&self, senders: Option<&TrustedSenders>) -> Result<(), SettingsError> {
        self.change(Change::Reset, senders).await
    }

    /// Both of these changes, as one future: each costs a board flash.
    pub(crate) async fn change(&self, change: Change, senders: Option<&TrustedSenders>) -> Result<(), SettingsError> {
        let mut known = self.known();
        let before = known.policy;
        let kept = match change {
            Change::Policy(policy) => {
                known.policy = POLICY | policy.bits();
                Some(senders.ok_or(SettingsError::NotMounted)?)
            }
            Change::Reset => {
                (known.error, known.policy, known.is_over) = (Some(SettingsError::Reset), 0, true);
                if let Some(senders) = senders {
                    senders.clear();
                }
                None
            }
        };
        self.known.lock(|shared| shared.set(known));
        let stored = self.commit(kept).await;
        if stored.is_err() && kept.is_some() {
            self.update(|known| known.policy = before);
        }
        stored
    }

    /// Completes what an earlier change left unfinished because the flash failed.
    pub async fn settle(&self) -> Result<(), SettingsError> {
        let mut state = self.state.lock().await;
        self.check_changeable()?;
        if state.is_settled {
            return Ok(());
        }
        let live = state.live.ok_or(SettingsError::Lost)?;
        self.lock().await.finish(live).await?;
        state.is_settled = true;
        Ok(())
    }

    /// Why nothing can be changed except by a factory reset: the settings are in the flash, but this start could not read
    /// them, so that a change would replace them. Settings that are lost can be replaced.
    pub(crate) fn check_changeable(&self) -> Result<(), SettingsError> {
        match self.known() {
            Known { is_over: true, .. } => Err(SettingsError::Reset),
            Known { error: None | Some(SettingsError::Lost), .. } => Ok(()),
            Known { error: Some(error), .. } => Err(error),
        }
    }

    async fn lock(&self) -> Sectors<'_, M, F> {
        Sectors::new(self.flash.lock().await, self.offsets)
    }

    fn known(&self) -> Known {
        self.known.lock(ValueCell::get)
    }

    fn update(&self, change: impl FnOnce(&mut Known)) {
        self.known.lock(|known| {
            let mut changed = known.get();
            change(&mut changed);
            known.set(changed);
        });
    }

    /// Finds the copy that counts, or returns `None` if there never was one.
    async fn find(sectors: &mut Sectors<'_, M, F>, state: &mut State) -> Result<Option<(usize, Head)>, SettingsError> {
        (state.live, state.is_settled, state.sequence, state.is_foreign) = (None, false, 0, false);
        let (mut found, mut error) = (None::<(usize, Head)>, SettingsError::Lost);
        let (mut erased, mut is_blank) = ([false; 2], false);
        for (index, is_erased) in erased.iter_mut().enumerate() {
            let sector = sectors.read(index).await;
            *is_erased = matches!(sector, Sector::Erased);
            // After the loop: whether the second sector is blank.
            is_blank = matches!(sector, Sector::Blank);
            match sector {
                Sector::Live(head) if found.is_none_or(|(_, other)| other.sequence <= head.sequence) => {
                    found = Some((index, head));
                }
                Sector::OtherVersion => state.is_foreign = true,
                Sector::Unreadable | Sector::Uncertain(_) => error = SettingsError::Unreadable,
                _ => {}
            }
            use Sector::{Live, Uncertain, Unfinished, Written};
            if let Live(head) | Unfinished(head) | Written(head) | Uncertain(head) = sector {
                state.sequence = state.sequence.max(head.sequence);
            }
        }
        match found {
            _ if state.is_foreign => Err(SettingsError::OtherVersion),
            None if is_blank => Ok(None),
            None => Err(error),
            Some((live, _)) => {
                state.is_settled = erased[1 - live];
                Ok(found)
            }
        }
    }

    /// Finds the list and the policy in the flash, or begins new settings.
    async fn read(
        &self,
        state: &mut State,
        identity: Option<&Identity>,
        slots: Option<&Slots<'_, M, F>>,
    ) -> Result<(), SettingsError> {
        if self.known().is_over {
            return Err(SettingsError::Reset);
        }
        self.update(|known| known.policy = 0);
        #[cfg(feature = "wifi")]
        {
            state.network = None;
        }
        state.origin = state.origin.or_else(|| identity.map(origin));
        let senders = identity.map(|identity| &identity.senders);
        let mut sectors = self.lock().await;
        let Some((live, head)) = Self::find(&mut sectors, state).await? else {
            return if identity.is_some() { self.store(&mut sectors, state, senders).await } else { Ok(()) };
        };
        let is_reset = head.flags & RESET != 0;
        let unread = if is_reset { SettingsError::Reset } else { SettingsError::Unreadable };
        let stored = sectors.cell(live, 1).await.map_err(|Fault| unread)?;
        let is_current = head.flags == state.flags && state.origin == Some(stored);
        if let (true, Some(senders)) = (is_current, senders) {
            sectors.load(live, &head, senders).await?;
            #[cfg(feature = "wifi")]
            {
                state.network = load_network(&mut sectors, live, &head).await?;
            }
            self.update(|known| known.policy = head.policy);
        }
        state.live = Some(live);
        let finished = if state.is_settled { Ok(()) } else { sectors.finish(live).await };
        state.is_settled = finished.is_ok();
        if is_reset {
            // Senders and secret come first.
            let slots = finished.ok().and(slots).ok_or(SettingsError::Reset)?;
            drop(sectors);
            slots.wipe().await.map_err(|_| SettingsError::Reset)?;
            sectors = self.lock().await;
            // Without an identity, the settings belong to none.
            if state.origin.is_none() {
                (state.origin, state.flags) = (Some(ERASED), 0);
            }
        } else if is_current || identity.is_none() {
            // Otherwise what is unfinished is tried again before a change.
            return Ok(());
        }
        let changed = self.store(&mut sectors, state, senders).await;
        self.update(|known| known.was_reset |= is_reset && changed.is_ok());
        changed
    }

    /// Stores the settings after a change.
    async fn commit(&self, senders: Option<&TrustedSenders>) -> Result<(), SettingsError> {
        let mut state = self.state.lock().await;
        match senders {
            None => {
                (state.origin, state.flags) = (Some(ERASED), RESET);
                #[cfg(feature = "wifi")]
                {
                    state.network = None;
                }
            }
            Some(_) => self.check_changeable()?,
        }
        let was_lost = self.begin_change(&mut state)?;
        let stored = self.store(&mut self.lock().await, &mut state, senders).await;
        self.end_change(was_lost && stored.is_ok());
        stored
    }

    /// Whether a change begins settings that were lost. Call it before a change is stored, and [`end_change`](Self::end_change) after.
    fn begin_change(&self, state: &mut State) -> Result<bool, SettingsError> {
        if state.live.is_some() || state.origin.is_none() || state.is_foreign {
            return Ok(false);
        }
        if state.flags == OWN {
            // The secret was read a moment ago, so a later start may read it again.
            return Err(self.known().error.unwrap_or(SettingsError::Unreadable));
        }
        state.sequence = state.sequence.saturating_add(SKIPPED);
        Ok(true)
    }

    fn end_change(&self, was_restored: bool) {
        if was_restored {
            self.update(|known| known.error = known.error.filter(|_| known.is_over));
        }
    }

    /// Stores the settings as a new copy, and erases the copy before. Where no copy counts, the new one is written to the first
    /// sector, because the list of the identity would count again if the second one became blank first.
    async fn store(
        &self,
        sectors: &mut Sectors<'_, M, F>,
        state: &mut State,
        senders: Option<&TrustedSenders>,
    ) -> Result<(), SettingsError> {
        if state.origin.is_none() {
            return Err(SettingsError::NotMounted);
        }
        if state.is_foreign {
            return Err(SettingsError::OtherVersion);
        }
        if let (Some(live), false) = (state.live, state.is_settled) {
            sectors.finish(live).await?;
        }
        let (before, sector) = (state.live, state.live.map_or(0, |live| 1 - live));
        state.is_settled = false;
        if let Err(error) = self.write(sectors, state, sector, senders).await {
            if before.is_some() {
                // The copy before still counts. Its successor must not be completed by a later boot.
                state.is_settled = sectors.clear(sector).await.is_ok();
            }
            return Err(error);
        }
        sectors.clear(1 - sector).await?;
        state.is_settled = true;
        Ok(())
    }

    /// Writes a copy to `sector`, and makes it count. Before the first mount there is nothing to write.
    async fn write(
        &self,
        sectors: &mut Sectors<'_, M, F>,
        state: &mut State,
        sector: usize,
        senders: Option<&TrustedSenders>,
    ) -> Result<(), SettingsError> {
        let sequence = state.sequence.saturating_add(1);
        let origin = state.origin.as_ref().ok_or(SettingsError::NotMounted)?;
        let copy = NewCopy {
            sequence,
            origin,
            policy: self.known().policy,
            flags: state.flags,
            senders,
            #[cfg(feature = "wifi")]
            network: state.network.as_ref(),
        };
        sectors.write(sector, &copy).await?;
        sectors.mark(sector).await?;
        (state.live, state.sequence) = (Some(sector), sequence);
        Ok(())
    }
}
