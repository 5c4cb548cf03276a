//! The seed: a secret from which each boot derives random numbers of its own, even if the chip's generator fails. It is
//! stored in two erase sectors of NOR flash, which are used alternately.
//!
//! ```text
//! sector
//! +----------+------+------+------+- - - - - - -+---------+-------------+
//! | base     | mark | mark | mark | ... blank    | CLEARED | LEAVING x 4 |
//! +----------+------+------+------+- - - - - - -+---------+-------------+
//!  64 bytes   32     32     32                    32        128
//!
//! base
//! 0   "WAFTSEED"                   8
//! 8   version                      1
//! 9   0                            3
//! 12  CRC-32 of all before         4     the same in every version up to here
//! 16  sequence, big-endian         4     grows by one from base to base
//! 20  seed                         32
//! 52  0                            8
//! 60  CRC-32 of all before         4
//! ```
//!
//! A mark consists of zeros. Each boot writes the next mark, reads it back, and then derives its secret from the base
//! and the index of the mark. So no two boots share a secret, and a sector is erased only once per as many boots as it
//! has marks. When a sector is full, the next base is written to the other sector, followed by its first mark; then the
//! old base is erased; and only then is the new base used.
//!
//! Bytes that were torn by a power cut may read correctly in one boot and not in the next. Therefore:
//!
//! - A base is live once a mark follows it. Before that, nothing was derived from it, and the old base still exists.
//! - The old base is erased only after the same boot wrote a mark after the new one.
//! - Another attempt to leave a sector begins with an erasure of the other one. A power cut may leave base and mark of the
//!   attempt before there, which read correctly in one boot and not in the next. So each attempt uses a mark of its own, the
//!   one with the number of LEAVING marks before it, and as long as the old base exists, only that mark of the last attempt
//!   makes the new base live.
//! - CLEARED means that the other sector was erased, and LEAVING that this is no longer true. A sector is written
//!   without an erasure only if CLEARED is set and LEAVING is not. Thus it is normally erased once per turn, not twice.
//!   Every attempt to leave a sector writes a LEAVING mark of its own.
//! - Nothing is written to cells that may not be blank, with one exception: a torn mark that reads as blank is written
//!   again, and the zeros complete it.
//!
//! So any two power cuts in a row lose nothing and repeat nothing, and in the tests no number of them does. It would
//! take six in a row, five of them while LEAVING is written. If no base is live, the seed is lost, and only the chip's
//! generator can start a new one. The first base, with two marks, is written when the board is provisioned: see
//! [`provisioned`].
//!
//! The base stays readable until its sector is full. So from a stolen board an attacker learns what its seed
//! contributed to earlier boots of this sector, at most 256. What the chip's generator contributed to them is not
//! stored.

mod format;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use core::ops::Range;

use embedded_storage_async::nor_flash::NorFlash;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::flash::{self, Fault};
use format::{BASE, Base, BaseError, CELL};

pub use format::{PROVISIONED, provisioned};

/// The most boots that use one base.
const MARKS_MAX: u32 = 256;
/// The number of cells in which a mark is tried if the flash does not keep it.
const CELLS_TRIED: usize = 4;
/// The number of cells for LEAVING.
const LEAVES: u32 = 4;

const NEXT: &[u8] = b"waft seed: next";
const USE: &[u8] = b"waft seed: use";

/// A secret of 32 bytes that is wiped when dropped.
pub type Secret = Zeroizing<[u8; 32]>;

/// The seed in its two flash sectors.
#[derive(Debug)]
pub struct Ratchet<'f, F> {
    flash: &'f mut F,
    sectors: [u32; 2],
}

/// Why there is no seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SeedError {
    /// There is no seed, and no fresh randomness to start a new one: the board was not provisioned with a seed, or the
    /// seed was damaged.
    Lost,
    /// The flash could not be read. Nothing was written, and a later boot may find the seed.
    Unreadable,
    /// Another version of the firmware wrote the seed. It was left unchanged.
    OtherVersion,
    /// The flash could not be erased or written, or did not keep what was written.
    Flash,
}

impl From<Fault> for SeedError {
    fn from(_: Fault) -> Self {
        Self::Flash
    }
}

/// The sector with the live base.
struct Live {
    sector: usize,
    base: Base,
    /// The number of cells up to the last mark.
    used: u32,
}

/// What leaving a sector means for the other one.
struct Left {
    /// Whether the other sector needs no erasure.
    is_clean: bool,
    /// How many attempts to leave the sector there were before.
    attempt: u32,
}

/// The content of a cell.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cell {
    Blank,
    Marked,
    Unreadable,
}

