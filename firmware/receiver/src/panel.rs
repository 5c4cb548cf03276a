//! The state that a session and the console share: notices for the user, and the key that the user types.
//!
//! A session reports through [`AtBoard`], the implementation of core's `Operator`. The [`console`](crate::console)
//! prints the notices when it has time. A session never waits for that: if the queue is full, the oldest notice is
//! dropped, and the console reports the number of dropped ones. Progress never replaces another notice. The code and
//! the request for a key must not be lost, so they are state, and notices only announce them. The number of refused
//! peers is state as well, so that untrusted peers cannot displace other notices.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::Poll;

use embassy_futures::select::{Either, select};
use embassy_sync::blocking_mutex::raw::{NoopRawMutex, RawMutex};
use embassy_sync::channel::{Channel, TrySendError};
use embassy_sync::signal::Signal;
use waft_core::code::{AuthCode, KeyError, TransferKey};
use waft_core::limits::PROGRESS_STEP;
use waft_core::session::peers::LockoutSnapshot;
use waft_core::session::receiver::{Event as Happened, KeyAnswer, Operator};
use waft_core::session::{Clock, Offered, SessionError};
use zeroize::Zeroize as _;

use crate::events::{Event, Events};
use crate::tls::error::HandshakeError;

/// The capacity of the queue of notices for the console.
const NOTICES: usize = 8;

/// The rate limit of lines about refused peers: one per `LINE_MS` milliseconds on average, and a few more (`AHEAD`) in
/// a burst. So untrusted peers cannot push other lines off the screen.
const LINE_MS: u64 = 10_000;
const AHEAD: u64 = 3;

/// Something to show to the user.
#[derive(Clone, Copy)]
pub(crate) enum Notice {
    /// The address at which senders reach the board changed or is gone.
    Address,
    /// The code changed.
    Code,
    /// A key is requested, or is no longer requested.
    Question,
    /// An event of a session.
    Session(Happened),
    /// This percentage of the archive was received.
    Percent(u8),
    /// A session ended with this error.
    Ended(SessionError),
    /// This number of peers failed to authenticate, the last one for this reason.
    Strangers(u32, HandshakeError),
    /// This number of notices was dropped since the last one that was shown.
    Dropped(u32),
}

/// A request for a key.
#[derive(Clone, Copy)]
pub(crate) struct Question {
    pub(crate) offered: Offered,
    /// The number of attempts left, if the last key was wrong.
    pub(crate) left: Option<u8>,
}

/// The state that session and console share. Both run in one task.
pub(crate) struct Panel {
    notices: Channel<NoopRawMutex, Notice, NOTICES>,
    /// The number of dropped notices that were not reported yet.
    dropped: Cell<u32>,
    /// The number of refused peers that were not reported yet, and the last reason.
    strangers: Cell<Option<(u32, HandshakeError)>>,
    /// The time up to which lines about refused peers have used up the rate limit.
    taken_until: Cell<u64>,
    pub(crate) code: Cell<Option<[u8; 4]>>,
    pub(crate) question: Cell<Option<Question>>,
    /// Whether a key was typed that is still being checked.
    pub(crate) checks_key: Cell<bool>,
    answer: Signal<NoopRawMutex, KeyAnswer>,
    /// The typed key, until the session takes it.
    key: RefCell<TransferKey>,
}

impl Panel {
    #[inline(never)]
    pub(crate) const fn new() -> Self {
        Self {
            notices: Channel::new(),
            dropped: Cell::new(0),
            strangers: Cell::new(None),
            taken_until: Cell::new(0),
            code: Cell::new(None),
            question: Cell::new(None),
            checks_key: Cell::new(false),
            answer: Signal::new(),
            key: RefCell::new(TransferKey::empty()),
        }
    }

    pub(crate) fn tell(&self, notice: Notice) {
        if let Err(TrySendError::Full(notice)) = self.notices.try_send(notice)
            && !matches!(notice, Notice::Percent(_))
        {
            let _ = self.notices.try_receive();
            let _ = self.notices.try_send(notice);
            self.dropped.update(|dropped| dropped.saturating_add(1));
        }
    }

    /// Counts a refused peer. It gets no notice of its own, because many peers could displace other notices.
    pub(crate) fn tell_of_stranger(&self, reason: HandshakeError) {
        let before = self.strangers.get().map_or(0, |(count, _)| count);
        self.strangers.set(Some((before.saturating_add(1), reason)));
    }

    /// The next notice. Cancel-safe.
    pub(crate) async fn next(&self, clock: &impl Clock) -> Notice {
        if let count @ 1.. = self.dropped.take() {
            return Notice::Dropped(count);
        }
        let strangers = async {
            clock.sleep_until(self.taken_until.get().saturating_sub(AHEAD * LINE_MS)).await;
            // Needs no waker: it is polled whenever the session that reports a peer is polled.
            poll_fn(|_| self.strangers.take().map_or(Poll::Pending, Poll::Ready)).await
        };
        match select(self.notices.receive(), strangers).await {
            Either::First(notice) => notice,
            Either::Second((count, reason)) => {
                self.taken_until.update(|until| until.max(clock.now()) + LINE_MS);
                Notice::Strangers(count, reason)
            }
        }
    }

    pub(crate) fn show_code(&self, code: &AuthCode) {
        if self.code.replace(Some(*code.digits())) != Some(*code.digits()) {
            self.tell(Notice::Code);
        }
    }

