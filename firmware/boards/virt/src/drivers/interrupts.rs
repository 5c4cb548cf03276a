//! Interrupts and exceptions.
//!
//! ```text
//! device ──► PLIC, source by source ──► MachineExternal ──► the device's handler
//! timer ──► MachineTimer ──► timer::on_alarm
//! exception ──► _pre_default_start_trap, on a fresh stack ──► waft_board::failure::fault
//! ```
//!
//! riscv-rt enters interrupts. The PLIC is the platform-level interrupt controller: RISC-V PLIC Specification, section 3.

use core::arch::naked_asm;

use riscv::interrupt::Interrupt;
use riscv::register::{mepc, mie};
use riscv_rt::core_interrupt;
use waft_board::emulator::{Registers, console, ethernet};
use waft_board::failure;

use super::uart::Uart;
use super::{ethernet as network, timer};

// SAFETY: on this machine the PLIC is at this address, and none of its registers changes memory.
const PRIORITY: Registers = unsafe { Registers::at(0x0C00_0000) };
// SAFETY: as above. These are the registers of hart 0 in machine mode.
const ENABLED: Registers = unsafe { Registers::at(0x0C00_2000) };
// SAFETY: as above.
const CONTEXT: Registers = unsafe { Registers::at(0x0C20_0000) };

const THRESHOLD: usize = 0;
const CLAIM: usize = 4;

/// A source of interrupts. All of this firmware have numbers below 32.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// The device in this slot for VirtIO.
    Virtio(u32),
    Uart,
}

const UART: u32 = 10;

impl Source {
    fn number(self) -> u32 {
        match self {
            Self::Virtio(slot) => slot + 1,
            Self::Uart => UART,
        }
    }

    /// Enables the interrupt. The caller has set up what the handler uses.
    pub(super) fn enable(self) {
        critical_section::with(|_| {
            PRIORITY.write(4 * self.number() as usize, 1);
            ENABLED.write(0, ENABLED.read(0) | 1 << self.number());
            CONTEXT.write(THRESHOLD, 0);
        });
        // SAFETY: no code relies on an interrupt that stays masked.
        unsafe { mie::set_mext() };
    }
}

/// Enables the timer's interrupt.
pub(super) fn enable_timer() {
    // SAFETY: as in `Source::enable`.
    unsafe { mie::set_mtimer() };
}

#[core_interrupt(Interrupt::MachineExternal)]
unsafe fn on_external() {
    loop {
        let number = CONTEXT.read(CLAIM);
        match number {
            0 => return,
            UART => {
                console::on_received::<Uart>();
                console::on_sent::<Uart>();
            }
            _ => {
                network::acknowledge();
                ethernet::on_interrupt();
            }
        }
        CONTEXT.write(CLAIM, number);
    }
}

#[core_interrupt(Interrupt::MachineTimer)]
unsafe fn on_timer() {
    if timer::on_alarm() {
        failure::hang(mepc::read());
    }
}

/// Handles exceptions before riscv-rt stores registers on the stack, on which there may be no room. No exception returns, so
/// the stack begins at its top again.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _pre_default_start_trap() {
    naked_asm!(
        "csrw mscratch, t0",
        "csrr t0, mcause",
        "bltz t0, 1f",
        "mv a0, sp",
        "la sp, _stack_start",
        "j {on_exception}",
        "1: csrr t0, mscratch",
        "j _pre_default_start_trap_ret",
        on_exception = sym on_exception,
    )
}

extern "C" fn on_exception(stack_pointer: usize) -> ! {
    failure::fault(mepc::read(), stack_pointer)
}
