//! Files with several parts of a board's flash: the program, and for a new board its identity and its seed.
//!
//! ```text
//! program in an ELF file ── elf ──┐
//! identity, seed ─────────────────┴─► Image ─┬─ uf2 ─► a file for the drive of a boot loader
//!                                            └─ hex ─► a file for a flashing tool
//! ```
//!
//! The board's description says which addresses each part may have. A file changes nothing on the board besides the parts
//! in it, so one with just the program updates a board in use.

mod elf;
mod hex;
#[cfg(test)]
#[path = "../../tests/e2e/elf.rs"]
mod testing;
mod uf2;

use std::fmt;
use std::fs::File;
use std::path::Path;

use zeroize::Zeroizing;

use self::elf::{ElfError, Segment};
use crate::board::{BOARDS, Board, Span};
use crate::error::{Class, Error, shown};

/// A byte of an erased flash.
const BLANK: u8 = 0xFF;
/// The number of erase blocks at the beginning of the slots that the journal takes.
const JOURNAL_BLOCKS: u32 = 2;

/// Content for a board's flash, by address.
#[derive(Clone, Debug)]
pub struct Image {
    /// In ascending order. No two have an address in common.
    parts: Vec<Part>,
}

/// Content at consecutive addresses, at least one byte.
#[derive(Clone, Debug)]
struct Part {
    at: u32,
    bytes: Zeroizing<Vec<u8>>,
}

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// UF2, in blocks of this family.
    Uf2(u32),
    /// Intel HEX.
    Hex,
}

impl Format {
    /// The format of a file that these commands of a board flash: UF2 if its boot loader takes that, else Intel HEX. `None` if
    /// there are no commands and no such boot loader.
    pub fn of(board: &Board, commands: &[String]) -> Option<Self> {
        board.uf2.map(Self::Uf2).or((!commands.is_empty()).then_some(Self::Hex))
    }
}

impl Image {
    /// Reads the program in an ELF file. It is rejected if it is not for the board's processor, or has content outside of
    /// the part of the flash that is for the program.
    pub fn read(elf: &Path, board: &Board) -> Result<Self, Error> {
        let parts = read_parts(elf, board, |segments| check_places(segments, board))?;
        Ok(Self { parts })
    }

    /// Adds what a new board needs: its identity, and the first record of its seed if it is flashed with one. In a UF2
    /// file also blank sectors for the settings, the seed and the journal, because nothing erases the chip before.
    pub fn add_identity(&mut self, board: &Board, identity: Zeroizing<Vec<u8>>, seed: Option<Zeroizing<Vec<u8>>>) {
        let storage = &board.storage;
        let is_erased_before = board.uf2.is_none();
        let sector = storage.sector();
        let blank = |at, size| blank(board, Span { at, size });
        self.add(board.identity.at, identity);
        let [first, second] = storage.seeds.map(|seed| storage.at + seed);
        match seed {
            Some(seed) => self.add(first, seed),
            None if !is_erased_before => self.add(first, blank(first, sector)),
            None => {}
        }
        if !is_erased_before {
            for at in storage.settings.map(|settings| storage.at + settings).into_iter().chain([second]) {
                self.add(at, blank(at, sector));
            }
            let journal = storage.at + storage.slots.at;
            self.add(journal, blank(journal, (sector * JOURNAL_BLOCKS).min(storage.slots.size)));
        }
    }

    /// The bytes of the file.
    pub fn encode(&self, format: Format) -> Zeroizing<Vec<u8>> {
        match format {
            Format::Uf2(family) => uf2::encode(&self.parts, family),
            Format::Hex => hex::encode(&self.parts),
        }
    }

    fn add(&mut self, at: u32, bytes: Zeroizing<Vec<u8>>) {
        let next = self.parts.partition_point(|part| part.at < at);
        self.parts.insert(next, Part { at, bytes });
    }
}

impl Part {
    /// The address of the last byte.
    fn last(&self) -> u32 {
        self.at + (self.bytes.len() as u32 - 1)
    }
}

/// Checks that a file is a program for the board's processor, and not that of another board of its family. Unlike
/// [`Image::read`] it takes any addresses, because for some chips the flashing tool computes those in the flash.
pub fn check_program(elf: &Path, board: &Board) -> Result<(), Error> {
    read_parts(elf, board, |_| Ok(())).map(drop)
}