impl<'f, F: NorFlash> Ratchet<'f, F> {
    /// The number of marks in a sector, one for each boot.
    const MARKS: u32 = {
        assert!(CELL.is_multiple_of(F::WRITE_SIZE) && CELL.is_multiple_of(F::READ_SIZE));
        assert!(F::ERASE_SIZE >= BASE + (1 + LEAVES as usize + 3) * CELL, "room for three marks");
        let room = ((F::ERASE_SIZE - BASE) / CELL) as u32 - 1 - LEAVES;
        if room < MARKS_MAX { room } else { MARKS_MAX }
    };
    const CLEARED: u32 = Self::MARKS;
    const LEAVING: u32 = Self::MARKS + 1;
    const CELLS: u32 = Self::LEAVING + LEAVES;

    /// The seed in the two erase sectors at these offsets.
    pub fn new(flash: &'f mut F, sectors: [u32; 2]) -> Self {
        let _ = Self::MARKS;
        Self { flash, sectors }
    }

    /// Returns a secret that differs from those of all other boots. `fresh` is the output of the chip's generator, if
    /// that is healthy; it enters the secret and the next base. `factory` is the secret in
    /// [`Identity::seed`](crate::identity::Identity::seed). The first base of a new seed is derived from `factory` and
    /// `fresh`, so a new seed requires both.
    pub async fn advance(&mut self, factory: &[u8; 32], fresh: Option<&[u8; 32]>) -> Result<Secret, SeedError> {
        let mut bases = [Err(BaseError::Unreadable), Err(BaseError::Unreadable)];
        for (sector, base) in bases.iter_mut().enumerate() {
            *base = self.read_base(sector).await;
        }
        let has_error = |error| bases.iter().any(|base| base.as_ref().is_err_and(|found| *found == error));
        if has_error(BaseError::OtherVersion) {
            return Err(SeedError::OtherVersion);
        }
        let unreadable = has_error(BaseError::Unreadable);
        let blank = bases.each_ref().map(|base| matches!(base, Err(BaseError::Blank)));
        let (sector, base, left) = match self.live(bases).await {
            Some(Live { sector, base, used }) => {
                // This fails if the sector is full, or the flash does not keep marks in the rest of it.
                let mark = self.next_mark(sector, used..Self::MARKS).await;
                if let Ok(mark) = mark
                    && self.cell(sector, Self::CLEARED).await == Cell::Marked
                {
                    return Ok(derive(USE, &base.seed, mark, fresh));
                }
                let left = self.leave(sector).await?;
                if let Ok(mark) = mark {
                    // An earlier boot may have been interrupted before CLEARED was complete.
                    self.clear(sector).await?;
                    return Ok(derive(USE, &base.seed, mark, fresh));
                }
                let next = derive(NEXT, &base.seed, 0, fresh);
                let left = Left { is_clean: left.is_clean && blank[1 - sector], ..left };
                (1 - sector, Base::new(base.sequence.wrapping_add(1), next), left)
            }
            None if fresh.is_some() => {
                let first = derive(NEXT, &Zeroizing::new(*factory), 0, fresh);
                (0, Base::new(1, first), Left { is_clean: false, attempt: 0 })
            }
            None if unreadable => return Err(SeedError::Unreadable),
            None => return Err(SeedError::Lost),
        };
        self.begin(sector, base, left, fresh).await
    }

    /// Writes a base to `sector`, after the other sector was left, and uses the mark of this attempt.
    async fn begin(
        &mut self,
        sector: usize,
        base: Base,
        left: Left,
        fresh: Option<&[u8; 32]>,
    ) -> Result<Secret, SeedError> {
        if !left.is_clean {
            self.erase(sector).await?;
        }
        let bytes = base.encode();
        let mut back = Zeroizing::new([0; BASE]);
        flash::program(self.flash, self.sectors[sector], &*bytes, &mut *back).await?;
        let mark = self.next_mark(sector, Self::first_mark(left.attempt)..Self::MARKS).await?;
        self.clear(sector).await?;
        Ok(derive(USE, &base.seed, mark, fresh))
    }

    /// Erases the other sector, and writes CLEARED. An unreadable CLEARED may be torn, and is left unchanged.
    async fn clear(&mut self, sector: usize) -> Result<(), SeedError> {
        self.erase(1 - sector).await?;
        match self.cell(sector, Self::CLEARED).await {
            Cell::Blank => self.mark(sector, Self::CLEARED).await,
            Cell::Marked | Cell::Unreadable => Ok(()),
        }
    }

    /// The mark that makes a base live if it was written in this attempt.
    fn first_mark(attempt: u32) -> u32 {
        attempt.min(Self::MARKS - 1)
    }

    /// Writes LEAVING: from now on the other sector may not be clean. LEAVING also makes this base live.
    async fn leave(&mut self, sector: usize) -> Result<Left, SeedError> {
        let (_, cleared) = self.marks(sector, Self::CLEARED..Self::LEAVING).await;
        let (begun, leaves) = self.marks(sector, Self::LEAVING..Self::CELLS).await;
        let mut attempt = LEAVES - 1;
        if begun < Self::CELLS {
            attempt = self.next_mark(sector, begun..Self::CELLS).await? - Self::LEAVING;
        } else if leaves + cleared + self.marks(sector, 0..Self::MARKS).await.1 < 2 {
            // Of two marks, the first is certainly complete.
            return Err(SeedError::Unreadable);
        }
        Ok(Left { is_clean: cleared > 0 && begun == Self::LEAVING, attempt })
    }

