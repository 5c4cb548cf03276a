//! The state that a session and the operator share: notices for the user, and the key that the user types.
//!
//! A session never waits for the operator: if the queue is full, the oldest notice is dropped, and
//! [`Notice::Dropped`] reports the number of dropped ones. Progress never replaces another notice. The code and the request for a key must not be
//! lost, so they are state, and notices only announce them. The number of refused peers is state as well, so that
//! untrusted peers cannot displace other notices.

use core::cell::{Cell, RefCell};
use core::future::{pending, poll_fn};
use core::task::Poll;

use embassy_futures::select::{Either3, select3};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::channel::{Channel, TrySendError};
use embassy_sync::signal::Signal;
use embassy_sync::waitqueue::MultiWakerRegistration;
use rand_core::CryptoRngCore;
use waft_core::archive::Shape;
use waft_core::certificate::CertificateHash;
use waft_core::code::{AuthCode, KeyError, TransferKey};
use waft_core::pairing::PairingCode;
use waft_core::session::receiver::{Event, KeyAnswer};
use waft_core::session::{Clock, Offered};
use zeroize::Zeroize as _;

use super::{KeyRequest, Notice};
use crate::pairing::Window;
use crate::tls::error::HandshakeError;

/// The most notices that wait for the operator.
const NOTICES: usize = 8;

/// The number of futures that can wait for the end of a check without waking each other.
const WAITING: usize = 2;

/// The rate limit of notices about refused peers: one per `REFUSED_MS` milliseconds on average, and a few more (`AHEAD`)
/// in a burst. So untrusted peers cannot push other lines off the screen.
const REFUSED_MS: u64 = 10_000;
const AHEAD: u64 = 3;

/// The state that session and operator share. Both run in one task.
pub(crate) struct OperatorState {
    notices: Channel<NoopRawMutex, Notice, NOTICES>,
    /// The number of dropped notices that were not reported yet.
    dropped: Cell<u32>,
    /// The number of refused peers that were not reported yet, and the last reason.
    refused: Signal<NoopRawMutex, (u32, HandshakeError)>,
    /// The time up to which notices about refused peers have used up the rate limit.
    used_until: Cell<u64>,
    pub(crate) code: Cell<Option<[u8; 4]>>,
    pub(crate) request: Cell<Option<KeyRequest>>,
    /// Whether a key was typed that is still being checked.
    is_checking_key: Cell<bool>,
    /// The futures that wait for the end of the check.
    key_checked: RefCell<MultiWakerRegistration<WAITING>>,
    answer: Signal<NoopRawMutex, KeyAnswer>,
    /// Whether the memory of the queue may hold bytes that a session left on the stack.
    is_dirty: Cell<bool>,
    /// The sender of the running session, once it is authenticated.
    pub(crate) sender: Cell<Option<CertificateHash>>,
    /// Whether a factory reset has begun.
    #[cfg(feature = "announce")]
    pub(crate) is_reset: Cell<bool>,
    /// Ends the running session if its sender is no longer trusted.
    pub(crate) sender_removed: Signal<NoopRawMutex, ()>,
    /// Wakes the receiver between sessions: the list of trusted senders changed, or the user wants to pair.
    pub(crate) wake: Signal<NoopRawMutex, ()>,
    /// The time in which the board pairs, and its code.
    pairing: RefCell<Option<Window>>,
    /// Whether the user wants to pair, and no window was opened for that yet.
    is_pairing_wanted: Cell<bool>,
    /// The typed key, until the session takes it.
    key: RefCell<TransferKey>,
}

impl OperatorState {
    #[inline(never)]
    pub(crate) const fn new() -> Self {
        Self {
            notices: Channel::new(),
            dropped: Cell::new(0),
            refused: Signal::new(),
            used_until: Cell::new(0),
            code: Cell::new(None),
            request: Cell::new(None),
            is_checking_key: Cell::new(false),
            key_checked: RefCell::new(MultiWakerRegistration::new()),
            answer: Signal::new(),
            is_dirty: Cell::new(false),
            sender: Cell::new(None),
            #[cfg(feature = "announce")]
            is_reset: Cell::new(false),
            sender_removed: Signal::new(),
            wake: Signal::new(),
            pairing: RefCell::new(None),
            is_pairing_wanted: Cell::new(false),
            key: RefCell::new(TransferKey::empty()),
        }
    }

    pub(crate) fn notify(&self, notice: Notice) {
        if let Err(TrySendError::Full(notice)) = self.notices.try_send(notice)
            && !matches!(notice, Notice::Progress(_))
        {
            let _ = self.notices.try_receive();
            let _ = self.notices.try_send(notice);
            self.dropped.update(|dropped| dropped.saturating_add(1));
        }
    }

