//! Services of the emulator by semihosting: random numbers and files of the host, and the end of the emulation.
//!
//! The emulated boards have no random number generator. The calls are those of Arm IHI 0100 (semihosting), section 7.

use core::ffi::CStr;

use cortex_m_semihosting::nr::open;
use cortex_m_semihosting::{debug, syscall};
use waft_receiver::entropy::Trng;

/// The host's random device as a random number generator.
#[derive(Debug)]
pub struct HostRandom;

/// The result of a call that failed.
const FAILED: usize = usize::MAX;

impl Trng for HostRandom {
    async fn fill(&mut self, bytes: &mut [u8]) -> bool {
        let Some(device) = HostFile::open(c"/dev/urandom", Access::Read) else { return false };
        let is_filled = device.read(bytes);
        device.close();
        is_filled
    }
}

/// What a file of the host is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only for reading.
    Read,
    /// For reading and writing. The file must exist.
    Write,
}

/// An open file of the host. It is not closed when it is dropped.
#[derive(Debug)]
pub struct HostFile(usize);

impl HostFile {
    /// Opens the file with this path, relative to the folder in which the emulator runs.
    pub fn open(path: &CStr, access: Access) -> Option<Self> {
        let mode = match access {
            Access::Read => open::R_BINARY,
            Access::Write => open::RW_BINARY,
        };
        // SAFETY: the call only reads the path, of this length without the terminating zero.
        let handle = unsafe { syscall!(OPEN, path.as_ptr(), mode, path.count_bytes()) };
        (handle != FAILED).then_some(Self(handle))
    }

    /// The length of the file, in bytes.
    pub fn size(&self) -> Option<usize> {
        // SAFETY: the call only reads its arguments.
        let size = unsafe { syscall!(FLEN, self.0) };
        (size != FAILED).then_some(size)
    }

    /// Moves to this offset. Returns `false` if that fails.
    pub fn seek(&self, offset: u32) -> bool {
        // SAFETY: the call only reads its arguments.
        unsafe { syscall!(SEEK, self.0, offset) == 0 }
    }

    /// Reads bytes from the current offset. Returns `false` if not all of them could be read.
    pub fn read(&self, bytes: &mut [u8]) -> bool {
        // SAFETY: the call writes at most as many bytes as the buffer has, and returns the number that is missing.
        unsafe { syscall!(READ, self.0, bytes.as_mut_ptr(), bytes.len()) == 0 }
    }

    /// Writes bytes at the current offset. Returns `false` if not all of them could be written.
    pub fn write(&self, bytes: &[u8]) -> bool {
        // SAFETY: the call only reads the bytes, and returns the number of those that it did not write.
        unsafe { syscall!(WRITE, self.0, bytes.as_ptr(), bytes.len()) == 0 }
    }

    /// Closes the file.
    pub fn close(self) {
        // SAFETY: the call closes the handle, which nothing uses any more.
        unsafe { syscall!(CLOSE, self.0) };
    }
}

/// Ends the emulator with an exit code that reports a failure.
pub fn exit_with_failure() {
    debug::exit(debug::EXIT_FAILURE);
}
