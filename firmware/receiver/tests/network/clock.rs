//! The time of boards on a runtime whose clock stands still while anything runs: it goes on by leaps when all wait, and
//! by what a board's processor would have taken.
//!
//! embassy-time asks one driver for the time of a whole process. This one asks the runtime of the thread that asks, so
//! each test has a clock of its own, and none depends on how fast this machine is.

use std::cell::{OnceCell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use embassy_futures::poll_once;
use embassy_time_driver::{Driver, time_driver_impl};
use tokio::sync::Notify;
use tokio::time::{Instant, advance, sleep_until};

struct Simulated;

time_driver_impl!(static DRIVER: Simulated = Simulated);

thread_local! {
    static BEGINNING: OnceCell<Instant> = const { OnceCell::new() };
    static ALARMS: RefCell<Vec<(u64, Waker)>> = const { RefCell::new(Vec::new()) };
    /// There is an alarm that comes before all others.
    static EARLIER: Rc<Notify> = Rc::default();
}

/// The instant that the board's clock counts from.
fn beginning() -> Instant {
    BEGINNING.with(|beginning| *beginning.get_or_init(Instant::now))
}

impl Driver for Simulated {
    fn now(&self) -> u64 {
        beginning().elapsed().as_micros() as u64
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        let is_earliest = ALARMS.with_borrow_mut(|alarms| {
            let earliest = alarms.iter().map(|(at, _)| *at).min();
            match alarms.iter_mut().find(|(_, of)| of.will_wake(waker)) {
                Some(alarm) => alarm.0 = alarm.0.min(at),
                None => alarms.push((at, waker.clone())),
            }
            earliest.is_none_or(|earliest| at < earliest)
        });
        if is_earliest {
            EARLIER.with(|earlier| earlier.notify_one());
        }
    }
}

/// Wakes whoever waits for a time, for ever.
pub(crate) async fn keep_time() -> ! {
    let earlier = EARLIER.with(Rc::clone);
    loop {
        let now = DRIVER.now();
        ALARMS
            .with_borrow_mut(|alarms| alarms.extract_if(.., |(at, _)| *at <= now).for_each(|(_, waker)| waker.wake()));
        let next = ALARMS.with_borrow(|alarms| alarms.iter().map(|(at, _)| *at).min());
        let alarm = async {
            match next {
                Some(at) => sleep_until(beginning() + Duration::from_micros(at)).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = alarm => {}
            () = earlier.notified() => {}
        }
    }
}

/// Lets time go by in which the processor works on one thing, and on nothing else.
pub(crate) fn work(duration: Duration) {
    // The clock is put forward when this is polled first; what it waits for then is no matter here.
    let _ = poll_once(advance(duration));
}
