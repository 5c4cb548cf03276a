//! The storages of the board: a file of the host for the seed and the slots, and the identity image in the chip's flash.

use core::ops::Range;

use static_cell::StaticCell;
use waft_board::emulator::identity;
use waft_board::emulator::semihosting::{Access, HostFile};
use waft_receiver::identity::{Identity, IdentityError};

use super::nor::{Bytes, Nor};

/// The file, in the folder in which the emulator runs.
const FILE: &core::ffi::CStr = c"flash.bin";

/// The flash of the board: a file of the host.
pub type Flash = Nor<File>;

/// A file of the host as a storage of bytes. Without a file it has no bytes.
#[derive(Debug)]
pub struct File {
    handle: Option<HostFile>,
    size: usize,
}

/// Opens the flash. Call it once.
pub fn flash() -> Flash {
    static IS_TAKEN: StaticCell<()> = StaticCell::new();
    IS_TAKEN.init(());
    let handle = HostFile::open(FILE, Access::Write);
    let size = handle.as_ref().and_then(HostFile::size).unwrap_or(0);
    Nor::new(File { handle, size })
}

impl Bytes for File {
    fn size(&self) -> usize {
        self.size
    }

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> bool {
        self.handle.as_ref().is_some_and(|file| file.seek(offset) && file.read(bytes))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> bool {
        self.handle.as_ref().is_some_and(|file| file.seek(offset) && file.write(bytes))
    }
}

/// Parses the identity image at these addresses, which the emulator loads. Call it once.
pub fn identity(at: Range<u32>) -> Result<&'static Identity, IdentityError> {
    // SAFETY: the image is in flash that the linker does not use, and nothing writes to it while the firmware runs.
    unsafe { identity::parse(at) }
}
