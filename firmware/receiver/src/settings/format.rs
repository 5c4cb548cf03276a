//! The byte format of a copy, which is drawn in the parent module.

use core::array;

use sha2::{Digest, Sha256};
use waft_core::certificate::CertificateHash;

use crate::crc::{Crc32, crc32};
use crate::identity::{Identity, NAME_MAX, POINT, Policy, SENDERS_MAX, TrustedSender, TrustedSenders};
#[cfg(feature = "wifi")]
use {
    super::network::{NETWORK_CELLS, network_cell, network_indices},
    crate::identity::Wifi,
};

/// The bytes of a cell, a multiple of every write size.
pub(super) const CELL: usize = 32;
/// The cells of head and origin.
const FIRST: u32 = 2;
/// The cells of a sender: name, hash, and both coordinates of the public key.
pub(super) const SENDER: usize = 4;
/// The index of the first LIVE mark.
pub(super) const LIVE: u32 = FIRST + (SENDERS_MAX * SENDER) as u32;
/// The number of LIVE marks.
pub(super) const LIVES: u32 = 4;
/// The index of the first cell of a Wi-Fi network.
pub(super) const NETWORK: u32 = LIVE + LIVES;
#[cfg(not(feature = "wifi"))]
const NETWORK_CELLS: usize = 0;
/// The bytes of a sector that are used.
pub(super) const USED_BYTES: usize = (NETWORK as usize + NETWORK_CELLS) * CELL;

const MAGIC: [u8; 8] = *b"WAFTSETT";
const VERSION: u8 = 2;
/// The version before. Its copies have neither a policy nor flags: both bytes are 0.
const FIRST_VERSION: u8 = 1;
/// The version of a copy with a network. Boards without Wi-Fi do not read it.
const NETWORK_VERSION: u8 = 3;
/// The length of the prefix that is the same in all versions. A CRC-32 follows it.
const PREFIX: usize = 12;
/// The length of the head without its CRC-32.
const COVERED: usize = CELL - 4;
/// The flag of a policy that was set at the board. The other bits are those of the identity image.
pub(super) const POLICY: u8 = 0x80;
/// The flag of a board with an identity of its own.
pub(super) const OWN: u8 = 1;
/// The flag of a factory reset that is not complete.
pub(super) const RESET: u8 = 2;
/// The first byte of an uncompressed point.
const UNCOMPRESSED: u8 = 4;

/// The content of the first cell of a sector that was erased completely.
pub(super) const ERASED: [u8; CELL] = [0; CELL];

/// A 32-byte part of a copy.
pub(super) type Cell = [u8; CELL];

const _: () = assert!(NAME_MAX == CELL && POINT == 1 + 2 * CELL);

/// What the first cell of a sector says about its content.
pub(super) enum First {
    /// Nothing was ever written here, or an erasure was not completed.
    Blank,
    /// The sector was erased completely.
    Erased,
    /// A copy begins here.
    Head(Head),
    /// A copy of another version of the firmware begins here.
    OtherVersion,
    /// Something else.
    Damaged,
}

/// The head of a copy. The CRC-32 in it shows whether the rest of the copy is complete.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub(super) sequence: u32,
    /// The number of senders, at most [`SENDERS_MAX`].
    pub(super) senders: u8,
    /// The policy that was set at the board: see [`decode_policy`].
    pub(super) policy: u8,
    /// [`OWN`] and [`RESET`].
    pub(super) flags: u8,
    /// Whether the copy contains a network.
    #[cfg(feature = "wifi")]
    pub(super) has_network: bool,
    crc: u32,
}

impl First {
    pub(super) fn decode(cell: &Cell) -> Self {
        if *cell == ERASED {
            return Self::Erased;
        }
        if cell.iter().all(|byte| *byte == 0xFF) {
            return Self::Blank;
        }
        let (prefix, crc) = cell[..PREFIX + 4].split_at(PREFIX);
        if prefix[..8] != MAGIC || crc != crc32(prefix).to_be_bytes() {
            return Self::Damaged;
        }
        match prefix[8] {
            FIRST_VERSION | VERSION => {}
            NETWORK_VERSION if cfg!(feature = "wifi") => {}
            _ => return Self::OtherVersion,
        }
        let word = |at: usize| u32::from_be_bytes(array::from_fn(|index| cell[at + index]));
        let [senders, policy, flags] = [cell[PREFIX + 8], cell[PREFIX + 9], cell[PREFIX + 10]];
        let (sequence, crc) = (word(PREFIX + 4), word(COVERED));
        match decode_policy(policy) {
            Some(_) if usize::from(senders) <= SENDERS_MAX && flags & !(OWN | RESET) == 0 => Self::Head(Head {
                sequence,
                senders,
                policy,
                flags,
                #[cfg(feature = "wifi")]
                has_network: prefix[8] == NETWORK_VERSION,
                crc,
            }),
            _ => Self::Damaged,
        }
    }
}

impl Head {
    /// The number of cells up to the last sender.
    pub(super) fn cells(&self) -> u32 {
        FIRST + (SENDER * usize::from(self.senders)) as u32
    }

