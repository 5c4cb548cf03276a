//! The receiver to send to and its address, determined from the argument and the trusted peers.

use crate::address::Address;
use crate::asked::Asked;
use crate::cli::ui::Ui;
use crate::error::Error;
use crate::trust::{Peer, Trust, TrustError};

/// A trusted receiver at an address.
#[derive(Debug)]
pub(super) struct Target {
    /// The receiver.
    pub(super) peer: Peer,
    /// The address to try first.
    pub(super) address: Address,
    /// A second address to try if the first one does not respond.
    pub(super) other: Option<Address>,
}

/// Rejects an argument whose address cannot be parsed. Needs no trusted peers.
pub(super) fn check_format(to: Option<&str>) -> Result<(), Error> {
    to.and_then(|to| to.split_once('@')).map_or(Ok(()), |(_, host)| address(host).map(drop))
}

impl Target {
    /// The receiver in the argument; without one, the only trusted receiver. `None` if the user has to be asked.
    pub(super) fn find(to: Option<&str>, trust: &Trust, ui: &Ui) -> Result<Option<Self>, Error> {
        let found = match to {
            Some(to) => return Self::read(to, trust).map(Some),
            None => Self::only(trust),
        };
        match found {
            Err(error) if ui.has_person() && !matches!(error, Error::Trust(TrustError::NoReceiver)) => Ok(None),
            found => found.map(Some),
        }
    }

    /// The user's answer at the terminal.
    pub(super) async fn ask(trust: &Trust, ui: &Ui) -> Result<Self, Error> {
        let form = |answer: &str| Self::read(answer.trim(), trust).map_err(|error| error.to_string());
        ui.ask(Asked::Receiver, &question(trust), form).await
    }

    /// Parses `NAME`, `NAME@HOST[:PORT]`, or `HOST[:PORT]` if exactly one receiver is trusted.
    fn read(to: &str, trust: &Trust) -> Result<Self, Error> {
        if let Some((name, host)) = to.split_once('@') {
            return Self::of(named(name, trust)?, Some(address(host)?));
        }
        match trust.by_name(to) {
            Some(peer) => Self::of(peer, None),
            None if looks_like_name(to) && trust.only_receiver().is_err() => Err(unknown(to)),
            None => Self::of(trust.only_receiver()?, Some(address(to)?)),
        }
    }

    fn only(trust: &Trust) -> Result<Self, Error> {
        Self::of(trust.only_receiver()?, None)
    }

    fn of(peer: &Peer, address: Option<Address>) -> Result<Self, Error> {
        let name = || peer.name.to_string();
        if !peer.receives {
            return Err(Error::NotAReceiver(name()));
        }
        let (address, other) = match address {
            Some(typed) => (typed, None),
            None => (peer.address().cloned().ok_or_else(|| Error::NoAddress(name()))?, peer.at.clone()),
        };
        let other = other.filter(|other| *other != address);
        Ok(Self { peer: peer.clone(), address, other })
    }
}

/// The question, which lists the possible names.
fn question(trust: &Trust) -> String {
    let names: Vec<&str> = trust.peers().iter().filter(|peer| peer.receives).map(|peer| peer.name.as_str()).collect();
    format!("To ({}; NAME@HOST):", names.join(", "))
}

fn named<'t>(name: &str, trust: &'t Trust) -> Result<&'t Peer, Error> {
    trust.by_name(name).ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> Error {
    Error::Trust(TrustError::Unknown { name: name.to_owned() })
}

fn address(text: &str) -> Result<Address, Error> {
    text.parse().map_err(|problem| Error::usage(format!("{text:?} is no address: {problem}")))
}

/// A text without a dot and a colon is more likely a mistyped name than a host.
fn looks_like_name(text: &str) -> bool {
    !text.contains(['.', ':'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    /// Trusts peers given as `(name, may receive, address)`.
    fn trust(peers: &[(&str, bool, Option<&str>)]) -> Trust {
        let own = Identity::generate();
        let mut trust = Trust::default();
        for (name, receives, at) in peers {
            let peer = Peer {
                name: name.parse().expect("a name"),
                certificate: Identity::generate().certificate().clone(),
                sends: true,
                receives: *receives,
                at: at.map(|at| at.parse().expect("an address")),
                last: None,
            };
            trust.add(peer, own.certificate()).expect("a new peer");
        }
        trust
    }

    fn read(to: &str, trust: &Trust) -> Result<String, Error> {
        Target::read(to, trust).map(|target| format!("{} at {}", target.peer.name, target.address))
    }

    #[test]
    fn names_and_addresses_go_together() {
        let trust = trust(&[("kitchen", true, Some("10.0.0.2")), ("attic", true, None)]);
        assert_eq!(read("kitchen", &trust).unwrap(), "kitchen at 10.0.0.2:12346");
        assert_eq!(read("KITCHEN@host:99", &trust).unwrap(), "kitchen at host:99");
        assert_eq!(read("attic@[::1]:99", &trust).unwrap(), "attic at [::1]:99");
        assert!(matches!(read("attic", &trust), Err(Error::NoAddress(_))));
        assert!(matches!(read("cellar@host", &trust), Err(Error::Trust(TrustError::Unknown { .. }))));
        assert!(matches!(read("cellar", &trust), Err(Error::Trust(TrustError::Unknown { .. }))));
        assert!(matches!(read("10.0.0.2", &trust), Err(Error::Trust(TrustError::SeveralReceivers))));
        assert!(matches!(read("attic@a b", &trust), Err(Error::Usage { .. })));
    }

    #[test]
    fn where_it_was_met_comes_before_where_it_is_said_to_be() {
        let trust = trust(&[("kitchen", true, Some("10.0.0.2"))]);
        assert_eq!(Target::read("kitchen", &trust).unwrap().other, None);
        let mut peer = trust.peers()[0].clone();
        peer.last = Some("10.0.0.7".parse().expect("an address"));
        let target = Target::of(&peer, None).unwrap();
        assert_eq!(target.address.to_string(), "10.0.0.7:12346");
        assert_eq!(target.other.map(|other| other.to_string()).as_deref(), Some("10.0.0.2:12346"));
        assert_eq!(Target::read("kitchen@host", &trust).unwrap().other, None);
    }

    #[test]
    fn a_host_will_do_while_one_receiver_is_trusted() {
        let trust = trust(&[("kitchen", true, None), ("laptop", false, Some("10.0.0.3"))]);
        assert_eq!(read("myhost", &trust).unwrap(), "kitchen at myhost:12346");
        assert_eq!(read("10.0.0.9:1", &trust).unwrap(), "kitchen at 10.0.0.9:1");
        assert!(matches!(read("laptop", &trust), Err(Error::NotAReceiver(_))));
    }
}
