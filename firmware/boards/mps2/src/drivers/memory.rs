//! The memories of the emulator that stand for flash: the PSRAM, which a file backs, and the identity image beside the
//! firmware.

use core::ops::Range;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use static_cell::StaticCell;
use waft_board::emulator::identity;
use waft_receiver::identity::{Identity, IdentityError};
use waft_receiver::slots::File;

use super::machine;
use super::nor::Nor;

/// The 16 MiB of PSRAM that serve as this board's flash.
const PSRAM: (*mut u8, usize) = (machine::FLASH as *mut u8, 16 << 20);

/// The flash. Call it once.
pub(crate) fn flash() -> Nor {
    static IS_TAKEN: StaticCell<()> = StaticCell::new();
    IS_TAKEN.init(());
    // SAFETY: the PSRAM is at this address, the linker does not use it, and the `StaticCell` ensures that this runs
    // only once.
    Nor::new(unsafe { core::slice::from_raw_parts_mut(PSRAM.0, PSRAM.1) })
}

/// The content of a file, read in place. It borrows the file, and with it the file's lease.
pub fn mapped<'a>(file: &'a File<'_, NoopRawMutex, Nor>) -> &'a [u8] {
    let Range { start, end } = file.range();
    // SAFETY: the only `Nor` is the one over the PSRAM, so these are bytes of a file in it. Nothing writes to them as
    // long as the file exists, because it holds a lease on its slot, and `Nor` makes slices of the bytes that it changes
    // only.
    unsafe { core::slice::from_raw_parts(PSRAM.0.add(start as usize), (end - start) as usize) }
}

/// Parses the identity image at these addresses, which the emulator loads. Call it once.
pub(crate) fn identity(at: Range<u32>) -> Result<&'static Identity, IdentityError> {
    // SAFETY: the image is in memory that the linker does not use, and nothing writes to it while the firmware runs.
    unsafe { identity::parse(at) }
}
