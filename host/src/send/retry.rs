//! Decides how often a sender tries again, and when it gives up.
//!
//! A busy receiver is tried again for [`BUSY_RETRY_MS`]. A receiver that refuses connections or does not answer is
//! treated as busy, because unknown clients may occupy all of its sockets. As long as the address has only refused
//! connections, the attempts become slower, since it is more likely that nothing listens there. A broken connection
//! is tried again a few times; the count starts anew whenever a connection made progress. The same holds if the
//! receiver cancelled the session because it received nothing. PROTOCOL.md, section 6, "Retries" and "Many
//! connections".
//!
//! A sender that waits for its receiver tries again until the first session, whatever keeps it from one.
//!
//! Crates for back-off know one limit and one series of pauses. Here they depend on what each attempt met.

use std::time::Duration;

use rand_core::{OsRng, RngCore};
use waft_core::limits::BUSY_RETRY_MS;
use waft_core::session::SessionError;
use waft_core::session::sender::SendError;
use waft_core::wire::message::Cancel;
use waft_core::wire::preface::ClearRefusal;

use crate::net::DialError;
use crate::preface::PrefaceError;
use crate::tls::error::HandshakeError;

/// Maximum number of consecutive attempts without progress, once a session was established.
const WITHOUT_PROGRESS_MAX: u32 = 7;
/// The same limit before the first session. It is lower because a persistent problem is more likely then.
const BEFORE_SESSION_MAX: u32 = 5;
/// Maximum number of all attempts that did not find the receiver busy.
const ATTEMPTS_MAX: u32 = 200;
const WAIT_FIRST: Duration = Duration::from_millis(500);
const WAIT_MAX: Duration = Duration::from_secs(8);
/// Average pause between attempts at a busy receiver: a sender that tries often gets in where many want to connect.
/// The pause varies at random between half and one and a half of this value. With a fixed pause, a sender could stay
/// in step with a receiver that turns to other connections just as regularly, and find it busy each time.
const WAIT_BUSY: Duration = Duration::from_millis(250);
/// Maximum pause between attempts at an address that has only refused connections.
const WAIT_REFUSED_MAX: Duration = Duration::from_secs(1);

/// Maximum pause between attempts of a sender that waits for its receiver.
const WAIT_ABSENT_MAX: Duration = Duration::from_secs(2);

/// What a failed attempt says about the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    /// The receiver is busy with another transfer, which will end.
    Busy,
    /// The receiver closed the connection or did not answer: other clients may occupy all of its sockets.
    Silent,
    /// The connection was refused: other clients occupy all of the receiver's sockets, or nothing listens.
    Refused,
    /// The receiver cannot be reached. That may change, if it was reached before.
    Unreachable,
    /// The connection broke before the receiver was authenticated.
    Unsecured,
    /// The session broke.
    Broken,
    /// Another attempt would fail in the same way.
    Final,
}

impl Outlook {
    /// After failed connections to all addresses of the receiver.
    pub(super) fn dialing(errors: &[&DialError]) -> Self {
        if errors.iter().any(|error| error.is_refused()) { Self::Refused } else { Self::Unreachable }
    }

    /// Whether a connection broke.
    pub(super) fn is_broken(self) -> bool {
        matches!(self, Self::Unsecured | Self::Broken)
    }

    /// Whether the receiver did not respond at all.
    pub(super) fn is_out_of_reach(self) -> bool {
        matches!(self, Self::Silent | Self::Refused | Self::Unreachable)
    }
}

impl From<PrefaceError> for Outlook {
    fn from(error: PrefaceError) -> Self {
        match error {
            PrefaceError::Refused(ClearRefusal::Busy) => Self::Busy,
            PrefaceError::Closed | PrefaceError::Silent => Self::Silent,
            PrefaceError::Refused(_) | PrefaceError::NotWaft => Self::Final,
        }
    }
}

impl From<&HandshakeError> for Outlook {
    fn from(error: &HandshakeError) -> Self {
        match error {
            HandshakeError::Closed | HandshakeError::TimedOut | HandshakeError::Io(_) => Self::Unsecured,
            _ => Self::Final,
        }
    }
}

impl From<SendError> for Outlook {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Session(
                SessionError::Disconnected
                | SessionError::TimedOut
                | SessionError::PeerCancelled(Cancel::TimedOut | Cancel::BaseLost),
            )
            | SendError::OutcomeUnknown { interrupted: false } => Self::Broken,
            _ => Self::Final,
        }
    }
}

/// The next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retry {
    /// The pause before the next attempt.
    pub(super) wait: Duration,
    /// What ends the attempts.
    pub(super) limit: RetryLimit,
}

/// What ends the attempts of a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryLimit {
    /// Attempts continue for this time.
    Time(Duration),
    /// The number of attempts is limited.
    Number,
    /// Attempts continue until the receiver is there.
    Endless,
}

