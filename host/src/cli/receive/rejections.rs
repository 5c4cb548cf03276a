//! Reports rejected connections to the user, at a limited rate: without a limit, peers that nobody trusts could push
//! the code off the screen and fill a log. The console of a board has the same limit.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::IpAddr;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::cli::ui::{Event, Ui};
use crate::error::Error;

/// One report per this time on average, and a few more ([`AHEAD`]) in a burst.
const PERIOD: Duration = Duration::from_secs(10);
const AHEAD: u32 = 3;

/// Rejected connections that were not reported yet, and the rate limit.
#[derive(Default)]
pub(super) struct Rejections {
    unreported: RefCell<Option<Unreported>>,
    /// The time up to which reports have used up the rate limit.
    taken_until: Cell<Option<Instant>>,
}

/// The number of connections that were not reported yet, and why the last of them was rejected.
struct Unreported {
    count: u32,
    address: String,
    class: &'static str,
    message: String,
    advice: String,
}

impl Rejections {
    /// Counts a rejected connection.
    pub(super) fn add(&self, address: IpAddr, error: &Error) {
        let mut unreported = self.unreported.borrow_mut();
        let before = unreported.as_ref().map_or(0, |unreported| unreported.count);
        *unreported = Some(Unreported {
            count: before.saturating_add(1),
            address: address.to_string(),
            class: error.class().name(),
            message: error.to_string(),
            advice: error.advice().to_owned(),
        });
    }

    /// Completes when there is something to report, and the rate limit allows it. It registers no waker for new
    /// rejections: it is polled after the future that adds them. Cancel-safe.
    pub(super) async fn due(&self) {
        poll_fn(|_| if self.unreported.borrow().is_some() { Poll::Ready(()) } else { Poll::Pending }).await;
        if let Some(until) = self.taken_until.get() {
            sleep_until(until.checked_sub(AHEAD * PERIOD).unwrap_or(until)).await;
        }
    }

    /// Reports all connections that were not reported yet, with the reason of the last one.
    pub(super) fn report(&self, ui: &Ui) {
        let Some(Unreported { count, address, class, message, advice }) = self.unreported.take() else { return };
        let now = Instant::now();
        self.taken_until.set(Some(self.taken_until.get().map_or(now, |until| until.max(now)) + PERIOD));
        let more = if count == 1 { String::new() } else { format!("{count} more; the last: ") };
        ui.say(format!("Refused: {more}{message}\n  {advice}"));
        ui.event(&Event::Rejected { address, class, message, count });
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    fn add(rejections: &Rejections) {
        rejections.add([192, 0, 2, 1].into(), &Error::interrupted());
    }

    /// Reports what is due before `within` has passed. Returns the number of connections in each report.
    async fn reported(rejections: &Rejections, within: Duration) -> Vec<u32> {
        let (ui, end) = (Ui::answered(""), Instant::now() + within);
        let mut counts = Vec::new();
        while timeout(end - Instant::now(), rejections.due()).await.is_ok() {
            counts.extend(rejections.unreported.borrow().as_ref().map(|unreported| unreported.count));
            rejections.report(&ui);
        }
        counts
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_rejections_are_reported_at_once() {
        let rejections = Rejections::default();
        for _ in 0..=AHEAD {
            add(&rejections);
            assert_eq!(reported(&rejections, Duration::from_millis(1)).await, [1]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_rejections_are_reported_together() {
        let rejections = Rejections::default();
        let (mut reports, mut connections) = (0, 0);
        for _ in 0..6_000 {
            add(&rejections);
            for count in reported(&rejections, Duration::from_millis(10)).await {
                reports += 1;
                connections += count;
            }
        }
        assert!((6..=10).contains(&reports), "{reports} in a minute");
        let rest = reported(&rejections, PERIOD).await;
        assert_eq!(connections + rest.iter().sum::<u32>(), 6_000);
        assert!(reported(&rejections, 9 * PERIOD).await.is_empty(), "nothing is left");
    }
}
