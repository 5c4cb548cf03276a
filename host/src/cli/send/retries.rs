//! Reports failed attempts to the user and to scripts: a new failure at once, a repeated one at growing intervals.

use std::time::Duration;

use super::patience::Retry;
use crate::cli::ui::{Event, Ui};
use crate::error::Error;

/// How long a repeated failure is not reported again. The interval doubles with each report.
const PAUSE_FIRST: Duration = Duration::from_secs(5);

/// The failures that were reported.
#[derive(Default)]
pub(super) struct Retries {
    told: Vec<Told>,
    is_hint_told: bool,
}

/// A failure that was reported.
struct Told {
    failure: String,
    pause: Duration,
    next: Duration,
}

impl Retries {
    /// Reports a failed attempt, `now` after the first attempt. Attempts in quick succession are reported when their
    /// failure is new, and then at growing intervals.
    pub(super) fn tell(&mut self, error: &Error, retry: Retry, now: Duration, ui: &Ui) {
        let failure = error.to_string();
        let wait = retry.wait.as_secs_f32();
        match retry.left {
            Some(left) => match self.occurrence(&failure, now) {
                Occurrence::First => {
                    ui.say(format!("{failure} Trying again for {} s.", left.as_secs()));
                    ui.say(format!("  {}", error.told().next));
                }
                Occurrence::Due => ui.say(format!("{failure} Still trying, for {} s more.", left.as_secs())),
                Occurrence::Repeated => return ui.detail(format!("{failure} Trying again in {wait:.1} s.")),
            },
            None => ui.say(format!("{failure} Trying again in {wait:.1} s.")),
        }
        let left = retry.left.map(|left| left.as_millis() as u64);
        ui.event(&Event::Retry { message: failure, wait: retry.wait.as_millis() as u64, left });
        if let Some(hint) = error.silence_hint()
            && !std::mem::replace(&mut self.is_hint_told, true)
        {
            ui.warn(hint);
        }
    }

    /// Whether a failure has to be reported now. Each of several alternating failures has its own interval.
    fn occurrence(&mut self, failure: &str, now: Duration) -> Occurrence {
        match self.told.iter_mut().find(|told| told.failure == failure) {
            None => {
                let next = now + PAUSE_FIRST;
                self.told.push(Told { failure: failure.to_owned(), pause: PAUSE_FIRST, next });
                Occurrence::First
            }
            Some(told) if now < told.next => Occurrence::Repeated,
            Some(told) => {
                told.pause *= 2;
                told.next = now + told.pause;
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
    fn a_failure_is_told_at_once_and_at_growing_intervals() {
        let mut retries = Retries::default();
        // Two failures that alternate four times a second, for 45 s.
        let told = (0..180).filter_map(|quarter| {
            let failure = ["refused", "busy"][quarter % 2];
            let now = Duration::from_millis(250 * quarter as u64);
            (retries.occurrence(failure, now) != Occurrence::Repeated).then_some((failure, now.as_secs()))
        });
        let expected = [0, 5, 15, 35].map(|second| [("refused", second), ("busy", second)]);
        assert_eq!(told.collect::<Vec<_>>(), expected.concat());
    }
}
