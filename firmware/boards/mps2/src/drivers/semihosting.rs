//! Services of the emulator by semihosting: random numbers from the host, and the end of the emulation.
//!
//! The board has no random number generator. The calls are those of Arm IHI 0100 (semihosting), sections 7.3 and 7.14.

use cortex_m_semihosting::{debug, syscall};
use waft_receiver::entropy::Trng;

/// The host's random device as a random number generator.
#[derive(Debug)]
pub struct HostRandom;

const DEVICE: &[u8] = b"/dev/urandom\0";
/// The mode `rb` of an open call.
const BINARY: usize = 1;
/// The result of a call that failed.
const FAILED: usize = usize::MAX;

impl Trng for HostRandom {
    async fn fill(&mut self, bytes: &mut [u8]) -> bool {
        // SAFETY: the call only reads the name, of this length without the terminating zero.
        let device = unsafe { syscall!(OPEN, DEVICE.as_ptr(), BINARY, DEVICE.len() - 1) };
        if device == FAILED {
            return false;
        }
        // SAFETY: the call writes at most as many bytes as the buffer has.
        let missing = unsafe { syscall!(READ, device, bytes.as_mut_ptr(), bytes.len()) };
        // SAFETY: the call closes the handle that was opened above.
        unsafe { syscall!(CLOSE, device) };
        missing == 0
    }
}

/// Ends the emulator with an exit code that reports a failure.
pub(crate) fn exit_with_failure() {
    debug::exit(debug::EXIT_FAILURE);
}
