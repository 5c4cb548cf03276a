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

/// The microseconds that TIMER0 takes to wrap around, and the ticks that remain.
const WRAP_MICROS: u64 = (1 << 32) / TICKS_A_MICROSECOND as u64;
const WRAP_TICKS: u32 = ((1 << 32) % TICKS_A_MICROSECOND as u64) as u32;

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
    /// How many times TIMER0 has wrapped around since the start, and its ticks since then.
    fn ticks(&self, token: CriticalSection<'_>) -> (u32, u32) {
        let wraps = self.wraps.borrow(token);
        let mut value = TIMER0.read(VALUE);
        if TIMER0.read(INTERRUPT) != 0 {
            // The timer wrapped around, before or after the value was read.
            TIMER0.write(INTERRUPT, 1);
            wraps.set(wraps.get().wrapping_add(1));
            value = TIMER0.read(VALUE);
        }
        (wraps.get(), u32::MAX - value)
    }

    /// Microseconds since the start. Each poll of a timer asks for them, and the core divides numbers of 64 bits in
    /// software, so this divides numbers of 32 bits only.
    fn micros(&self, token: CriticalSection<'_>) -> u64 {
        let (wraps, ticks) = self.ticks(token);
        // A wrap takes a whole number of microseconds, and some more ticks, which cannot overflow in a thousand years.
        let more = wraps.wrapping_mul(WRAP_TICKS);
        let rest = (ticks % TICKS_A_MICROSECOND + more % TICKS_A_MICROSECOND) / TICKS_A_MICROSECOND;
        let micros = u64::from(wraps) * WRAP_MICROS;
        micros + u64::from(ticks / TICKS_A_MICROSECOND) + u64::from(more / TICKS_A_MICROSECOND) + u64::from(rest)
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