/// Reads the content of a program, in ascending order of addresses. `check` may reject its segments before they are read.
fn read_parts(
    elf: &Path,
    board: &Board,
    check: impl FnOnce(&[Segment]) -> Result<(), ProgramError>,
) -> Result<Vec<Part>, Error> {
    let failed = |cause| Error::file(elf, cause);
    let rejected = |error| program_error(elf, board, error);
    let mut file = open(elf).map_err(failed)?.ok_or_else(|| rejected(ElfError::NotElf.into()))?;
    let segments = elf::segments(&mut file, &board.target).map_err(failed)?;
    let mut segments = segments.map_err(|error| rejected(error.into()))?;
    segments.sort_by_key(|segment| segment.span.at);
    check(&segments).map_err(rejected)?;
    let mut parts = Vec::new();
    for segment in segments {
        let bytes = elf::content(&mut file, &segment).map_err(failed)?;
        let bytes = bytes.map_err(|error| rejected(error.into()))?;
        parts.push(Part { at: segment.span.at, bytes: bytes.into() });
    }
    match other_board(&parts, board) {
        Some(name) => Err(rejected(ProgramError::OtherBoard { name })),
        None => Ok(parts),
    }
}

/// Blank content for a range, as far as it does not reach into the next area: the size of an erase block is only known to be
/// at most [`sector`](crate::board::Storage::sector).
fn blank(board: &Board, range: Span) -> Zeroizing<Vec<u8>> {
    let areas = board.storage.areas().map(|(_, area)| area.at);
    let starts = areas.chain([board.identity.at, board.program.at]).filter(|start| *start > range.at);
    let end = starts.map(u64::from).fold(range.end().min(1 << 32), u64::min);
    vec![BLANK; (end - u64::from(range.at)) as usize].into()
}

/// Opens a file; `None` if it is not a regular one. A pipe would block, and cannot be read twice.
fn open(path: &Path) -> std::io::Result<Option<File>> {
    if path.metadata()?.is_file() { File::open(path).map(Some) } else { Ok(None) }
}

/// Checks the places of a program's segments, which are ordered by address.
fn check_places(segments: &[Segment], board: &Board) -> Result<(), ProgramError> {
    for Segment { span, .. } in segments {
        let mut areas = board.storage.areas().chain([("identity", board.identity)]);
        let is_inside = span.at >= board.program.at && u64::from(span.at) < board.program.end();
        if is_inside && span.end() > board.program.end() {
            return Err(ProgramError::TooLarge { end: span.end() });
        }
        if let Some((area, _)) = areas.find(|(_, area)| area.meets(*span)) {
            return Err(ProgramError::Reserved { at: span.at, area });
        }
        if !is_inside {
            return Err(ProgramError::Outside { at: span.at });
        }
    }
    match segments.array_windows().find(|[one, next]| one.span.meets(next.span)) {
        Some([_, next]) => Err(ProgramError::Overlap { at: next.span.at }),
        None => Ok(()),
    }
}

/// The board of the same family whose program this is, if it is not this one's. Such programs have the same name and the same
/// addresses, but each has the title of its board in it.
fn other_board(parts: &[Part], board: &Board) -> Option<&'static str> {
    let has = |title: &str| {
        let is_title = |bytes: &[u8]| bytes == title.as_bytes();
        parts.iter().any(|part| part.bytes.windows(title.len().max(1)).any(is_title))
    };
    if has(&board.title) {
        return None;
    }
    let mut others = BOARDS.iter().filter(|other| other.package == board.package && other.name != board.name);
    others.find(|other| has(&other.title)).map(|other| other.name.as_str())
}

/// Why a program does not fit a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProgramError {
    /// The file is none for this board's processor.
    Elf(ElfError),
    /// Two segments have content for this address.
    Overlap { at: u32 },
    /// It ends at this address, behind the part of the flash that is for the program.
    TooLarge { end: u64 },
    /// It has content at this address, and would overwrite this area.
    Reserved { at: u32, area: &'static str },
    /// It has content at this address, outside of the part of the flash that is for the program.
    Outside { at: u32 },
    /// It is the program of another board of the family.
    OtherBoard { name: &'static str },
}

impl From<ElfError> for ProgramError {
    fn from(error: ElfError) -> Self {
        Self::Elf(error)
    }
}

impl fmt::Display for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elf(error) => error.fmt(f),
            Self::Overlap { at } => write!(f, "two of its segments overlap at {at:#010x}"),
            Self::TooLarge { end } => write!(f, "it is larger than its region: it ends at {end:#010x}"),
            Self::Reserved { at, area } => {
                write!(f, "its content at {at:#010x} would overwrite the {area} of the board")
            }
            Self::Outside { at } => write!(f, "it has content at {at:#010x}, outside of its region"),
            Self::OtherBoard { name } => write!(f, "it is the program of {name}"),
        }
    }
}

impl std::error::Error for ProgramError {}

