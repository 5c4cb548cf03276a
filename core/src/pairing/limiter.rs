//! Limits how often a code can be guessed: after several wrong codes in a short time a listener pauses.
//!
//! Only an attempt whose confirmation was wrong is a guess. A stranger that goes before its confirmation learns nothing
//! about the code, and does not count. PROTOCOL.md, section 13.6.

use crate::limits::{PAIRING_PAUSE_S, PAIRING_TRIES, PAIRING_WINDOW_MS};

/// The wrong codes of a listener, over all its connections. Keep one for as long as the listener runs.
#[derive(Clone, Debug, Default)]
pub struct Limiter {
    /// When the last wrong codes were given, the latest first; `None` for none since the last pause.
    wrong: [Option<u64>; PAIRING_TRIES],
    paused_until: u64,
}

impl Limiter {
    /// A limiter that has counted no wrong code yet.
    pub const fn new() -> Self {
        Self { wrong: [None; PAIRING_TRIES], paused_until: 0 }
    }

    /// Seconds, rounded up, until the listener takes the next attempt; `None` if it takes one now. `now` is the time of
    /// the listener's [`Clock`](crate::session::Clock).
    pub fn paused(&self, now: u64) -> Option<u16> {
        let seconds = self.paused_until.saturating_sub(now).div_ceil(1_000);
        // A pause is no longer than its bound, unless the clock went back.
        (seconds > 0).then_some(seconds.min(u64::from(PAIRING_PAUSE_S)) as u16)
    }

    /// Counts a wrong code.
    pub(super) fn count_wrong_code(&mut self, now: u64) {
        self.wrong.rotate_right(1);
        self.wrong[0] = Some(now);
        let is_recent = |at: &Option<u64>| at.is_some_and(|at| now.saturating_sub(at) <= PAIRING_WINDOW_MS);
        if self.wrong.iter().all(is_recent) {
            self.wrong = [None; PAIRING_TRIES];
            self.paused_until = now.saturating_add(u64::from(PAIRING_PAUSE_S) * 1_000);
        }
    }

    /// Forgets the wrong codes, after a right one.
    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_wrong_codes_in_a_short_time_pause_the_listener() {
        let mut limiter = Limiter::new();
        for now in [0, 1_000] {
            limiter.count_wrong_code(now);
            assert_eq!(limiter.paused(now), None);
        }
        limiter.count_wrong_code(PAIRING_WINDOW_MS);
        assert_eq!(limiter.paused(PAIRING_WINDOW_MS), Some(PAIRING_PAUSE_S));
        assert_eq!(limiter.paused(PAIRING_WINDOW_MS + 1), Some(PAIRING_PAUSE_S));
        let end = PAIRING_WINDOW_MS + u64::from(PAIRING_PAUSE_S) * 1_000;
        assert_eq!((limiter.paused(end - 1), limiter.paused(end)), (Some(1), None));
        // After the pause there are three tries again.
        for (count, is_paused) in [(1, false), (2, false), (3, true)] {
            limiter.count_wrong_code(end);
            assert_eq!(limiter.paused(end).is_some(), is_paused, "{count}");
        }
    }

    #[test]
    fn wrong_codes_that_are_far_apart_do_not_pause_it() {
        let mut limiter = Limiter::new();
        for now in (0..20).map(|count| count * (PAIRING_WINDOW_MS / 2 + 1)) {
            limiter.count_wrong_code(now);
            assert_eq!(limiter.paused(now), None);
        }
    }

    #[test]
    fn a_right_code_is_a_fresh_start() {
        let mut limiter = Limiter::new();
        limiter.count_wrong_code(0);
        limiter.count_wrong_code(0);
        limiter.clear();
        limiter.count_wrong_code(0);
        limiter.count_wrong_code(0);
        assert_eq!(limiter.paused(0), None);
    }

    #[test]
    fn the_largest_time_does_not_overflow() {
        let mut limiter = Limiter::new();
        (0..PAIRING_TRIES).for_each(|_| limiter.count_wrong_code(u64::MAX));
        assert_eq!(limiter.paused(0), Some(PAIRING_PAUSE_S));
    }
}
