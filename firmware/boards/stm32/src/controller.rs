//! The flash controller of the STM32H5: reads, writes and erasures, and the interrupt that a torn word raises.

use core::arch::asm;
use core::ptr;

use cortex_m::asm::{dsb, isb};
use cortex_m::peripheral::SCB;
use cortex_m_rt::exception;
use embassy_stm32::flash::{Blocking, Flash};
use embassy_stm32::pac;
use embassy_stm32::pac::flash::vals::OptcrSwapBank;
use waft_stm32::ecc::{Detected, Record};
use waft_stm32::flash::{Chip, ERASE, READ, Refused, WRITE};
use waft_stm32::region::FLASH;

use crate::faults::end;

/// Torn words, as the interrupt's handler notes them.
pub(crate) static TORN: Record = Record::new();

/// In CCR: while faults are masked, a fault of the bus is not taken.
const IGNORE_BUS_FAULTS: u32 = 1 << 8;
/// In CFSR: faults of the bus.
const BUS_FAULTS: u32 = 0xFF00;

/// The controller.
pub(crate) struct Controller(Flash<'static, Blocking>);

impl Controller {
    /// Takes the flash over. The map of a board holds for banks in their order.
    pub(crate) fn new(flash: Flash<'static, Blocking>) -> Self {
        let order = pac::FLASH.optcr().read().swap_bank();
        assert!(order == OptcrSwapBank::B_0X0, "the option byte SWAP_BANK is set; this firmware needs it clear");
        Self(flash)
    }
}

impl Chip for Controller {
    fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), Refused> {
        // The controller keeps the first address only, and only when the flag of corrected errors is clear too.
        pac::FLASH.ecccorr().modify(|errors| errors.set_eccc(true));
        let (words, _) = bytes.as_chunks_mut::<READ>();
        without_bus_faults(|| {
            for (word, address) in words.iter_mut().zip((FLASH + at..).step_by(READ)) {
                // SAFETY: the flash is mapped there, `Flash` has checked that it is within it and aligned, and any bytes are
                // a u32. Volatile: it is written behind the compiler's back.
                *word = unsafe { ptr::read_volatile(address as *const u32) }.to_ne_bytes();
            }
        })
    }

    fn write(&mut self, at: u32, unit: &[u8; WRITE]) -> Result<(), Refused> {
        clear_errors();
        self.0.blocking_write(at, unit).map_err(|_| Refused)?;
        succeeded()
    }

    fn erase(&mut self, at: u32) -> Result<(), Refused> {
        clear_errors();
        self.0.blocking_erase(at, at + ERASE as u32).map_err(|_| Refused)?;
        succeeded()
    }
}

/// Clears what an earlier operation left. embassy-stm32 0.6.0 does not: it writes to the status, which this controller ignores.
fn clear_errors() {
    pac::FLASH.nsccr().write(|clear| {
        clear.set_clr_eop(true);
        clear.set_clr_wrperr(true);
        clear.set_clr_pgserr(true);
        clear.set_clr_strberr(true);
        clear.set_clr_incerr(true);
        clear.set_clr_obkerr(true);
        clear.set_clr_obkwerr(true);
        clear.set_clr_optchangeerr(true);
    });
}

/// Waits for the end of an operation, and looks at the errors, of which embassy-stm32 0.6.0 leaves one out.
fn succeeded() -> Result<(), Refused> {
    let status = loop {
        let status = pac::FLASH.nssr().read();
        if !status.bsy() && !status.dbne() {
            break status;
        }
    };
    match status.wrperr() || status.pgserr() || status.strberr() || status.incerr() {
        true => Err(Refused),
        false => Ok(()),
    }
}

/// Reads memory so that a fault of the bus is an error, and not the end. The chip's manual promises an interrupt for a torn word,
/// and no fault; if some revision faults all the same, a board must not start over for ever.
fn without_bus_faults(read: impl FnOnce()) -> Result<(), Refused> {
    // SAFETY: the address is that of the core's own registers. Nobody else changes these bits: the handlers of faults only read
    // them, and what masks faults masks all interrupts but the non-maskable, which does not either.
    let control = unsafe { &*SCB::PTR };
    // SAFETY: masks interrupts and faults until the end of this function, which does not return in between.
    unsafe {
        control.ccr.modify(|flags| flags | IGNORE_BUS_FAULTS);
        asm!("cpsid f", "isb");
    }
    read();
    // Until all that was read is here, and the interrupts that it raised were served.
    dsb();
    let faults = control.cfsr.read() & BUS_FAULTS;
    // Takes as long as the interrupt may take to come.
    let _ = pac::FLASH.eccdetr().read();
    dsb();
    isb();
    // SAFETY: as above, in reverse. Flags of faults are cleared by writing them.
    unsafe {
        control.cfsr.write(faults);
        control.ccr.modify(|flags| flags & !IGNORE_BUS_FAULTS);
        asm!("cpsie f", "isb");
    }
    if faults == 0 { Ok(()) } else { Err(Refused) }
}

/// A torn word was read. One of the storage is noted for who reads it; any other means that the program itself is damaged.
#[exception]
unsafe fn NonMaskableInt() {
    match Detected::decode(pac::FLASH.eccdetr().read().0) {
        Some(Detected::Storage { at }) => {
            TORN.note(at);
            pac::FLASH.eccdetr().write(|errors| errors.set_eccd(true));
        }
        Some(damage) => {
            pac::FLASH.eccdetr().write(|errors| errors.set_eccd(true));
            end(format_args!("the flash is damaged: {damage:X?}"));
        }
        // It came late, for a word that was dealt with already.
        None => {}
    }
}
