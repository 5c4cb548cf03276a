//! The task of a station: joins the network, and joins it again after every failure. All its waits are bounded.

use core::future::Future;

use embassy_futures::select::{Either, select};
use embassy_sync::blocking_mutex::raw::RawMutex;
use waft_core::session::Clock;

use super::{Failure, JOIN_MS, JoinError, LEAVE_MS, Link, Radio, State, Station, Status};
use crate::identity::Wifi;

/// The time in which a network that was joined has to give an address, in milliseconds. A client of DHCP asks about every
/// ten seconds.
const ADDRESS_MS: u64 = 40_000;
/// How long the link may be down before it counts as lost, in milliseconds. After `join`, TCP/IP needs a moment to notice
/// the link; later, the radio may reconnect without a command, or roam to another access point.
const LINK_MS: u64 = 5_000;
/// The time between two looks at the link: while an address is awaited, and afterwards, in milliseconds.
const ADDRESS_POLL_MS: u64 = 250;
const CONNECTED_POLL_MS: u64 = 1_000;
/// The time after which a connection ends a row of failures for the back-off, in milliseconds.
const STABLE_MS: u64 = 30_000;

/// The shortest and the longest time between two attempts, in milliseconds.
const BOUNDS: (u64, u64) = (1_000, 60_000);
/// The same if the passphrase was rejected.
const PASSPHRASE_BOUNDS: (u64, u64) = (30_000, 300_000);

impl<M: RawMutex> Station<M> {
    /// Joins the network and stays connected. Run it in a task of its own, and only once at a time. `seed` spreads the
    /// attempts of boards in time: a random number, or the radio's address.
    ///
    /// If the future is dropped, the radio stays as it is: joined, or joining. Running it again begins anew.
    pub async fn run(&self, mut radio: impl Radio, link: impl Link, clock: impl Clock, seed: u64) -> ! {
        let mut backoff = BackOff { bounds: (0, 0), delay: 0, random: seed };
        loop {
            self.network_changed.reset();
            let (is_known, network) = self.with(|shared| {
                let network = shared.network.as_ref();
                (network.is_some(), network.and_then(|network| network.as_ref()).map(Wifi::copy))
            });
            let Some(network) = network else {
                self.set_status(Status::new(if is_known { State::NoNetwork } else { State::Starting }));
                self.network_changed.wait().await;
                continue;
            };
            backoff.reset();
            let mut connection = Connection {
                station: self,
                radio: &mut radio,
                link: &link,
                clock: &clock,
                status: Status::new(State::Joining),
            };
            match select(self.network_changed.wait(), connection.keep(&network, &mut backoff)).await {
                Either::First(()) => {}
                Either::Second(never) => never,
            }
            // While it waits, the radio has left already.
            if !matches!(connection.status.state, State::Waiting { .. }) {
                connection.leave().await;
            }
        }
    }
}

/// A connection to one network.
struct Connection<'a, M: RawMutex, R, L, C> {
    station: &'a Station<M>,
    radio: &'a mut R,
    link: &'a L,
    clock: &'a C,
    status: Status,
}

impl<M: RawMutex, R: Radio, L: Link, C: Clock> Connection<'_, M, R, L, C> {
    /// Connects, and connects again after every failure.
    async fn keep(&mut self, network: &Wifi, backoff: &mut BackOff) -> ! {
        loop {
            self.set_state(State::Joining);
            let failure = self.attempt(network, backoff).await;
            self.status.failure = Some(failure);
            self.status.failures = self.status.failures.saturating_add(1);
            let until = self.clock.now() + backoff.next(failure);
            self.set_state(State::Waiting { until });
            self.clock.sleep_until(until).await;
        }
    }

    /// Joins the network once, and stays connected. Returns why that ended.
    async fn attempt(&mut self, network: &Wifi, backoff: &mut BackOff) -> Failure {
        let failure = match within(self.clock, JOIN_MS, self.radio.join(network)).await {
            Some(Err(error)) => Failure::Join(error),
            Some(Ok(())) => self.stay(backoff).await,
            None => Failure::TimedOut,
        };
        if self.leave().await { failure } else { Failure::Join(JoinError::Radio) }
    }

    /// Stays in a network that was joined. Returns why that ended.
    async fn stay(&mut self, backoff: &mut BackOff) -> Failure {
        loop {
            self.set_state(if self.link.is_up() { State::Addressing } else { State::Joining });
            if let Err(failure) = self.wait_for_address().await {
                return failure;
            }
            (self.status.failure, self.status.failures) = (None, 0);
            self.set_state(State::Connected);
            let stable = self.clock.now() + STABLE_MS;
            while self.link.has_address() {
                self.clock.sleep_until(self.clock.now() + CONNECTED_POLL_MS).await;
                if self.clock.now() >= stable {
                    backoff.reset();
                }
            }
        }
    }

    /// Waits for an address. Fails if the link is lost, or if there is no address in time.
    async fn wait_for_address(&mut self) -> Result<(), Failure> {
        let began = self.clock.now();
        let mut was_up = began;
        loop {
            if self.link.has_address() {
                return Ok(());
            }
            let now = self.clock.now();
            if self.link.is_up() {
                was_up = now;
                if self.status.state != State::Addressing {
                    self.set_state(State::Addressing);
                }
            }
            if now >= was_up + LINK_MS {
                return Err(Failure::LinkLost);
            }
            if now >= began + ADDRESS_MS {
                return Err(Failure::NoAddress);
            }
            self.clock.sleep_until(now + ADDRESS_POLL_MS).await;
        }
    }

    /// Leaves the network. Returns `false` if the radio does not answer.
    async fn leave(&mut self) -> bool {
        within(self.clock, LEAVE_MS, self.radio.leave()).await.is_some()
    }

    fn set_state(&mut self, state: State) {
        self.status.state = state;
        self.station.set_status(self.status);
    }
}

/// Runs a future for at most `ms` milliseconds, and drops it then.
async fn within<T>(clock: &impl Clock, ms: u64, future: impl Future<Output = T>) -> Option<T> {
    match select(future, clock.sleep_until(clock.now() + ms)).await {
        Either::First(done) => Some(done),
        Either::Second(()) => None,
    }
}

/// The times between attempts.
struct BackOff {
    /// The bounds that applied to the last wait.
    bounds: (u64, u64),
    /// The longest that the last wait could be.
    delay: u64,
    /// The state of a SplitMix64 generator (Steele, Lea, Flood 2014).
    random: u64,
}

impl BackOff {
    /// Begins again with the shortest time.
    fn reset(&mut self) {
        self.bounds = (0, 0);
    }

    /// The time until the next attempt, in milliseconds: it doubles from failure to failure, and is random between its
    /// half and all of it.
    fn next(&mut self, failure: Failure) -> u64 {
        let bounds = match failure {
            Failure::Join(JoinError::WrongPassphrase) => PASSPHRASE_BOUNDS,
            _ => BOUNDS,
        };
        let (shortest, longest) = bounds;
        self.delay = if self.bounds == bounds { (2 * self.delay).min(longest) } else { shortest };
        self.bounds = bounds;
        let half = self.delay / 2;
        half + self.random() % (half + 1)
    }

    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
