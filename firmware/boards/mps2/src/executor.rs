//! Runs tasks, and lets the core sleep while none has anything to do.
//!
//! Embassy's own executor for threads sleeps by WFE, which the emulator takes for "go on": it would keep one of the
//! host's cores busy for ever.

use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use cortex_m::asm::wfi;
use cortex_m::interrupt;
use embassy_executor::{Spawner, raw};
use static_cell::StaticCell;
use waft_receiver::board::Load;

use crate::registers::TICKS_A_MICROSECOND;
use crate::timer;

/// A task was woken since tasks were last looked at.
static WOKEN: AtomicBool = AtomicBool::new(false);

/// Ticks in a millisecond.
const MILLISECOND: u32 = 1_000 * TICKS_A_MICROSECOND;
/// Ticks of a unit of `WORKED`, as a power of two.
const UNIT: u32 = 12;

/// The longest time for which tasks ran one behind the other, in ticks.
static LONGEST: AtomicU32 = AtomicU32::new(0);
/// How often they ran longer than [`Load::LONG_MS`].
static LONG: AtomicU32 = AtomicU32::new(0);
/// For how long they ran in all, in units of 2^`UNIT` ticks.
static WORKED: AtomicU32 = AtomicU32::new(0);

#[unsafe(export_name = "__pender")]
fn wake(_: *mut ()) {
    WOKEN.store(true, Ordering::Release);
}

/// What the tasks asked of the processor.
pub fn load() -> Load {
    Load {
        longest: LONGEST.load(Ordering::Relaxed) / MILLISECOND,
        long: LONG.load(Ordering::Relaxed),
        all: (u64::from(WORKED.load(Ordering::Relaxed)) << UNIT) / u64::from(MILLISECOND),
    }
}

/// Runs the tasks that `start` spawns, for ever.
pub fn run(start: impl FnOnce(Spawner)) -> ! {
    static EXECUTOR: StaticCell<raw::Executor> = StaticCell::new();
    let executor = EXECUTOR.init(raw::Executor::new(ptr::null_mut()));
    start(executor.spawner());
    let mut worked = 0u64;
    loop {
        let begun = timer::raw();
        // SAFETY: this is the only call, and no task comes here.
        unsafe { executor.poll() };
        let took = timer::raw().wrapping_sub(begun);
        worked += u64::from(took);
        WORKED.store((worked >> UNIT) as u32, Ordering::Relaxed);
        LONGEST.fetch_max(took, Ordering::Relaxed);
        if took > Load::LONG_MS * MILLISECOND {
            LONG.fetch_add(1, Ordering::Relaxed);
        }
        interrupt::disable();
        // An interrupt that comes from here on ends the sleep, though it is handled only after it.
        if !WOKEN.swap(false, Ordering::Acquire) {
            wfi();
        }
        // SAFETY: they were on before.
        unsafe { interrupt::enable() };
    }
}
