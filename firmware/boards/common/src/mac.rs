//! The board's Ethernet address, derived from the chip's unique ID: the same at each start, and different on each
//! board.

use waft_receiver::slots::Digest;

/// Bits of the first byte: locally administered, and multicast.
const LOCAL: u8 = 0b10;
const GROUP: u8 = 0b01;

/// A locally administered unicast address. `unique_id` are the bytes of the chip's unique ID.
pub fn mac(unique_id: &[u8]) -> [u8; 6] {
    let [first, b, c, d, e, f, ..] = Digest::of(unique_id).0;
    [first & !GROUP | LOCAL, b, c, d, e, f]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_is_a_local_unicast_address() {
        for number in 0..1000 {
            assert_eq!(LOCAL, mac(&u32::to_le_bytes(number))[0] & 0b11);
        }
    }

    #[test]
    fn chips_of_one_wafer_get_different_addresses() {
        let all: BTreeSet<_> =
            (0..100).flat_map(|x| (0..100).map(move |y| mac(&[x, 0, y, 0, 0x11, 0x47, 0x34, 0x32]))).collect();
        assert_eq!(10_000, all.len());
        assert_eq!(mac(&[1, 2, 3]), mac(&[1, 2, 3]));
    }
}
