//! The settings: what may change on the board, and survives a loss of power. At present this is the list of trusted
//! senders. It begins as the list in the board's identity. Settings contain no keys.
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
//! 8   version                      1
//! 9   0                            3
//! 12  CRC-32 of all before         4     the same in every version up to here
//! 16  sequence, big-endian         4     grows from copy to copy
//! 20  number of senders            1     0 to 8
//! 21  0                            7
//! 28  CRC-32 (IEEE)                4     over the head before it, the origin and the senders
//!
//! origin: SHA-256 of the identity from which the list began: certificate, and the senders in it
//! sender: name 32, zeros after it; SHA-256 of the certificate 32; public key 64, both coordinates of the point
//!
//! sector that was erased: a cell of 32 zeros, blank
//! ```
//!
//! A change writes the whole list as a new copy to the erased sector, then its first LIVE mark, and then erases the other
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
//! If no copy counts and the second sector is not blank, the list is lost, and **nobody is trusted** until a user pairs
//! again. If the board gets another identity, or one with other senders, the list begins anew with these.

mod format;

use core::cell::Cell as ValueCell;
use core::fmt;

use embassy_sync::blocking_mutex::Mutex as BlockingMutex;
use embassy_sync::blocking_mutex::raw::RawMutex;
use embassy_sync::mutex::Mutex;
use embedded_storage_async::nor_flash::NorFlash;
use sha2::{Digest, Sha256};
use waft_core::certificate::CertificateHash;

use crate::crc::Crc32;
use crate::identity::{Identity, TrustedSender, TrustedSenders};
use format::{CELL, Cell, ERASED, First, Head, LIVE, LIVES, NewCopy, SENDER, USED_BYTES, cover, decode_sender};

/// Attempts per read.
const TRIES: usize = 3;
/// A list that begins anew after a loss skips as many sequence numbers: more than a sector can be erased, so the lost
/// copy has a lower one.
const SKIPPED: u32 = 1 << 20;

/// Why the settings cannot be read or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SettingsError {
    /// No copy is complete. Nobody is trusted. The next change begins a new list.
    Lost,
    /// The flash could not be read. Nobody is trusted. A later boot may find the list; a change begins a new one.
    Unreadable,
    /// Another version of the firmware wrote the settings. Nobody is trusted, and nothing is changed.
    OtherVersion,
    /// The flash could not be erased or written, or did not keep what was written.
    Flash,
    /// As many senders are trusted as can be.
    Full,
    /// The settings were not mounted yet.
    NotMounted,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "the list of trusted senders is lost",
            Self::Unreadable => "the list of trusted senders cannot be read",
            Self::OtherVersion => "another version of the firmware wrote the list of trusted senders",
            Self::Flash => "the flash failed",
            Self::Full => "as many senders are trusted as can be",
            Self::NotMounted => "the settings were not mounted",
        })
    }
}

impl core::error::Error for SettingsError {}

/// The settings in their two flash sectors.
pub struct Settings<'f, M: RawMutex, F> {
    flash: &'f Mutex<M, F>,
    sectors: [u32; 2],
    state: Mutex<M, State>,
    /// Why nobody is trusted.
    error: BlockingMutex<M, ValueCell<Option<SettingsError>>>,
}

/// What is known about the sectors.
struct State {
    /// What identifies the identity from which the list began. `None` before the first mount.
    origin: Option<Cell>,
    /// The sector whose copy counts.
    live: Option<usize>,
    /// The highest sequence number so far.
    sequence: u32,
    /// Whether the other sector was erased completely.
    is_settled: bool,
    /// Whether another version of the firmware wrote the settings.
    is_foreign: bool,
}

/// The content of a sector.
enum Sector {
    Blank,
    Erased,
    /// A complete copy, with a LIVE mark.
    Live(Head),
    /// A copy that is not complete or has no LIVE mark.
    Unfinished(Head),
    OtherVersion,
    Damaged,
    Unreadable,
}

