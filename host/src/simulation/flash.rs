//! A file that behaves like NOR flash: programming only clears bits, erasing sets all bits of a block.
//!
//! ```text
//! 0 ... size   the bytes of the flash as they are, 0xFF where it is blank; the emulated board has the same file as flash
//! ```
//!
//! The process may be killed at any moment. The file then holds what a power cut leaves on a flash: the current
//! operation is done in part. The file also survives a crash of the whole machine: blocks become durable in the order
//! of the operations, and all of them before any output leaves this process (see [`Durable`]).

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::rc::Rc;

use embedded_storage_async::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

use crate::board::{Board, Storage};
use crate::error::{Class, Error, shown};
use crate::files::{NewFile, folder_of};
use crate::platform;
use crate::provision::first_record;

/// The size of a [`FlashFile`], in bytes.
pub const SIZE: usize = 16 << 20;
/// The size of its erase blocks, in bytes.
pub const BLOCK: usize = 4 << 10;
/// Size of a write unit, in bytes.
pub const UNIT: usize = 4;

const BLANK: [u8; BLOCK] = [0xFF; BLOCK];

/// Checks that the storage of a board lies in its simulated flash, in whole blocks.
pub fn check_fit(board: &Board) -> Result<(), Error> {
    let Storage { size: all, block, seeds, slots, settings, .. } = board.storage;
    let spans = seeds.into_iter().chain(settings).map(|sector| (sector, block)).chain([(slots.at, slots.size)]);
    let fits = |(at, size): (u32, u32)| {
        let is_aligned = [at, size].iter().all(|number| number.is_multiple_of(block));
        is_aligned && u64::from(at) + u64::from(size) <= u64::from(all)
    };
    if spans.into_iter().all(fits) {
        return Ok(());
    }
    let (mib, kib) = (all >> 20, block >> 10);
    let why = format!("a simulated board has {mib} MiB of flash, in blocks of {kib} KiB");
    Err(Error::usage(format!("the storage of {} is not in the flash: {why}", board.name)))
}

/// Checks that a board that runs as a process has a flash of the same geometry as the real or emulated one. A board keeps
/// its flash in one file, so both ways to run it have to agree.
pub fn check_hosted(board: &Board) -> Result<(), Error> {
    let Storage { size, block, .. } = board.storage;
    match (size as usize, block as usize) {
        (SIZE, BLOCK) => Ok(()),
        _ => Err(Error::usage(format!(
            "the board {} has erase blocks of {} KiB, which only its emulator has: add --qemu",
            board.name,
            block >> 10
        ))),
    }
}

