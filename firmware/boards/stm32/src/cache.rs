//! The instruction cache, and the memory regions that must bypass it.
//!
//! The cache is between the core and *all* of the flash, and caches data as well as code. So two regions are marked as
//! not cacheable: the bank that is written, because a cached read would return old data, and the words written at the
//! factory, because reading them through the cache is a fault.

use core::ops::Range;

use cortex_m::asm::{dsb, isb};
use cortex_m::peripheral::MPU;
use embassy_stm32::pac::ICACHE;
use waft_stm32::flash::FLASH;

use crate::REGIONS;

/// The regions that are not cached.
const UNCACHED: [Range<u32>; 2] = [FLASH + REGIONS.data.start..FLASH + REGIONS.data.end, 0x08FF_F000..0x0900_0000];

/// `MAIR`: normal memory, not cacheable.
const NOT_CACHEABLE: u32 = 0x44;
/// `RBAR`: no code runs in the region. The zero bits allow privileged reads and writes, and this program is privileged.
const EXECUTE_NEVER: u32 = 1;
/// `RLAR`: the region is enabled and uses the first attribute.
const ENABLED: u32 = 1;
/// `CTRL`: the regions are enabled, and the default map applies everywhere else.
const CONTROL: u32 = (1 << 2) | 1;

/// Configures the regions and enables the cache. Call it once, before the storage is read.
pub(crate) fn enable(mpu: &mut MPU) {
    // SAFETY: the regions only change attributes. The same memory stays readable and writable, and no code is in the
    // regions, because the linker does not use them.
    unsafe {
        mpu.ctrl.write(0);
        mpu.mair[0].write(NOT_CACHEABLE);
        for (number, Range { start, end }) in (0..).zip(UNCACHED) {
            mpu.rnr.write(number);
            mpu.rbar.write(start | EXECUTE_NEVER);
            mpu.rlar.write((end - 32) | ENABLED);
        }
        mpu.ctrl.write(CONTROL);
    }
    dsb();
    isb();
    // After a reset the cache first invalidates its content.
    while ICACHE.sr().read().busyf() {}
    ICACHE.cr().modify(|cache| cache.set_en(true));
}