/// A flash operation failed, or the flash did not keep what was written.
struct Fault;

impl From<Fault> for SettingsError {
    fn from(_: Fault) -> Self {
        Self::Flash
    }
}

impl<'f, M: RawMutex, F: NorFlash> Settings<'f, M, F> {
    const GEOMETRY: () = {
        assert!(CELL.is_multiple_of(F::WRITE_SIZE) && CELL.is_multiple_of(F::READ_SIZE), "units of 1 to 32 bytes");
        assert!(F::ERASE_SIZE >= USED_BYTES, "a sector holds a copy and its marks");
    };

    /// The settings in the two erase sectors at these offsets, to which nothing else writes.
    pub const fn new(flash: &'f Mutex<M, F>, sectors: [u32; 2]) -> Self {
        let () = Self::GEOMETRY;
        let state = State { origin: None, live: None, sequence: 0, is_settled: false, is_foreign: false };
        Self { flash, sectors, state: Mutex::new(state), error: BlockingMutex::new(ValueCell::new(None)) }
    }

    /// Reads the list of trusted senders into the identity, and completes a change that was interrupted. If this fails,
    /// nobody is trusted. [`Receiver::run`](crate::Receiver::run) calls it.
    pub async fn mount(&self, identity: &Identity) -> Result<(), SettingsError> {
        let mut state = self.state.lock().await;
        let origin = *state.origin.get_or_insert_with(|| origin(identity));
        let mounted = self.read_list(&mut state, &origin, &identity.senders).await;
        if mounted.is_err() {
            identity.senders.clear();
        }
        self.error.lock(|error| error.set(mounted.err()));
        mounted
    }

    /// Why nobody is trusted, if the list could not be read.
    pub fn error(&self) -> Option<SettingsError> {
        self.error.lock(ValueCell::get)
    }

    /// Adds a sender to the list. It takes the place of one with the same certificate. If this fails, the sender is not
    /// in the list.
    pub async fn trust(&self, senders: &TrustedSenders, sender: TrustedSender) -> Result<(), SettingsError> {
        let mut state = self.state.lock().await;
        let (hash, before) = (sender.hash, senders.find(&sender.hash));
        senders.remove(&hash);
        let added = match senders.add(sender) {
            Ok(()) => self.store(&mut state, senders).await,
            Err(_) => Err(SettingsError::Full),
        };
        if added.is_err() {
            senders.remove(&hash);
            before.into_iter().for_each(|before| senders.add(before).expect("its place is free"));
        }
        added
    }

    /// Removes a sender from the list. It is not trusted from the call on. Once this returns `Ok`, no copy in the flash
    /// contains it, whatever power cut follows. If it fails, call it again: a later boot may trust the sender otherwise.
    pub async fn untrust(&self, senders: &TrustedSenders, sender: &CertificateHash) -> Result<(), SettingsError> {
        let mut state = self.state.lock().await;
        senders.remove(sender);
        self.store(&mut state, senders).await
    }

    /// Completes what an earlier change left unfinished because the flash failed.
    pub async fn settle(&self) -> Result<(), SettingsError> {
        let mut state = self.state.lock().await;
        if state.is_settled {
            return Ok(());
        }
        let live = state.live.ok_or(SettingsError::Lost)?;
        self.finish(&mut state, live).await
    }

