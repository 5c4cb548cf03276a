//! Looks for a receiver that is not where it was: at the addresses that are announced for it on this network.
//!
//! Only after the known addresses have failed, and never if the user has given an address. An announced address has to pass
//! the same handshake as any other. A liar on the network costs a bounded time for each attempt ([`CONNECT`], [`SECURE`],
//! [`WHOLE`]), and an address with another certificate is not tried again.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use waft_core::discovery::DeviceId;

use super::Sender;
use super::attempt::Failure;
use super::operator::{Event, Operator};
use super::retry::Outlook;
use crate::address::Address;
use crate::discovery::Search;
use crate::error::{Class, Error};
use crate::net::dial;
use crate::tls::TlsLink;

/// How long all announced addresses together may take to accept a connection. They are dialed at the same time.
const CONNECT: Duration = Duration::from_secs(3);
/// How long one of them may take to prove that it is the receiver. A slow board takes about a second.
const SECURE: Duration = Duration::from_secs(5);
/// How long an attempt at all of them may take.
const WHOLE: Duration = Duration::from_secs(15);
/// Most addresses of other certificates that are remembered.
const REFUTED_MAX: usize = 64;

/// The search of a sender.
#[derive(Default)]
pub(super) enum Finding {
    /// The sender uses only the addresses that it has been given.
    #[default]
    Off,
    /// The known addresses have not failed yet.
    NotYet,
    /// Announcements are collected. At the addresses in `refuted` there is another certificate.
    Running { search: Search, refuted: Vec<Address> },
    /// Multicast DNS is not available.
    Unavailable,
}

impl Failure {
    /// Whether the receiver may be at another address.
    fn may_be_elsewhere(&self) -> bool {
        self.outlook != Outlook::Busy && self.error.class() != Class::Interrupted
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
        let addresses = self.announced(operator).await;
        let until = Instant::now() + WHOLE;
        let mut dialing: FuturesUnordered<_> = addresses.into_iter().map(|address| connected(address, until)).collect();
        while let Ok(Some(dialed)) = timeout_at(until, dialing.next()).await {
            let Some((address, stream)) = dialed else { continue };
            operator.event(Event::Announced { address: &address });
            let limit = until.min(Instant::now() + SECURE);
            match timeout_at(limit, self.secure(stream, &address)).await {
                Ok(Ok(link)) => {
                    self.destination.move_to(address);
                    self.is_address_saved = false;
                    return Ok(link);
                }
                Ok(Err(failed)) if failed.outlook == Outlook::Busy => return Err(failed),
                Ok(Err(failed)) if failed.outlook == Outlook::Final => self.refute(address),
                _ => {}
            }
        }
        Err(failure)
    }

    /// The announced addresses that are worth a try.
    async fn announced(&mut self, operator: &mut impl Operator) -> Vec<Address> {
        if matches!(self.finding, Finding::NotYet) {
            operator.event(Event::Searching);
            let id = DeviceId::of(&self.destination.peer().certificate.hash());
            self.finding = match Search::start(id) {
                Ok(search) => Finding::Running { search, refuted: Vec::new() },
                Err(error) => {
                    operator.event(Event::SearchUnavailable(&Error::from(error)));
                    Finding::Unavailable
                }
            };
        }
        let Finding::Running { search, refuted } = &self.finding else { return Vec::new() };
        let mut addresses = search.addresses().await;
        addresses.retain(|address| !refuted.contains(address) && !self.destination.has(address));
        addresses
    }

    fn refute(&mut self, address: Address) {
        if let Finding::Running { refuted, .. } = &mut self.finding
            && refuted.len() < REFUTED_MAX
        {
            refuted.push(address);
        }
    }
}

async fn connected(address: Address, until: Instant) -> Option<(Address, TcpStream)> {
    let limit = CONNECT.min(until.saturating_duration_since(Instant::now()));
    let stream = dial(&address, limit).await.ok()?;
    Some((address, stream))
}