    /// The indices of the cells of the copy.
    pub(super) fn indices(&self) -> impl Iterator<Item = u32> + use<> {
        let indices = 0..self.cells();
        #[cfg(feature = "wifi")]
        let indices = indices.chain(network_indices(self.has_network));
        indices
    }

    /// Whether this is the CRC-32 of the copy.
    pub(super) fn matches(&self, crc: Crc32) -> bool {
        self.crc == crc.finish()
    }
}

/// Decodes the policy in a head. The outer `None` means that it is invalid.
pub(super) fn decode_policy(bits: u8) -> Option<Option<Policy>> {
    match bits {
        0 => Some(None),
        POLICY.. => Policy::from_bits(bits & !POLICY).map(Some),
        _ => None,
    }
}

/// Adds the cell with this index to the CRC-32 of a copy.
pub(super) fn cover(crc: Crc32, index: u32, cell: &Cell) -> Crc32 {
    crc.update(if index == 0 { &cell[..COVERED] } else { cell })
}

/// A copy that is to be written.
pub(super) struct NewCopy<'a> {
    pub(super) sequence: u32,
    pub(super) origin: &'a Cell,
    pub(super) policy: u8,
    pub(super) flags: u8,
    /// `None` is nobody.
    pub(super) senders: Option<&'a TrustedSenders>,
    /// The network that a user set at the board.
    #[cfg(feature = "wifi")]
    pub(super) network: Option<&'a Wifi>,
}

impl NewCopy<'_> {
    /// The indices of its cells, from `first` on, which is 0 or 1.
    pub(super) fn indices(&self, first: u32) -> impl Iterator<Item = u32> + use<> {
        let indices = first..FIRST + (SENDER * self.count()) as u32;
        #[cfg(feature = "wifi")]
        let indices = indices.chain(network_indices(self.network.is_some()));
        indices
    }

    /// The number of senders.
    fn count(&self) -> usize {
        self.senders.map_or(0, TrustedSenders::len)
    }

    /// The cell with this index.
    pub(super) fn cell(&self, index: u32) -> Cell {
        #[cfg(feature = "wifi")]
        if let (NETWORK.., Some(network)) = (index, self.network) {
            return network_cell(network, index);
        }
        match index.checked_sub(FIRST).map(|index| index as usize) {
            None if index == 0 => self.head(),
            None => *self.origin,
            Some(index) => {
                let cell =
                    |senders: &TrustedSenders| senders.with(index / SENDER, |it| sender_cell(it, index % SENDER));
                self.senders.and_then(cell).unwrap_or(ERASED)
            }
        }
    }

    fn head(&self) -> Cell {
        let mut head = [0; CELL];
        head[..8].copy_from_slice(&MAGIC);
        head[8] = self.version();
        let crc = crc32(&head[..PREFIX]).to_be_bytes();
        head[PREFIX..PREFIX + 4].copy_from_slice(&crc);
        head[PREFIX + 4..PREFIX + 8].copy_from_slice(&self.sequence.to_be_bytes());
        head[PREFIX + 8] = self.count() as u8;
        head[PREFIX + 9] = self.policy;
        head[PREFIX + 10] = self.flags;
        let first = cover(Crc32::new(), 0, &head);
        let crc = self.indices(1).fold(first, |crc, index| cover(crc, index, &self.cell(index)));
        head[COVERED..].copy_from_slice(&crc.finish().to_be_bytes());
        head
    }

    /// The lowest version that has what the copy contains, so that firmware for a board without Wi-Fi reads it if it can.
    fn version(&self) -> u8 {
        #[cfg(feature = "wifi")]
        if self.network.is_some() {
            return NETWORK_VERSION;
        }
        VERSION
    }
}

/// One of the cells of a sender.
fn sender_cell(sender: &TrustedSender, index: usize) -> Cell {
    match index {
        0 => array::from_fn(|at| sender.name.as_bytes().get(at).copied().unwrap_or(0)),
        1 => sender.hash.0,
        _ => array::from_fn(|at| sender.point[1 + (index - 2) * CELL + at]),
    }
}

/// Decodes a sender, or returns `None` if it is invalid.
pub(super) fn decode_sender(cells: &[Cell; SENDER]) -> Option<TrustedSender> {
    let [name, hash, x, y] = cells;
    let length = name.iter().position(|byte| *byte == 0).unwrap_or(CELL);
    let (name, zeros) = name.split_at(length);
    if zeros.iter().any(|byte| *byte != 0) {
        return None;
    }
    let name = core::str::from_utf8(name).ok()?.try_into().ok()?;
    let mut point = [UNCOMPRESSED; POINT];
    point[1..=CELL].copy_from_slice(x);
    point[1 + CELL..].copy_from_slice(y);
    let sender = TrustedSender { name, hash: CertificateHash(*hash), point };
    sender.check().ok().map(|()| sender)
}

/// What identifies an identity and the senders in it.
pub(super) fn origin(identity: &Identity) -> Cell {
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
