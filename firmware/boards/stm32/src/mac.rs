//! The board's Ethernet address, derived from the chip's unique ID: the same at each start, and different on each
//! board.

use waft_receiver::slots::Digest;

/// Bits of the first byte: locally administered, and multicast.
const LOCAL: u8 = 0b10;
const GROUP: u8 = 0b01;

/// A locally administered unicast address.
pub fn mac(unique_id: [u32; 3]) -> [u8; 6] {
    let mut number = [0; 12];
    for (bytes, word) in number.chunks_exact_mut(4).zip(unique_id) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    let [first, b, c, d, e, f, ..] = Digest::of(&number).0;
    [first & !GROUP | LOCAL, b, c, d, e, f]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_is_a_local_unicast_address() {
        for number in 0..1000 {
            assert_eq!(LOCAL, mac([number, 0, 0])[0] & 0b11);
        }
    }

    #[test]
    fn chips_of_one_wafer_get_different_addresses() {
        let all: BTreeSet<_> =
            (0..100).flat_map(|x| (0..100).map(move |y| mac([y << 16 | x, 0x3234_4711, 0x2036_3335]))).collect();
        assert_eq!(10_000, all.len());
        assert_eq!(mac([1, 2, 3]), mac([1, 2, 3]));
    }
}
