//! Resets the machine, by the device that QEMU calls "SiFive test".

use waft_board::emulator::Registers;

// SAFETY: on this machine there is a device at this address, and its register changes no memory.
const TEST: Registers = unsafe { Registers::at(0x0010_0000) };
/// Resets the machine.
const RESET: u32 = 0x7777;

#[unsafe(no_mangle)]
fn _waft_restart() -> ! {
    TEST.write(0, RESET);
    // The emulator resets the machine a moment later.
    loop {
        core::hint::spin_loop();
    }
}
