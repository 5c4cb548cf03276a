//! Limits the processor time that failed handshakes may use, and remembers the addresses that they came from.
//!
//! Eight known bytes make this board compute a key pair, and a trusted sender's certificate, which is not secret, makes
//! it check a signature. The cost is measured, not assumed: it is the processor time from the preface until the session
//! is authenticated. The budget grows by one for each millisecond that passes, up to [`FULL_MS`], and a failure costs
//! [`PRICE`] times its processor time, so failures use at most half of the time. Addresses with failures are served
//! after others, and cannot use the last [`RESERVE_MS`].

use core::net::IpAddr;

/// The most that the budget can hold, in milliseconds.
const FULL_MS: u64 = 6_000;
/// Reserved for addresses without failures, in milliseconds.
const RESERVE_MS: u64 = 2_000;
/// The charge for each millisecond of processor time that a failure used, in milliseconds.
const PRICE: u64 = 2;
/// The longest time that is charged, in milliseconds, so that a board that was delayed by something else recovers quickly.
const CHARGED_MS: u64 = 1_000;
/// A failure is forgotten after this time, in milliseconds.
const FORGET_MS: u64 = 60_000;
/// The number of addresses whose failures are counted. One more replaces the address that failed least recently.
const SOURCES: usize = 8;

/// The address of a peer. For IPv6 it is a hash of the network prefix, since a host can use any number of addresses in
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source(u32);

impl Source {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_bits()),
            IpAddr::V6(address) => {
                let network = (address.to_bits() >> 64) as u64;
                Self((network >> 32) as u32 ^ network as u32)
            }
        }
    }
}

/// An address with failed handshakes.
#[derive(Clone, Copy)]
struct Failing {
    source: Source,
    failures: u16,
    /// The time of the last failure, in milliseconds.
    last: u64,
}

/// The budget of a board.
pub(crate) struct Budget {
    /// The milliseconds that were left at time `at`. Negative if failures used too much.
    left: i64,
    /// The time to which `left` refers, in milliseconds.
    at: u64,
    sources: [Option<Failing>; SOURCES],
}

impl Budget {
    pub(crate) fn new(now: u64) -> Self {
        Self { left: FULL_MS as i64, at: now, sources: [None; SOURCES] }
    }

    /// The number of recent failed handshakes from `source`.
    #[inline(never)]
    pub(crate) fn failures(&self, source: Option<Source>, now: u64) -> u16 {
        let of_source = |failing: &&Failing| Some(failing.source) == source && now < failing.last + FORGET_MS;
        self.sources.iter().flatten().find(of_source).map_or(0, |failing| failing.failures)
    }

    /// The number of milliseconds until a handshake from `source` may begin.
    pub(crate) fn wait(&self, source: Option<Source>, now: u64) -> u64 {
        let needed = if self.failures(source, now) > 0 { RESERVE_MS as i64 } else { 0 };
        (needed - self.left(now)).max(0) as u64
    }

    /// Charges a failed handshake from `source` that used `cost` milliseconds of processor time.
    pub(crate) fn failed(&mut self, source: Option<Source>, cost: u64, now: u64) {
        (self.left, self.at) = (self.left(now) - (PRICE * cost.min(CHARGED_MS)) as i64, now);
        let Some(source) = source else { return };
        let failures = self.failures(Some(source), now).saturating_add(1);
        let slot = self.sources.iter_mut().min_by_key(|slot| match slot {
            Some(failing) if failing.source == source => 0,
            Some(failing) => 2 + failing.last,
            None => 1,
        });
        *slot.expect("there are slots") = Some(Failing { source, failures, last: now });
    }

    /// Forgets the failures of `source`, because a trusted sender authenticated from there.
    pub(crate) fn succeeded(&mut self, source: Option<Source>) {
        for slot in &mut self.sources {
            slot.take_if(|failing| Some(failing.source) == source);
        }
    }

    fn left(&self, now: u64) -> i64 {
        (self.left + now.saturating_sub(self.at) as i64).min(FULL_MS as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> Option<Source> {
        Some(Source::of([192, 0, 2, last].into()))
    }

    /// Fails as often as the budget allows between `begin` and `end`. Returns the processor time that this used.
    fn attack(budget: &mut Budget, from: Option<Source>, cost: u64, begin: u64, end: u64) -> u64 {
        let (mut now, mut spent) = (begin, 0);
        while now < end {
            now += budget.wait(from, now);
            now += cost;
            spent += cost;
            budget.failed(from, cost, now);
        }
        spent
    }

    #[test]
    fn failures_take_half_of_the_time() {
        for cost in [1, 54, 220, 1_000] {
            let mut budget = Budget::new(0);
            let minute = attack(&mut budget, source(1), cost, 0, 60_000);
            assert!(minute <= 30_000 + FULL_MS / PRICE + cost, "{cost}: {minute}");
            let next = attack(&mut budget, source(1), cost, 60_000, 120_000);
            assert!((29_000..=30_000 + cost).contains(&next), "{cost}: {next}");
        }
    }

    #[test]
    fn an_address_without_failures_does_not_wait_for_one_with() {
        let mut budget = Budget::new(0);
        attack(&mut budget, source(1), 220, 0, 60_000);
        assert!(budget.wait(source(1), 60_000) > 0);
        assert_eq!((budget.wait(source(2), 60_000), budget.failures(source(2), 60_000)), (0, 0));
    }

    #[test]
    fn many_addresses_take_no_more_than_one() {
        let mut budget = Budget::new(0);
        let (mut now, mut spent) = (0, 0);
        for address in (0..=u8::MAX).cycle() {
            if now >= 60_000 {
                break;
            }
            let from = Some(Source::of([10, 0, 0, address].into()));
            now += budget.wait(from, now) + 220;
            spent += 220;
            budget.failed(from, 220, now);
        }
        assert!(spent <= 30_000 + FULL_MS / PRICE + 220, "{spent}");
    }

    #[test]
    fn failures_are_forgotten_by_time_and_by_success() {
        let mut budget = Budget::new(0);
        budget.failed(source(1), 10, 0);
        budget.failed(source(1), 10, 5);
        budget.failed(source(2), 10, 10);
        assert_eq!((budget.failures(source(1), 20), budget.failures(source(2), 20)), (2, 1));
        budget.succeeded(source(1));
        assert_eq!((budget.failures(source(1), 20), budget.failures(source(2), 20)), (0, 1));
        assert_eq!(budget.failures(source(2), 10 + FORGET_MS), 0);
    }

    #[test]
    fn of_ipv6_the_network_counts() {
        let of = |address: &str| Source::of(address.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }

    #[test]
    fn a_delay_of_the_board_is_charged_up_to_a_bound() {
        let mut budget = Budget::new(0);
        budget.failed(source(1), 60_000, 60_000);
        assert_eq!(budget.left(60_000), (FULL_MS - PRICE * CHARGED_MS) as i64);
    }

    #[test]
    fn the_address_that_failed_least_recently_is_replaced() {
        let mut budget = Budget::new(0);
        for last in 0..SOURCES as u8 {
            budget.failed(source(last), 0, last.into());
        }
        budget.failed(source(0), 0, 100);
        budget.failed(source(200), 0, 101);
        let failures = |last| budget.failures(source(last), 101);
        assert_eq!([0, 1, 2, SOURCES as u8 - 1, 200].map(failures), [2, 0, 1, 1, 1]);
    }
}
