//! Looks for a receiver that is not where it was: at the addresses that are announced for it on this network.
//!
//! Only after the known addresses have failed, and never if the user has given an address. An announced address has to pass
//! the same handshake as any other. False announcements cost a bounded time for each attempt ([`CONNECT`], [`SECURE`],
//! [`WHOLE`]). An address at which another certificate was shown is not tried again. An address that failed is tried after
//! the others. No answer at one address ends the attempt at the others.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};
use waft_core::discovery::DeviceId;

use super::Sender;
use super::attempt::Failure;
use super::operator::{Event, Operator};
use super::retry::Outlook;
use crate::address::Address;
use crate::discovery::Search;
use crate::error::{Class, Error};
use crate::net::dial;
use crate::preface;
use crate::tls::TlsLink;

/// How long each announced address may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// How much later each of them is dialed than the one before it.
const STEP: Duration = Duration::from_millis(150);
/// How long one of them may take for the handshake. A slow board takes about a second.
const SECURE: Duration = Duration::from_secs(5);
/// How long an attempt at all of them may take.
const WHOLE: Duration = Duration::from_secs(15);
/// Most addresses that are tried in one attempt. Only a liar announces more.
const TRIED_MAX: usize = 8;
/// Most addresses of each list in [`Tried`].
const REMEMBERED_MAX: usize = 64;

/// The search of a sender.
#[derive(Default)]
pub(super) enum Finding {
    /// The sender uses only the addresses that it has been given.
    #[default]
    Off,
    /// The known addresses have not failed yet.
    NotYet,
    /// Announcements are collected.
    Running { search: Search, tried: Tried },
    /// Multicast DNS is not available.
    Unavailable,
}

/// What was learned about announced addresses.
#[derive(Default)]
pub(super) struct Tried {
    /// There is another machine.
    refuted: Vec<Address>,
    /// Those that failed otherwise or were silent, the latest last.
    suspects: Vec<Address>,
}

impl Tried {
    /// The addresses to try: first those that did not fail yet, then those that did, the one that failed last at the end.
    /// `known` were tried in this attempt already.
    fn choose(&self, mut addresses: Vec<Address>, known: &[Address]) -> [Vec<Address>; 2] {
        addresses.retain(|address| !self.refuted.contains(address) && !known.contains(address));
        addresses.sort_by_key(|address| self.suspects.iter().position(|suspect| suspect == address));
        addresses.truncate(TRIED_MAX);
        let (suspects, fresh) = addresses.into_iter().partition(|address| self.suspects.contains(address));
        [fresh, suspects]
    }

    fn failed(&mut self, address: Address, is_foreign: bool) {
        let list = if is_foreign { &mut self.refuted } else { &mut self.suspects };
        list.retain(|earlier| *earlier != address);
        list.push(address);
        if list.len() > REMEMBERED_MAX {
            list.remove(0);
        }
    }
}

impl Failure {
    /// Whether the receiver may be at another address.
    fn may_be_elsewhere(&self) -> bool {
        self.outlook != Outlook::Busy && !self.is_local()
    }

    /// Whether the failure is one of this machine, not of the peer or the network.
    fn is_local(&self) -> bool {
        self.outlook == Outlook::Final && !self.is_foreign
    }

    /// The failure to report after this one and one at an announced address. The latter may be a liar's, so that it can keep
    /// no sender from trying again.
    fn or_announced(self, announced: Self) -> Self {
        match announced.outlook {
            _ if self.outlook == Outlook::Busy => self,
            Outlook::Busy => announced,
            _ if announced.is_foreign && self.outlook.is_out_of_reach() && self.error.class() != Class::Identity => {
                Self { outlook: self.outlook, ..announced }
            }
            _ => self,
        }
    }
}

impl Sender {
    /// Connects to the receiver where it is announced, after the known addresses have failed with `failure`.
    pub(super) async fn connect_announced(
        &mut self,
        failure: Failure,
        operator: &mut impl Operator,
    ) -> Result<TlsLink, Failure> {
        if !failure.may_be_elsewhere() || self.destination.is_given {
            return Err(failure);
        }
        let [fresh, suspects] = self.announced(operator).await;
        let until = Instant::now() + WHOLE;
        let failure = match self.connect_one(fresh, until, failure, operator).await {
            Err(failure) if !failure.is_local() => failure,
            connected => return connected,
        };
        self.connect_one(suspects, until, failure, operator).await
    }

