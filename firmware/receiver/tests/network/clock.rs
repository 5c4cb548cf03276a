//! The simulated time of boards. It does not advance while tasks run, jumps ahead when all tasks wait, and advances by the
//! time that a board's processor would have needed.
//!
//! embassy-time uses one driver for a whole process. This driver asks the runtime of the calling thread for the time,
//! so each test has its own clock, and no test depends on the speed of this machine.

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
    /// Notified when a new alarm is earlier than all others.
    static EARLIER: Rc<Notify> = Rc::default();
}

/// The instant at which the board's clock starts.
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

/// Wakes tasks at the times for which they wait, forever.
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

/// Advances the time by `duration`, during which the processor does nothing else.
pub(crate) fn work(duration: Duration) {
    // The first poll advances the clock. The rest of the future is not needed.
    let _ = poll_once(advance(duration));
}
