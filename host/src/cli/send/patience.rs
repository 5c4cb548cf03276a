//! Decides how often a sender tries again, and when it gives up.
//!
//! A busy receiver is tried again for [`BUSY_RETRY_MS`]. A receiver that refuses connections or does not answer is
//! treated as busy, because unknown clients may occupy all of its sockets. As long as the address has only refused
//! connections, the attempts become slower, since it is more likely that nothing listens there. A broken connection
//! is tried again a few times; the count starts anew whenever a connection made progress. The same holds if the
//! receiver cancelled the session because it received nothing. PROTOCOL.md, section 6, "Retries" and "Many
//! connections".

use std::time::Duration;

use rand_core::{OsRng, RngCore};
use waft_core::limits::BUSY_RETRY_MS;
use waft_core::session::SessionError;
use waft_core::wire::message::Cancel;
use waft_core::wire::preface::ClearRefusal;

use crate::door::KnockError;
use crate::error::Error;
use crate::net::DialError;
use crate::tls::error::HandshakeError;

/// Maximum number of consecutive attempts without progress, once a session was established.
const FRUITLESS_MAX: u32 = 7;
/// The same limit before the first session. It is lower because a persistent problem is more likely then.
const STRANGE_MAX: u32 = 5;
/// Maximum number of all attempts that did not find the receiver busy.
const TRIES_MAX: u32 = 200;
const WAIT_FIRST: Duration = Duration::from_millis(500);
const WAIT_MAX: Duration = Duration::from_secs(8);
/// Average pause between attempts at a busy receiver: a sender that tries often gets in where many want to connect.
/// The pause varies at random between half and one and a half of this value. With a fixed pause, a sender could stay
/// in step with a receiver that turns to other connections just as regularly, and find it busy each time.
const WAIT_BUSY: Duration = Duration::from_millis(250);
/// Maximum pause between attempts at an address that has only refused connections.
const WAIT_REFUSED_MAX: Duration = Duration::from_secs(1);

/// What a failed attempt says about the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hope {
    /// The receiver is busy: it has another transfer, or other clients occupy all of its sockets. That will end.
    Busy,
    /// The connection was refused: other clients occupy all of the receiver's sockets, or nothing listens.
    Refused,
    /// The connection broke.
    Broken,
    /// The receiver cannot be reached. That may change, if it was reached before.
    Absent,
    /// Another attempt would fail in the same way.
    No,
}

impl Hope {
    /// Classifies an error.
    pub(super) fn after(error: &Error) -> Self {
        match error {
            Error::Sending {
                cause:
                    SessionError::Disconnected
                    | SessionError::TimedOut
                    | SessionError::PeerCancelled(Cancel::TimedOut)
                    | SessionError::OutcomeUnknown { interrupted: false },
                ..
            } => Self::Broken,
            Error::Knock(_, KnockError::Refused(ClearRefusal::Busy) | KnockError::Closed | KnockError::Silent) => {
                Self::Busy
            }
            Error::Dial(DialError::Refused { .. })
            | Error::DialBoth(DialError::Refused { .. }, _)
            | Error::DialBoth(_, DialError::Refused { .. }) => Self::Refused,
            Error::Handshake(_, HandshakeError::Closed | HandshakeError::TimedOut | HandshakeError::Io(_)) => {
                Self::Broken
            }
            Error::Dial(_) | Error::DialBoth(..) => Self::Absent,
            _ => Self::No,
        }
    }
}

/// The next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retry {
    /// The pause before the next attempt.
    pub(super) wait: Duration,
    /// The time for which attempts continue; `None` if their number is limited instead.
    pub(super) left: Option<Duration>,
}

/// The history of a sender's attempts.
#[derive(Default)]
pub(super) struct Patience {
    tries: u32,
    fruitless: u32,
    /// When the receiver was first found busy or refusing, relative to the first attempt.
    busy: Option<Duration>,
    /// Whether the address has ever responded with anything but a refused connection.
    answered: bool,
    met: bool,
}

impl Patience {
    /// Records that a session with the receiver has begun.
    pub(super) fn met(&mut self) {
        self.met = true;
        self.answered = true;
        self.busy = None;
    }

    /// Records that content was transferred.
    pub(super) fn got_further(&mut self) {
        self.fruitless = 0;
    }

    /// The next attempt, or `None` to give up. `now` is the time since the first attempt.
    pub(super) fn next(&mut self, hope: Hope, now: Duration) -> Option<Retry> {
        // If the receiver was busy just before, a connection that breaks this early also means that it is busy.
        let hope = if hope == Hope::Broken && self.busy.is_some() { Hope::Busy } else { hope };
        match hope {
            Hope::No => None,
            Hope::Busy | Hope::Refused => {
                self.answered |= hope == Hope::Busy;
                self.while_busy(now)
            }
            Hope::Absent if !self.met => None,
            Hope::Absent | Hope::Broken => {
                self.tries += 1;
                self.fruitless += 1;
                let most = if self.met { FRUITLESS_MAX } else { STRANGE_MAX };
                let wait = growing(self.fruitless - 1, WAIT_MAX);
                (self.tries < TRIES_MAX && self.fruitless < most).then_some(Retry { wait, left: None })
            }
        }
    }