/// Creates a flash unless one exists: blank except for the first record of a seed. Only its owner can read it, because of
/// the seed.
pub fn make(path: &Path, storage: &Storage) -> Result<(), Error> {
    let failed = |cause| Error::file(path, cause);
    match path.metadata() {
        Ok(found) if found.len() == u64::from(storage.size) => Ok(()),
        Ok(_) => Err(not_flash(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => fill(path, storage).map_err(failed),
        Err(error) => Err(failed(error)),
    }
}

/// Erases the settings in a flash that [`make`] created, one block after the other, as a board does.
pub fn erase_settings(path: &Path, storage: &Storage) -> Result<(), Error> {
    let failed = |cause| Error::file(path, cause);
    let mut file = File::options().write(true).open(path).map_err(failed)?;
    let blank = vec![0xFF; storage.block as usize];
    for block in storage.settings {
        file.seek(SeekFrom::Start(block.into())).and_then(|_| file.write_all(&blank)).map_err(failed)?;
        file.sync_data().map_err(failed)?;
    }
    Ok(())
}

/// The error for a file that does not hold the flash of a simulated board.
pub(super) fn not_flash(path: &Path) -> Error {
    Error::new(
        Class::Storage,
        format!("{} is not the flash of a simulated board.", shown(path)),
        "Remove it to begin with a blank one, or name another folder with --state.",
    )
}

fn fill(path: &Path, storage: &Storage) -> io::Result<()> {
    let folder = folder_of(path);
    let new = NewFile::write(folder, |file| {
        io::copy(&mut io::repeat(0xFF).take(storage.size.into()), file)?;
        file.seek(SeekFrom::Start(storage.seeds[0].into()))?;
        file.write_all(&first_record())
    });
    new.and_then(|new| new.replace(path)).and_then(|()| platform::sync_directory(folder))
}

/// The flash in a file.
#[derive(Debug)]
pub struct FlashFile {
    durable: Durable,
}

impl FlashFile {
    /// Opens the flash in the file that [`make`] created.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::options().read(true).write(true).open(path);
        let file = file.map_err(|cause| Error::file(path, cause))?;
        Ok(Self { durable: Durable(Rc::new(Inner { file, touched: Cell::new(None) })) })
    }

    /// Returns a handle that makes the written data durable.
    pub fn durable(&self) -> Durable {
        self.durable.clone()
    }

    fn file(&self, at: u32) -> Result<&File, FlashError> {
        let mut file = &self.durable.0.file;
        file.seek(SeekFrom::Start(at.into()))?;
        Ok(file)
    }
}

/// Makes the written data durable. A real flash is durable after each operation, but syncing a file after each would
/// cost the latency of a disk for every few bytes. So the file is synced only before another block is changed, which
/// keeps the order of the blocks, and before this process sends or shows anything.
#[derive(Clone, Debug)]
pub struct Durable(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    file: File,
    /// The block that was changed since the last sync.
    touched: Cell<Option<u32>>,
}

impl Durable {
    /// Makes all data durable that was written so far.
    pub fn sync(&self) -> io::Result<()> {
        match self.0.touched.take() {
            Some(_) => self.0.file.sync_data(),
            None => Ok(()),
        }
    }

    /// Called before a block is changed.
    fn touch(&self, block: u32) -> io::Result<()> {
        if self.0.touched.get().is_some_and(|touched| touched != block) {
            self.sync()?;
        }
        self.0.touched.set(Some(block));
        Ok(())
    }
}

/// The reason why an operation of the flash failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashError {
    /// The range is not aligned to write units or erase blocks.
    NotAligned,
    /// The range is beyond the end.
    OutOfBounds,
    /// The write would set a bit that only erasing can set. Nothing was written.
    NotErased,
    /// The file system failed.
    File(io::ErrorKind),
}

impl From<io::Error> for FlashError {
    fn from(error: io::Error) -> Self {
        Self::File(error.kind())
    }
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::NotAligned => NorFlashErrorKind::NotAligned,
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            Self::NotErased | Self::File(_) => NorFlashErrorKind::Other,
        }
    }
}

impl ErrorType for FlashFile {
    type Error = FlashError;
}

impl ReadNorFlash for FlashFile {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        check(at, bytes.len(), 1)?;
        Ok(self.file(at)?.read_exact(bytes)?)
    }

    fn capacity(&self) -> usize {
        SIZE
    }
}

impl NorFlash for FlashFile {
    const WRITE_SIZE: usize = UNIT;
    const ERASE_SIZE: usize = BLOCK;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        check(from, (to as usize).checked_sub(from as usize).ok_or(FlashError::OutOfBounds)?, BLOCK)?;
        for at in (from..to).step_by(BLOCK) {
            self.durable.touch(at / BLOCK as u32)?;
            self.file(at)?.write_all(&BLANK)?;
        }
        Ok(())
    }

    async fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), FlashError> {
        check(at, bytes.len(), UNIT)?;
        let mut before = vec![0; bytes.len()];
        self.file(at)?.read_exact(&mut before)?;
        if before.iter().zip(bytes).any(|(before, after)| !before & after != 0) {
            return Err(FlashError::NotErased);
        }
        let (mut at, mut rest) = (at, bytes);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(BLOCK - at as usize % BLOCK));
            self.durable.touch(at / BLOCK as u32)?;
            self.file(at)?.write_all(now)?;
            (at, rest) = (at + now.len() as u32, later);
        }
        Ok(())
    }
}

fn check(at: u32, length: usize, unit: usize) -> Result<(), FlashError> {
    if !(at as usize).is_multiple_of(unit) || !length.is_multiple_of(unit) {
        return Err(FlashError::NotAligned);
    }
    let end = (at as usize).checked_add(length);
    if end.is_some_and(|end| end <= SIZE) { Ok(()) } else { Err(FlashError::OutOfBounds) }
}

#[cfg(test)]
mod tests {
    use embassy_futures::block_on;
    use waft_receiver::seed::{PROVISIONED, Ratchet};

    use super::*;

    /// An address after all data that the tests write.
    const SEED_AT: u32 = (SIZE - 2 * BLOCK) as u32;

    /// A storage with its seed there.
    fn storage() -> Storage {
        let storage = Board::named("mps2").unwrap().storage;
        Storage { seeds: [SEED_AT, SEED_AT + BLOCK as u32], ..storage }
    }

