//! How often a sender tries again, and when it gives up.
//!
//! A busy receiver is asked again for [`BUSY_RETRY_MS`]; a broken connection a few times, and anew each time that it got
//! further. PROTOCOL.md, section 6, "Retries" and "Places".

use std::time::Duration;

use waft_core::limits::BUSY_RETRY_MS;

/// Tries that got no further, once a session was had.
const FRUITLESS_MAX: u32 = 7;
/// The same, before any: then rather something is wrong.
const STRANGE_MAX: u32 = 5;
/// Tries in all.
const TRIES_MAX: u32 = 200;
const WAIT_FIRST: Duration = Duration::from_millis(500);
const WAIT_MAX: Duration = Duration::from_secs(8);
const WAIT_BUSY_MAX: Duration = Duration::from_secs(2);

/// What a failed try leaves to hope for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hope {
    /// Another transfer runs; it will end.
    Busy,
    /// The connection broke.
    Broken,
    /// Nobody answers. That may change, if somebody did before.
    Absent,
    /// None: the same would happen again.
    No,
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
        self.tries += 1;
        if self.tries >= TRIES_MAX {
            return None;
        }
        // Where somebody was busy just now, a door shut without a word means the same.
        let hope = if hope == Hope::Broken && self.busy.is_some() { Hope::Busy } else { hope };
        match hope {
            Hope::No => None,
            Hope::Busy => {
                let since = *self.busy.get_or_insert(now);
                let wait = growing(self.tries - 1, WAIT_BUSY_MAX);
                (now + wait <= since + Duration::from_millis(BUSY_RETRY_MS)).then_some(wait)
            }
            Hope::Absent if !self.met => None,
            Hope::Absent | Hope::Broken => {
                self.fruitless += 1;
                let most = if self.met { FRUITLESS_MAX } else { STRANGE_MAX };
                (self.fruitless < most).then(|| growing(self.fruitless - 1, WAIT_MAX))
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
        assert!(seconds * 1000 > waft_core::limits::STEP_MS && tries < 40, "{tries} tries, {seconds} s");
    }

    #[test]
    fn who_was_never_there_is_not_waited_for() {
        assert_eq!(endure(&mut Patience::default(), Hope::Absent), (1, 0));
        assert_eq!(endure(&mut Patience::default(), Hope::No), (1, 0));
        assert_eq!(endure(&mut Patience::default(), Hope::Broken).0, STRANGE_MAX);
    }

    #[test]
    fn a_door_shut_without_a_word_is_busy_too() {
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