/// The history of a sender's attempts.
#[derive(Default)]
pub(super) struct Retries {
    /// Whether the receiver is waited for until the first session.
    waits: bool,
    attempts: u32,
    /// Consecutive attempts without progress.
    without_progress: u32,
    /// When the receiver was first found busy or refusing, relative to the first attempt.
    busy: Option<Duration>,
    /// Whether the address has ever responded with anything but a refused connection.
    has_answered: bool,
    /// Whether there was a session with the receiver.
    was_connected: bool,
}

impl Retries {
    /// Starts without a failed attempt. `waits` says whether the receiver is waited for until the first session.
    pub(super) fn new(waits: bool) -> Self {
        Self { waits, ..Self::default() }
    }

    /// Records that a session with the receiver has begun.
    pub(super) fn connected(&mut self) {
        self.was_connected = true;
        self.has_answered = true;
        self.busy = None;
    }

    /// Records that content was transferred.
    pub(super) fn made_progress(&mut self) {
        self.without_progress = 0;
    }

    /// The next attempt, or `None` to give up. `now` is the time since the first attempt.
    pub(super) fn next(&mut self, outlook: Outlook, now: Duration) -> Option<Retry> {
        // If the receiver was busy just before, a connection that breaks this early also means that it is busy.
        let outlook = if outlook.is_broken() && self.busy.is_some() { Outlook::Busy } else { outlook };
        match outlook {
            Outlook::Final => None,
            _ if self.waits && !self.was_connected => Some(self.until_there(outlook)),
            Outlook::Busy | Outlook::Silent | Outlook::Refused => {
                self.has_answered |= outlook != Outlook::Refused;
                self.while_busy(now)
            }
            Outlook::Unreachable if !self.was_connected => None,
            Outlook::Unreachable | Outlook::Unsecured | Outlook::Broken => {
                self.attempts += 1;
                self.without_progress += 1;
                let most = if self.was_connected { WITHOUT_PROGRESS_MAX } else { BEFORE_SESSION_MAX };
                let wait = growing(self.without_progress - 1, WAIT_MAX);
                (self.attempts < ATTEMPTS_MAX && self.without_progress < most)
                    .then_some(Retry { wait, limit: RetryLimit::Number })
            }
        }
    }

    fn while_busy(&mut self, now: Duration) -> Option<Retry> {
        let since = *self.busy.get_or_insert(now);
        let left = (since + Duration::from_millis(BUSY_RETRY_MS)).saturating_sub(now);
        let wait = match self.has_answered {
            true => WAIT_BUSY,
            false => ((now - since) / 16).clamp(WAIT_BUSY, WAIT_REFUSED_MAX),
        };
        (wait <= left).then(|| Retry { wait: varied(wait), limit: RetryLimit::Time(left) })
    }

    fn until_there(&mut self, outlook: Outlook) -> Retry {
        self.without_progress += 1;
        let wait = match outlook {
            Outlook::Busy | Outlook::Silent => varied(WAIT_BUSY),
            _ => growing(self.without_progress - 1, WAIT_ABSENT_MAX),
        };
        Retry { wait, limit: RetryLimit::Endless }
    }
}

/// A random duration between half and one and a half of `wait`.
fn varied(wait: Duration) -> Duration {
    wait / 2 + wait * (OsRng.next_u32() % 256) / 255
}

