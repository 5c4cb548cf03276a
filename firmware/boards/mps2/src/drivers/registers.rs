//! The addresses of the devices, and access to their registers.
//!
//! Addresses: Arm DAI 0386 (application note AN386), section 3; QEMU's `hw/arm/mps2.c` follows it.

/// A device's registers, 32 bits each.
#[derive(Clone, Copy)]
pub(crate) struct Registers(usize);

// SAFETY: on this board there is a device at this address, and none of its registers changes memory.
pub(crate) const TIMER0: Registers = unsafe { Registers::at(0x4000_0000) };
// SAFETY: as above.
pub(crate) const TIMER1: Registers = unsafe { Registers::at(0x4000_1000) };
// SAFETY: as above.
pub(crate) const UART0: Registers = unsafe { Registers::at(0x4000_4000) };
// SAFETY: as above.
pub(crate) const UART1: Registers = unsafe { Registers::at(0x4000_5000) };
// SAFETY: as above.
pub(crate) const WATCHDOG: Registers = unsafe { Registers::at(0x4000_8000) };
// SAFETY: as above.
pub(crate) const LAN9118: Registers = unsafe { Registers::at(0x4020_0000) };

/// The clock of the devices, in ticks of a timer per microsecond.
pub(crate) const TICKS_A_MICROSECOND: u32 = 25;

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
