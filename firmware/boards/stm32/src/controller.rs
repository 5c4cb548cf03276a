//! The flash controller of the STM32H5: reads, writes and erases, and the interrupt that a torn word raises.

use core::ptr;

use cortex_m::asm::{dsb, isb};
use cortex_m_rt::exception;
use embassy_stm32::flash::{Blocking, Flash};
use embassy_stm32::pac;
use embassy_stm32::pac::flash::vals::OptcrSwapBank;
use waft_board::failure::reset;
use waft_board::report::Cause;
use waft_stm32::ecc::{Detected, Record};
use waft_stm32::flash::{Chip, ERASE, FLASH, READ, Refused, WRITE};

use crate::REGIONS;

/// The torn words that the interrupt handler records.
pub(crate) static TORN: Record = Record::new();

/// The flash controller.
pub(crate) struct Controller(Flash<'static, Blocking>);

impl Controller {
    /// Takes ownership of the flash. Panics if the banks are swapped, because the memory map would be wrong.
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
            // SAFETY: the flash is mapped at this address, `Flash` has checked bounds and alignment, and every bit
            // pattern is a valid u32. The read is volatile because the controller changes the memory.
            *word = unsafe { ptr::read_volatile(address as *const u32) }.to_ne_bytes();
        }
        wait_for_reads();
        Ok(())
    }

    fn write(&mut self, at: u32, unit: &[u8; WRITE]) -> Result<(), Refused> {
        clear_errors();
        self.0.blocking_write(at, unit).map_err(|_| Refused)?;
        wait_for_result()
    }

    fn erase(&mut self, at: u32) -> Result<(), Refused> {
        clear_errors();
        self.0.blocking_erase(at, at + ERASE as u32).map_err(|_| Refused)?;
        wait_for_result()
    }
}

/// Clears the errors of earlier operations. embassy-stm32 0.6.0 writes to the status register for that, which this
/// controller ignores.
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

/// Waits for the end of an operation, and checks the errors. embassy-stm32 0.6.0 does not check all of them.
fn wait_for_result() -> Result<(), Refused> {
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

/// Waits until all reads are complete and the interrupts that they raised have been served.
fn wait_for_reads() {
    dsb();
    // The answer of a register of the controller takes as long as an interrupt of the controller.
    let _ = pac::FLASH.eccdetr().read();
    dsb();
    isb();
}

/// Handles the interrupt of a torn word; the core raises no fault for it. A torn word in the storage is recorded for
/// the read in progress. A torn word anywhere else means that the program is damaged.
#[exception]
unsafe fn NonMaskableInt() {
    match Detected::decode(pac::FLASH.eccdetr().read().0, REGIONS.data.start) {
        Some(Detected::Storage { at }) => {
            TORN.add(at);
            pac::FLASH.eccdetr().write(|errors| errors.set_eccd(true));
        }
        Some(damage) => {
            pac::FLASH.eccdetr().write(|errors| errors.set_eccd(true));
            reset(Cause::Fault, format_args!("the flash is damaged: {damage:X?}"));
        }
        // A late interrupt, for a torn word that was already handled.
        None => {}
    }
}
