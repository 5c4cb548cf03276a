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

/// How long the sender then waits for further announcements: the right one may follow a false one.
const FURTHER: Duration = Duration::from_millis(300);

/// Most addresses of one id that are kept. A receiver has a few.
const KEPT_MAX: usize = 64;

/// An announced address, and its place in its announcement.
#[derive(Debug)]
struct Kept {
    address: Address,
    place: usize,
}

/// Browses for one receiver until it is dropped.
#[derive(Debug)]
pub(crate) struct Search {
    kept: Arc<(Mutex<Vec<Kept>>, Notify)>,
    /// Until when the first announcement is waited for.
    until: Instant,
    task: JoinHandle<()>,
}

impl Search {
    /// Begins to search.
    pub(crate) fn start(id: DeviceId) -> Result<Self, Unavailable> {
        let mut browser = Browser::start()?;
        let kept = Arc::<(Mutex<Vec<Kept>>, Notify)>::default();
        let shared = kept.clone();
        let task = tokio::spawn(async move {
            loop {
                let next = browser.next().await;
                if next.id == id {
                    let (kept, notify) = &*shared;
                    keep(&mut kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner()), &next);
                    notify.notify_one();
                }
            }
        });
        Ok(Self { kept, until: Instant::now() + FIRST, task })
    }

    /// The addresses that are announced for the receiver, in the order in which to try them: one of each announcement, the
    /// latest first, then a second one of each, and so on. The first call may wait for some.
    pub(crate) async fn addresses(&self) -> Vec<Address> {
        let (kept, notify) = &*self.kept;
        let addresses = || addresses(&kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
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

/// Keeps the addresses of this announcement. They replace none of another one, which may be the receiver's.
fn keep(kept: &mut Vec<Kept>, found: &Found) {
    for (place, address) in found.addresses.iter().enumerate() {
        kept.retain(|earlier| earlier.address != *address);
        kept.insert(0, Kept { address: address.clone(), place });
        if kept.len() > KEPT_MAX {
            drop_one(kept);
        }
    }
    kept.sort_by_key(|kept| kept.place);
}

/// Drops an address of the host that has most of them: many ports of one host crowd out no other host.
fn drop_one(kept: &mut Vec<Kept>) {
    let of_its_host = |one: &Kept| kept.iter().filter(|other| other.address.host() == one.address.host()).count();
    // Of several, `max_by_key` finds the last one.
    let dropped = (0..kept.len()).max_by_key(|&index| of_its_host(&kept[index]));
    if let Some(index) = dropped {
        kept.remove(index);
    }
}

fn addresses(kept: &[Kept]) -> Vec<Address> {
    kept.iter().map(|kept| kept.address.clone()).collect()
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
        all.iter().for_each(|found| keep(&mut kept, found));
        assert!(kept.len() <= KEPT_MAX);
        addresses(&kept).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_receiver_that_moves_is_first_where_it_announced_itself_last() {
        let moved = [found(&["10.0.0.1:9"]), found(&["10.0.0.2:9"])];
        assert_eq!(after(&moved), ["10.0.0.2:9", "10.0.0.1:9"]);
        let back = [found(&["10.0.0.1:9"]), found(&["10.0.0.2:9"]), found(&["10.0.0.1:9"])];
        assert_eq!(after(&back), ["10.0.0.1:9", "10.0.0.2:9"]);
    }

    #[test]
    fn an_announcement_of_many_addresses_does_not_crowd_out_another() {
        let liar: Vec<String> = (1..=8).map(|number| format!("10.0.0.{number}:7")).collect();
        let liar = found(&liar.iter().map(String::as_str).collect::<Vec<_>>());
        let addresses = after(&[found(&["10.0.9.9:12346"]), liar]);
        assert_eq!(addresses.len(), 9);
        assert_eq!(addresses[..2], ["10.0.0.1:7", "10.0.9.9:12346"]);
    }

    #[test]
    fn of_many_announcements_of_one_host_the_latest_are_kept_beside_those_of_others() {
        let honest = found(&["10.0.9.9:12346"]);
        let many = (1..=1000).map(|port| found(&[&format!("10.0.0.1:{port}")]));
        let kept = after(&[honest].into_iter().chain(many).collect::<Vec<_>>());
        assert_eq!((kept.len(), kept[0].as_str()), (KEPT_MAX, "10.0.0.1:1000"));
        assert!(kept.contains(&"10.0.9.9:12346".to_owned()), "{kept:?}");
    }
}
