//! How much of the processor handshakes may take that fail, and which addresses they came from.
//!
//! Eight known bytes make this board compute a key pair, and a trusted sender's certificate, which is no secret, makes
//! it check a signature. What that costs is measured, not assumed: the processor's time from the preface on, until a
//! session is authenticated. Each millisecond that passes is saved, up to [`FULL_MS`], and a failure costs [`PRICE`]
//! times what it took: so failures take half of the time at most. Addresses with failures come behind others, and
//! cannot use up the last [`RESERVE_MS`].

use core::net::IpAddr;

/// What can be saved, in milliseconds.
const FULL_MS: u64 = 6_000;
/// Kept for addresses without failures, in milliseconds.
const RESERVE_MS: u64 = 2_000;
/// What a failure costs for each millisecond of the processor, in milliseconds.
const PRICE: u64 = 2;
/// Longest work that is charged, in milliseconds: a board that was held up by something else must not stay so.
const CHARGED_MS: u64 = 1_000;
/// A failure is forgotten after this, in milliseconds.
const FORGET_MS: u64 = 60_000;
/// Addresses whose failures are counted. Past that the one that failed longest ago is forgotten.
const SOURCES: usize = 8;

/// The address of a peer; of IPv6 the network, since a host there has any number of addresses.
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

/// An address that handshakes failed from.
#[derive(Clone, Copy)]
struct Failing {
    source: Source,
    failures: u16,
    /// When the last one did.
    last: u64,
}

/// The budget of a board.
pub(crate) struct Budget {
    /// Milliseconds that are saved. Below zero what failures took too much.
    left: i64,
    /// When that was so.
    at: u64,
    sources: [Option<Failing>; SOURCES],
}

impl Budget {
    pub(crate) fn new(now: u64) -> Self {
        Self { left: FULL_MS as i64, at: now, sources: [None; SOURCES] }
    }

    /// Handshakes from there that failed lately.
    #[inline(never)]
    pub(crate) fn failures(&self, source: Option<Source>, now: u64) -> u16 {
        let of_source = |failing: &&Failing| Some(failing.source) == source && now < failing.last + FORGET_MS;
        self.sources.iter().flatten().find(of_source).map_or(0, |failing| failing.failures)
    }

    /// Milliseconds until a handshake from there may begin.
    pub(crate) fn wait(&self, source: Option<Source>, now: u64) -> u64 {
        let needed = if self.failures(source, now) > 0 { RESERVE_MS as i64 } else { 0 };
        (needed - self.left(now)).max(0) as u64
    }

    /// A handshake from there failed, and took so many milliseconds of the processor.
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

    /// A trusted sender is there.
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

    /// Fails as often as it may for so many milliseconds; what that took.
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
}