/// The error for a program that cannot be used for a board.
fn program_error(path: &Path, board: &Board, error: ProgramError) -> Error {
    let Span { at, size } = board.program;
    let region =
        format!("The program of {} has the region {at:#010x} to {:#010x}", board.name, u64::from(at) + u64::from(size));
    let build = format!("cargo {}", board.build().join(" "));
    let advice = match error {
        ProgramError::Elf(ElfError::Machine(_)) => {
            let processor = elf::target_name(&board.target);
            format!("The board {} has a processor of {processor}. Build its own program: {build}", board.name)
        }
        ProgramError::OtherBoard { .. } => {
            format!("A build of one board replaces that of another of its family. Build this one again: {build}")
        }
        ProgramError::Elf(_) => {
            format!("Give the file that cargo built, {}, and no .bin, .hex or .uf2 of it.", board.firmware())
        }
        ProgramError::Overlap { .. } => format!("Look at the linker script. {region}."),
        ProgramError::TooLarge { .. } => format!(
            "{region}. Leave features out, or build it in the profile `{}`; the region is `memory.flash` in the board's description.",
            board.profile
        ),
        ProgramError::Reserved { .. } | ProgramError::Outside { .. } => {
            format!("{region}: the file may be for another board. Build its own program: {build}")
        }
    };
    Error::new(
        Class::Storage,
        format!("{} cannot be flashed as the program of {}: {error}.", shown(path), board.name),
        advice,
    )
}

#[cfg(test)]
mod tests {
    use super::testing::{ARM, elf};
    use super::*;

    /// A board with its program at 10000000 to 10100000, then seeds, slots, settings and identity.
    fn board(uf2: Option<u32>) -> Board {
        let storage = crate::board::Storage {
            size: 16 << 20,
            block: 4 << 10,
            at: 0x1000_0000,
            seeds: [0x10_0000, 0x10_1000],
            slots: Span { at: 0x10_2000, size: 0x10_0000 },
            settings: [0x20_2000, 0x20_3000],
        };
        Board {
            name: "pico".into(),
            title: "A Pico".into(),
            target: "thumbv8m.main-none-eabihf".into(),
            program: Span { at: 0x1000_0000, size: 0x10_0000 },
            identity: Span { at: 0x1020_4000, size: 0x1000 },
            storage,
            uf2,
            ..Board::named("mps2").unwrap().clone()
        }
    }

