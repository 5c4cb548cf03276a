//! The instruction cache, and what must not pass through it.
//!
//! It stands between the core and *all* of the flash, and keeps data too. So the bank that is written, and the words
//! that the factory wrote (through the cache, reading those is a fault), are marked as not to be cached. Code is fast,
//! and what is read from the storage is what stands there.

use core::ops::Range;

use cortex_m::asm::{dsb, isb};
use cortex_m::peripheral::MPU;
use embassy_stm32::pac::ICACHE;
use waft_stm32::region::FLASH;

use crate::MAP;

/// Regions of memory that are not cached.
const UNCACHED: [Range<u32>; 2] = [FLASH + MAP.bank..FLASH + 2 * MAP.bank, 0x08FF_F000..0x0900_0000];

/// Normal memory that is cached nowhere.
const NOT_CACHEABLE: u32 = 0x44;
/// In a region's base: no code runs there. Its zeros say: read and written by this program, which is all privileged.
const NEVER_EXECUTED: u32 = 1;
/// In a region's end: it is in force, with the first attribute.
const IN_FORCE: u32 = 1;
/// Control: the regions are in force, and everywhere else the default map is.
const CONTROL: u32 = (1 << 2) | 1;

/// Marks the regions, then lets the cache work. Once, before the storage is read.
pub(crate) fn enable(mpu: &mut MPU) {
    // SAFETY: the map changes attributes of memory only: what may be read and written stays so, and no code is in the
    // regions, since the linker is not given them.
    unsafe {
        mpu.ctrl.write(0);
        mpu.mair[0].write(NOT_CACHEABLE);
        for (number, Range { start, end }) in (0..).zip(UNCACHED) {
            mpu.rnr.write(number);
            mpu.rbar.write(start | NEVER_EXECUTED);
            mpu.rlar.write((end - 32) | IN_FORCE);
        }
        mpu.ctrl.write(CONTROL);
    }
    dsb();
    isb();
    // After a reset it empties itself first.
    while ICACHE.sr().read().busyf() {}
    ICACHE.cr().modify(|cache| cache.set_en(true));
}
