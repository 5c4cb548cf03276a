//! Checks that a board's memory map fits the chip. The program runs the check at compile time.

use core::ops::Range;

use waft_receiver::identity::IMAGE_MAX;

use crate::flash::ERASE;

/// The start address of the flash.
pub const FLASH: u32 = 0x0800_0000;

/// The memory map of the flash. The program is in the first of two banks, and all data in the second.
#[derive(Clone, Debug)]
pub struct Map {
    /// The size of a bank, in bytes.
    pub bank: u32,
    /// The addresses of the identity image.
    pub identity: Range<u32>,
    /// The offsets of the two sectors of the seed.
    pub seeds: [u32; 2],
    /// The offsets of the slots.
    pub slots: Range<u32>,
    /// The offsets of the two sectors of the settings, which follow the slots.
    pub settings: [u32; 2],
}

/// Why a map does not fit the chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// An area does not start and end at a sector boundary.
    Unaligned,
    /// An area is not in bank 2, so erasing it would stop or destroy the program.
    NotInBank2,
    /// Two areas share a sector, or the identity is not after everything that is written.
    Overlap,
    /// The identity's area is too small for an identity image.
    Identity,
}

impl Map {
    /// Why the map does not fit the chip, or `None` if it does.
    pub const fn fault(&self) -> Option<MapError> {
        let (bank, [first, second], [one, other]) = (self.bank, self.seeds, self.settings);
        let (identity, slots) = (self.identity(), &self.slots);
        let bounds = [first, second, slots.start, slots.end, one, other, identity.start, identity.end];
        let mut at = 0;
        while at < bounds.len() {
            if !bounds[at].is_multiple_of(ERASE as u32) {
                return Some(MapError::Unaligned);
            }
            if bounds[at] < bank || bounds[at] > 2 * bank {
                return Some(MapError::NotInBank2);
            }
            at += 1;
        }
        if first == second
            || !ends_before(first, slots.start)
            || !ends_before(second, slots.start)
            || slots.end > one
            || !ends_before(one, other)
            || !ends_before(other, identity.start)
        {
            return Some(MapError::Overlap);
        }
        if identity.end < identity.start + IMAGE_MAX as u32 {
            return Some(MapError::Identity);
        }
        None
    }

    /// The offsets of the identity image.
    pub const fn identity(&self) -> Range<u32> {
        self.identity.start.saturating_sub(FLASH)..self.identity.end.saturating_sub(FLASH)
    }

    /// The offsets that the receiver writes: seed, slots and settings.
    pub const fn writable(&self) -> Range<u32> {
        self.bank..self.settings[1] + ERASE as u32
    }

    /// The offsets that the receiver reads: all of bank 2.
    pub const fn readable(&self) -> Range<u32> {
        self.bank..2 * self.bank
    }
}

/// Whether a sector ends at or before `end`.
const fn ends_before(sector: u32, end: u32) -> bool {
    sector + ERASE as u32 <= end
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Map = Map {
        bank: 1 << 20,
        identity: 0x081F_E000..0x0820_0000,
        seeds: [0x10_0000, 0x10_2000],
        slots: 0x10_4000..0x1F_A000,
        settings: [0x1F_A000, 0x1F_C000],
    };

    fn fault(change: impl FnOnce(&mut Map)) -> Option<MapError> {
        let mut map = GOOD;
        change(&mut map);
        map.fault()
    }

    #[test]
    fn a_good_map_passes() {
        let map = GOOD;
        assert_eq!(None, map.fault());
        assert_eq!(0x1F_E000..0x20_0000, map.identity());
        assert_eq!(0x10_0000..0x1F_E000, map.writable());
        assert!(map.readable().contains(&(map.identity().end - 1)));
    }

    #[test]
    fn a_map_that_does_not_fit_is_rejected_with_its_reason() {
        assert_eq!(Some(MapError::Unaligned), fault(|map| map.seeds[0] += 16));
        assert_eq!(Some(MapError::Unaligned), fault(|map| map.slots.end -= 4096));
        assert_eq!(Some(MapError::Unaligned), fault(|map| map.identity.end -= 4096));
        assert_eq!(Some(MapError::NotInBank2), fault(|map| map.seeds[1] = 0xF_E000));
        assert_eq!(Some(MapError::NotInBank2), fault(|map| map.bank /= 2));
        assert_eq!(Some(MapError::NotInBank2), fault(|map| map.slots.end = 0x20_2000));
        assert_eq!(Some(MapError::NotInBank2), fault(|map| map.settings[0] = 0xF_E000));
        assert_eq!(Some(MapError::NotInBank2), fault(|map| map.identity = 0x1F_E000..0x20_0000));
        assert_eq!(Some(MapError::Overlap), fault(|map| map.seeds[1] = map.seeds[0]));
        assert_eq!(Some(MapError::Overlap), fault(|map| map.seeds[1] = map.slots.start));
        assert_eq!(Some(MapError::Overlap), fault(|map| map.slots.end += 0x2000));
        assert_eq!(Some(MapError::Overlap), fault(|map| map.settings[0] = map.settings[1]));
        assert_eq!(Some(MapError::Overlap), fault(|map| map.settings[1] = map.identity().start));
        assert_eq!(Some(MapError::Identity), fault(|map| map.identity.end = map.identity.start));
    }
}