    fn read(file: &[u8]) -> Result<Image, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        std::fs::write(&path, file).unwrap();
        Image::read(&path, &board(None))
    }

    fn spans(image: &Image) -> Vec<(u32, usize)> {
        image.parts.iter().map(|part| (part.at, part.bytes.len())).collect()
    }

    #[test]
    fn a_program_is_sorted_and_fills_its_region_at_most() {
        let image = read(&elf(ARM, &[(0x1000_1000, b"code"), (0x1000_0000, b"vectors"), (0x100F_FFFF, b"!")])).unwrap();
        assert_eq!(spans(&image), [(0x1000_0000, 7), (0x1000_1000, 4), (0x100F_FFFF, 1)]);
        assert_eq!(*image.parts[1].bytes, b"code");
    }

    #[test]
    fn a_program_that_does_not_fit_is_rejected() {
        let fails = |segments: &[(u32, &[u8])], text: &str, advice: &str| {
            let error = read(&elf(ARM, segments)).unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
            assert!(error.advice().contains(advice), "{}", error.advice());
        };
        let region = "0x10000000 to 0x10100000";
        fails(&[(0x100F_FFFF, b"12")], "larger than its region: it ends at 0x10100001", region);
        fails(&[(0x1020_3800, b"1")], "would overwrite the settings of the board", region);
        fails(&[(0x1010_0000, b"1")], "would overwrite the seed of the board", region);
        fails(&[(0x1020_0000, b"1")], "would overwrite the slots of the board", region);
        fails(&[(0x1020_4FFF, b"1")], "would overwrite the identity of the board", region);
        fails(&[(0x0FFF_FFFF, b"12")], "content at 0x0fffffff, outside of its region", "--target thumbv8m");
        fails(&[(0x0800_0000, b"1")], "content at 0x08000000, outside of its region", "for another board");
        fails(
            &[(0x1000_0000, b"123"), (0x1000_0002, b"1")],
            "two of its segments overlap at 0x10000002",
            "linker script",
        );
        let other = read(&elf(243, &[(0x1000_0000, b"1")])).unwrap_err();
        assert!(other.to_string().contains("it is a program for RISC-V"), "{other}");
        assert!(other.advice().contains("a processor of Arm"), "{}", other.advice());
        let text = read(b"#!/bin/sh\n").unwrap_err();
        assert!(text.to_string().contains("it is not an ELF file") && text.advice().contains("no .bin"), "{text}");
    }

    #[test]
    fn a_program_of_another_board_of_the_family_is_rejected() {
        let with = |text: &str| read(&elf(ARM, &[(0x1000_0000, &[0; 64]), (0x1000_1000, text.as_bytes())]));
        let title = &Board::named("mps2").unwrap().title;
        let error = with(&format!("mps2{title}, started")).unwrap_err();
        assert!(error.to_string().ends_with("the program of pico: it is the program of mps2."), "{error}");
        assert!(error.advice().contains("cargo build --profile firmware"), "{}", error.advice());
        // Also where the flashing tool computes the addresses.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        let anywhere = |text: &str| {
            std::fs::write(&path, elf(ARM, &[(0x4200_0000, text.as_bytes())])).unwrap();
            check_program(&path, &board(None))
        };
        assert!(anywhere(title).unwrap_err().to_string().ends_with("it is the program of mps2."));
        assert!(anywhere("A Pico").is_ok());
        let stranger = &Board::named("nucleo-h563zi").unwrap().title;
        for good in [format!("{title}A Pico"), stranger.clone(), "text".to_owned()] {
            assert!(with(&good).is_ok(), "{good}");
        }
    }

    #[test]
    fn what_is_no_regular_file_is_no_program() {
        let folder = tempfile::tempdir().unwrap();
        let error = Image::read(folder.path(), &board(None)).unwrap_err();
        assert!(error.to_string().contains("it is not an ELF file"), "{error}");
        assert!(check_program(folder.path(), &board(None)).is_err());
        let missing = Image::read(&folder.path().join("none"), &board(None)).unwrap_err();
        assert!(missing.to_string().contains("cannot be used"), "{missing}");
    }

    #[test]
    fn a_new_board_gets_identity_and_seed_and_without_a_tool_blank_sectors() {
        let with = |uf2, seed: Option<&[u8]>| {
            let mut image = read(&elf(ARM, &[(0x1000_0000, b"vectors")])).unwrap();
            image.add_identity(&board(uf2), vec![1; 900].into(), seed.map(|seed| seed.to_vec().into()));
            image
        };
        let (program, identity) = ((0x1000_0000, 7), (0x1020_4000, 900));
        assert_eq!(spans(&with(None, Some(&[2; 128]))), [program, (0x1010_0000, 128), identity]);
        assert_eq!(spans(&with(None, None)), [program, identity]);
        let whole = with(Some(1), Some(&[2; 128]));
        let blank = [(0x1010_1000, 4096), (0x1010_2000, 8192), (0x1020_2000, 4096), (0x1020_3000, 4096)];
        assert_eq!(spans(&whole)[..2], [program, (0x1010_0000, 128)]);
        assert_eq!((&spans(&whole)[2..6], spans(&whole)[6]), (&blank[..], identity));
        assert!(whole.parts[2..6].iter().all(|part| part.bytes.iter().all(|byte| *byte == BLANK)));
        assert_eq!(spans(&with(Some(1), None))[1], (0x1010_0000, 4096));
    }

    #[test]
    fn blank_sectors_are_bounded_and_reach_into_no_other_area() {
        let mut board = board(Some(1));
        board.storage.seeds = [0x4000_0000, 0xEFFF_F000];
        board.storage.settings = [0x8000_0000, 0xA000_0000];
        board.storage.slots = Span { at: 0x6000_0000, size: 0x10_0000 };
        board.identity.at = 0xB000_1000;
        let mut image = read(&elf(ARM, &[(0x1000_0000, b"vectors")])).unwrap();
        image.add_identity(&board, vec![1; 900].into(), None);
        let block = 256 << 10;
        let blank = [(0x5000_0000, block), (0x7000_0000, 2 * block), (0x9000_0000, block), (0xB000_0000, 0x1000)];
        assert_eq!(spans(&image)[1..5], blank, "the last one ends at the identity");
        assert_eq!(spans(&image)[5..], [(0xB000_1000, 900), (0xFFFF_F000, 0x1000)]);
        assert!(image.encode(Format::Uf2(1)).len() < 4 << 20);
    }

    #[test]
    fn the_description_chooses_the_format() {
        let commands = ["load {image}".to_owned()];
        assert_eq!(Format::of(&board(Some(7)), &[]), Some(Format::Uf2(7)));
        assert_eq!(Format::of(&board(Some(7)), &commands), Some(Format::Uf2(7)));
        assert_eq!(Format::of(&board(None), &commands), Some(Format::Hex));
        assert_eq!(Format::of(&board(None), &[]), None);
        let image = read(&elf(ARM, &[(0x1000_0000, b"vectors")])).unwrap();
        assert!(image.encode(Format::Uf2(7)).starts_with(b"UF2\n"));
        assert!(image.encode(Format::Hex).starts_with(b":02000004100"));
    }
}
