//! The flash that holds seed, slots and settings, and the identity image beside the firmware.
//!
//! The flash is the second bank of the machine's. The first one stays empty: the machine would start from it.

use core::ops::Range;

use embedded_storage_async::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use static_cell::StaticCell;
use waft_board::emulator::identity;
use waft_receiver::identity::{Identity, IdentityError};

use super::cfi::{Bus, Cfi, CfiError};

const BASE: usize = 0x2200_0000;

/// The second bank of the machine's flash.
#[derive(Debug)]
pub struct Bank(());

impl Bus for Bank {
    const SIZE: usize = 32 << 20;

    fn read(&mut self, word: usize) -> u32 {
        assert!(word < Self::SIZE / 4, "a word of the bank");
        // SAFETY: the bank is at these addresses, and nothing else accesses it.
        unsafe { (BASE as *const u32).add(word).read_volatile() }
    }

    fn write(&mut self, word: usize, value: u32) {
        assert!(word < Self::SIZE / 4, "a word of the bank");
        // SAFETY: as in `read`. A command changes no memory but the bank's.
        unsafe { (BASE as *mut u32).add(word).write_volatile(value) };
    }

    fn read_bytes(&mut self, offset: usize, bytes: &mut [u8]) {
        assert!(offset <= Self::SIZE && bytes.len() <= Self::SIZE - offset, "bytes of the bank");
        // SAFETY: as in `read`. The content of the bank does not change while the slice exists.
        bytes.copy_from_slice(unsafe { core::slice::from_raw_parts((BASE + offset) as *const u8, bytes.len()) });
    }
}

/// The flash of the board. A bank that this driver does not know fails each operation.
#[derive(Debug)]
pub struct Flash(Result<Cfi<Bank>, CfiError>);

/// Opens the flash. Call it once.
pub(crate) fn flash() -> Flash {
    static IS_TAKEN: StaticCell<()> = StaticCell::new();
    IS_TAKEN.init(());
    let bank = Cfi::new(Bank(()));
    if bank.is_err() {
        defmt::error!("the second bank of flash is missing, or has another geometry");
    }
    Flash(bank)
}

impl Flash {
    fn bank(&mut self) -> Result<&mut Cfi<Bank>, CfiError> {
        self.0.as_mut().map_err(|error| *error)
    }
}

impl ErrorType for Flash {
    type Error = CfiError;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = Cfi::<Bank>::READ_SIZE;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), CfiError> {
        self.bank()?.read(offset, bytes).await
    }

    fn capacity(&self) -> usize {
        Bank::SIZE
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = Cfi::<Bank>::WRITE_SIZE;
    const ERASE_SIZE: usize = Cfi::<Bank>::ERASE_SIZE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), CfiError> {
        self.bank()?.erase(from, to).await
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), CfiError> {
        self.bank()?.write(offset, bytes).await
    }
}

/// Parses the identity image at these addresses, which the emulator loads. Call it once.
pub(crate) fn identity(at: Range<u32>) -> Result<&'static Identity, IdentityError> {
    // SAFETY: the image is in memory that the linker does not use, and nothing writes to it while the firmware runs.
    unsafe { identity::parse(at) }
}