    fn while_busy(&mut self, now: Duration) -> Option<Retry> {
        let since = *self.busy.get_or_insert(now);
        let left = (since + Duration::from_millis(BUSY_RETRY_MS)).saturating_sub(now);
        let wait = match self.answered {
            true => WAIT_BUSY,
            false => ((now - since) / 16).clamp(WAIT_BUSY, WAIT_REFUSED_MAX),
        };
        (wait <= left).then(|| Retry { wait: varied(wait), left: Some(left) })
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
    use crate::error::Moment;

    /// Reports this failure until there is no further attempt. Returns the number of attempts and the seconds that
    /// they took.
    fn endure(patience: &mut Patience, hope: Hope) -> (u32, u64) {
        let (mut tries, mut now) = (1, Duration::ZERO);
        while let Some(retry) = patience.next(hope, now) {
            tries += 1;
            now += retry.wait;
        }
        (tries, now.as_secs())
    }

    #[test]
    fn a_busy_receiver_is_asked_past_its_idle_deadline() {
        let (tries, seconds) = endure(&mut Patience::default(), Hope::Busy);
        assert!(seconds * 1000 > waft_core::limits::IDLE_MS && tries < 250, "{tries} tries, {seconds} s");
    }

    #[test]
    fn the_time_between_tries_at_a_busy_receiver_varies() {
        let wait = |_| Patience::default().next(Hope::Busy, Duration::ZERO).expect("it may try again").wait;
        let waits: Vec<_> = (0..100).map(wait).collect();
        let (shortest, longest) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        assert!(*shortest < WAIT_BUSY * 3 / 4 && *shortest >= WAIT_BUSY / 2, "{shortest:?}");
        assert!(*longest > WAIT_BUSY * 5 / 4 && *longest <= WAIT_BUSY * 3 / 2, "{longest:?}");
    }

    #[test]
    fn an_address_that_only_refuses_is_asked_as_long_but_less_often() {
        let (tries, seconds) = endure(&mut Patience::default(), Hope::Refused);
        assert!(seconds >= 44 && (50..80).contains(&tries), "{tries} tries, {seconds} s");
        let waits = |patience: &mut Patience, hope, now, expected: Duration| {
            let wait = patience.next(hope, now).expect("it may try again").wait;
            assert!((expected / 2..=expected * 3 / 2).contains(&wait), "{hope:?} {now:?}: {wait:?}");
        };
        // In the first seconds the pauses are those for a busy receiver.
        let mut patience = Patience::default();
        for now in [0, 1, 4].map(Duration::from_secs) {
            waits(&mut patience, Hope::Refused, now, WAIT_BUSY);
        }
        let late = Duration::from_secs(40);
        waits(&mut patience, Hope::Refused, late, WAIT_REFUSED_MAX);
        assert_eq!(patience.next(Hope::Refused, late).unwrap().left, Some(Duration::from_secs(5)));
        // The receiver responded, so it has many clients.
        waits(&mut patience, Hope::Busy, late, WAIT_BUSY);
        waits(&mut patience, Hope::Refused, late, WAIT_BUSY);
    }

    #[test]
    fn who_was_never_there_is_not_waited_for() {
        assert_eq!(endure(&mut Patience::default(), Hope::Absent), (1, 0));
        assert_eq!(endure(&mut Patience::default(), Hope::No), (1, 0));
        assert_eq!(endure(&mut Patience::default(), Hope::Broken).0, STRANGE_MAX);
    }

    #[test]
    fn a_receiver_that_refuses_or_does_not_answer_is_taken_for_busy() {
        let at = || "kitchen".parse().expect("an address");
        let (refused, lost) = (|| DialError::Refused { address: at() }, || DialError::TimedOut { address: at() });
        for error in [Error::Dial(refused()), Error::DialBoth(lost(), refused()), Error::DialBoth(refused(), lost())] {
            assert_eq!(Hope::after(&error), Hope::Refused, "{error:?}");
        }
        for error in [KnockError::Silent, KnockError::Closed, KnockError::Refused(ClearRefusal::Busy)] {
            assert_eq!(Hope::after(&Error::Knock(at(), error)), Hope::Busy, "{error:?}");
        }
        assert_eq!(Hope::after(&Error::DialBoth(lost(), lost())), Hope::Absent);
    }

    #[test]
    fn a_connection_that_either_side_gave_up_is_broken() {
        let ended = |cause| Error::Sending { peer: "kitchen".into(), cause, entry: None, moment: Moment::Content };
        for (cause, hope) in [
            (SessionError::Disconnected, Hope::Broken),
            (SessionError::TimedOut, Hope::Broken),
            (SessionError::PeerCancelled(Cancel::TimedOut), Hope::Broken),
            (SessionError::PeerCancelled(Cancel::Interrupted), Hope::No),
            (SessionError::PeerCancelled(Cancel::Protocol), Hope::No),
        ] {
            assert_eq!(Hope::after(&ended(cause)), hope, "{cause:?}");
        }
    }

    #[test]
    fn a_break_after_busy_is_busy_too() {
        let mut patience = Patience::default();
        patience.next(Hope::Busy, Duration::ZERO);
        assert!(endure(&mut patience, Hope::Broken).1 * 1000 > waft_core::limits::IDLE_MS);
    }

    #[test]
    fn who_was_there_may_come_back() {
        let mut patience = Patience::default();
        patience.met();
        let (tries, seconds) = endure(&mut patience, Hope::Absent);
        assert!(tries == FRUITLESS_MAX && seconds > 15, "{tries} tries, {seconds} s");
    }

    #[test]
    fn each_step_forward_renews_patience_up_to_an_end() {
        let mut patience = Patience::default();
        patience.met();
        let mut tries = 0;
        while patience.next(Hope::Broken, Duration::ZERO).is_some() {
            patience.got_further();
            tries += 1;
        }
        assert_eq!(tries, TRIES_MAX - 1);
    }
}
