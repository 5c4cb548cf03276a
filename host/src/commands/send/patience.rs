//! How often a sender tries again, and when it gives up.
//!
//! A busy receiver is tried again for [`BUSY_RETRY_MS`], and one that refuses or does not answer is taken for busy; a
//! broken connection is tried again a few times, and anew each time that it got further. PROTOCOL.md, section 6,
//! "Retries" and "Places".

use std::time::Duration;

use waft_core::limits::BUSY_RETRY_MS;
use waft_core::session::SessionError;
use waft_core::wire::preface::ClearRefusal;

use crate::door::KnockError;
use crate::error::Error;
use crate::net::DialError;
use crate::tls::error::HandshakeError;

/// Tries that got no further, once a session was had.
const FRUITLESS_MAX: u32 = 7;
/// The same, before any: then rather something is wrong.
const STRANGE_MAX: u32 = 5;
/// Tries in all that did not find the receiver busy.
const TRIES_MAX: u32 = 200;
const WAIT_FIRST: Duration = Duration::from_millis(500);
const WAIT_MAX: Duration = Duration::from_secs(8);
/// Where many want to connect, it is who tries often that gets in.
const WAIT_BUSY: Duration = Duration::from_millis(250);

/// What a failed try leaves to hope for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hope {
    /// Another transfer runs, or others take all of the receiver's sockets; that will end.
    Busy,
    /// The connection broke.
    Broken,
    /// The receiver cannot be reached. That may change, if it was reached before.
    Absent,
    /// None: the same would happen again.
    No,
}

impl Hope {
    /// What `error` leaves to hope for.
    pub(super) fn after(error: &Error) -> Self {
        match error {
            Error::Sending {
                cause:
                    SessionError::Disconnected
                    | SessionError::TimedOut
                    | SessionError::OutcomeUnknown { interrupted: false },
                ..
            } => Self::Broken,
            Error::Knock(_, KnockError::Refused(ClearRefusal::Busy) | KnockError::Closed | KnockError::Silent)
            | Error::Dial(DialError::Refused { .. })
            | Error::DialBoth(DialError::Refused { .. }, _)
            | Error::DialBoth(_, DialError::Refused { .. }) => Self::Busy,
            Error::Handshake(_, HandshakeError::Closed | HandshakeError::TimedOut | HandshakeError::Io(_)) => {
                Self::Broken
            }
            Error::Dial(_) | Error::DialBoth(..) => Self::Absent,
            _ => Self::No,
        }
    }
}

/// A sender's memory of its tries.
#[derive(Default)]
pub(super) struct Patience {
    tries: u32,
    fruitless: u32,
    busy: Option<Duration>,
    met: bool,
}

impl Patience {
    /// A session with the receiver began.
    pub(super) fn met(&mut self) {
        self.met = true;
        self.busy = None;
    }

    /// Bytes crossed.
    pub(super) fn got_further(&mut self) {
        self.fruitless = 0;
    }

    /// How long to wait before the next try; `None`: there is none. `now`: since the first try.
    pub(super) fn wait(&mut self, hope: Hope, now: Duration) -> Option<Duration> {
        // Where somebody was busy just now, a connection that breaks so early means the same.
        let hope = if hope == Hope::Broken && self.busy.is_some() { Hope::Busy } else { hope };
        match hope {
            Hope::No => None,
            Hope::Busy => {
                let since = *self.busy.get_or_insert(now);
                (now + WAIT_BUSY <= since + Duration::from_millis(BUSY_RETRY_MS)).then_some(WAIT_BUSY)
            }
            Hope::Absent if !self.met => None,
            Hope::Absent | Hope::Broken => {
                self.tries += 1;
                self.fruitless += 1;
                let most = if self.met { FRUITLESS_MAX } else { STRANGE_MAX };
                (self.tries < TRIES_MAX && self.fruitless < most).then(|| growing(self.fruitless - 1, WAIT_MAX))
            }
        }
    }
}

fn growing(step: u32, most: Duration) -> Duration {
    WAIT_FIRST.saturating_mul(1 << step.min(10)).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails in this way until patience ends; gives tries and seconds.
    fn endure(patience: &mut Patience, hope: Hope) -> (u32, u64) {
        let (mut tries, mut now) = (1, Duration::ZERO);
        while let Some(wait) = patience.wait(hope, now) {
            tries += 1;
            now += wait;
        }
        (tries, now.as_secs())
    }

    #[test]
    fn a_busy_receiver_is_asked_past_its_idle_deadline() {
        let (tries, seconds) = endure(&mut Patience::default(), Hope::Busy);
        assert!(seconds * 1000 > waft_core::limits::STEP_MS && tries < 200, "{tries} tries, {seconds} s");
    }

    #[test]
    fn who_was_never_there_is_not_waited_for() {
        assert_eq!(endure(&mut Patience::default(), Hope::Absent), (1, 0));
        assert_eq!(endure(&mut Patience::default(), Hope::No), (1, 0));
        assert_eq!(endure(&mut Patience::default(), Hope::Broken).0, STRANGE_MAX);
    }

    #[test]
    fn who_refuses_or_does_not_answer_is_taken_for_busy() {
        let at = || "kitchen".parse().expect("an address");
        let (refused, lost) = (|| DialError::Refused { address: at() }, || DialError::TimedOut { address: at() });
        for error in [
            Error::Dial(refused()),
            Error::DialBoth(lost(), refused()),
            Error::DialBoth(refused(), lost()),
            Error::Knock(at(), KnockError::Silent),
            Error::Knock(at(), KnockError::Closed),
            Error::Knock(at(), KnockError::Refused(ClearRefusal::Busy)),
        ] {
            assert_eq!(Hope::after(&error), Hope::Busy, "{error:?}");
        }
        assert_eq!(Hope::after(&Error::DialBoth(lost(), lost())), Hope::Absent);
    }

    #[test]
    fn a_break_after_busy_is_busy_too() {
        let mut patience = Patience::default();
        patience.wait(Hope::Busy, Duration::ZERO);
        assert!(endure(&mut patience, Hope::Broken).1 * 1000 > waft_core::limits::STEP_MS);
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
        while patience.wait(Hope::Broken, Duration::ZERO).is_some() {
            patience.got_further();
            tries += 1;
        }
        assert_eq!(tries, TRIES_MAX - 1);
    }
}
