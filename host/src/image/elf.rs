//! Reads the content that an ELF program has for a board's flash: its loadable segments, by their physical addresses.
//!
//! ```text
//! 0        16    18       28     42         44                  header, 52 bytes, little-endian:
//! 7F 'ELF' type  machine  phoff  phentsize  phnum               phnum program headers begin at phoff
//!
//! 0     4       8      12     16      20                        program header, 32 bytes:
//! type  offset  vaddr  paddr  filesz  memsz  flags  align       filesz bytes at offset belong at paddr
//! ```
//!
//! System V ABI, edition 4.1, chapters 4 and 5. The file may be anything: no length in it is trusted, and no more is allocated
//! than the file has bytes.

use std::fmt;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

use crate::board::Span;

const HEADER: usize = 52;
const PROGRAM_HEADER: usize = 32;
/// The start of a 32-bit little-endian file.
const MAGIC: &[u8] = b"\x7fELF";
const CLASS_AND_DATA: &[u8] = &[1, 1];
/// The type of an executable file.
const EXECUTABLE: u16 = 2;
/// The type of a loadable segment.
const LOAD: u32 = 1;
/// The most program headers of a firmware; a usual one has fewer than ten.
const SEGMENTS_MAX: u16 = 64;

/// The processors of boards, by their numbers in ELF files.
const MACHINES: [(u16, &str, &[&str]); 3] =
    [(40, "Arm", &["thumb", "arm"]), (243, "RISC-V", &["riscv32"]), (94, "Xtensa", &["xtensa"])];

/// A part of a file that belongs into the flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// The addresses.
    pub(super) span: Span,
    /// Its position in the file.
    offset: u32,
}

/// Why a file has no content for a board. The file is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ElfError {
    /// The file does not begin like an ELF file.
    NotElf,
    /// It is an ELF file, but no program, or not of 32 bits and little-endian.
    NotAProgram,
    /// It is a program for a processor with this number.
    Machine(u16),
    /// Its headers, or segments, are not whole.
    Truncated,
    /// It has no content.
    Empty,
}

impl fmt::Display for ElfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotElf => f.write_str("it is not an ELF file"),
            Self::NotAProgram => f.write_str("it is an ELF file, but not a program for a 32-bit microcontroller"),
            Self::Machine(number) => write!(f, "it is a program for {}", machine_name(*number)),
            Self::Truncated => f.write_str("it is truncated or damaged"),
            Self::Empty => f.write_str("it has no content for a flash"),
        }
    }
}

impl std::error::Error for ElfError {}

/// The segments of the program in a file, which has to be for a processor of this Rust target.
pub(super) fn segments(file: &mut (impl Read + Seek), target: &str) -> io::Result<Result<Vec<Segment>, ElfError>> {
    let mut header = [0; HEADER];
    let Some(()) = fill(file, 0, &mut header)? else { return Ok(Err(ElfError::NotElf)) };
    let (at, count) = match check_header(&header, target) {
        Ok(headers) => headers,
        Err(error) => return Ok(Err(error)),
    };
    // Segments share no content, so together they are not larger than the file.
    let length = file.seek(SeekFrom::End(0))?;
    let (mut segments, mut left) = (Vec::new(), length);
    for index in 0..count {
        let mut header = [0; PROGRAM_HEADER];
        let at = u64::from(at) + u64::from(index) * PROGRAM_HEADER as u64;
        let Some(()) = fill(file, at, &mut header)? else { return Ok(Err(ElfError::Truncated)) };
        let (offset, span) = (word(&header, 4), Span { at: word(&header, 12), size: word(&header, 16) });
        if word(&header, 0) != LOAD || span.size == 0 {
            continue;
        }
        let is_whole = u64::from(offset) + u64::from(span.size) <= length && span.end() <= 1 << 32;
        let Some(rest) = left.checked_sub(span.size.into()).filter(|_| is_whole) else {
            return Ok(Err(ElfError::Truncated));
        };
        left = rest;
        segments.push(Segment { span, offset });
    }
    Ok(if segments.is_empty() { Err(ElfError::Empty) } else { Ok(segments) })
}

/// The content of a segment. It is not larger than the file was when the segments were read.
pub(super) fn content(file: &mut (impl Read + Seek), segment: &Segment) -> io::Result<Result<Vec<u8>, ElfError>> {
    let mut bytes = vec![0; segment.span.size as usize];
    Ok(fill(file, segment.offset.into(), &mut bytes)?.map(|()| bytes).ok_or(ElfError::Truncated))
}

/// The name of the processors with this Rust target.
pub(super) fn target_name(target: &str) -> &str {
    MACHINES.iter().find(|machine| is_target(machine.2, target)).map_or(target, |machine| machine.1)
}

/// Where the program headers begin, and their number.
fn check_header(header: &[u8; HEADER], target: &str) -> Result<(u32, u16), ElfError> {
    if !header.starts_with(MAGIC) {
        return Err(ElfError::NotElf);
    }
    if header[4..6] != *CLASS_AND_DATA || half(header, 16) != EXECUTABLE {
        return Err(ElfError::NotAProgram);
    }
    let machine = half(header, 18);
    // A target of another project may have a processor that is not in the list.
    if let Some((number, ..)) = MACHINES.iter().find(|machine| is_target(machine.2, target))
        && *number != machine
    {
        return Err(ElfError::Machine(machine));
    }
    let (size, count) = (half(header, 42), half(header, 44));
    match count {
        0 => Err(ElfError::Empty),
        1..=SEGMENTS_MAX if usize::from(size) == PROGRAM_HEADER => Ok((word(header, 28), count)),
        _ => Err(ElfError::Truncated),
    }
}