    /// Connects to the receiver at one of the addresses. Else returns what to report after `failure`.
    async fn connect_one(
        &mut self,
        addresses: Vec<Address>,
        until: Instant,
        mut failure: Failure,
        operator: &mut impl Operator,
    ) -> Result<TlsLink, Failure> {
        let mut dialing: FuturesUnordered<_> =
            addresses.into_iter().zip(0..).map(|(address, place)| connected(address, place, until)).collect();
        while let Ok(Some((address, answer))) = timeout_at(until, dialing.next()).await {
            let Some(answer) = answer else {
                self.failed(address, false);
                continue;
            };
            operator.event(Event::Announced { address: &address });
            let limit = until.min(Instant::now() + SECURE);
            let secured = match answer {
                Ok(stream) => timeout_at(limit, self.handshake(stream, &address)).await,
                Err(failed) => Ok(Err(failed)),
            };
            match secured {
                Ok(Ok(link)) => {
                    self.destination.move_to(address);
                    self.is_address_saved = false;
                    return Ok(link);
                }
                Ok(Err(failed)) if failed.is_local() => return Err(failed),
                Ok(Err(failed)) => {
                    self.failed(address, failed.is_foreign);
                    failure = failure.or_announced(failed);
                }
                Err(_) => self.failed(address, false),
            }
        }
        Err(failure)
    }

    /// The announced addresses that are worth a try, as by [`Tried::choose`].
    async fn announced(&mut self, operator: &mut impl Operator) -> [Vec<Address>; 2] {
        if matches!(self.finding, Finding::NotYet) {
            operator.event(Event::Searching);
            let id = DeviceId::of(&self.destination.peer().certificate.hash());
            self.finding = match Search::start(id) {
                Ok(search) => Finding::Running { search, tried: Tried::default() },
                Err(error) => {
                    operator.event(Event::SearchUnavailable(&Error::from(error)));
                    Finding::Unavailable
                }
            };
        }
        let Finding::Running { search, tried } = &self.finding else { return Default::default() };
        tried.choose(search.addresses().await, &self.tried)
    }

    fn failed(&mut self, address: Address, is_foreign: bool) {
        if let Finding::Running { tried, .. } = &mut self.finding {
            tried.failed(address, is_foreign);
        }
    }
}

/// The address, and if it accepted a connection in time, its answer to the preface. All addresses are asked at the same time,
/// so that none waits for one that is silent, but each one a little later than the one before it, which is preferred.
async fn connected(address: Address, place: u32, until: Instant) -> (Address, Option<Result<TcpStream, Failure>>) {
    sleep(STEP * place).await;
    let limit = CONNECT.min(until.saturating_duration_since(Instant::now()));
    let Ok(mut stream) = dial(&address, limit).await else { return (address, None) };
    let answer = preface::send(&mut stream).await.map_err(|error| Failure::preface(error, &address));
    (address, Some(answer.map(|()| stream)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preface::PrefaceError::{NotWaft, Refused};
    use waft_core::wire::preface::ClearRefusal;

    fn addresses(ports: impl IntoIterator<Item = u16>) -> Vec<Address> {
        ports.into_iter().map(|port| format!("10.0.0.1:{port}").parse().unwrap()).collect()
    }

    #[test]
    fn addresses_that_failed_come_last_and_those_of_others_never() {
        let mut tried = Tried::default();
        for port in [1, 2, 3, 1] {
            tried.failed(addresses([port]).remove(0), false);
        }
        (10..30).for_each(|port| tried.failed(addresses([port]).remove(0), true));
        let [fresh, suspects] = tried.choose(addresses(1..=40), &addresses([4]));
        assert_eq!((fresh, suspects), (addresses([5, 6, 7, 8, 9, 30, 31, 32]), Vec::new()));
        let [fresh, suspects] = tried.choose(addresses(1..=5), &addresses([4]));
        assert_eq!((fresh, suspects), (addresses([5]), addresses([2, 3, 1])));
        (100..1000).for_each(|port| tried.failed(addresses([port]).remove(0), port % 2 == 0));
        assert_eq!((tried.refuted.len(), tried.suspects.len()), (REMEMBERED_MAX, REMEMBERED_MAX));
    }

    #[test]
    fn what_answers_where_a_stranger_says_ends_no_attempts() {
        let at = |error| Failure::preface(error, &addresses([1])[0]);
        let absent = || Failure {
            error: Error::new(Class::Unreachable, "It was not found.", ""),
            outlook: Outlook::Unreachable,
            hint: None,
            is_foreign: false,
        };
        let told = absent().or_announced(at(NotWaft));
        assert_eq!((told.outlook, told.error.class()), (Outlook::Unreachable, Class::Protocol));
        let busy = told.or_announced(at(Refused(ClearRefusal::Busy))).or_announced(at(NotWaft));
        assert_eq!((busy.outlook, busy.error.class()), (Outlook::Busy, Class::Refused));
        // A local error is no reason to look elsewhere, nor to give up an address.
        assert!(!Failure::from(Error::interrupted()).may_be_elsewhere() && at(NotWaft).may_be_elsewhere());
    }
}
