//! The registers of the devices.

use waft_board::emulator::Registers;

use super::machine;

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
