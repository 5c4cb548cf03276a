//! `waft find`: lists the receivers that announce themselves on this network, as they are found.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use waft_core::path::escape;

use crate::address::Address;
use crate::cli::arguments::Find;
use crate::cli::interrupt::Interrupt;
use crate::cli::open_home;
use crate::cli::trust::directions;
use crate::cli::ui::{Event, Ui};
use crate::discovery::{Browser, DeviceId, Found};
use crate::error::Error;
use crate::trust::{Peer, Trust};
use crate::worker::in_background;

/// Most lines that are printed. Only an attacker announces more receivers.
const LINES_MAX: usize = 500;

/// How long a receiver that was found waits for its other addresses.
const SETTLE: Duration = Duration::from_millis(300);

/// The version of the protocol of this release.
const VERSION: u8 = 1;

/// Runs the command.
pub(super) async fn run(args: Find, ui: &Ui) -> Result<(), Error> {
    let interrupt = Interrupt::listen();
    let (_, trust) = interrupt.or(in_background(open_home)).await?;
    let until = Instant::now() + Duration::from_secs(args.seconds.into());
    if interrupt.or(list(&Known::new(&trust), until, ui)).await? == 0 {
        ui.say("No receiver announces itself on this network. Routers and many guest networks do not forward multicast: then a sender needs the receiver's address.");
    }
    Ok(())
}

/// Prints what is found until then. Returns the number of lines.
async fn list(known: &Known<'_>, until: Instant, ui: &Ui) -> Result<usize, Error> {
    let mut browser = Browser::start()?;
    let mut printed = HashSet::new();
    // What was found just now, and when it is printed: its addresses arrive in several packets.
    let mut fresh: Vec<(Instant, Found)> = Vec::new();
    loop {
        let next = fresh.first().map_or(until, |(due, _)| (*due).min(until));
        // While more and more is announced, `timeout_at` alone would never end.
        let heard = if Instant::now() < next { timeout_at(next, browser.next()).await.ok() } else { None };
        match heard {
            Some(found) if fresh.len() < LINES_MAX => {
                let earlier = fresh.iter_mut().find(|(_, earlier)| is_same(earlier, &found));
                match earlier {
                    Some((_, earlier)) => *earlier = found,
                    None => fresh.push((Instant::now() + SETTLE, found)),
                }
            }
            Some(_) => {}
            None => {
                let is_over = Instant::now() >= until;
                let due = fresh.iter().filter(|(due, _)| is_over || *due <= Instant::now()).count();
                for (_, found) in fresh.drain(..due) {
                    // More addresses of the same receiver are no news.
                    if printed.insert((found.id, found.addresses[0].clone(), found.pairing.clone())) {
                        print(&found, known.peer(&found), ui);
                    }
                }
                if printed.len() >= LINES_MAX {
                    ui.warn(format!("more than {LINES_MAX} receivers are announced: the others are left out"));
                    return Ok(printed.len());
                }
                if is_over {
                    return Ok(printed.len());
                }
            }
        }
    }
}

/// Whether `found` takes the place of an earlier announcement: it has the same first address, or all of the earlier ones and
/// an IPv4 address, which arrived later. Else both are shown, since one of them may be a lie.
fn is_same(earlier: &Found, found: &Found) -> bool {
    let (before, first) = (&earlier.addresses[0], &found.addresses[0]);
    let is_v6 = |address: &Address| address.host().contains(':');
    let has_grown = || {
        before.port() == first.port()
            && is_v6(before)
            && !is_v6(first)
            && earlier.addresses.iter().all(|address| found.addresses.contains(address))
    };
    earlier.id == found.id && (before == first || has_grown())
}

/// The trusted peers by the ids that they announce.
pub(super) struct Known<'t>(HashMap<DeviceId, &'t Peer>);

impl<'t> Known<'t> {
    /// The ids of all trusted peers.
    pub(super) fn new(trust: &'t Trust) -> Self {
        Self(trust.peers().iter().map(|peer| (DeviceId::of(&peer.certificate.hash()), peer)).collect())
    }

    /// The peer that this claims to be.
    pub(super) fn peer(&self, found: &Found) -> Option<&'t Peer> {
        self.0.get(&found.id).copied()
    }
}

fn print(found: &Found, peer: Option<&Peer>, ui: &Ui) {
    let addresses: Vec<String> = found.addresses.iter().map(ToString::to_string).collect();
    let pairing = found.pairing.as_deref().map(|name| escape(name).to_string());
    ui.event(&Event::Found {
        id: found.id.as_str(),
        name: peer.map(|peer| peer.name.as_str()),
        address: &addresses[0],
        addresses: &addresses,
        sends: peer.is_some_and(|peer| peer.sends),
        receives: peer.is_some_and(|peer| peer.receives),
        version: found.version,
        pairing: pairing.as_deref(),
    });
    ui.print(line(found, peer));
}

/// A receiver as a line.
pub(super) fn line(found: &Found, peer: Option<&Peer>) -> String {
    let name = peer.map_or(found.id.as_str(), |peer| peer.name.as_str());
    let may = peer.map_or("not trusted", directions);
    let pairing = match found.pairing.as_deref() {
        None => String::new(),
        Some("") => ", waits for a pairing".to_owned(),
        Some(announced) => format!(", waits for a pairing as {announced:?}"),
    };
    let version = if found.version == VERSION { "" } else { ", speaks another version" };
    format!("{name:<16} {:<21} {may}{pairing}{version}", found.addresses[0].to_string())
}

/// How long a question waits for what could be offered with it.
const LOOK: Duration = Duration::from_millis(2_000);
/// Most receivers that are offered.
const OFFERED_MAX: usize = 20;

/// What is announced within a moment and is wanted, sorted by its text. Empty where multicast DNS is not available.
pub(super) async fn look(is_wanted: impl Fn(&Found) -> bool) -> Vec<Found> {
    let Ok(mut browser) = Browser::start() else { return Vec::new() };
    let until = Instant::now() + LOOK;
    let mut seen: Vec<Found> = Vec::new();
    while Instant::now() < until {
        let Ok(found) = timeout_at(until, browser.next()).await else { break };
        seen.retain(|earlier| !is_same(earlier, &found));
        if is_wanted(&found) && seen.len() < OFFERED_MAX {
            seen.push(found);
        }
    }
    seen.sort_by_cached_key(|found| (found.pairing.clone(), found.addresses[0].to_string()));
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_liar_with_the_same_port_replaces_no_announcement() {
        let found = |addresses: &[&str]| Found {
            id: DeviceId::from_instance(b"CYJCP9HDNK").unwrap(),
            version: 1,
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            pairing: None,
        };
        let honest = found(&["10.0.0.2:12346", "[fe80::2%eth0]:12346"]);
        for liar in [&["10.0.0.1:12346"][..], &["10.0.0.1:12346", "10.0.0.2:12346", "[fe80::2%eth0]:12346"]] {
            assert!(!is_same(&honest, &found(liar)), "{liar:?}");
        }
        // Its addresses arrive in several packets.
        assert!(is_same(&honest, &honest) && is_same(&found(&["10.0.0.2:12346"]), &honest));
        assert!(is_same(&found(&["[fe80::2%eth0]:12346"]), &honest));
        assert!(!is_same(&found(&["[fe80::2%eth0]:7"]), &honest));
    }
}