    #[test]
    fn a_storage_lies_in_the_flash() {
        let board = Board::named("mps2").unwrap();
        assert!(crate::board::BOARDS.iter().all(|board| check_fit(board).is_ok()));
        for change in [
            |storage: &mut Storage| storage.seeds[1] += 1,
            |storage: &mut Storage| storage.seeds[0] = SIZE as u32,
            |storage: &mut Storage| storage.settings[0] += 1,
            |storage: &mut Storage| storage.slots.size -= 2,
            |storage: &mut Storage| storage.slots.at = (SIZE - BLOCK) as u32,
            |storage: &mut Storage| storage.size = storage.slots.at,
        ] {
            let mut board = board.clone();
            change(&mut board.storage);
            let error = check_fit(&board).unwrap_err();
            assert!(error.to_string().contains("of flash, in blocks of 4 KiB"), "{error}");
        }
    }

    #[test]
    fn a_board_with_other_erase_blocks_is_only_emulated() {
        check_hosted(Board::named("mps2").unwrap()).unwrap();
        let error = check_hosted(Board::named("virt").unwrap()).unwrap_err().to_string();
        assert!(error.contains("erase blocks of 256 KiB") && error.contains("--qemu"), "{error}");
    }

    #[test]
    fn the_size_of_a_flash_and_of_its_blocks_are_those_of_the_board() {
        let storage = Board::named("virt").unwrap().storage;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flash.bin");
        make(&path, &storage).unwrap();
        assert_eq!(path.metadata().unwrap().len(), 32 << 20);
        let [first, second] = storage.settings.map(|at| at as usize);
        let mut flash = vec![0; 32 << 20];
        std::fs::write(&path, &flash).unwrap();
        erase_settings(&path, &storage).unwrap();
        [first, second].iter().for_each(|at| flash[*at..][..256 << 10].fill(0xFF));
        assert!(std::fs::read(&path).unwrap() == flash, "the two blocks are erased, and nothing else");
    }

    fn flash() -> (tempfile::TempDir, FlashFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flash.bin");
        make(&path, &storage()).unwrap();
        let flash = FlashFile::open(&path).unwrap();
        (folder, flash)
    }

    fn read(flash: &mut FlashFile, at: u32, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        block_on(flash.read(at, &mut bytes)).unwrap();
        bytes
    }

    #[test]
    fn a_new_flash_is_private_and_blank_except_for_a_seed() {
        let (folder, mut flash) = flash();
        let path = folder.path().join("flash.bin");
        assert_eq!(read(&mut flash, 0, SEED_AT as usize), vec![0xFF; SEED_AT as usize]);
        let behind = SEED_AT + PROVISIONED as u32;
        assert_eq!(read(&mut flash, behind, SIZE - behind as usize), vec![0xFF; SIZE - behind as usize]);
        assert_eq!(platform::check_private(&path).unwrap(), Ok(()));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left over");
    }

    #[test]
    fn content_is_kept_when_the_flash_is_opened_again() {
        let (folder, mut flash) = flash();
        block_on(flash.write(8, &[1, 2, 3, 4])).unwrap();
        flash.durable().sync().unwrap();
        drop(flash);
        let path = folder.path().join("flash.bin");
        make(&path, &storage()).unwrap();
        assert_eq!(read(&mut FlashFile::open(&path).unwrap(), 7, 6), [0xFF, 1, 2, 3, 4, 0xFF]);
        std::fs::remove_file(&path).unwrap();
        make(&path, &storage()).unwrap();
        std::fs::write(&path, b"short").unwrap();
        let error = make(&path, &storage()).unwrap_err();
        assert!(error.to_string().contains("is not the flash"), "{error}");
    }

    /// A flash that loses its power after a number of operations.
    struct Interrupted {
        flash: FlashFile,
        operations_left: usize,
    }

    impl Interrupted {
        fn count_operation(&mut self) -> Result<(), FlashError> {
            let left = self.operations_left.checked_sub(1);
            self.operations_left = left.ok_or(FlashError::File(io::ErrorKind::Interrupted))?;
            Ok(())
        }
    }

    impl ErrorType for Interrupted {
        type Error = FlashError;
    }

    impl ReadNorFlash for Interrupted {
        const READ_SIZE: usize = 1;

        async fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
            self.flash.read(at, bytes).await
        }

