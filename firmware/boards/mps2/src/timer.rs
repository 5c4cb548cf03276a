//! Time for Embassy: TIMER0 counts for ever, TIMER1 rings at the next moment that somebody waits for.
//!
//! Both are CMSDK APB timers, 32 bits, counting down at 25 MHz. Arm DDI 0479, section 4.1.

use core::cell::{Cell, RefCell};
use core::task::Waker;

use critical_section::{CriticalSection, Mutex};
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

use crate::interrupts::Interrupt;
use crate::registers::{TICKS_A_MICROSECOND, TIMER0, TIMER1};

const CONTROL: usize = 0x0;
const VALUE: usize = 0x4;
const RELOAD: usize = 0x8;
const INTERRUPT: usize = 0xC;

const ENABLE: u32 = 1 << 0;
const CALL: u32 = 1 << 3;

/// Longest alarm, in ticks. Who waits longer is looked at again then.
const FAR: u64 = u32::MAX as u64;

struct Timer {
    /// How often TIMER0 has wrapped around.
    wraps: Mutex<Cell<u32>>,
    waiting: Mutex<RefCell<Queue>>,
}

embassy_time_driver::time_driver_impl!(static TIMER: Timer = Timer {
    wraps: Mutex::new(Cell::new(0)),
    waiting: Mutex::new(RefCell::new(Queue::new())),
});

/// Time begins.
pub(crate) fn start() {
    TIMER0.write(RELOAD, u32::MAX);
    TIMER0.write(VALUE, u32::MAX);
    TIMER0.write(CONTROL, ENABLE | CALL);
    Interrupt::Timer0.enable();
    Interrupt::Timer1.enable();
}

/// A counter of ticks that wraps around.
pub(crate) fn raw() -> u32 {
    u32::MAX - TIMER0.read(VALUE)
}

impl Timer {
    /// Ticks since the start.
    fn ticks(&self, token: CriticalSection<'_>) -> u64 {
        let wraps = self.wraps.borrow(token);
        let mut value = TIMER0.read(VALUE);
        if TIMER0.read(INTERRUPT) != 0 {
            // It wrapped, before or after the value was read.
            TIMER0.write(INTERRUPT, 1);
            wraps.set(wraps.get().wrapping_add(1));
            value = TIMER0.read(VALUE);
        }
        u64::from(wraps.get()) << 32 | u64::from(u32::MAX - value)
    }

    fn micros(&self, token: CriticalSection<'_>) -> u64 {
        self.ticks(token) / u64::from(TICKS_A_MICROSECOND)
    }

    /// Wakes whoever has waited long enough, and sets the alarm for the next.
    fn ring(&self, token: CriticalSection<'_>, queue: &mut Queue) {
        TIMER1.write(CONTROL, 0);
        TIMER1.write(INTERRUPT, 1);
        let now = self.micros(token);
        let next = queue.next_expiration(now);
        if next != u64::MAX {
            // Never zero: a timer that is told to wait for nothing never calls.
            let ticks = (next - now).saturating_mul(u64::from(TICKS_A_MICROSECOND)).clamp(1, FAR);
            TIMER1.write(RELOAD, ticks as u32);
            TIMER1.write(VALUE, ticks as u32);
            TIMER1.write(CONTROL, ENABLE | CALL);
        }
    }
}

impl Driver for Timer {
    fn now(&self) -> u64 {
        critical_section::with(|token| self.micros(token))
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|token| {
            let mut queue = self.waiting.borrow_ref_mut(token);
            if queue.schedule_wake(at, waker) {
                self.ring(token, &mut queue);
            }
        });
    }
}

pub(crate) extern "C" fn on_wrap() {
    critical_section::with(|token| TIMER.ticks(token));
}

pub(crate) extern "C" fn on_alarm() {
    critical_section::with(|token| TIMER.ring(token, &mut TIMER.waiting.borrow_ref_mut(token)));
}