    /// Called after a session, when its stack was wiped.
    pub(crate) fn session_ended(&self) {
        self.is_dirty.set(true);
        self.clean_queue();
    }

    /// Overwrites the memory of the queue once it is empty. Most notices are shorter than their place in the queue, and
    /// moving one there also copies the bytes after it: during a session these may be keys that the session left on the
    /// stack.
    #[inline(never)]
    fn clean_queue(&self) {
        if !self.notices.is_empty() || !self.is_dirty.replace(false) {
            return;
        }
        // The longest notice.
        let shape = Shape { total: 0, files: 0, entries: 0, manifest: 0 };
        let offered = Offered { sender: CertificateHash([0; 32]), created: 0, shape };
        while self.notices.try_send(Notice::Session(Event::Offered(offered))).is_ok() {}
        while self.notices.try_receive().is_ok() {}
    }

    /// Counts a refused peer. It gets no notice of its own, because many peers could displace other notices.
    pub(crate) fn count_refused(&self, reason: HandshakeError) {
        let before = self.refused.try_take().map_or(0, |(peers, _)| peers);
        self.refused.signal((before.saturating_add(1), reason));
    }

    /// The next notice. Cancel-safe.
    pub(crate) async fn next(&self, clock: &impl Clock) -> Notice {
        self.clean_queue();
        if let count @ 1.. = self.dropped.take() {
            return Notice::Dropped(count);
        }
        let refused = async {
            clock.sleep_until(self.used_until.get().saturating_sub(AHEAD * REFUSED_MS)).await;
            self.refused.wait().await
        };
        match select3(self.notices.receive(), refused, self.pairing_expired(clock)).await {
            Either3::First(notice) => notice,
            Either3::Second((peers, last)) => {
                self.used_until.update(|until| until.max(clock.now()) + REFUSED_MS);
                Notice::Refused { peers, last }
            }
            Either3::Third(()) => {
                self.pairing.take();
                Notice::Pairing
            }
        }
    }

    /// Completes when the list of trusted senders was changed during a session. Cancel-safe.
    pub(crate) async fn sender_removed(&self) {
        self.sender_removed.wait().await;
    }

    /// Ends the session of a sender that is no longer trusted, and the runs that are remembered of it. Completes once the
    /// session is over. The session runs in the same task, and is polled before the operator.
    pub(super) async fn end_session(&self, sender: &CertificateHash) {
        self.sender_removed.signal(());
        self.wake.signal(());
        poll_fn(|_| if self.sender.get() == Some(*sender) { Poll::Pending } else { Poll::Ready(()) }).await;
    }

    /// Asks the receiver to open pairing.
    pub(super) fn request_pairing(&self) {
        self.is_pairing_wanted.set(true);
        self.wake.signal(());
    }

    /// Opens pairing if the user wants it, and makes the next code after an attempt. Called between sessions.
    pub(crate) fn renew_pairing(&self, rng: &mut impl CryptoRngCore, now: u64) {
        let mut pairing = self.pairing.borrow_mut();
        if self.is_pairing_wanted.take() {
            *pairing = Some(Window::new(PairingCode::random(rng), now));
        } else {
            match &mut *pairing {
                Some(Window { code: Some(_), .. }) | None => return,
                Some(window) if window.attempts > 1 => {
                    window.attempts -= 1;
                    window.code = Some(PairingCode::random(rng));
                }
                Some(_) => *pairing = None,
            }
        }
        self.notify(Notice::Pairing);
    }

    /// Whether an attempt to pair can begin.
    pub(crate) fn is_pairing_open(&self, now: u64) -> bool {
        self.pairing.borrow().as_ref().is_some_and(|window| now < window.until)
    }

    /// Takes the code for an attempt, if pairing is open.
    pub(crate) fn take_pairing_code(&self, now: u64) -> Option<PairingCode> {
        self.pairing.borrow_mut().as_mut().filter(|window| now < window.until)?.code.take()
    }

    /// Ends pairing. Returns whether it was open.
    pub(crate) fn close_pairing(&self) -> bool {
        self.is_pairing_wanted.set(false);
        self.pairing.take().is_some()
    }

    /// Calls `show` with the code, if one is shown.
    pub(super) fn with_pairing_code<T>(&self, show: impl FnOnce(&PairingCode) -> T) -> Option<T> {
        self.pairing.borrow().as_ref()?.code.as_ref().map(show)
    }

    /// Completes at the end of the time in which the board pairs. The notice about its beginning ends the wait, too.
    async fn pairing_expired(&self, clock: &impl Clock) {
        let until = self.pairing.borrow().as_ref().map(|window| window.until);
        match until {
            Some(until) => clock.sleep_until(until).await,
            None => pending().await,
        }
    }

