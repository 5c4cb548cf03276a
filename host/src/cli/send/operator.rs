//! The user interface of a sender: the events and the question of a run, and reports of failed attempts.

use std::time::Duration;

use waft_core::code::{AuthCode, TransferKey};

use crate::cli::ui::{Event, Progress, Question, Ui, code_form, secret, show_key, show_key_for};
use crate::error::{Class, Error, bytes};
use crate::name::Name;
use crate::send::{self, RetryLimit, Stage};

/// How much of a run the user sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Every step.
    Detailed,
    /// What the user has to do, and the end.
    Brief,
    /// As `Brief`, for one of several receivers at the same time: every line names it.
    Among,
}

/// The user interface for one run of a sender to `peer`.
pub(super) struct SendOperator<'a> {
    ui: &'a Ui,
    peer: &'a str,
    manner: Manner,
    retries: RetryReports,
    /// Whether the key was shown to the user, which happens when the receiver's user is asked for it. A script has it
    /// earlier, before it is asked for the code.
    is_key_shown: bool,
    progress: Option<Progress<'a>>,
    /// Why no code was given.
    failure: Option<Error>,
}

impl<'a> SendOperator<'a> {
    pub(super) fn new(ui: &'a Ui, peer: &'a str, manner: Manner) -> Self {
        let (is_key_shown, progress, failure) = Default::default();
        let retries = RetryReports::new(if manner == Manner::Among { peer } else { "" });
        Self { ui, peer, manner, retries, is_key_shown, progress, failure }
    }

    /// Why no code was given, if that ended the run.
    pub(super) fn failure(self) -> Option<Error> {
        self.failure
    }

    /// Prints a step of the run.
    fn step(&self, text: impl AsRef<str>) {
        if self.manner == Manner::Detailed { self.ui.say(text) } else { self.ui.detail(text) }
    }

    /// Prints what the user needs to know.
    fn must(&self, text: &str) {
        match self.manner {
            Manner::Among => self.ui.must(format!("{}: {text}", self.peer)),
            _ => self.ui.must(text),
        }
    }

    fn offered(&mut self, key: Option<&TransferKey>) {
        let Some(key) = key else {
            return self.step(format!("The key goes to {} sealed: nobody has to type it.", self.peer));
        };
        if std::mem::replace(&mut self.is_key_shown, true) {
            return;
        }
        match self.manner {
            Manner::Among => show_key_for(self.ui, self.peer, key),
            _ => {
                show_key(self.ui, key);
                self.ui.say(format!("Read it out to the user at {}, who is asked for it now.", self.peer));
            }
        }
    }

    fn waiting(&mut self, stage: Stage) {
        self.progress = None;
        let (what, text) = match stage {
            Stage::Key => ("key", "Waiting for the key to be typed there."),
            Stage::KeyAgain => ("key", "A wrong key was typed there. Waiting for the right one."),
            Stage::Hashing => ("hashing", "Waiting: what is there already is read back."),
            Stage::Verifying => ("verifying", "All sent. Waiting for it to be verified and put in place."),
            Stage::Waiting => ("reader", "Waiting: the place of the new folder is still in use there."),
            Stage::Storing => ("storing", "Waiting: the storage there is slow."),
            _ => ("busy", "Waiting for it."),
        };
        self.ui.event(&Event::Waiting { what, peer: self.peer });
        if stage == Stage::KeyAgain { self.must(text) } else { self.step(text) }
    }

    fn started(&mut self, offset: u64, total: u64) {
        match offset {
            0 => self.step("Sending."),
            offset if offset == total => self.step(format!("{} has everything already.", self.peer)),
            offset => self.step(format!("Continuing at {} of {}.", bytes(offset), bytes(total))),
        }
        self.progress = Some(match self.manner {
            Manner::Among => self.ui.progress_among(self.peer, offset, total),
            _ => self.ui.progress_to(self.peer, offset, total),
        });
    }
}