        fn capacity(&self) -> usize {
            SIZE
        }
    }

    impl NorFlash for Interrupted {
        const WRITE_SIZE: usize = UNIT;
        const ERASE_SIZE: usize = BLOCK;

        async fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
            self.count_operation()?;
            self.flash.erase(from, to).await
        }

        async fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), FlashError> {
            self.count_operation()?;
            self.flash.write(at, bytes).await
        }
    }

    /// Even on a board without a generator of random numbers.
    #[test]
    fn a_first_start_that_is_cut_off_costs_no_seed() {
        let sectors = [SEED_AT, SEED_AT + BLOCK as u32];
        let start = |flash: &mut Interrupted| block_on(Ratchet::new(flash, sectors).advance(&[7; 32], None));
        for operations_left in 0.. {
            let (_folder, flash) = flash();
            let mut flash = Interrupted { flash, operations_left };
            let first = start(&mut flash);
            flash.operations_left = usize::MAX;
            let second = start(&mut flash).expect("the seed is there");
            assert_ne!(first.as_ref(), Ok(&second), "{operations_left}");
            if first.is_ok() {
                assert!(operations_left > 0, "a start writes");
                return;
            }
        }
    }

    #[test]
    fn programming_only_clears_bits() {
        let (_folder, mut flash) = flash();
        block_on(flash.write(0, &[0xF0; 4])).unwrap();
        block_on(flash.write(0, &[0x30; 4])).unwrap();
        assert_eq!(block_on(flash.write(0, &[0x31, 0, 0, 0])), Err(FlashError::NotErased));
        assert_eq!(read(&mut flash, 0, 8), [0x30, 0x30, 0x30, 0x30, 0xFF, 0xFF, 0xFF, 0xFF]);
        // The first block could be written, the second could not.
        let end = BLOCK as u32;
        block_on(flash.write(end, &[0; 4])).unwrap();
        assert_eq!(block_on(flash.write(end - 4, &[7; 8])), Err(FlashError::NotErased));
        assert_eq!(read(&mut flash, end - 4, 8), [0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0], "nothing was written");
    }

    #[test]
    fn erasing_sets_the_bits_of_whole_blocks() {
        let (_folder, mut flash) = flash();
        let block = BLOCK as u32;
        for at in [0, block - 4, block, 2 * block, 3 * block - 4, 3 * block] {
            block_on(flash.write(at, &[0; 4])).unwrap();
        }
        block_on(flash.erase(block, 3 * block)).unwrap();
        assert_eq!(read(&mut flash, block, 2 * BLOCK), [0xFF; 2 * BLOCK]);
        assert_eq!(read(&mut flash, 0, 4), [0; 4]);
        assert_eq!(read(&mut flash, 3 * block, 4), [0; 4]);
    }

    #[test]
    fn bounds_and_alignment_are_checked() {
        let (_folder, mut flash) = flash();
        let (end, block) = (SIZE as u32, BLOCK as u32);
        for (at, length, error) in [
            (2, 4, FlashError::NotAligned),
            (0, 3, FlashError::NotAligned),
            (end, 4, FlashError::OutOfBounds),
            (u32::MAX - 3, 4, FlashError::OutOfBounds),
        ] {
            assert_eq!(block_on(flash.write(at, &vec![0; length])), Err(error), "{at}, {length}");
        }
        for (from, to, error) in [
            (4, block, FlashError::NotAligned),
            (0, block + 4, FlashError::NotAligned),
            (block, 0, FlashError::OutOfBounds),
            (end, end + block, FlashError::OutOfBounds),
        ] {
            assert_eq!(block_on(flash.erase(from, to)), Err(error), "{from}..{to}");
        }
        assert_eq!(block_on(flash.read(end - 1, &mut [0; 2])), Err(FlashError::OutOfBounds));
        assert_eq!(read(&mut flash, 0, SEED_AT as usize), vec![0xFF; SEED_AT as usize]);
    }

    #[test]
    fn blocks_become_durable_one_after_the_other() {
        let (_folder, mut flash) = flash();
        let touched = |flash: &FlashFile| flash.durable.0.touched.get();
        block_on(flash.erase(0, 2 * BLOCK as u32)).unwrap();
        assert_eq!(touched(&flash), Some(1), "the first is durable already");
        block_on(flash.write(BLOCK as u32, &[0; 8])).unwrap();
        assert_eq!(touched(&flash), Some(1));
        flash.durable().sync().unwrap();
        assert_eq!(touched(&flash), None);
    }
}