    /// Parses a typed key, and answers the request with it.
    pub(crate) fn answer_key(&self, typed: &str) -> Result<(), KeyError> {
        self.key.borrow_mut().read(typed)?;
        self.answer(KeyAnswer::Given);
        Ok(())
    }

    /// Answers the request, which ends it.
    pub(crate) fn answer(&self, answer: KeyAnswer) {
        self.question.set(None);
        self.checks_key.set(true);
        self.answer.signal(answer);
    }

    /// Requests a key from the user. Dropping the future withdraws the request.
    async fn ask(&self, question: Question, key: &mut TransferKey) -> KeyAnswer {
        let asked = Asked(self);
        self.answer.reset();
        self.checks_key.set(false);
        self.question.set(Some(question));
        self.tell(Notice::Question);
        let answer = self.answer.wait().await;
        key.copy_from(&self.key.borrow());
        drop(asked);
        answer
    }
}

/// Withdraws the request and wipes the key, also if the future that requested it is dropped.
struct Asked<'a>(&'a Panel);

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.0.key.borrow_mut().zeroize();
        if self.0.question.take().is_some() {
            self.0.tell(Notice::Question);
        }
    }
}

/// The user at the board and the application, as the `Operator` of core's session.
pub(crate) struct AtBoard<'a, M: RawMutex> {
    panel: &'a Panel,
    events: &'a Events<M>,
    lockouts: &'a mut LockoutSnapshot,
    total: u64,
    /// The percentage and the number of bytes that were reported last.
    told: (u8, u64),
}

impl<'a, M: RawMutex> AtBoard<'a, M> {
    pub(crate) fn new(panel: &'a Panel, events: &'a Events<M>, lockouts: &'a mut LockoutSnapshot) -> Self {
        Self { panel, events, lockouts, total: 1, told: (0, 0) }
    }

    fn received(&mut self, received: u64) {
        let total = self.total.max(1);
        if received >= self.told.1 + PROGRESS_STEP {
            self.told.1 = received;
            self.events.send(Event::Receiving { received, total });
        }
        // Reported in steps of ten percent.
        let percent = (received * 10 / total * 10) as u8;
        if percent > self.told.0 {
            self.told.0 = percent;
            self.panel.tell(Notice::Percent(percent));
        }
    }

    fn begins(&mut self, offset: u64, total: u64) {
        self.total = total;
        self.told = ((offset * 10 / total.max(1) * 10) as u8, offset);
        self.events.send(Event::Receiving { received: offset, total });
    }
}

impl<M: RawMutex> Drop for AtBoard<'_, M> {
    fn drop(&mut self) {
        self.panel.checks_key.set(false);
    }
}

impl<M: RawMutex> Operator for AtBoard<'_, M> {
    fn code(&mut self, code: &AuthCode) {
        self.panel.show_code(code);
    }

    fn keep_lockouts(&mut self, lockouts: &LockoutSnapshot) {
        *self.lockouts = *lockouts;
    }

    async fn key(&mut self, offered: &Offered, left: Option<u8>, key: &mut TransferKey) -> KeyAnswer {
        self.panel.ask(Question { offered: *offered, left }, key).await
    }

    fn event(&mut self, event: Happened) {
        self.panel.checks_key.set(false);
        match event {
            Happened::Received(received) => return self.received(received),
            Happened::Receiving { offset, total } => self.begins(offset, total),
            Happened::Offered(Offered { sender, shape, .. }) => {
                self.events.send(Event::Offered { sender, files: shape.files, total: shape.total });
            }
            Happened::Committed(receipt) => self.events.send(Event::Committed(receipt)),
            _ => {}
        }
        self.panel.tell(Notice::Session(event));
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use embassy_futures::block_on;
    use embassy_futures::poll_once;

    use super::*;

    /// A clock that stands still.
    struct Stopped;

    impl Clock for Stopped {
        fn now(&self) -> u64 {
            0
        }

        async fn sleep_until(&self, at: u64) {
            if at > 0 {
                core::future::pending().await
            }
        }
    }

    fn all(panel: &Panel) -> Vec<Notice> {
        let mut shown = Vec::new();
        while let core::task::Poll::Ready(notice) = poll_once(panel.next(&Stopped)) {
            shown.push(notice);
        }
        shown
    }

    #[test]
    fn dropped_notices_are_reported() {
        let panel = Panel::new();
        for seconds in 0..NOTICES as u32 + 3 {
            panel.tell(Notice::Session(Happened::Locked { seconds }));
        }
        let shown = all(&panel);
        assert!(matches!(shown[0], Notice::Dropped(3)));
        assert_eq!(shown.len(), 1 + NOTICES);
        assert!(matches!(shown[1], Notice::Session(Happened::Locked { seconds: 3 })), "the newest are kept");
        assert_eq!(all(&panel).len(), 0, "they are reported once");
    }

    #[test]
    fn progress_never_takes_the_place_of_another_notice() {
        let panel = Panel::new();
        panel.tell(Notice::Session(Happened::CodeAccepted));
        (0..100).for_each(|percent| panel.tell(Notice::Percent(percent)));
        let first = block_on(panel.next(&Stopped));
        assert!(matches!(first, Notice::Session(Happened::CodeAccepted)));
        assert!(all(&panel).iter().all(|notice| matches!(notice, Notice::Percent(_))));
    }
}
