//! What boards that QEMU emulates share beside that: drivers and services that work on any of its machines.
//!
//! | module | content |
//! |---|---|
//! | `console`, `log` | the operator's console, and the log, on two lines |
//! | `executor` | runs tasks, lets the core sleep while none is ready, and measures the load |
//! | `ethernet` | a driver for embassy-net, from a controller |
//! | [`nor`] | the rules of NOR flash; tested on a host |
//! | `guard` | detects stack overflows on cores of ARMv7-M |
//! | `identity` | the identity image, which the emulator loads |
//! | `failure` | prints failures, and ends the emulator if restarts do not help |
//! | `semihosting` | random numbers and files of the host, and the end of the emulator |
//! | `trials` | failures on command, for tests |
//!
//! A board provides its UARTs ([`Uart`]), a counter of time (`executor::Counter`), and the addresses of its devices
//! ([`Registers`]).

#[cfg(target_os = "none")]
pub mod console;
#[cfg(target_os = "none")]
pub mod ethernet;
#[cfg(target_os = "none")]
pub mod executor;
#[cfg(target_os = "none")]
pub mod failure;
#[cfg(all(target_os = "none", target_arch = "arm"))]
pub mod guard;
#[cfg(target_os = "none")]
pub mod identity;
#[cfg(target_os = "none")]
pub mod log;
pub mod nor;
#[cfg(target_os = "none")]
pub mod semihosting;
#[cfg(target_os = "none")]
pub mod trials;

/// A device's registers, 32 bits each.
#[derive(Clone, Copy, Debug)]
pub struct Registers(usize);

impl Registers {
    /// The registers of the device at `address`.
    ///
    /// # Safety
    /// A device of at least 4 KiB has to be at `address`, and nothing it does may break Rust's memory model.
    pub const unsafe fn at(address: usize) -> Self {
        Self(address)
    }

    /// Reads the register at `offset`.
    pub fn read(self, offset: usize) -> u32 {
        debug_assert!(offset < 0x1000 && offset.is_multiple_of(4));
        // SAFETY: the caller of `at` promised that there is a device.
        unsafe { ((self.0 + offset) as *const u32).read_volatile() }
    }

    /// Writes the register at `offset`.
    pub fn write(self, offset: usize, value: u32) {
        debug_assert!(offset < 0x1000 && offset.is_multiple_of(4));
        // SAFETY: as in `read`.
        unsafe { ((self.0 + offset) as *mut u32).write_volatile(value) }
    }
}

/// How many times a full transmitter is polled before a byte is dropped. This is long enough for the slowest line, and
/// ends the wait if the other side reads nothing.
const WRITE_ATTEMPTS: u32 = 1_000_000;

/// An interrupt of a UART.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UartInterrupt {
    /// A byte was received.
    Received,
    /// The transmitter has room for a byte.
    Sent,
}

/// A UART.
pub trait Uart: Copy {
    /// The UART of the console.
    const CONSOLE: Self;

    /// Turns on the UART, with its interrupts disabled.
    fn start(self);

    /// Enables the UART's interrupts in the interrupt controller.
    fn unmask(self);

    /// Reads a received byte, if there is one.
    fn read(self) -> Option<u8>;

    /// Sends a byte. Returns `false` if the transmitter is full.
    fn try_write(self, byte: u8) -> bool;

    /// Enables or disables an interrupt. Called only with interrupts disabled or from a handler of this UART, because
    /// both interrupts may share a register.
    fn set_enabled(self, interrupt: UartInterrupt, is_enabled: bool);

    /// Clears an interrupt.
    fn clear(self, interrupt: UartInterrupt);

    /// Sends bytes, and polls while the transmitter is full.
    fn write_all(self, bytes: &[u8]) {
        for byte in bytes {
            let _ = (0..WRITE_ATTEMPTS).any(|_| self.try_write(*byte));
        }
    }
}
