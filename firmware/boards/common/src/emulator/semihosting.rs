//! Services of the emulator by semihosting: random numbers and files of the host, and the end of the emulation.
//!
//! The emulated boards have no random number generator. The calls are those of Arm IHI 0100 (semihosting), section 7, which
//! RISC-V has adopted.

use core::ffi::CStr;

use waft_receiver::entropy::Trng;

use crate::arch;

/// The host's random device as a random number generator.
#[derive(Debug)]
pub struct HostRandom;

/// The numbers of the operations.
const OPEN: usize = 0x01;
const CLOSE: usize = 0x02;
const WRITE_BYTE: usize = 0x03;
const WRITE: usize = 0x05;
const READ: usize = 0x06;
const SEEK: usize = 0x0A;
const FLEN: usize = 0x0C;
const EXIT: usize = 0x18;

/// `OPEN`: the modes `rb` and `r+b`.
const READ_BINARY: usize = 1;
const UPDATE_BINARY: usize = 3;
/// `EXIT`: the program failed.
const RUN_TIME_ERROR: usize = 0x20023;

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
            Access::Read => READ_BINARY,
            Access::Write => UPDATE_BINARY,
        };
        // SAFETY: the call only reads the path, of this length without the terminating zero.
        let handle = unsafe { call(OPEN, [path.as_ptr() as usize, mode, path.count_bytes()]) };
        (handle != FAILED).then_some(Self(handle))
    }

    /// The length of the file, in bytes.
    pub fn size(&self) -> Option<usize> {
        // SAFETY: the call only reads its arguments.
        let size = unsafe { call(FLEN, [self.0]) };
        (size != FAILED).then_some(size)
    }

    /// Moves to this offset. Returns `false` if that fails.
    pub fn seek(&self, offset: u32) -> bool {
        // SAFETY: the call only reads its arguments.
        unsafe { call(SEEK, [self.0, offset as usize]) == 0 }
    }

    /// Reads bytes from the current offset. Returns `false` if not all of them could be read.
    pub fn read(&self, bytes: &mut [u8]) -> bool {
        // SAFETY: the call writes at most as many bytes as the buffer has, and returns the number that is missing.
        unsafe { call(READ, [self.0, bytes.as_mut_ptr() as usize, bytes.len()]) == 0 }
    }

    /// Writes bytes at the current offset. Returns `false` if not all of them could be written.
    pub fn write(&self, bytes: &[u8]) -> bool {
        // SAFETY: the call only reads the bytes, and returns the number of those that it did not write.
        unsafe { call(WRITE, [self.0, bytes.as_ptr() as usize, bytes.len()]) == 0 }
    }

    /// Closes the file.
    pub fn close(self) {
        // SAFETY: the call closes the handle, which nothing uses any more.
        unsafe { call(CLOSE, [self.0]) };
    }
}

/// Writes bytes to the console of semihosting, which is not the console of the board.
pub fn write_output(bytes: &[u8]) {
    for byte in bytes {
        // SAFETY: the call only reads the byte.
        unsafe { arch::call_host(WRITE_BYTE, &raw const *byte as usize) };
    }
}

/// Ends the emulator with an exit code that reports a failure.
pub fn exit_with_failure() {
    // SAFETY: the parameter of this call is a value.
    unsafe { arch::call_host(EXIT, RUN_TIME_ERROR) };
}

/// Calls the host with a block of arguments.
///
/// # Safety
/// The host may access the memory to which the arguments refer, as this operation does.
unsafe fn call<const N: usize>(operation: usize, arguments: [usize; N]) -> usize {
    // SAFETY: the block of arguments outlives the call, and the caller promises the rest.
    unsafe { arch::call_host(operation, &raw const arguments as usize) }
}
