//! Collects what is announced for one receiver, while a sender tries to reach it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};
use waft_core::discovery::DeviceId;

use super::{Browser, Found, Unavailable};
use crate::address::Address;

/// How long a sender waits for the first announcement of its receiver. Most arrive within a tenth of this.
const FIRST: Duration = Duration::from_secs(2);

/// How long it then waits for further ones: after a liar's the right one may follow.
const FURTHER: Duration = Duration::from_millis(300);

/// Most announcements of one id that are kept, the latest ones. A receiver has one.
const KEPT_MAX: usize = 4;

/// Most addresses that are tried in one attempt. Only a liar announces more.
pub(crate) const TRIED_MAX: usize = 8;

/// Browses for one receiver until it is dropped.
#[derive(Debug)]
pub(crate) struct Search {
    found: Arc<(Mutex<Vec<Found>>, Notify)>,
    /// Until when the first announcement is waited for.
    until: Instant,
    task: JoinHandle<()>,
}

impl Search {
    /// Begins to search.
    pub(crate) fn start(id: DeviceId) -> Result<Self, Unavailable> {
        let mut browser = Browser::start()?;
        let found = Arc::<(Mutex<Vec<Found>>, Notify)>::default();
        let shared = found.clone();
        let task = tokio::spawn(async move {
            loop {
                let next = browser.next().await;
                if next.id == id {
                    let (kept, notify) = &*shared;
                    keep(&mut kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner()), next);
                    notify.notify_one();
                }
            }
        });
        Ok(Self { found, until: Instant::now() + FIRST, task })
    }

    /// The addresses that are announced for the receiver, at most [`TRIED_MAX`]. The first call may wait for some.
    pub(crate) async fn addresses(&self) -> Vec<Address> {
        let (kept, notify) = &*self.found;
        let addresses = || interleaved(&kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        if addresses().is_empty() && timeout_at(self.until, notify.notified()).await.is_ok() {
            sleep(FURTHER).await;
        }
        addresses()
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Keeps the latest announcements, the last one first. One with the same port replaces the earlier one.
fn keep(kept: &mut Vec<Found>, found: Found) {
    let port = |found: &Found| found.addresses.first().map(Address::port);
    kept.retain(|earlier| port(earlier) != port(&found));
    kept.insert(0, found);
    kept.truncate(KEPT_MAX);
}

/// One address of each announcement, then a second one of each, and so on: no announcement crowds out another.
fn interleaved(kept: &[Found]) -> Vec<Address> {
    let mut addresses: Vec<Address> = Vec::new();
    for index in 0..super::ADDRESSES_MAX {
        for address in kept.iter().filter_map(|found| found.addresses.get(index)) {
            if !addresses.contains(address) {
                addresses.push(address.clone());
            }
        }
    }
    addresses.truncate(TRIED_MAX);
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(addresses: &[&str]) -> Found {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Found { id: DeviceId::from_instance(b"CYJCP9HDNK").unwrap(), version: 1, addresses, pairing: None }
    }

    fn after(all: &[Found]) -> Vec<String> {
        let mut kept = Vec::new();
        all.iter().for_each(|found| keep(&mut kept, found.clone()));
        assert!(kept.len() <= KEPT_MAX);
        interleaved(&kept).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_receiver_that_moves_is_where_it_announced_itself_last() {
        let moved = [found(&["10.0.0.1:9"]), found(&["10.0.0.2:9"])];
        assert_eq!(after(&moved), ["10.0.0.2:9"]);
    }

    #[test]
    fn an_announcement_of_many_addresses_does_not_crowd_out_another() {
        let liar: Vec<String> = (1..=8).map(|number| format!("10.0.0.{number}:7")).collect();
        let liar = found(&liar.iter().map(String::as_str).collect::<Vec<_>>());
        let addresses = after(&[found(&["10.0.9.9:12346"]), liar]);
        assert_eq!(addresses.len(), TRIED_MAX);
        assert_eq!(addresses[..2], ["10.0.0.1:7", "10.0.9.9:12346"]);
    }

    #[test]
    fn of_many_announcements_the_latest_are_kept() {
        let many: Vec<Found> = (1..=1000).map(|port| found(&[&format!("10.0.0.1:{port}")])).collect();
        assert_eq!(after(&many), [1000, 999, 998, 997].map(|port| format!("10.0.0.1:{port}")));
    }
}
