//! Programs for boards in ELF files, as a linker would lay them out. Tests of the library include this file, too.

/// The number of Arm in ELF files.
pub(crate) const ARM: u16 = 40;

/// A 32-bit little-endian program for this processor, with segments of this content at these physical addresses. In a real
/// program the addresses at which code runs can differ; here they always do.
pub(crate) fn elf(machine: u16, segments: &[(u32, &[u8])]) -> Vec<u8> {
    let mut file = b"\x7fELF\x01\x01\x01".to_vec();
    file.resize(16, 0);
    [2, machine].iter().for_each(|half| file.extend(half.to_le_bytes()));
    // Version, entry, the program headers, no section headers, flags.
    [1, 0, 52, 0, 0_u32].iter().for_each(|word| file.extend(word.to_le_bytes()));
    [52, 32, segments.len() as u16, 0, 0, 0].iter().for_each(|half| file.extend(half.to_le_bytes()));
    let mut offset = 52 + 32 * segments.len() as u32;
    for (at, bytes) in segments {
        let size = bytes.len() as u32;
        let header = [1, offset, at ^ 0x3000_0000, *at, size, size + 16, 5, 4_u32];
        header.iter().for_each(|word| file.extend(word.to_le_bytes()));
        offset += size;
    }
    segments.iter().for_each(|(_, bytes)| file.extend_from_slice(bytes));
    file
}
