//! When an announcement is sent. RFC 6762, sections 6 and 8.3.

use waft_core::discovery::DeviceId;

/// The time between two looks at what is to be announced, and the least between two announcements, in milliseconds.
pub(super) const SECOND_MS: u64 = 1_000;
/// The number of announcements after a change. They follow each other after 1 and 2 seconds, since each may be lost.
const AFTER_CHANGE: u8 = 3;
/// The most queries in a second that are examined. [`message`](super::message) bounds the work for each.
const QUERIES: u8 = 10;

/// The times at which a board announces itself, in milliseconds.
pub(super) struct Schedule {
    sent_at: u64,
    /// The number of announcements that follow the last change, and the time between the last one and the next.
    repeats: u8,
    gap: u64,
    /// When a query is answered.
    answer_at: Option<u64>,
    /// The second of the last query, and the number of queries in it.
    second: u64,
    queries: u8,
}

impl Schedule {
    /// Nothing is to be sent.
    pub(super) fn new() -> Self {
        Self { sent_at: 0, repeats: 0, gap: 0, answer_at: None, second: 0, queries: 0 }
    }

    /// What is to be announced changed: there is something new, or nothing any more.
    pub(super) fn changed(&mut self, is_something: bool) {
        let repeats = if is_something { AFTER_CHANGE } else { 0 };
        (self.repeats, self.gap, self.answer_at) = (repeats, 0, None);
    }

    /// An announcement was sent.
    pub(super) fn sent(&mut self, now: u64) {
        (self.sent_at, self.answer_at) = (now, None);
        if self.repeats > 0 {
            self.repeats -= 1;
            self.gap = (2 * self.gap).max(SECOND_MS);
        }
    }

    /// When the next announcement is due.
    fn due(&self) -> Option<u64> {
        let repeated = (self.repeats > 0).then_some(self.sent_at + self.gap);
        let first = [repeated, self.answer_at].into_iter().flatten().min()?;
        Some(first.max(self.sent_at + SECOND_MS))
    }

    pub(super) fn is_due(&self, now: u64) -> bool {
        self.due().is_some_and(|due| now >= due)
    }

    /// When to look again, at `now`.
    pub(super) fn next(&self, now: u64) -> u64 {
        self.due().unwrap_or(u64::MAX).min(now + SECOND_MS)
    }

    /// Whether a query is examined. Not if the next announcement answers it anyway, and not if there were too many.
    pub(super) fn takes_query(&mut self, now: u64) -> bool {
        let second = now / SECOND_MS;
        if second != self.second {
            (self.second, self.queries) = (second, 0);
        }
        let is_taken = self.answer_at.is_none() && self.queries < QUERIES;
        self.queries += u8::from(is_taken);
        is_taken
    }

    /// A query is to be answered: after 20 to 119 ms, because all boards on the network get it at once.
    pub(super) fn answer(&mut self, now: u64, id: &DeviceId) {
        // Another time on each board, and for each query: the FNV-1a hash of both.
        let bytes = id.as_str().bytes().chain(now.to_le_bytes());
        let hash = bytes.fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        self.answer_at = Some(now + 20 + u64::from(hash % 100));
    }
}

#[cfg(test)]
mod tests {
    use waft_core::certificate::CertificateHash;

    use super::*;

    #[test]
    fn a_change_is_announced_three_times() {
        let mut schedule = Schedule::new();
        assert!(!schedule.is_due(1 << 40));
        schedule.changed(true);
        let mut sent = std::vec::Vec::new();
        let mut now = 5_000;
        while now < 100_000 {
            if schedule.is_due(now) {
                schedule.sent(now);
                sent.push(now);
            }
            now = schedule.next(now);
        }
        assert_eq!(sent, [5_000, 6_000, 8_000]);
        schedule.changed(false);
        assert!(!schedule.is_due(200_000));
        assert_eq!(schedule.next(200_000), 201_000);
    }

    #[test]
    fn answers_are_spread_and_limited() {
        let id = DeviceId::of(&CertificateHash([7; 32]));
        let mut delays = std::collections::BTreeSet::new();
        let mut schedule = Schedule::new();
        for second in 10..110 {
            let now = 2 * second * SECOND_MS;
            assert!(schedule.takes_query(now));
            schedule.answer(now, &id);
            // Other queries do not have to be examined.
            assert!(!schedule.takes_query(now));
            let at = schedule.next(now);
            assert!(!schedule.is_due(at - 1) && schedule.is_due(at));
            delays.insert(at - now);
            schedule.sent(at);
        }
        assert!(delays.len() > 20 && *delays.first().unwrap() >= 20 && *delays.last().unwrap() < 120, "{delays:?}");
    }

    #[test]
    fn few_queries_are_examined() {
        let mut schedule = Schedule::new();
        let examined = (0..20_000).filter(|now| schedule.takes_query(*now)).count();
        assert_eq!(examined, 20 * usize::from(QUERIES));
    }
}