    /// Shows the code, or that none is asked for.
    pub(crate) fn show_code(&self, code: Option<&AuthCode>) {
        let digits = code.map(|code| *code.digits());
        if self.code.replace(digits) != digits {
            self.notify(Notice::Code);
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
        self.request.set(None);
        self.is_checking_key.set(true);
        self.answer.signal(answer);
    }

    /// Whether a typed key is being checked.
    pub(crate) fn is_checking_key(&self) -> bool {
        self.is_checking_key.get()
    }

    /// Ends the check of a typed key, if there is one.
    pub(crate) fn end_key_check(&self) {
        if self.is_checking_key.replace(false) {
            self.key_checked.borrow_mut().wake();
        }
    }

    /// Completes when no typed key is being checked. Cancel-safe.
    pub(crate) async fn key_checked(&self) {
        poll_fn(|context| {
            if !self.is_checking_key() {
                return Poll::Ready(());
            }
            self.key_checked.borrow_mut().register(context.waker());
            Poll::Pending
        })
        .await;
    }

    /// Requests a key from the user. Dropping the future withdraws the request.
    pub(super) async fn request_key(&self, request: KeyRequest, key: &mut TransferKey) -> KeyAnswer {
        let guard = Withdraw(self);
        self.answer.reset();
        self.end_key_check();
        self.request.set(Some(request));
        self.notify(Notice::KeyRequest);
        let answer = self.answer.wait().await;
        key.copy_from(&self.key.borrow());
        drop(guard);
        answer
    }
}

/// Withdraws the request and wipes the key, also if the future that requested it is dropped.
struct Withdraw<'a>(&'a OperatorState);

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        self.0.key.borrow_mut().zeroize();
        if self.0.request.take().is_some() {
            self.0.notify(Notice::KeyRequest);
        }
    }
}

#[cfg(test)]
mod tests {
    use core::pin::pin;
    use std::sync::Arc;
    use std::vec::Vec;

    use embassy_futures::{block_on, poll_once};

    use super::*;
    use crate::woken::Woken;

    /// A clock that does not advance.
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

    fn all(state: &OperatorState) -> Vec<Notice> {
        let mut shown = Vec::new();
        while let core::task::Poll::Ready(notice) = poll_once(state.next(&Stopped)) {
            shown.push(notice);
        }
        shown
    }

    #[test]
    fn dropped_notices_are_reported() {
        let state = OperatorState::new();
        for seconds in 0..NOTICES as u32 + 3 {
            state.notify(Notice::Session(Event::Locked { seconds }));
        }
        let shown = all(&state);
        assert!(matches!(shown[0], Notice::Dropped(3)));
        assert_eq!(shown.len(), 1 + NOTICES);
        assert!(matches!(shown[1], Notice::Session(Event::Locked { seconds: 3 })), "the newest are kept");
        assert_eq!(all(&state).len(), 0, "they are reported once");
    }

    #[test]
    fn a_queue_is_cleaned_when_it_is_empty_and_loses_no_notice() {
        let state = OperatorState::new();
        state.notify(Notice::Progress(10));
        state.session_ended();
        assert!(state.is_dirty.get(), "a notice waits");
        assert_eq!(all(&state), [Notice::Progress(10)]);
        assert!(!state.is_dirty.get());
        state.session_ended();
        assert!(!state.is_dirty.get());
        assert_eq!(all(&state), []);
    }

    #[test]
    fn an_operator_is_woken_when_a_key_was_checked_and_when_a_peer_was_refused() {
        let (state, woken) = (OperatorState::new(), Arc::new(Woken::default()));
        state.answer(KeyAnswer::Given);
        let (mut checked, mut next) = (pin!(state.key_checked()), pin!(state.next(&Stopped)));
        assert!(woken.poll(checked.as_mut()).is_pending() && woken.poll(next.as_mut()).is_pending());
        assert_eq!(woken.count(), 0);
        state.end_key_check();
        assert_eq!(woken.count(), 1);
        assert!(woken.poll(checked).is_ready());
        state.count_refused(HandshakeError::TimedOut);
        assert_eq!(woken.count(), 2);
        assert_eq!(woken.poll(next), Poll::Ready(Notice::Refused { peers: 1, last: HandshakeError::TimedOut }));
    }

    #[test]
    fn progress_never_takes_the_place_of_another_notice() {
        let state = OperatorState::new();
        state.notify(Notice::Session(Event::CodeAccepted));
        (0..100).for_each(|percent| state.notify(Notice::Progress(percent)));
        let first = block_on(state.next(&Stopped));
        assert!(matches!(first, Notice::Session(Event::CodeAccepted)));
        assert!(all(&state).iter().all(|notice| matches!(notice, Notice::Progress(_))));
    }
}
