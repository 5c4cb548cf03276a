//! The time driver for Embassy: SysTick counts continuously, and timer 0 raises an interrupt at the next deadline.
//!
//! The emulator does not return the counters of the chip's own timers, so the clock is the SysTick of the core: 24 bits,
//! counting down at 12.5 MHz, which wrap around every 1.3 seconds (Armv7-M, section B3.3). Timer 0 counts the same ticks:
//! data sheet of the LM3S6965, section 9.4.

use core::cell::{Cell, RefCell};
use core::task::Waker;

use cortex_m::peripheral::{SCB, SYST};
use cortex_m_rt::exception;
use critical_section::{CriticalSection, Mutex};
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;
use waft_board::emulator::executor::Counter;

use super::devices::{Interrupt, TICKS_A_MILLISECOND, TIMER0};

/// SysTick: the core's clock, an interrupt when it wraps around, enabled.
const SYSTICK_ON: u32 = 1 << 2 | 1 << 1 | 1 << 0;
/// The bits of SysTick.
const BITS: u32 = 24;
const COUNTER_MAX: u32 = (1 << BITS) - 1;

const CONFIGURATION: usize = 0x00;
const MODE: usize = 0x04;
const CONTROL: usize = 0x0C;
const INTERRUPT_MASK: usize = 0x18;
const INTERRUPT_CLEAR: usize = 0x24;
const LOAD: usize = 0x28;

/// `CONFIGURATION`: one counter of 32 bits.
const BITS_32: u32 = 0;
/// `MODE`: counts down once.
const ONE_SHOT: u32 = 1;
const ENABLE: u32 = 1 << 0;
/// The counter reached zero.
const TIMEOUT: u32 = 1 << 0;

/// The longest alarm, in microseconds. A later deadline needs more than one alarm.
const ALARM_MAX: u64 = 60_000_000;

struct Timer {
    /// How many times SysTick has wrapped around.
    wraps: Mutex<Cell<u32>>,
    deadlines: Mutex<RefCell<Queue>>,
}

embassy_time_driver::time_driver_impl!(static TIMER: Timer = Timer {
    wraps: Mutex::new(Cell::new(0)),
    deadlines: Mutex::new(RefCell::new(Queue::new())),
});

/// Starts the clock.
pub fn start() {
    // SAFETY: only this module uses SysTick.
    unsafe {
        (*SYST::PTR).rvr.write(COUNTER_MAX);
        (*SYST::PTR).cvr.write(0);
        (*SYST::PTR).csr.write(SYSTICK_ON);
    }
    // The counter is 0 until its first tick, which would count as the end of a round.
    while SYST::get_current() == 0 {}
    TIMER0.write(CONFIGURATION, BITS_32);
    TIMER0.write(MODE, ONE_SHOT);
    TIMER0.write(INTERRUPT_MASK, TIMEOUT);
    Interrupt::Timer0.enable();
}

/// The ticks of SysTick, for the load of tasks.
#[derive(Debug)]
pub struct Ticks;

impl Counter for Ticks {
    const MILLISECOND: u32 = TICKS_A_MILLISECOND;

    fn ticks() -> u32 {
        critical_section::with(|token| TIMER.ticks(token) as u32)
    }
}

impl Timer {
    /// Ticks since the start.
    fn ticks(&self, token: CriticalSection<'_>) -> u64 {
        let wraps = self.wraps.borrow(token);
        let mut value = SYST::get_current();
        if SCB::is_pendst_pending() {
            // SysTick wrapped around, before or after the value was read.
            SCB::clear_pendst();
            wraps.set(wraps.get().wrapping_add(1));
            value = SYST::get_current();
        }
        u64::from(wraps.get()) << BITS | u64::from(COUNTER_MAX - value)
    }

    fn micros(&self, token: CriticalSection<'_>) -> u64 {
        self.ticks(token) * 1_000 / u64::from(TICKS_A_MILLISECOND)
    }

    /// Wakes the tasks whose deadlines have passed, and sets the alarm for the next deadline.
    fn update_alarm(&self, token: CriticalSection<'_>, queue: &mut Queue) {
        TIMER0.write(CONTROL, 0);
        TIMER0.write(INTERRUPT_CLEAR, TIMEOUT);
        let now = self.micros(token);
        let next = queue.next_expiration(now);
        if next != u64::MAX {
            let micros = (next - now).clamp(1, ALARM_MAX);
            TIMER0.write(LOAD, (micros * u64::from(TICKS_A_MILLISECOND)).div_ceil(1_000) as u32);
            TIMER0.write(CONTROL, ENABLE);
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

#[exception]
fn SysTick() {
    // Its bit was cleared when this handler was called.
    critical_section::with(|token| {
        let wraps = TIMER.wraps.borrow(token);
        wraps.set(wraps.get().wrapping_add(1));
    });
}

pub(super) extern "C" fn on_alarm() {
    critical_section::with(|token| TIMER.update_alarm(token, &mut TIMER.deadlines.borrow_ref_mut(token)));
}
