//! The receiver to send to and its address.

use crate::address::Address;
use crate::error::{Class, Error};
use crate::trust::{Peer, Trust, TrustError};

/// A trusted receiver at an address.
#[derive(Clone, Debug)]
pub struct Destination {
    pub(super) peer: Peer,
    /// The address to try first.
    pub(super) address: Address,
    /// A second address to try if the first one does not respond.
    pub(super) other: Option<Address>,
}

impl Destination {
    /// Checks the format of an argument for [`parse`](Self::parse), as far as that needs no trusted peers.
    pub fn check_format(to: &str) -> Result<(), Error> {
        to.split_once('@').map_or(Ok(()), |(_, host)| address(host).map(drop))
    }

    /// Parses `NAME`, `NAME@HOST[:PORT]`, or `HOST[:PORT]` if exactly one receiver is trusted.
    pub fn parse(to: &str, trust: &Trust) -> Result<Self, Error> {
        if let Some((name, host)) = to.split_once('@') {
            return Self::new(named(name, trust)?, Some(address(host)?));
        }
        match trust.by_name(to) {
            Some(peer) => Self::new(peer, None),
            None if looks_like_name(to) && trust.only_receiver().is_err() => Err(unknown(to)),
            None => Self::new(trust.only_receiver()?, Some(address(to)?)),
        }
    }

    /// The only trusted receiver, at its known address.
    pub fn only(trust: &Trust) -> Result<Self, Error> {
        Self::new(trust.only_receiver()?, None)
    }

    /// A trusted receiver at `address`; without one, where it was last reached, or at its configured address.
    pub fn new(peer: &Peer, address: Option<Address>) -> Result<Self, Error> {
        if !peer.receives {
            return Err(not_a_receiver(peer));
        }
        let (address, other) = match address {
            Some(typed) => (typed, None),
            None => (peer.address().cloned().ok_or_else(|| no_address(peer))?, peer.at.clone()),
        };
        let other = other.filter(|other| *other != address);
        Ok(Self { peer: peer.clone(), address, other })
    }

    /// The receiver.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The address to try first.
    pub fn address(&self) -> &Address {
        &self.address
    }
}

fn not_a_receiver(peer: &Peer) -> Error {
    Error::new(
        Class::Identity,
        format!("{} is trusted here, but not to receive from this machine.", peer.name),
        format!("To allow it: waft trust remove {}, then add it again without --sends.", peer.name),
    )
}

fn no_address(peer: &Peer) -> Error {
    Error::new(
        Class::Usage,
        format!("The address of {} is not known.", peer.name),
        format!(
            "Give an address that it shows: waft send FOLDER {}@ADDRESS. It is remembered from then on.",
            peer.name
        ),
    )
}

fn named<'t>(name: &str, trust: &'t Trust) -> Result<&'t Peer, Error> {
    trust.by_name(name).ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> Error {
    TrustError::Unknown { name: name.to_owned() }.into()
}

fn address(text: &str) -> Result<Address, Error> {
    text.parse().map_err(|problem| Error::usage(format!("{text:?} is not an address: {problem}")))
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
        Destination::parse(to, trust).map(|target| format!("{} at {}", target.peer.name, target.address))
    }

    fn error(to: &str, trust: &Trust) -> String {
        read(to, trust).unwrap_err().to_string()
    }

    #[test]
    fn names_and_addresses_go_together() {
        let trust = trust(&[("kitchen", true, Some("10.0.0.2")), ("attic", true, None)]);
        assert_eq!(read("kitchen", &trust).unwrap(), "kitchen at 10.0.0.2:12346");
        assert_eq!(read("KITCHEN@host:99", &trust).unwrap(), "kitchen at host:99");
        assert_eq!(read("attic@[::1]:99", &trust).unwrap(), "attic at [::1]:99");
        assert!(error("attic", &trust).contains("is not known"));
        assert!(error("cellar@host", &trust).contains("cellar"));
        assert!(error("cellar", &trust).contains("cellar"));
        assert!(error("10.0.0.2", &trust).starts_with("More than one receiver"));
        assert!(error("attic@a b", &trust).contains("is not an address"));
    }

    #[test]
    fn where_it_was_met_comes_before_where_it_is_said_to_be() {
        let trust = trust(&[("kitchen", true, Some("10.0.0.2"))]);
        assert_eq!(Destination::parse("kitchen", &trust).unwrap().other, None);
        let mut peer = trust.peers()[0].clone();
        peer.last = Some("10.0.0.7".parse().expect("an address"));
        let target = Destination::new(&peer, None).unwrap();
        assert_eq!(target.address.to_string(), "10.0.0.7:12346");
        assert_eq!(target.other.map(|other| other.to_string()).as_deref(), Some("10.0.0.2:12346"));
        assert_eq!(Destination::parse("kitchen@host", &trust).unwrap().other, None);
    }

    #[test]
    fn a_host_will_do_while_one_receiver_is_trusted() {
        let trust = trust(&[("kitchen", true, None), ("laptop", false, Some("10.0.0.3"))]);
        assert_eq!(read("myhost", &trust).unwrap(), "kitchen at myhost:12346");
        assert_eq!(read("10.0.0.9:1", &trust).unwrap(), "kitchen at 10.0.0.9:1");
        assert!(error("laptop", &trust).contains("not to receive"));
    }
}
