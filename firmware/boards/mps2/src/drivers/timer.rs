//! The time driver for Embassy: TIMER0 counts continuously, and TIMER1 raises an interrupt at the next deadline.
//!
//! Both are CMSDK APB timers, 32 bits, counting down at the clock of the devices. Arm DDI 0479, section 4.1.

use core::cell::{Cell, RefCell};
use core::task::Waker;

use critical_section::{CriticalSection, Mutex};
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;
use waft_board::emulator::executor::Counter;

use super::interrupts::Interrupt;
use super::registers::{TICKS_A_MICROSECOND, TIMER0, TIMER1};

const CONTROL: usize = 0x0;
const VALUE: usize = 0x4;
const RELOAD: usize = 0x8;
const INTERRUPT: usize = 0xC;

const ENABLE: u32 = 1 << 0;
const INTERRUPT_ON: u32 = 1 << 3;

/// The longest alarm, in ticks. A later deadline needs more than one alarm.
const ALARM_MAX: u64 = u32::MAX as u64;

struct Timer {
    /// How many times TIMER0 has wrapped around.
    wraps: Mutex<Cell<u32>>,
    deadlines: Mutex<RefCell<Queue>>,
}

embassy_time_driver::time_driver_impl!(static TIMER: Timer = Timer {
    wraps: Mutex::new(Cell::new(0)),
    deadlines: Mutex::new(RefCell::new(Queue::new())),
});

/// Starts the clock.
pub(crate) fn start() {
    TIMER0.write(RELOAD, u32::MAX);
    TIMER0.write(VALUE, u32::MAX);
    TIMER0.write(CONTROL, ENABLE | INTERRUPT_ON);
    Interrupt::Timer0.enable();
    Interrupt::Timer1.enable();
}

/// The ticks of TIMER0, for the load of tasks.
#[derive(Debug)]
pub struct Ticks;

impl Counter for Ticks {
    const MILLISECOND: u32 = 1_000 * TICKS_A_MICROSECOND;

    fn ticks() -> u32 {
        u32::MAX - TIMER0.read(VALUE)
    }
}

impl Timer {
    /// Ticks since the start.
    fn ticks(&self, token: CriticalSection<'_>) -> u64 {
        let wraps = self.wraps.borrow(token);
        let mut value = TIMER0.read(VALUE);
        if TIMER0.read(INTERRUPT) != 0 {
            // The timer wrapped around, before or after the value was read.
            TIMER0.write(INTERRUPT, 1);
            wraps.set(wraps.get().wrapping_add(1));
            value = TIMER0.read(VALUE);
        }
        u64::from(wraps.get()) << 32 | u64::from(u32::MAX - value)
    }

    fn micros(&self, token: CriticalSection<'_>) -> u64 {
        self.ticks(token) / u64::from(TICKS_A_MICROSECOND)
    }

    /// Wakes the tasks whose deadlines have passed, and sets the alarm for the next deadline.
    fn update_alarm(&self, token: CriticalSection<'_>, queue: &mut Queue) {
        TIMER1.write(CONTROL, 0);
        TIMER1.write(INTERRUPT, 1);
        let now = self.micros(token);
        let next = queue.next_expiration(now);
        if next != u64::MAX {
            // Never zero: a timer with a reload value of zero raises no interrupt.
            let ticks = (next - now).saturating_mul(u64::from(TICKS_A_MICROSECOND)).clamp(1, ALARM_MAX);
            TIMER1.write(RELOAD, ticks as u32);
            TIMER1.write(VALUE, ticks as u32);
            TIMER1.write(CONTROL, ENABLE | INTERRUPT_ON);
        }
    }
}

impl Driver for Timer {
    fn now(&self) -> u64 {
        critical_section::with(|token| self.micros(token))
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

pub(crate) extern "C" fn on_wrap() {
    critical_section::with(|token| TIMER.ticks(token));
}

pub(crate) extern "C" fn on_alarm() {
    critical_section::with(|token| TIMER.update_alarm(token, &mut TIMER.deadlines.borrow_ref_mut(token)));
}