impl send::Operator for SendOperator<'_> {
    async fn code(&mut self, _receiver: &Name, tries_left: Option<u8>) -> Option<AuthCode> {
        if let Some(left) = tries_left {
            self.must(&format!("That code is wrong; tries left: {left}."));
            if Question::Code.in_environment().is_some() {
                self.failure = Some(wrong_code());
                return None;
            }
        }
        let question = format!("Code that {} shows:", self.peer);
        match self.ui.ask_about(Some(self.peer), Question::Code, &question, code_form).await {
            Ok(code) => Some(code),
            Err(error) => {
                self.failure = Some(if tries_left.is_some() { wrong_code() } else { error.into() });
                None
            }
        }
    }

    fn event(&mut self, event: send::Event<'_>) {
        use send::Event as Happened;
        match event {
            Happened::StillDialing { address, limit } => {
                self.step(format!("{address} has not answered yet. Waiting up to {} s.", limit.as_secs()));
            }
            Happened::OtherAddress { failed, next } => self
                .ui
                .detail(format!("{} is not at {failed}. Trying {next}, its address in the trust file.", self.peer)),
            Happened::Searching => self.step(format!("Looking for {} on this network.", self.peer)),
            Happened::SearchUnavailable(error) => {
                self.ui.warn(format!("{} cannot be looked for on this network: {error}", self.peer));
            }
            Happened::Announced { address } => self.step(format!("{} is announced at {address}.", self.peer)),
            Happened::Connected => {
                self.ui.event(&Event::Connected { peer: self.peer });
                self.step(format!("{} connected.", self.peer));
            }
            Happened::AddressNotSaved(error) => {
                self.ui.warn(format!("the address of {} cannot be stored: {error}", self.peer));
            }
            Happened::FreeSpace(free) => self.ui.detail(format!("{} has {} free.", self.peer, bytes(free))),
            Happened::Key(key) => {
                self.ui.event(&Event::Key { key: &secret(key.display()), peer: Some(self.peer) });
            }
            Happened::CodeAccepted => self.step("The code is right."),
            Happened::Offered { key } => self.offered(key),
            Happened::Waiting(stage) => self.waiting(stage),
            Happened::Started { offset, total } => self.started(offset, total),
            Happened::LeftOut(left_out) => {
                self.ui.detail(format!("{} has {} already, unchanged.", self.peer, bytes(left_out)));
            }
            Happened::Progress(position) => {
                if let Some(progress) = &mut self.progress {
                    progress.set(position);
                }
            }
            Happened::Retry { .. } => {
                self.progress = None;
                self.retries.report(&event, self.peer, self.ui);
            }
        }
    }
}

/// The error for a code that the receiver rejects, if the user cannot be asked for another one.
fn wrong_code() -> Error {
    Error::new(
        Class::Code,
        "The code is wrong.",
        "Look at the receiver: it shows the code that holds now. After three wrong ones it makes a new one.",
    )
}

/// How long a repeated failure is not reported again. The interval doubles with each report.
const PAUSE_FIRST: Duration = Duration::from_secs(5);

/// Reports failed attempts: a new failure at once, a repeated one at growing intervals.
#[derive(Default)]
pub(super) struct RetryReports {
    /// Begins every line: nothing, or the receiver's name.
    prefix: String,
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
    /// Nothing was reported yet. `name` begins every line, unless it is empty.
    fn new(name: &str) -> Self {
        let prefix = if name.is_empty() { String::new() } else { format!("{name}: ") };
        Self { prefix, ..Self::default() }
    }

    /// Reports a failed attempt. Attempts in quick succession are reported when their failure is new, and then at
    /// growing intervals.
    pub(super) fn report(&mut self, event: &send::Event<'_>, peer: &str, ui: &Ui) {
        let &send::Event::Retry { error, hint, wait, limit, elapsed } = event else { return };
        let failure = error.to_string();
        let shown = format!("{}{failure}", self.prefix);
        let again = format!("{shown} Trying again in {:.1} s.", wait.as_secs_f32());
        let occurrence = match limit {
            RetryLimit::Number => Occurrence::Due,
            _ => self.occurrence(&failure, elapsed),
        };
        match (occurrence, limit) {
            (Occurrence::Repeated, _) => return ui.detail(again),
            (_, RetryLimit::Number) => ui.say(again),
            (Occurrence::First, limit) => {
                match limit {
                    RetryLimit::Time(left) => ui.say(format!("{shown} Trying again for {} s.", left.as_secs())),
                    _ => ui.say(format!("{shown} Waiting until it is there. Ctrl-C ends that.")),
                }
                ui.say(format!("  {}", error.advice()));
            }
            (Occurrence::Due, RetryLimit::Time(left)) => {
                ui.say(format!("{shown} Still trying, for {} s more.", left.as_secs()));
            }
            (Occurrence::Due, _) => ui.say(format!("{shown} Still waiting.")),
        }
        let left = match limit {
            RetryLimit::Time(left) => Some(left.as_millis() as u64),
            _ => None,
        };
        ui.event(&Event::Retry { message: failure, wait: wait.as_millis() as u64, left, peer });
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
