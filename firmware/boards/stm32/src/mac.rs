//! The board's address on the Ethernet, made from the chip's unique number: the same at each start, another on each
//! board.

use waft_core::digest::Digest;

/// Made here, not by IEEE; for one station.
const LOCAL: u8 = 0b10;
const GROUP: u8 = 0b01;

/// A locally administered address.
pub fn mac(unique: [u32; 3]) -> [u8; 6] {
    let mut number = [0; 12];
    for (place, word) in number.chunks_exact_mut(4).zip(unique) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    let [first, b, c, d, e, f, ..] = Digest::of(&number).0;
    [first & !GROUP | LOCAL, b, c, d, e, f]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_is_local_and_for_one_station() {
        for number in 0..1000 {
            assert_eq!(LOCAL, mac([number, 0, 0])[0] & 0b11);
        }
    }

    #[test]
    fn chips_of_one_wafer_differ() {
        let all: BTreeSet<_> =
            (0..100).flat_map(|x| (0..100).map(move |y| mac([y << 16 | x, 0x3234_4711, 0x2036_3335]))).collect();
        assert_eq!(10_000, all.len());
        assert_eq!(mac([1, 2, 3]), mac([1, 2, 3]));
    }
}