fn growing(step: u32, most: Duration) -> Duration {
    WAIT_FIRST.saturating_mul(1 << step.min(10)).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reports this failure until there is no further attempt. Returns the number of attempts and the seconds that
    /// they took.
    fn endure(retries: &mut Retries, outlook: Outlook) -> (u32, u64) {
        let (mut tries, mut now) = (1, Duration::ZERO);
        while let Some(retry) = retries.next(outlook, now) {
            tries += 1;
            now += retry.wait;
        }
        (tries, now.as_secs())
    }

    #[test]
    fn a_busy_receiver_is_asked_past_its_idle_deadline() {
        let (tries, seconds) = endure(&mut Retries::default(), Outlook::Busy);
        assert!(seconds * 1000 > waft_core::limits::IDLE_MS && tries < 250, "{tries} tries, {seconds} s");
    }

    #[test]
    fn the_time_between_tries_at_a_busy_receiver_varies() {
        let wait = |_| Retries::default().next(Outlook::Busy, Duration::ZERO).expect("it may try again").wait;
        let waits: Vec<_> = (0..100).map(wait).collect();
        let (shortest, longest) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        assert!(*shortest < WAIT_BUSY * 3 / 4 && *shortest >= WAIT_BUSY / 2, "{shortest:?}");
        assert!(*longest > WAIT_BUSY * 5 / 4 && *longest <= WAIT_BUSY * 3 / 2, "{longest:?}");
    }

    #[test]
    fn an_address_that_only_refuses_is_asked_as_long_but_less_often() {
        let (tries, seconds) = endure(&mut Retries::default(), Outlook::Refused);
        assert!(seconds >= 44 && (50..80).contains(&tries), "{tries} tries, {seconds} s");
        let waits = |retries: &mut Retries, outlook, now, expected: Duration| {
            let wait = retries.next(outlook, now).expect("it may try again").wait;
            assert!((expected / 2..=expected * 3 / 2).contains(&wait), "{outlook:?} {now:?}: {wait:?}");
        };
        // In the first seconds the pauses are those for a busy receiver.
        let mut retries = Retries::default();
        for now in [0, 1, 4].map(Duration::from_secs) {
            waits(&mut retries, Outlook::Refused, now, WAIT_BUSY);
        }
        let late = Duration::from_secs(40);
        waits(&mut retries, Outlook::Refused, late, WAIT_REFUSED_MAX);
        assert_eq!(retries.next(Outlook::Refused, late).unwrap().limit, RetryLimit::Time(Duration::from_secs(5)));
        // The receiver responded, so it has many clients.
        waits(&mut retries, Outlook::Busy, late, WAIT_BUSY);
        waits(&mut retries, Outlook::Refused, late, WAIT_BUSY);
    }

    #[test]
    fn who_was_never_there_is_not_waited_for() {
        assert_eq!(endure(&mut Retries::default(), Outlook::Unreachable), (1, 0));
        assert_eq!(endure(&mut Retries::default(), Outlook::Final), (1, 0));
        assert_eq!(endure(&mut Retries::default(), Outlook::Broken).0, BEFORE_SESSION_MAX);
    }

    #[test]
    fn a_receiver_that_refuses_or_does_not_answer_is_taken_for_busy() {
        let at = || "kitchen".parse().expect("an address");
        let (refused, lost) = (DialError::Refused { address: at() }, DialError::TimedOut { address: at() });
        for errors in [&[&refused][..], &[&lost, &refused], &[&refused, &lost]] {
            assert_eq!(Outlook::dialing(errors), Outlook::Refused, "{errors:?}");
        }
        assert_eq!(Outlook::dialing(&[&lost, &lost]), Outlook::Unreachable);
        for error in [PrefaceError::Silent, PrefaceError::Closed] {
            assert_eq!(Outlook::from(error), Outlook::Silent, "{error:?}");
        }
        assert_eq!(Outlook::from(PrefaceError::Refused(ClearRefusal::Busy)), Outlook::Busy);
        let endured = [Outlook::Busy, Outlook::Silent].map(|outlook| endure(&mut Retries::default(), outlook).1);
        assert!(endured.iter().all(|seconds| *seconds >= 44), "{endured:?}");
    }

    #[test]
    fn a_connection_that_either_side_gave_up_is_broken() {
        for (cause, outlook) in [
            (SessionError::Disconnected, Outlook::Broken),
            (SessionError::TimedOut, Outlook::Broken),
            (SessionError::PeerCancelled(Cancel::TimedOut), Outlook::Broken),
            (SessionError::PeerCancelled(Cancel::Interrupted), Outlook::Final),
            (SessionError::PeerCancelled(Cancel::Protocol), Outlook::Final),
        ] {
            assert_eq!(Outlook::from(SendError::from(cause)), outlook, "{cause:?}");
        }
    }

    #[test]
    fn a_break_after_busy_is_busy_too() {
        let mut retries = Retries::default();
        retries.next(Outlook::Busy, Duration::ZERO);
        assert!(endure(&mut retries, Outlook::Broken).1 * 1000 > waft_core::limits::IDLE_MS);
    }

    #[test]
    fn who_was_there_may_come_back() {
        let mut retries = Retries::default();
        retries.connected();
        let (tries, seconds) = endure(&mut retries, Outlook::Unreachable);
        assert!(tries == WITHOUT_PROGRESS_MAX && seconds > 15, "{tries} tries, {seconds} s");
    }

    #[test]
    fn a_receiver_is_waited_for_until_the_first_session() {
        let mut retries = Retries::new(true);
        let outlooks = [Outlook::Refused, Outlook::Unreachable, Outlook::Unsecured, Outlook::Busy, Outlook::Silent];
        for hour in 0..1000 {
            for outlook in outlooks {
                let retry = retries.next(outlook, Duration::from_secs(3600 * hour)).expect("it waits");
                assert_eq!(retry.limit, RetryLimit::Endless);
                assert!(retry.wait <= WAIT_ABSENT_MAX, "{retry:?}");
            }
        }
        assert_eq!(retries.next(Outlook::Final, Duration::ZERO), None);
        // After a connection the number of attempts is limited again.
        retries.connected();
        retries.made_progress();
        let (tries, _) = endure(&mut retries, Outlook::Unreachable);
        assert_eq!(tries, WITHOUT_PROGRESS_MAX);
    }

    #[test]
    fn each_step_forward_renews_retries_up_to_an_end() {
        let mut retries = Retries::default();
        retries.connected();
        let mut tries = 0;
        while retries.next(Outlook::Broken, Duration::ZERO).is_some() {
            retries.made_progress();
            tries += 1;
        }
        assert_eq!(tries, ATTEMPTS_MAX - 1);
    }
}
