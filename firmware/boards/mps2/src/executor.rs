//! Runs tasks, and lets the core sleep while none has anything to do.
//!
//! Embassy's own executor for threads sleeps by WFE, which the emulator takes for "go on": it would keep one of the
//! host's cores busy for ever.

use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m::asm::wfi;
use cortex_m::interrupt;
use embassy_executor::{Spawner, raw};
use static_cell::StaticCell;

/// A task was woken since tasks were last looked at.
static WOKEN: AtomicBool = AtomicBool::new(false);

#[unsafe(export_name = "__pender")]
fn wake(_: *mut ()) {
    WOKEN.store(true, Ordering::Release);
}

/// Runs the tasks that `start` spawns, for ever.
pub fn run(start: impl FnOnce(Spawner)) -> ! {
    static EXECUTOR: StaticCell<raw::Executor> = StaticCell::new();
    let executor = EXECUTOR.init(raw::Executor::new(ptr::null_mut()));
    start(executor.spawner());
    loop {
        // SAFETY: this is the only call, and no task comes here.
        unsafe { executor.poll() };
        interrupt::disable();
        // An interrupt that comes from here on ends the sleep, though it is handled only after it.
        if !WOKEN.swap(false, Ordering::Acquire) {
            wfi();
        }
        // SAFETY: they were on before.
        unsafe { interrupt::enable() };
    }
}
