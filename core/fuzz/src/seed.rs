//! Target for the seed in flash. Boots from any content of its two sectors do not panic, and get different secrets.

use embassy_futures::block_on;
use waft_receiver::seed::Ratchet;

use crate::flash::{BLOCK, Flash};

/// Bytes of a base, of its first part that ends with a CRC, and of a mark.
const BASE: usize = 64;
const FIRST_PART: usize = 12;
const MARK: usize = 32;

/// The input is the two bases with the first marks after each, and whether their CRCs are corrected.
pub fn run(data: &[u8]) {
    let [correct, fresh, rest @ ..] = data else { return };
    let mut flash = Flash::new();
    let sectors = [0, BLOCK as u32];
    for (sector, content) in rest.chunks(BASE + 2 * MARK).take(2).enumerate() {
        let target = &mut flash.0[sector * BLOCK..][..content.len()];
        target.copy_from_slice(content);
        if target.len() >= BASE && correct >> sector & 1 != 0 {
            for end in [FIRST_PART, BASE - 4] {
                let crc = crate::crc32(&target[..end]).to_be_bytes();
                target[end..end + 4].copy_from_slice(&crc);
            }
        }
    }
    let mut ratchet = Ratchet::new(&mut flash, sectors);
    let fresh = (*fresh & 1 != 0).then_some(&[7; 32]);
    let mut secrets = Vec::new();
    for _ in 0..3 {
        let Ok(secret) = block_on(ratchet.advance(&[1; 32], fresh)) else { return };
        assert!(!secrets.contains(&secret), "two boots have the same secret");
        secrets.push(secret);
    }
}
