//! The flash controller of the STM32H5: reads, writes and erasures, and the interrupt that a torn word raises.

use core::ptr;

use cortex_m::asm::{dsb, isb};
use cortex_m_rt::exception;
use embassy_stm32::flash::{Blocking, Flash};
use embassy_stm32::pac;
use embassy_stm32::pac::flash::vals::OptcrSwapBank;
use waft_stm32::ecc::{Detected, Record};
use waft_stm32::flash::{Chip, ERASE, READ, Refused, WRITE};
use waft_stm32::region::FLASH;

use crate::MAP;
use crate::faults::end;

/// Torn words, as the interrupt's handler notes them.
pub(crate) static TORN: Record = Record::new();

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
        let (words, _) = bytes.as_chunks_mut::<READ>();
        for (word, address) in words.iter_mut().zip((FLASH + at..).step_by(READ)) {
            // SAFETY: the flash is mapped there, `Flash` has checked that it is within it and aligned, and any bytes
            // are a u32. Volatile: it is written behind the compiler's back.
            *word = unsafe { ptr::read_volatile(address as *const u32) }.to_ne_bytes();
        }
        settle();
        Ok(())
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

/// Clears what an earlier operation left. embassy-stm32 0.6.0 does not: it writes to the status, which this controller
/// ignores.
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

/// Waits until all that was read is here, and the interrupts that it raised were served.
fn settle() {
    dsb();
    // A register of the controller, behind the reads: its answer takes as long as an interrupt of the controller.
    let _ = pac::FLASH.eccdetr().read();
    dsb();
    isb();
}

/// A torn word was read, which the core learns of by this interrupt and by no fault. One of the storage is noted for
/// who reads it; any other means that the program itself is damaged.
#[exception]
unsafe fn NonMaskableInt() {
    match Detected::decode(pac::FLASH.eccdetr().read().0, MAP.bank) {
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