    /// Finds the list in the flash, or begins one.
    async fn read_list(&self, state: &mut State, origin: &Cell, senders: &TrustedSenders) -> Result<(), SettingsError> {
        let sectors = [self.sector(0).await, self.sector(1).await];
        (state.live, state.is_settled) = (None, false);
        state.sequence = sectors.iter().filter_map(Sector::sequence).max().unwrap_or(0);
        state.is_foreign = sectors.iter().any(|sector| matches!(sector, Sector::OtherVersion));
        if state.is_foreign {
            return Err(SettingsError::OtherVersion);
        }
        let Some((live, head)) = newest(&sectors) else {
            return match sectors {
                [_, Sector::Blank] => self.begin(state, senders).await,
                [Sector::Unreadable, _] | [_, Sector::Unreadable] => Err(SettingsError::Unreadable),
                _ => Err(SettingsError::Lost),
            };
        };
        let is_of_this_identity = self.cell(live, 1).await.map_err(|Fault| SettingsError::Unreadable)? == *origin;
        if is_of_this_identity {
            self.load(live, &head, senders).await?;
        }
        state.live = Some(live);
        match sectors[1 - live] {
            Sector::Erased => state.is_settled = true,
            // It is tried again before a change.
            _ => {
                let _ = self.finish(state, live).await;
            }
        }
        if is_of_this_identity { Ok(()) } else { self.store(state, senders).await }
    }

    /// Reads the senders of a copy.
    async fn load(&self, sector: usize, head: &Head, senders: &TrustedSenders) -> Result<(), SettingsError> {
        senders.clear();
        for index in 0..u32::from(head.senders) {
            let mut cells = [[0; CELL]; SENDER];
            for (part, cell) in cells.iter_mut().enumerate() {
                let at = head.cells() - (SENDER as u32) * (u32::from(head.senders) - index) + part as u32;
                *cell = self.cell(sector, at).await.map_err(|Fault| SettingsError::Unreadable)?;
            }
            let sender = decode_sender(&cells).ok_or(SettingsError::Lost)?;
            senders.add(sender).map_err(|_| SettingsError::Lost)?;
        }
        Ok(())
    }

    /// Begins a list where no copy counts. In the first sector, because the list of the identity would count again if the
    /// second one became blank first.
    async fn begin(&self, state: &mut State, senders: &TrustedSenders) -> Result<(), SettingsError> {
        self.write(state, 0, senders).await?;
        self.finish_erasure(state, 0).await
    }

    /// Stores the list as a new copy, and erases the copy before.
    async fn store(&self, state: &mut State, senders: &TrustedSenders) -> Result<(), SettingsError> {
        if state.origin.is_none() {
            return Err(SettingsError::NotMounted);
        }
        if state.is_foreign {
            return Err(SettingsError::OtherVersion);
        }
        let Some(live) = state.live else {
            state.sequence = state.sequence.saturating_add(SKIPPED);
            self.begin(state, senders).await?;
            self.error.lock(|error| error.set(None));
            return Ok(());
        };
        if !state.is_settled {
            self.finish(state, live).await?;
        }
        state.is_settled = false;
        if let Err(error) = self.write(state, 1 - live, senders).await {
            // The copy before still counts. Its successor must not be completed by a later boot.
            state.is_settled = self.clear(1 - live).await.is_ok();
            return Err(error);
        }
        self.finish_erasure(state, 1 - live).await
    }

    /// Writes a copy to `sector`, and makes it count.
    async fn write(&self, state: &mut State, sector: usize, senders: &TrustedSenders) -> Result<(), SettingsError> {
        let sequence = state.sequence.saturating_add(1);
        let origin = state.origin.as_ref().ok_or(SettingsError::NotMounted)?;
        let copy = NewCopy { sequence, origin, senders };
        self.erase(sector).await?;
        for index in 0..copy.cells() {
            self.program(sector, index, &copy.cell(index)).await?;
        }
        self.mark(sector).await?;
        (state.live, state.sequence) = (Some(sector), sequence);
        Ok(())
    }

    /// Makes sure that the copy in `live` is the only one.
    async fn finish(&self, state: &mut State, live: usize) -> Result<(), SettingsError> {
        self.mark(live).await?;
        self.finish_erasure(state, live).await
    }

    async fn finish_erasure(&self, state: &mut State, live: usize) -> Result<(), SettingsError> {
        self.clear(1 - live).await?;
        state.is_settled = true;
        Ok(())
    }

    /// Erases a sector, and marks that as completed.
    async fn clear(&self, sector: usize) -> Result<(), Fault> {
        self.erase(sector).await?;
        self.program(sector, 0, &ERASED).await
    }

