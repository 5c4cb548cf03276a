//! What the emulator gives a program that asks: its host's random numbers, and its own end.
//!
//! The board has no generator. Arm IHI 0100 (semihosting), sections 7.3 and 7.14.

use cortex_m_semihosting::{debug, syscall};
use waft_receiver::entropy::Trng;

/// The host's random device, as a generator.
#[derive(Debug)]
pub struct HostRandom;

const DEVICE: &[u8] = b"/dev/urandom\0";
/// Open as `rb`.
const BINARY: usize = 1;
/// What failed calls return.
const FAILED: usize = usize::MAX;

impl Trng for HostRandom {
    async fn fill(&mut self, bytes: &mut [u8]) -> bool {
        // SAFETY: the call reads the name, and its length without the zero, which live as long as it takes.
        let device = unsafe { syscall!(OPEN, DEVICE.as_ptr(), BINARY, DEVICE.len() - 1) };
        if device == FAILED {
            return false;
        }
        // SAFETY: the call writes at most that many bytes, and the buffer has them.
        let missing = unsafe { syscall!(READ, device, bytes.as_mut_ptr(), bytes.len()) };
        // SAFETY: the call ends what was opened above.
        unsafe { syscall!(CLOSE, device) };
        missing == 0
    }
}

/// Ends the emulator, with an exit code that says that it failed.
pub(crate) fn fail() {
    debug::exit(debug::EXIT_FAILURE);
}