fn is_target(prefixes: &[&str], target: &str) -> bool {
    prefixes.iter().any(|prefix| target.starts_with(prefix))
}

fn machine_name(number: u16) -> String {
    let name = match number {
        3 => "x86",
        62 => "x86-64",
        183 => "64-bit Arm",
        _ => match MACHINES.iter().find(|machine| machine.0 == number) {
            Some(machine) => machine.1,
            None => return format!("another processor (number {number} of ELF)"),
        },
    };
    name.to_owned()
}

/// Reads the bytes at this position; `None` if the file ends before.
fn fill(file: &mut (impl Read + Seek), at: u64, bytes: &mut [u8]) -> io::Result<Option<()>> {
    file.seek(SeekFrom::Start(at))?;
    match file.read_exact(bytes) {
        Ok(()) => Ok(Some(())),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::super::testing::{ARM, elf};
    use super::*;

    const TARGET: &str = "thumbv8m.main-none-eabihf";

    fn read(file: &[u8]) -> Result<Vec<Segment>, ElfError> {
        segments(&mut Cursor::new(file), TARGET).unwrap()
    }

    #[test]
    fn segments_have_their_physical_addresses() {
        let file = elf(ARM, &[(0x1000_0000, b"vectors"), (0x1000_2000, b""), (0x1000_1000, b"code")]);
        let segments = read(&file).unwrap();
        assert_eq!(
            segments.iter().map(|segment| segment.span).collect::<Vec<_>>(),
            [Span { at: 0x1000_0000, size: 7 }, Span { at: 0x1000_1000, size: 4 }],
            "a segment without content is left out"
        );
        let content = |segment| content(&mut Cursor::new(&file), segment).unwrap().unwrap();
        assert_eq!((content(&segments[0]), content(&segments[1])), (b"vectors".to_vec(), b"code".to_vec()));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_named() {
        let good = elf(ARM, &[(0x1000_0000, b"vectors")]);
        let changed = |at: usize, bytes: &[u8]| {
            let mut file = good.clone();
            file[at..at + bytes.len()].copy_from_slice(bytes);
            read(&file).unwrap_err()
        };
        assert_eq!(read(b""), Err(ElfError::NotElf));
        assert_eq!(read(&good[..HEADER - 1]), Err(ElfError::NotElf));
        assert_eq!(changed(1, b"e"), ElfError::NotElf);
        assert_eq!(changed(4, &[2]), ElfError::NotAProgram, "64 bits");
        assert_eq!(changed(5, &[2]), ElfError::NotAProgram, "big-endian");
        assert_eq!(changed(16, &[1]), ElfError::NotAProgram, "an object file");
        assert_eq!(changed(18, &[243]), ElfError::Machine(243));
        assert_eq!(changed(42, &[33]), ElfError::Truncated);
        assert_eq!(changed(44, &[0]), ElfError::Empty);
        assert_eq!(changed(44, &[65]), ElfError::Truncated);
        assert_eq!(changed(44, &[0xFF, 0xFF]), ElfError::Truncated);
        assert_eq!(changed(28, &[0xFF; 4]), ElfError::Truncated);
        assert_eq!(changed(HEADER, &[4]), ElfError::Empty, "a note");
        assert_eq!(changed(HEADER + 12, &[0xFF; 4]), ElfError::Truncated, "past 32 bits");
        let texts =
            [ElfError::Machine(243), ElfError::Machine(62), ElfError::Machine(7)].map(|error| error.to_string());
        assert_eq!(texts[0], "it is a program for RISC-V");
        assert_eq!(texts[1], "it is a program for x86-64");
        assert_eq!(texts[2], "it is a program for another processor (number 7 of ELF)");
    }

    #[test]
    fn content_that_the_file_lacks_is_not_made_up() {
        let mut file = elf(ARM, &[(0x1000_0000, b"vectors")]);
        let segments = read(&file).unwrap();
        file.pop();
        assert_eq!(read(&file), Err(ElfError::Truncated));
        assert_eq!(content(&mut Cursor::new(&file), &segments[0]).unwrap(), Err(ElfError::Truncated));
        // Two segments with the same content, which is more than half of the file.
        let mut file = elf(ARM, &[(0x1000_0000, &[7; 500]), (0x1000_1000, &[7; 500])]);
        file.truncate(HEADER + 2 * PROGRAM_HEADER + 500);
        let [first, second] = [0, 1].map(|index| HEADER + index * PROGRAM_HEADER + 4);
        file.copy_within(first..first + 4, second);
        assert_eq!(read(&file), Err(ElfError::Truncated));
    }

    #[test]
    fn a_target_that_is_not_known_takes_every_processor() {
        let file = elf(8, &[(0x1000_0000, b"code")]);
        assert!(segments(&mut Cursor::new(&file), "mipsel-unknown-none").unwrap().is_ok());
        assert_eq!(read(&file), Err(ElfError::Machine(8)));
        assert_eq!(target_name(TARGET), "Arm");
        assert_eq!(target_name("riscv32imac-unknown-none-elf"), "RISC-V");
        assert_eq!(target_name("mipsel-unknown-none"), "mipsel-unknown-none");
    }
}