    /// Writes a LIVE mark. If the flash does not keep it, tries the next cell. Without a free cell, the marks before
    /// suffice.
    async fn mark(&self, sector: usize) -> Result<(), Fault> {
        let mut is_marked = false;
        for index in LIVE..LIVE + LIVES {
            match self.cell(sector, index).await {
                Ok(cell) if cell == [0xFF; CELL] => {
                    if self.program(sector, index, &ERASED).await.is_ok() {
                        return Ok(());
                    }
                }
                Ok(_) => is_marked = true,
                Err(Fault) => {}
            }
        }
        if is_marked { Ok(()) } else { Err(Fault) }
    }

    /// Reads what a sector contains.
    async fn sector(&self, sector: usize) -> Sector {
        let head = match self.cell(sector, 0).await.map(|cell| First::decode(&cell)) {
            Ok(First::Head(head)) => head,
            Ok(First::Blank) => return Sector::Blank,
            Ok(First::Erased) => return Sector::Erased,
            Ok(First::OtherVersion) => return Sector::OtherVersion,
            Ok(First::Damaged) => return Sector::Damaged,
            Err(Fault) => return Sector::Unreadable,
        };
        let mut crc = Crc32::new();
        for index in 0..head.cells() {
            match self.cell(sector, index).await {
                Ok(cell) => crc = cover(crc, index, &cell),
                Err(Fault) => return Sector::Unreadable,
            }
        }
        let mut is_marked = false;
        for index in LIVE..LIVE + LIVES {
            is_marked |= self.cell(sector, index).await.is_ok_and(|cell| cell != [0xFF; CELL]);
        }
        if head.matches(crc) && is_marked { Sector::Live(head) } else { Sector::Unfinished(head) }
    }

    fn at(&self, sector: usize, cell: u32) -> u32 {
        self.sectors[sector] + cell * CELL as u32
    }

    /// Reads a cell. Retries, because an error may be transient.
    async fn cell(&self, sector: usize, cell: u32) -> Result<Cell, Fault> {
        let mut bytes = [0; CELL];
        for _ in 0..TRIES {
            if self.flash.lock().await.read(self.at(sector, cell), &mut bytes).await.is_ok() {
                return Ok(bytes);
            }
        }
        Err(Fault)
    }

    /// Writes a cell, and verifies that it reads back.
    async fn program(&self, sector: usize, cell: u32, bytes: &Cell) -> Result<(), Fault> {
        self.flash.lock().await.write(self.at(sector, cell), bytes).await.map_err(|_| Fault)?;
        if self.cell(sector, cell).await? == *bytes { Ok(()) } else { Err(Fault) }
    }

    async fn erase(&self, sector: usize) -> Result<(), Fault> {
        let from = self.sectors[sector];
        self.flash.lock().await.erase(from, from + F::ERASE_SIZE as u32).await.map_err(|_| Fault)
    }
}

impl Sector {
    fn sequence(&self) -> Option<u32> {
        match self {
            Self::Live(head) | Self::Unfinished(head) => Some(head.sequence),
            _ => None,
        }
    }
}

/// The sector with the newest copy that counts.
fn newest(sectors: &[Sector; 2]) -> Option<(usize, Head)> {
    let live = sectors.iter().enumerate().filter_map(|(index, sector)| match sector {
        Sector::Live(head) => Some((index, *head)),
        _ => None,
    });
    live.max_by_key(|(_, head)| head.sequence)
}

/// What identifies an identity and the senders in it.
fn origin(identity: &Identity) -> Cell {
    let mut hash = Sha256::new().chain_update(b"waft settings origin").chain_update(identity.certificate_hash().0);
    let mut index = 0;
    while let Some(()) = identity.senders.with(index, |sender| {
        hash.update([sender.name.len() as u8]);
        hash.update(&sender.name);
        hash.update(sender.hash.0);
        hash.update(sender.point);
    }) {
        index += 1;
    }
    hash.finalize().into()
}
