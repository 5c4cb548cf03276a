//! Intel HEX, a text format that flashing tools take: content with its addresses, and nothing in between.
//!
//! ```text
//! :  10     0100     00    214601360121470136007EFE09D21901  40         a line:
//!    count  address  type  count bytes                       checksum   all bytes of a line add up to 0, modulo 256
//!
//! type 04: the upper 16 bits of the following addresses     type 00: data     type 01: the end
//! ```
//!
//! Intel's Hexadecimal Object File Format Specification, revision A (1988), with 32-bit addresses.

use zeroize::Zeroizing;

use super::Part;

const DATA: u8 = 0;
const END: u8 = 1;
const UPPER: u8 = 4;
/// Bytes of content in a line.
const LINE: usize = 16;
/// Characters of the longest line: the colon, five bytes besides the content, and the line break.
const LINE_MAX: usize = 1 + 2 * (5 + LINE) + 1;

/// The text of a file with these parts, which are in ascending order.
pub(super) fn encode(parts: &[Part]) -> Zeroizing<Vec<u8>> {
    // Each part may begin and end within a line, and so may each range with the same upper half.
    let lines = parts.iter().map(|part| 4 + part.bytes.len() / LINE + 2 * (part.bytes.len() >> 16)).sum::<usize>() + 1;
    let mut text = Zeroizing::new(Vec::with_capacity(lines * LINE_MAX));
    let mut upper = 0;
    for part in parts {
        let (mut at, mut rest) = (part.at, part.bytes.as_slice());
        while !rest.is_empty() {
            if at >> 16 != upper {
                upper = at >> 16;
                line(&mut text, 0, UPPER, &(upper as u16).to_be_bytes());
            }
            // A line neither crosses a multiple of its length nor one of 64 KiB.
            let (now, later) = rest.split_at(rest.len().min(LINE - at as usize % LINE));
            line(&mut text, at as u16, DATA, now);
            (at, rest) = (at.wrapping_add(now.len() as u32), later);
        }
    }
    line(&mut text, 0, END, &[]);
    text
}

fn line(text: &mut Vec<u8>, at: u16, kind: u8, bytes: &[u8]) {
    let [high, low] = at.to_be_bytes();
    let head = [bytes.len() as u8, high, low, kind];
    let sum = head.iter().chain(bytes).fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    text.push(b':');
    for byte in head.iter().chain(bytes).chain(&[sum.wrapping_neg()]) {
        text.extend([byte >> 4, byte & 15].map(|digit| b"0123456789ABCDEF"[usize::from(digit)]));
    }
    text.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(at: u32, bytes: &[u8]) -> Part {
        Part { at, bytes: bytes.to_vec().into() }
    }

    fn lines(parts: &[Part]) -> Vec<String> {
        let text = encode(parts);
        assert!(text.capacity() >= text.len());
        String::from_utf8(text.to_vec()).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_line_is_that_of_the_specification() {
        let bytes = [0x21, 0x46, 0x01, 0x36, 0x01, 0x21, 0x47, 0x01, 0x36, 0x00, 0x7E, 0xFE, 0x09, 0xD2, 0x19, 0x01];
        assert_eq!(lines(&[part(0x100, &bytes)]), [":10010000214601360121470136007EFE09D2190140", ":00000001FF"]);
    }

    #[test]
    fn upper_halves_are_given_when_they_change() {
        let parts = [part(0x0800_FFFE, &[1, 2, 3]), part(0x0801_0010, &[4])];
        assert_eq!(
            lines(&parts),
            [":020000040800F2", ":02FFFE000102FE", ":020000040801F1", ":0100000003FC", ":0100100004EB", ":00000001FF"]
        );
    }

    #[test]
    fn the_buffer_of_secrets_never_grows() {
        for (at, length) in [(0xFFFF, 1), (0xFFFF, 18), (0xFFFF, (1 << 20) + 2), (1, 15), (0, 1 << 17)] {
            let parts = [part(at, &vec![0xA5; length])];
            let text = encode(&parts);
            let lines = 4 + length / LINE + 2 * (length >> 16) + 1;
            assert!(text.len() <= lines * LINE_MAX, "{at:#x}, {length}");
        }
    }
}
