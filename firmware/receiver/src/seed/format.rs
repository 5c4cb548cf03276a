//! The byte format of a base, which is drawn in the parent module.

use zeroize::Zeroizing;

use super::Secret;
use crate::crc::crc32;

/// The bytes of a mark, a multiple of every write size.
pub(super) const CELL: usize = 32;
/// The bytes of a base.
pub(super) const BASE: usize = 2 * CELL;

/// The bytes that are provisioned: a base and two marks.
pub const PROVISIONED: usize = BASE + 2 * CELL;

const MAGIC: [u8; 8] = *b"WAFTSEED";
const VERSION: u8 = 2;
/// The length of the prefix that is the same in all versions. A CRC-32 follows it.
const PREFIX: usize = 12;
const BODY: usize = PREFIX + 4;
const SEED: usize = BODY + 4;

/// The base of the first version: "WFSD", boots:4, seed:32, CRC-32 of all before.
const FIRST: [u8; 4] = *b"WFSD";
const FIRST_CRC: usize = 40;

/// A base: the seed from which each mark of its sector derives a secret.
pub(super) struct Base {
    pub(super) sequence: u32,
    pub(super) seed: Secret,
    /// Whether the first version wrote it. That version had no marks: the seed only serves to derive the next base.
    pub(super) is_of_the_first_version: bool,
}

/// Why there is no base.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum BaseError {
    /// The sector is blank.
    Blank,
    /// The sector contains something else.
    Damaged,
    /// The flash failed.
    Unreadable,
    /// Another version of the firmware wrote it.
    OtherVersion,
}

/// The bytes that provisioning writes to the first sector after erasing it: a base with this secret, and the marks that
/// make it live. The secret must be unique to the board. Write it only once: written again, it repeats the same random
/// numbers.
pub fn provisioned(secret: &Secret) -> Zeroizing<[u8; PROVISIONED]> {
    let mut bytes = Zeroizing::new([0; PROVISIONED]);
    bytes[..BASE].copy_from_slice(&*Base::new(0, secret.clone()).encode());
    bytes
}

impl Base {
    pub(super) fn new(sequence: u32, seed: Secret) -> Self {
        Self { sequence, seed, is_of_the_first_version: false }
    }

    /// Whether `other` was written later.
    pub(super) fn is_older_than(&self, other: &Self) -> bool {
        match (self.is_of_the_first_version, other.is_of_the_first_version) {
            (true, false) => true,
            (false, true) => false,
            _ => (other.sequence.wrapping_sub(self.sequence) as i32) > 0,
        }
    }

    pub(super) fn encode(&self) -> Zeroizing<[u8; BASE]> {
        let mut bytes = Zeroizing::new([0; BASE]);
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8] = VERSION;
        close(&mut bytes[..BODY]);
        bytes[BODY..SEED].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[SEED..SEED + 32].copy_from_slice(&*self.seed);
        close(&mut *bytes);
        bytes
    }

    pub(super) fn decode(bytes: &[u8; BASE]) -> Result<Self, BaseError> {
        if bytes.iter().all(|byte| *byte == 0xFF) {
            return Err(BaseError::Blank);
        }
        if bytes[..4] == FIRST && is_closed(&bytes[..FIRST_CRC + 4]) {
            return Ok(Self { is_of_the_first_version: true, ..Self::read(&bytes[4..]) });
        }
        if bytes[..8] != MAGIC || !is_closed(&bytes[..BODY]) {
            return Err(BaseError::Damaged);
        }
        match bytes[8] == VERSION {
            false => Err(BaseError::OtherVersion),
            true if is_closed(bytes) => Ok(Self::read(&bytes[BODY..])),
            true => Err(BaseError::Damaged),
        }
    }

    /// Reads the sequence number and the seed.
    fn read(bytes: &[u8]) -> Self {
        let (sequence, rest) = bytes.split_first_chunk().expect("a base is longer");
        let mut seed = Secret::default();
        seed.copy_from_slice(&rest[..32]);
        Self::new(u32::from_be_bytes(*sequence), seed)
    }
}

/// Writes the CRC-32 of the preceding bytes to the last four bytes.
fn close(bytes: &mut [u8]) {
    let (body, crc) = bytes.split_last_chunk_mut::<4>().expect("it is longer than its CRC");
    *crc = crc32(body).to_be_bytes();
}

fn is_closed(bytes: &[u8]) -> bool {
    let (body, crc) = bytes.split_last_chunk::<4>().expect("it is longer than its CRC");
    crc32(body).to_be_bytes() == *crc
}
