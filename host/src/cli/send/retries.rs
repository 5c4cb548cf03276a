//! Reports failed attempts to the user and to scripts: a new failure at once, a repeated one at growing intervals.

use std::time::Duration;

use crate::cli::ui::{Event, Ui};
use crate::send;

/// How long a repeated failure is not reported again. The interval doubles with each report.
const PAUSE_FIRST: Duration = Duration::from_secs(5);

/// The failures that were reported.
#[derive(Default)]
pub(super) struct RetryReports {
    reported: Vec<Reported>,
    is_hint_shown: bool,
}

/// A failure that was reported.
struct Reported {
    failure: String,
    pause: Duration,
    next: Duration,
}

impl RetryReports {
    /// Reports a failed attempt. Attempts in quick succession are reported when their failure is new, and then at
    /// growing intervals.
    pub(super) fn report(&mut self, event: &send::Event<'_>, ui: &Ui) {
        let &send::Event::Retry { error, hint, wait, left, elapsed } = event else { return };
        let failure = error.to_string();
        let seconds = wait.as_secs_f32();
        match left {
            Some(left) => match self.occurrence(&failure, elapsed) {
                Occurrence::First => {
                    ui.say(format!("{failure} Trying again for {} s.", left.as_secs()));
                    ui.say(format!("  {}", error.advice()));
                }
                Occurrence::Due => ui.say(format!("{failure} Still trying, for {} s more.", left.as_secs())),
                Occurrence::Repeated => return ui.detail(format!("{failure} Trying again in {seconds:.1} s.")),
            },
            None => ui.say(format!("{failure} Trying again in {seconds:.1} s.")),
        }
        let left = left.map(|left| left.as_millis() as u64);
        ui.event(&Event::Retry { message: failure, wait: wait.as_millis() as u64, left });
        if let Some(hint) = hint
            && !std::mem::replace(&mut self.is_hint_shown, true)
        {
            ui.warn(hint);
        }
    }

    /// Whether a failure has to be reported now. Each of several alternating failures has its own interval.
    fn occurrence(&mut self, failure: &str, now: Duration) -> Occurrence {
        match self.reported.iter_mut().find(|reported| reported.failure == failure) {
            None => {
                let next = now + PAUSE_FIRST;
                self.reported.push(Reported { failure: failure.to_owned(), pause: PAUSE_FIRST, next });
                Occurrence::First
            }
            Some(reported) if now < reported.next => Occurrence::Repeated,
            Some(reported) => {
                reported.pause *= 2;
                reported.next = now + reported.pause;
                Occurrence::Due
            }
        }
    }
}

/// How a failed attempt relates to the earlier reports.
#[derive(Debug, PartialEq, Eq)]
enum Occurrence {
    /// The failure is new.
    First,
    /// The failure was last reported a while ago.
    Due,
    /// The failure was reported recently.
    Repeated,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_reported_at_once_and_at_growing_intervals() {
        let mut retries = RetryReports::default();
        // Two failures that alternate four times a second, for 45 s.
        let reported = (0..180).filter_map(|quarter| {
            let failure = ["refused", "busy"][quarter % 2];
            let now = Duration::from_millis(250 * quarter as u64);
            (retries.occurrence(failure, now) != Occurrence::Repeated).then_some((failure, now.as_secs()))
        });
        let expected = [0, 5, 15, 35].map(|second| [("refused", second), ("busy", second)]);
        assert_eq!(reported.collect::<Vec<_>>(), expected.concat());
    }
}
