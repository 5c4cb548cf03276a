//! The executor: runs tasks, lets the core sleep while no task is ready, and measures the load.
//!
//! Embassy's own thread-mode executor sleeps with WFE. The emulator implements WFE as a no-op, so an idle board would
//! keep one core of the host busy. This executor sleeps with WFI.

use core::marker::PhantomData;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use embassy_executor::{Spawner, raw};
use static_cell::StaticCell;
use waft_receiver::board::Load;

use crate::arch;
use crate::boot::MeasureLoad;

/// Whether a task was woken since the last poll.
static WOKEN: AtomicBool = AtomicBool::new(false);

/// A counter of time.
pub trait Counter: 'static {
    /// Ticks in a millisecond.
    const MILLISECOND: u32;

    /// The ticks so far. They wrap around.
    fn ticks() -> u32;
}

/// The unit of `WORKED`, as a power of two of ticks.
const UNIT: u32 = 12;

/// The longest poll of all ready tasks, in ticks.
static LONGEST: AtomicU32 = AtomicU32::new(0);
/// The number of polls that took longer than [`Load::LONG_MS`].
static LONG: AtomicU32 = AtomicU32::new(0);
/// The total time of all polls, in units of 2^`UNIT` ticks.
static WORKED: AtomicU32 = AtomicU32::new(0);

#[unsafe(export_name = "__pender")]
fn wake(_: *mut ()) {
    WOKEN.store(true, Ordering::Release);
}

/// The load, as [`run`] measures it with the same counter.
#[derive(Debug)]
pub struct Measured<C>(PhantomData<C>);

impl<C: Counter> MeasureLoad for Measured<C> {
    fn load() -> Option<Load> {
        Some(Load {
            longest: LONGEST.load(Ordering::Relaxed) / C::MILLISECOND,
            long: LONG.load(Ordering::Relaxed),
            all: (u64::from(WORKED.load(Ordering::Relaxed)) << UNIT) / u64::from(C::MILLISECOND),
        })
    }
}

/// Runs the tasks that `start` spawns. Never returns.
pub fn run<C: Counter>(start: impl FnOnce(Spawner)) -> ! {
    static EXECUTOR: StaticCell<raw::Executor> = StaticCell::new();
    let executor = EXECUTOR.init(raw::Executor::new(ptr::null_mut()));
    start(executor.spawner());
    let mut worked = 0u64;
    loop {
        let begun = C::ticks();
        // SAFETY: this is the only call, and no task calls this function.
        unsafe { executor.poll() };
        let took = C::ticks().wrapping_sub(begun);
        worked += u64::from(took);
        WORKED.store((worked >> UNIT) as u32, Ordering::Relaxed);
        LONGEST.fetch_max(took, Ordering::Relaxed);
        if took > Load::LONG_MS * C::MILLISECOND {
            LONG.fetch_add(1, Ordering::Relaxed);
        }
        arch::disable_interrupts();
        // With interrupts disabled, a pending interrupt still ends the sleep. It is handled once they are enabled.
        if !WOKEN.swap(false, Ordering::Acquire) {
            arch::wait_for_interrupt();
        }
        // SAFETY: interrupts were enabled before.
        unsafe { arch::enable_interrupts() };
    }
}
