//! The flash of an RP2350: reads where it is mapped, writes and erases by the functions of the boot ROM.
//!
//! embassy-rp runs these functions from RAM, with interrupts disabled, waits for DMA that reads the flash, and clears the
//! cache afterwards. The second core is never started.

use embassy_rp::Peri;
use embassy_rp::flash::{Blocking, Flash};
use embassy_rp::peripherals::FLASH;
use waft_rp::flash::{Chip, ERASE, PAGE, Refused};

use crate::board::FLASH_SIZE;

/// The flash controller.
pub(crate) struct Controller(Flash<'static, FLASH, Blocking, FLASH_SIZE>);

impl Controller {
    /// Takes ownership of the flash.
    pub(crate) fn new(device: Peri<'static, FLASH>) -> Self {
        Self(Flash::new_blocking(device))
    }
}

impl Chip for Controller {
    fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), Refused> {
        self.0.blocking_read(at, bytes).map_err(|_| Refused)
    }

    fn program(&mut self, at: u32, page: &[u8; PAGE]) -> Result<(), Refused> {
        self.0.blocking_write(at, page).map_err(|_| Refused)
    }

    fn erase(&mut self, at: u32) -> Result<(), Refused> {
        self.0.blocking_erase(at, at + ERASE as u32).map_err(|_| Refused)
    }
}
