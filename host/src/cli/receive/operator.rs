//! The user interface of a receiver: the events and questions of a session, and reports of rejected connections.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::IpAddr;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use waft_core::code::{AuthCode, TransferKey};
use zeroize::Zeroizing;

use crate::cli::number_of_files;
use crate::cli::ui::{AskError, Event, Progress, Question, Ui, key_form, secret, show_code};
use crate::error::{Error, bytes};
use crate::receive::{self, KeyAnswer, Offer};

/// The user interface for one session with a sender.
pub(super) struct ReceiveOperator<'a> {
    ui: &'a Ui,
    rejections: &'a Rejections,
    progress: Option<Progress<'a>>,
    /// The name of the folder, safe to print.
    name: String,
    /// Whether nothing had to be sent.
    was_here: bool,
    /// The last key that was given. It is used again if the input ends after a wrong key.
    given: Option<Zeroizing<String>>,
    /// Why no key was given.
    failure: Option<Error>,
}

impl<'a> ReceiveOperator<'a> {
    pub(super) fn new(ui: &'a Ui, rejections: &'a Rejections) -> Self {
        Self { ui, rejections, progress: None, name: String::new(), was_here: false, given: None, failure: None }
    }

    /// Why no key was given, if that ended the session.
    pub(super) fn failure(self) -> Option<Error> {
        self.failure
    }

    fn started(&mut self, offset: u64, total: u64) {
        match offset {
            0 => self.ui.say(format!("The key is right. Receiving {}.", self.name)),
            offset if offset == total => {
                self.ui.say(format!("All of {} is here already. Verifying it and putting it in place.", self.name))
            }
            offset => {
                let [offset, total] = [offset, total].map(bytes);
                self.ui.say(format!("The key is right. Continuing with {} at {offset} of {total}.", self.name));
            }
        }
        self.was_here = offset == total;
        self.progress = Some(self.ui.progress(offset, total));
    }
}

fn question(offer: &Offer<'_>, tries_left: Option<u8>) -> String {
    match tries_left {
        None => {
            format!(
                "Key that {} shows, for {} ({}):",
                offer.peer.name,
                number_of_files(offer.files),
                bytes(offer.total)
            )
        }
        Some(left) => format!("That is not the key; {left} {} left. Key:", if left == 1 { "try" } else { "tries" }),
    }
}

impl receive::Operator for ReceiveOperator<'_> {
    fn code(&mut self, code: &AuthCode) {
        show_code(self.ui, "Next code", code);
        self.ui.event(&Event::Code { code: &secret(code.display()) });
    }

    async fn key(&mut self, offer: &Offer<'_>, tries_left: Option<u8>, key: &mut TransferKey) -> KeyAnswer {
        let answer = self.ui.ask(Question::Key, &question(offer, tries_left), key_form).await;
        match (answer, &self.given) {
            (Ok(typed), _) => {
                key.copy_from(&typed);
                self.given = Some(secret(typed.display()));
                KeyAnswer::Given
            }
            // A script's input ended after a wrong key: repeat that key until no tries are left. A user who ends the
            // input wants to stop.
            (Err(AskError::NoAnswer(_)), Some(given)) if !self.ui.has_user() => {
                key.read(given).map_or(KeyAnswer::Declined, |()| KeyAnswer::Given)
            }
            (Err(error), _) => {
                self.failure = Some(error.into());
                if self.ui.has_user() { KeyAnswer::Declined } else { KeyAnswer::Unavailable }
            }
        }
    }

    fn event(&mut self, event: receive::Event<'_>) {
        use receive::Event as Happened;
        match event {
            Happened::NotASender { address, why } => self.ui.detail(format!("{address}: {why}")),
            Happened::NotAuthenticated { address, error } => self.rejections.add(address, error),
            Happened::Connected(peer) => {
                self.ui.event(&Event::Connected { peer: peer.name.as_str() });
                self.ui.say(format!("{} connected.", peer.name));
            }
            Happened::CodeWrong { peer, left } => {
                self.ui.say(format!("{} gave a wrong code; tries left: {left}.", peer.name));
            }
            Happened::CodeAccepted => self.ui.say("The code is right."),
            Happened::Offered(Offer { peer, files, total, .. }) => {
                self.ui.event(&Event::Offered { peer: peer.name.as_str(), files, total });
            }
            Happened::Named { name, .. } => self.name = name.to_string(),
            Happened::Hashing => self.ui.detail("Reading back what is here already."),
            Happened::Waiting => self.ui.say("Waiting until no other waft receives into this folder."),
            Happened::Started { offset, total } => self.started(offset, total),
            Happened::Progress(position) => {
                if let Some(progress) = &mut self.progress {
                    progress.set(position);
                }
            }
            Happened::Verifying => {
                self.progress = None;
                if !self.was_here {
                    self.ui.say("Everything has arrived. Verifying it and putting it in place.");
                }
            }
            Happened::Committed => self.progress = None,
        }
    }
}

/// One report per this time on average, and a few more ([`AHEAD`]) in a burst.
const PERIOD: Duration = Duration::from_secs(10);
const AHEAD: u32 = 3;

/// Rejected connections that were not reported yet, and the rate limit. Without a limit, peers that nobody trusts could
/// push the code off the screen and fill a log. The console of a board has the same limit.
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
