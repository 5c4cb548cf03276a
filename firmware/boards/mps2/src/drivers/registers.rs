//! The devices, and access to their registers.

use super::machine;

/// A device's registers, 32 bits each.
#[derive(Clone, Copy)]
pub(crate) struct Registers(usize);

// SAFETY: on each machine there is a device at this address, and none of its registers changes memory.
pub(crate) const TIMER0: Registers = unsafe { Registers::at(machine::TIMER0) };
// SAFETY: as above.
pub(crate) const TIMER1: Registers = unsafe { Registers::at(machine::TIMER1) };
// SAFETY: as above.
pub(crate) const UART0: Registers = unsafe { Registers::at(machine::UART0) };
// SAFETY: as above.
pub(crate) const UART1: Registers = unsafe { Registers::at(machine::UART1) };
// SAFETY: as above.
pub(crate) const WATCHDOG: Registers = unsafe { Registers::at(machine::WATCHDOG) };
// SAFETY: as above.
pub(crate) const LAN9118: Registers = unsafe { Registers::at(machine::LAN9118) };

/// The clock of the devices, in ticks of a timer per microsecond.
pub(crate) const TICKS_A_MICROSECOND: u32 = machine::CLOCK_MHZ;

impl Registers {
    /// # Safety
    /// A device of at least 4 KiB has to be at `address`, and nothing it does may break Rust's memory model.
    const unsafe fn at(address: usize) -> Self {
        Self(address)
    }

    /// Reads the register at `offset`.
    pub(crate) fn read(self, offset: usize) -> u32 {
        debug_assert!(offset < 0x1000 && offset.is_multiple_of(4));
        // SAFETY: the caller of `at` promised that there is a device.
        unsafe { ((self.0 + offset) as *const u32).read_volatile() }
    }

    /// Writes the register at `offset`.
    pub(crate) fn write(self, offset: usize, value: u32) {
        debug_assert!(offset < 0x1000 && offset.is_multiple_of(4));
        // SAFETY: as in `read`.
        unsafe { ((self.0 + offset) as *mut u32).write_volatile(value) }
    }
}
