//! Checks that a board's memory map fits its flash. Programs run the check at compile time.
//!
//! ```text
//! flash    | program        | data: seeds, slots, settings, identity |
//!          ^ base           ^ data.start                              ^ data.end
//! ```

use core::ops::Range;

use waft_receiver::identity::IMAGE_MAX;

use crate::Map;

/// The regions of a flash with program and data.
#[derive(Clone, Debug)]
pub struct Regions {
    /// The address at which the flash is mapped.
    pub base: u32,
    /// The size of an erase block, in bytes.
    pub erase: u32,
    /// The offsets in the flash where data may be: outside of the program.
    pub data: Range<u32>,
    /// The addresses of the identity image.
    pub identity: Range<u32>,
    /// The offsets of the two blocks of the seed.
    pub seeds: [u32; 2],
    /// The offsets of the slots.
    pub slots: Range<u32>,
    /// The offsets of the two blocks of the settings, which follow the slots.
    pub settings: [u32; 2],
}

/// Why a map does not fit the flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegionError {
    /// An area does not start and end at a block boundary.
    Unaligned,
    /// An area is not in the part of the flash for data, so writing it would destroy the program, or miss the flash.
    OutsideOfData,
    /// Two areas share a block, or the identity is not after everything that is written.
    Overlap,
    /// The identity's area is too small for an identity image.
    Identity,
}

impl Regions {
    /// The regions of `map`, in a flash at the address `base` with erase blocks of `erase` bytes. `data` are the offsets
    /// where data may be.
    pub const fn new(map: Map, base: u32, erase: usize, data: Range<u32>) -> Self {
        let Map { identity, seeds, slots, settings, .. } = map;
        Self { base, erase: erase as u32, data, identity, seeds, slots, settings }
    }

    /// Why the map does not fit the flash, or `None` if it does.
    pub const fn fault(&self) -> Option<RegionError> {
        let ([first, second], [one, other]) = (self.seeds, self.settings);
        let (identity, slots) = (self.identity(), &self.slots);
        let bounds = [first, second, slots.start, slots.end, one, other, identity.start, identity.end];
        let mut at = 0;
        while at < bounds.len() {
            if !bounds[at].is_multiple_of(self.erase) {
                return Some(RegionError::Unaligned);
            }
            if bounds[at] < self.data.start || bounds[at] > self.data.end {
                return Some(RegionError::OutsideOfData);
            }
            at += 1;
        }
        if first == second
            || !self.ends_before(first, slots.start)
            || !self.ends_before(second, slots.start)
            || slots.end > one
            || !self.ends_before(one, other)
            || !self.ends_before(other, identity.start)
        {
            return Some(RegionError::Overlap);
        }
        if identity.end < identity.start + IMAGE_MAX as u32 {
            return Some(RegionError::Identity);
        }
        None
    }

    /// The offsets of the identity image.
    pub const fn identity(&self) -> Range<u32> {
        self.identity.start.saturating_sub(self.base)..self.identity.end.saturating_sub(self.base)
    }

    /// The offsets that the receiver writes: seed, slots and settings.
    pub const fn writable(&self) -> Range<u32> {
        self.data.start..self.settings[1] + self.erase
    }

    /// The offsets that the receiver reads: all data.
    pub const fn readable(&self) -> Range<u32> {
        self.data.start..self.data.end
    }

    /// Whether a block ends at or before `end`.
    const fn ends_before(&self, block: u32, end: u32) -> bool {
        block + self.erase <= end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Regions = Regions {
        base: 0x0800_0000,
        erase: 8 << 10,
        data: 0x10_0000..0x20_0000,
        identity: 0x081F_E000..0x0820_0000,
        seeds: [0x10_0000, 0x10_2000],
        slots: 0x10_4000..0x1F_A000,
        settings: [0x1F_A000, 0x1F_C000],
    };

    fn fault(change: impl FnOnce(&mut Regions)) -> Option<RegionError> {
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
        assert_eq!(Some(RegionError::Unaligned), fault(|map| map.seeds[0] += 16));
        assert_eq!(Some(RegionError::Unaligned), fault(|map| map.slots.end -= 4096));
        assert_eq!(Some(RegionError::Unaligned), fault(|map| map.identity.end -= 4096));
        assert_eq!(Some(RegionError::OutsideOfData), fault(|map| map.seeds[1] = 0xF_E000));
        assert_eq!(Some(RegionError::OutsideOfData), fault(|map| map.data.end /= 2));
        assert_eq!(Some(RegionError::OutsideOfData), fault(|map| map.slots.end = 0x20_2000));
        assert_eq!(Some(RegionError::OutsideOfData), fault(|map| map.settings[0] = 0xF_E000));
        assert_eq!(Some(RegionError::OutsideOfData), fault(|map| map.identity = 0x1F_E000..0x20_0000));
        assert_eq!(Some(RegionError::Overlap), fault(|map| map.seeds[1] = map.seeds[0]));
        assert_eq!(Some(RegionError::Overlap), fault(|map| map.seeds[1] = map.slots.start));
        assert_eq!(Some(RegionError::Overlap), fault(|map| map.slots.end += 0x2000));
        assert_eq!(Some(RegionError::Overlap), fault(|map| map.settings[0] = map.settings[1]));
        assert_eq!(Some(RegionError::Overlap), fault(|map| map.settings[1] = map.identity().start));
        assert_eq!(Some(RegionError::Identity), fault(|map| map.identity.end = map.identity.start));
    }
}
