//! The time driver for Embassy, and the watchdog. Both use the machine timer: it counts continuously, and raises an
//! interrupt when it reaches the comparator. The RISC-V Instruction Set Manual, volume II, section 3.2.1.
//!
//! The machine has no watchdog of its own. So an alarm is due at the watchdog's time-out, too, and if it finds that nothing
//! has fed the watchdog, `waft_board::failure` records where the firmware hung, and resets the board. It does not find a
//! firmware that hangs with interrupts disabled.

use core::cell::{Cell, RefCell};
use core::task::Waker;

use critical_section::{CriticalSection, Mutex};
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;
use waft_board::emulator::executor::Counter;
use waft_board::emulator::{Registers, failure};
use waft_board::tasks;

use super::interrupts;

// SAFETY: on this machine the registers of the core-local interruptor are at this address, and none changes memory.
const COMPARATOR: Registers = unsafe { Registers::at(0x0200_4000) };
// SAFETY: as above.
const TIME: Registers = unsafe { Registers::at(0x0200_B000) };
const LOW: usize = 0xFF8;
const HIGH: usize = 0xFFC;

/// Ticks in a microsecond.
const MICROSECOND: u64 = 10;

/// How long the executor may be busy between two awaits, in ticks. A signature takes a tenth of a second and a typed key
/// half a second; on a busy host each takes several times as long.
const TIMEOUT: u64 = 20_000_000 * MICROSECOND;

struct Timer {
    deadlines: Mutex<RefCell<Queue>>,
    /// When the firmware counts as hanging, in ticks.
    hangs_at: Mutex<Cell<u64>>,
}

embassy_time_driver::time_driver_impl!(static TIMER: Timer = Timer {
    deadlines: Mutex::new(RefCell::new(Queue::new())),
    hangs_at: Mutex::new(Cell::new(u64::MAX)),
});

/// Starts the clock and the watchdog. Call it before any task runs, because the first task might hang.
pub(crate) fn start() {
    TIMER.feed();
    interrupts::enable_timer();
}

/// The ticks of the timer, for the load of tasks.
#[derive(Debug)]
pub struct Ticks;

impl Counter for Ticks {
    const MILLISECOND: u32 = 1_000 * MICROSECOND as u32;

    fn ticks() -> u32 {
        TIME.read(LOW)
    }
}

/// The ticks of the timer.
fn ticks() -> u64 {
    loop {
        let (high, low) = (TIME.read(HIGH), TIME.read(LOW));
        // Otherwise the lower half has wrapped around in between.
        if TIME.read(HIGH) == high {
            return u64::from(high) << 32 | u64::from(low);
        }
    }
}

impl Timer {
    /// Wakes the tasks whose deadlines have passed, and sets the alarm for the next deadline or for the watchdog.
    fn update_alarm(&self, token: CriticalSection<'_>, queue: &mut Queue) {
        let next = queue.next_expiration(ticks() / MICROSECOND).saturating_mul(MICROSECOND);
        let next = next.min(self.hangs_at.borrow(token).get());
        // In between, the comparator is never lower than both the old and the new value.
        COMPARATOR.write(4, u32::MAX);
        COMPARATOR.write(0, next as u32);
        COMPARATOR.write(4, (next >> 32) as u32);
    }

    fn feed(&self) {
        critical_section::with(|token| {
            self.hangs_at.borrow(token).set(ticks().saturating_add(TIMEOUT));
            self.update_alarm(token, &mut self.deadlines.borrow_ref_mut(token));
        });
    }
}

impl Driver for Timer {
    fn now(&self) -> u64 {
        ticks() / MICROSECOND
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|token| {
            let mut queue = self.deadlines.borrow_ref_mut(token);
            if queue.schedule_wake(at, waker) {
                self.update_alarm(token, &mut queue);
            }
        });
    }
}

/// Handles the interrupt. Returns `true` if the firmware hangs.
pub(super) fn on_alarm() -> bool {
    critical_section::with(|token| {
        let hangs = ticks() >= TIMER.hangs_at.borrow(token).get();
        TIMER.update_alarm(token, &mut TIMER.deadlines.borrow_ref_mut(token));
        hangs
    })
}

/// The watchdog, to be fed.
#[derive(Debug)]
pub struct Watchdog;

impl tasks::Watchdog for Watchdog {
    fn feed(&mut self) {
        TIMER.feed();
    }
}

impl failure::Watchdog for Watchdog {
    fn stop() {
        critical_section::with(|token| TIMER.hangs_at.borrow(token).set(u64::MAX));
    }
}
