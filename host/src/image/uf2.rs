//! UF2, the format of files that are copied onto the drive of a board's boot loader.
//!
//! A file is a sequence of blocks. Each of them says where its payload belongs, so that the blocks may arrive in any order
//! and areas between them stay as they are. Numbers are little-endian.
//!
//! ```text
//!   0  magic 0A324655, "UF2\n"
//!   4  magic 9E5D5157
//!   8  flags 00002000: the family is given
//!  12  address of the payload, a multiple of 256
//!  16  length of the payload, 256
//!  20  number of this block, from 0
//!  24  number of blocks
//!  28  family
//!  32  payload, then zeros
//! 508  magic 0AB16F30
//! ```
//!
//! <https://github.com/microsoft/uf2>. The boot ROM of the RP2350 (data sheet, section 5.5) erases a sector of 4096 bytes when
//! its first page arrives, and programs pages of 256 bytes. It takes the blocks of a file for one transfer as long as they
//! have the same family and the same number of blocks, and starts the program when all of them have arrived. So all blocks
//! have one family here, and each sector is complete: what belongs to no part is blank.

use zeroize::Zeroizing;

use super::{BLANK, Part};
use crate::board::UF2_SECTOR as SECTOR;

const BLOCK: usize = 512;
const PAGE: usize = 256;
const MAGIC: [u32; 2] = [0x0A32_4655, 0x9E5D_5157];
const END: u32 = 0x0AB1_6F30;
const HAS_FAMILY: u32 = 0x2000;

/// The bytes of a file with these parts, which are in ascending order.
pub(super) fn encode(parts: &[Part], family: u32) -> Zeroizing<Vec<u8>> {
    let sectors = sectors(parts);
    let count = sectors.len() * (SECTOR as usize / PAGE);
    let mut file = Zeroizing::new(Vec::with_capacity(count * BLOCK));
    let pages = sectors.into_iter().flat_map(|sector| (sector..=sector + (SECTOR - 1)).step_by(PAGE));
    for (number, at) in pages.enumerate() {
        let fields = [MAGIC[0], MAGIC[1], HAS_FAMILY, at, PAGE as u32, number as u32, count as u32, family];
        fields.iter().for_each(|field| file.extend(field.to_le_bytes()));
        file.extend_from_slice(&*page(parts, at));
        file.resize((number + 1) * BLOCK - size_of_val(&END), 0);
        file.extend(END.to_le_bytes());
    }
    file
}

/// The addresses of the sectors in which the parts have content, in ascending order.
fn sectors(parts: &[Part]) -> Vec<u32> {
    let mut sectors: Vec<u32> = parts
        .iter()
        .flat_map(|part| (part.at / SECTOR..=(part.last() / SECTOR)).map(|sector| sector * SECTOR))
        .collect();
    sectors.dedup();
    sectors
}

/// The content of a page.
fn page(parts: &[Part], at: u32) -> Zeroizing<[u8; PAGE]> {
    let mut page = Zeroizing::new([BLANK; PAGE]);
    for part in parts {
        let from = part.at.max(at);
        let to = part.last().min(at + (PAGE as u32 - 1));
        if from <= to {
            let source = &part.bytes[(from - part.at) as usize..=(to - part.at) as usize];
            page[(from - at) as usize..=(to - at) as usize].copy_from_slice(source);
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAMILY: u32 = 0xE48B_FF59;

    fn part(at: u32, bytes: &[u8]) -> Part {
        Part { at, bytes: bytes.to_vec().into() }
    }

    fn word(block: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(block[at..at + 4].try_into().unwrap())
    }

    #[test]
    fn a_block_has_the_bytes_of_the_format() {
        let file = encode(&[part(0x1000_0000, b"program")], FAMILY);
        assert_eq!(file.len(), 16 * BLOCK, "one sector");
        let first = b"UF2\n\x57\x51\x5D\x9E\0\x20\0\0\0\0\0\x10\0\x01\0\0\0\0\0\0\x10\0\0\0\x59\xFF\x8B\xE4program\xFF";
        assert_eq!(file[..first.len()], *first);
        assert!(file[first.len()..32 + PAGE].iter().all(|byte| *byte == BLANK));
        assert!(file[32 + PAGE..508].iter().all(|byte| *byte == 0));
        assert_eq!(file[508..512], [0x30, 0x6F, 0xB1, 0x0A]);
        assert_eq!((word(&file[BLOCK..], 12), word(&file[BLOCK..], 20)), (0x1000_0100, 1));
    }

    #[test]
    fn parts_share_sectors_and_pages_and_gaps_stay_as_they_are() {
        let long = vec![7; SECTOR as usize + 1];
        let parts = [part(0x1000_00F0, &[1; 32]), part(0x1000_0110, &[2; 4]), part(0x1010_0FFF, &long)];
        let file = encode(&parts, FAMILY);
        let blocks: Vec<_> =
            file.as_chunks::<BLOCK>().0.iter().map(|block| (word(block, 12), &block[32..288])).collect();
        let sectors: Vec<u32> = blocks.iter().step_by(16).map(|block| block.0).collect();
        assert_eq!(sectors, [0x1000_0000, 0x1010_0000, 0x1010_1000]);
        assert!(
            blocks.iter().enumerate().all(|(index, block)| block.0 == sectors[index / 16] + (index as u32 % 16) * 256)
        );
        assert_eq!((blocks[0].1[0xEF], blocks[0].1[0xF0], blocks[1].1[0x0F]), (BLANK, 1, 1));
        assert_eq!(blocks[1].1[0x10..0x15], [2, 2, 2, 2, BLANK]);
        assert_eq!((blocks[31].1[254], blocks[31].1[255], blocks[32].1[0], blocks[47].1[255]), (BLANK, 7, 7, 7));
    }

    #[test]
    fn the_last_sector_of_32_bits_is_one() {
        let file = encode(&[part(0xFFFF_FFF0, &[1; 16])], FAMILY);
        assert_eq!((file.len(), word(&file[15 * BLOCK..], 12)), (16 * BLOCK, 0xFFFF_FF00));
    }
}
