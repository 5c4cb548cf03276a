//! The seed: a secret that changes at every boot, so that no two boots draw the same random numbers, even where the
//! chip's generator fails. A ratchet over two erase sectors of NOR flash.
//!
//! ```text
//! 0   "WFSD"                4     each sector begins so, or is blank
//! 4   boots, big-endian     4     the newer of two records counts
//! 8   seed                  32
//! 40  CRC-32 of all before  4
//! 44  FF                    20    up to a multiple of every write size
//! ```
//!
//! A boot takes the newest seed, or the identity's where both sectors are blank; derives the next one; writes it to the
//! other sector; reads it back; erases the old one; and only then uses what it derived. So a power cut at any
//! instant leaves a seed of which nothing was used.

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use embedded_storage_async::nor_flash::NorFlash;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::crc::crc32;

/// Bytes of a record: a multiple of every write size.
const RECORD: usize = 64;
const MAGIC: [u8; 4] = *b"WFSD";
const CRC: usize = 40;

const NEXT: &[u8] = b"waft seed: next";
const USE: &[u8] = b"waft seed: use";

/// 32 secret bytes, wiped when dropped.
pub type Secret = Zeroizing<[u8; 32]>;

/// The two sectors of a flash that hold the seed.
#[derive(Debug)]
pub struct Ratchet<F> {
    flash: F,
    sectors: [u32; 2],
}

/// Why there is no seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SeedError {
    /// It was damaged, and nothing fresh was given to begin anew with.
    Lost,
    /// The flash could not be erased or written.
    Flash,
    /// What was written does not read back.
    Verify,
}

impl<F: NorFlash> Ratchet<F> {
    /// The seed at these two offsets, each that of an erase sector.
    pub fn new(flash: F, sectors: [u32; 2]) -> Self {
        const { assert!(RECORD.is_multiple_of(F::WRITE_SIZE) && RECORD.is_multiple_of(F::READ_SIZE)) };
        Self { flash, sectors }
    }

    /// A secret that no boot before had and none after will have. `factory` is the identity's seed; `fresh` is what the
    /// chip's generator gave, if that is good. It goes into the next seed.
    pub async fn advance(&mut self, factory: &[u8; 32], fresh: Option<&[u8; 32]>) -> Result<Secret, SeedError> {
        let sectors = [Content::of(self.read(0).await), Content::of(self.read(1).await)];
        let (newest, boots, seed) = match newest(sectors) {
            Newest::At(sector, boots, seed) => (sector, boots, seed),
            Newest::Lost if fresh.is_none() => return Err(SeedError::Lost),
            Newest::Blank | Newest::Lost => (1, 0, Zeroizing::new(*factory)),
        };
        let next = derive(NEXT, &seed, fresh);
        self.write(1 - newest, boots.wrapping_add(1), &next).await?;
        self.erase(newest).await?;
        Ok(derive(USE, &seed, fresh))
    }

    async fn read(&mut self, sector: usize) -> Option<Record> {
        let mut record = Record::new([0; RECORD]);
        self.flash.read(self.sectors[sector], &mut *record).await.is_ok().then_some(record)
    }

    async fn write(&mut self, sector: usize, boots: u32, seed: &Secret) -> Result<(), SeedError> {
        self.erase(sector).await?;
        let record = encode(boots, seed);
        self.flash.write(self.sectors[sector], &*record).await.map_err(|_| SeedError::Flash)?;
        if self.read(sector).await == Some(record) { Ok(()) } else { Err(SeedError::Verify) }
    }

    async fn erase(&mut self, sector: usize) -> Result<(), SeedError> {
        let from = self.sectors[sector];
        self.flash.erase(from, from + F::ERASE_SIZE as u32).await.map_err(|_| SeedError::Flash)
    }
}

/// The bytes of a record, wiped when dropped.
type Record = Zeroizing<[u8; RECORD]>;

/// What a sector holds.
enum Content {
    Blank,
    Valid(u32, Secret),
    Damaged,
}

impl Content {
    /// `None`: it cannot be read.
    fn of(record: Option<Record>) -> Self {
        let Some(record) = record else { return Self::Damaged };
        if record.iter().all(|byte| *byte == 0xFF) {
            return Self::Blank;
        }
        let crc = crc32(&record[..CRC]).to_be_bytes();
        if record[..4] != MAGIC || record[CRC..CRC + 4] != crc {
            return Self::Damaged;
        }
        let mut seed = Secret::default();
        seed.copy_from_slice(&record[8..CRC]);
        Self::Valid(u32::from_be_bytes([record[4], record[5], record[6], record[7]]), seed)
    }
}

/// Where the newest record stands.
enum Newest {
    At(usize, u32, Secret),
    Blank,
    Lost,
}

fn newest(sectors: [Content; 2]) -> Newest {
    match sectors {
        [Content::Valid(first, _), Content::Valid(second, seed)] if second.wrapping_sub(first) as i32 > 0 => {
            Newest::At(1, second, seed)
        }
        [Content::Valid(boots, seed), _] => Newest::At(0, boots, seed),
        [_, Content::Valid(boots, seed)] => Newest::At(1, boots, seed),
        [Content::Blank, Content::Blank] => Newest::Blank,
        _ => Newest::Lost,
    }
}

fn encode(boots: u32, seed: &Secret) -> Record {
    let mut record = Record::new([0xFF; RECORD]);
    record[..4].copy_from_slice(&MAGIC);
    record[4..8].copy_from_slice(&boots.to_be_bytes());
    record[8..CRC].copy_from_slice(&**seed);
    let crc = crc32(&record[..CRC]);
    record[CRC..CRC + 4].copy_from_slice(&crc.to_be_bytes());
    record
}

fn derive(label: &[u8], seed: &Secret, fresh: Option<&[u8; 32]>) -> Secret {
    let hash =
        Sha256::new().chain_update(label).chain_update(**seed).chain_update(fresh.map_or(&[][..], |fresh| fresh));
    let mut bytes: [u8; 32] = hash.finalize().into();
    let secret = Zeroizing::new(bytes);
    bytes.zeroize();
    secret
}