    /// The live base. If both sectors have one, the newer.
    async fn live(&mut self, bases: [Result<Base, BaseError>; 2]) -> Option<Live> {
        let attempts = self.attempts(&bases).await;
        let mut live: Option<Live> = None;
        for ((sector, base), attempts) in bases.into_iter().enumerate().zip(attempts) {
            let Ok(base) = base else { continue };
            let used = if base.is_of_the_first_version { Some(Self::MARKS) } else { self.used(sector, attempts).await };
            let older = live.as_ref().is_some_and(|live| base.is_older_than(&live.base));
            if let Some(used) = used.filter(|_| !older) {
                live = Some(Live { sector, base, used });
            }
        }
        live
    }

    /// For each sector, how often the other one was left for it, if that still has the base before it.
    async fn attempts(&mut self, bases: &[Result<Base, BaseError>; 2]) -> [u32; 2] {
        let mut attempts = [0; 2];
        if let [Ok(one), Ok(other)] = bases {
            let newer = usize::from(one.is_older_than(other));
            attempts[newer] = self.marks(1 - newer, Self::LEAVING..Self::CELLS).await.0 - Self::LEAVING;
        }
        attempts
    }

    /// The number of cells up to the last one that is not blank, or `None` if no mark of the last of these attempts follows
    /// the base.
    async fn used(&mut self, sector: usize, attempts: u32) -> Option<u32> {
        let first = Self::first_mark(attempts.saturating_sub(1));
        let (before, _) = self.marks(sector, 0..first).await;
        let (used, marks) = self.marks(sector, first..Self::MARKS).await;
        let (_, leaves) = self.marks(sector, Self::LEAVING..Self::CELLS).await;
        (marks + leaves > 0).then_some(if used > first { used } else { before })
    }

    /// Returns the index after the last of these cells that is not blank, and the number of marks among them.
    async fn marks(&mut self, sector: usize, cells: Range<u32>) -> (u32, u32) {
        let (mut next, mut marks) = (cells.start, 0);
        for index in cells {
            let cell = self.cell(sector, index).await;
            marks += u32::from(cell == Cell::Marked);
            if cell != Cell::Blank {
                next = index + 1;
            }
        }
        (next, marks)
    }

    /// Writes a mark to the first of these cells. If the flash does not keep it, tries the next ones.
    async fn next_mark(&mut self, sector: usize, cells: Range<u32>) -> Result<u32, SeedError> {
        for cell in cells.take(CELLS_TRIED) {
            if self.mark(sector, cell).await.is_ok() {
                return Ok(cell);
            }
        }
        Err(SeedError::Flash)
    }

    async fn mark(&mut self, sector: usize, cell: u32) -> Result<(), SeedError> {
        let at = self.at(sector, cell);
        Ok(flash::program(self.flash, at, &[0; CELL], &mut [0xFF; CELL]).await?)
    }

    async fn cell(&mut self, sector: usize, cell: u32) -> Cell {
        let mut bytes = [0; CELL];
        let at = self.at(sector, cell);
        match flash::read(self.flash, at, &mut bytes).await {
            Ok(()) if bytes == [0xFF; CELL] => Cell::Blank,
            Ok(()) => Cell::Marked,
            Err(Fault) => Cell::Unreadable,
        }
    }

    async fn read_base(&mut self, sector: usize) -> Result<Base, BaseError> {
        let mut bytes = Zeroizing::new([0; BASE]);
        flash::read(self.flash, self.sectors[sector], &mut *bytes).await.map_err(|Fault| BaseError::Unreadable)?;
        Base::decode(&bytes)
    }

    async fn erase(&mut self, sector: usize) -> Result<(), SeedError> {
        let from = self.sectors[sector];
        Ok(flash::erase(self.flash, from..from + F::ERASE_SIZE as u32).await?)
    }

    fn at(&self, sector: usize, cell: u32) -> u32 {
        self.sectors[sector] + (BASE + cell as usize * CELL) as u32
    }
}

fn derive(label: &[u8], seed: &Secret, mark: u32, fresh: Option<&[u8; 32]>) -> Secret {
    let hash = Sha256::new().chain_update(label).chain_update(**seed).chain_update(mark.to_be_bytes());
    let hash = hash.chain_update(fresh.map_or(&[][..], |fresh| fresh));
    let mut bytes: [u8; 32] = hash.finalize().into();
    let secret = Zeroizing::new(bytes);
    bytes.zeroize();
    secret
}
