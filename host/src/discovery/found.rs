//! From a received announcement to a receiver that was found, or to the reason why it is none. Pure: everything here may come
//! from anybody on the network.

use std::net::IpAddr;

use waft_core::discovery::{DeviceId, parse_name};

use super::ADDRESSES_MAX;
use super::links::Links;
use crate::address::Address;

/// A service instance as it was announced.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) instance: String,
    pub(super) port: u16,
    /// The value of `v` in the TXT record.
    pub(super) version: Option<Vec<u8>>,
    /// The value of `pair` in the TXT record.
    pub(super) pairing: Option<Vec<u8>>,
    /// The addresses, each with the numbers of the interfaces on which it was announced.
    pub(super) addresses: Vec<(IpAddr, Vec<u32>)>,
}

/// A receiver that announces itself. Anybody on the network can announce anything: nothing of this is proven.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Found {
    /// The id, which follows from the certificate of the receiver that this claims to be.
    pub id: DeviceId,
    /// The version of the protocol that it speaks.
    pub version: u8,
    /// Its addresses on the networks of this machine: at least one, at most [`ADDRESSES_MAX`], IPv4 first.
    pub addresses: Vec<Address>,
    /// While it takes attempts to pair: the name that it announces, which may be empty. It has no characters that would
    /// mislead a reader.
    pub pairing: Option<String>,
}

/// Why an announcement is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ignored {
    /// The instance name does not begin with an id.
    Instance,
    /// The version is missing, or is no number from 0 to 255.
    Version,
    /// The port is 0, or no address belongs to a machine on a network of this one.
    Address,
}

impl Found {
    /// Checks an announcement.
    pub(super) fn of(received: &Received, links: &Links) -> Result<Self, Ignored> {
        let id = DeviceId::from_instance(received.instance.as_bytes()).ok_or(Ignored::Instance)?;
        let version = received.version.as_deref().and_then(version).ok_or(Ignored::Version)?;
        let usable = |(ip, interfaces): &(IpAddr, Vec<u32>)| links.address(*ip, received.port, interfaces);
        let mut addresses = fairly_chosen(received.addresses.iter().filter_map(usable));
        if addresses.is_empty() {
            return Err(Ignored::Address);
        }
        addresses.sort_by_cached_key(|address| (kind(address), address.to_string()));
        addresses.dedup();
        // A name that cannot be shown is left out. That pairing is open is still true.
        let pairing = received.pairing.as_deref().map(|name| parse_name(name).unwrap_or_default().to_owned());
        Ok(Self { id, version, addresses, pairing })
    }
}

/// At most [`ADDRESSES_MAX`] of the addresses, of each kind about as many: a machine has many of one kind at times, and the
/// only one that works may be of another kind.
fn fairly_chosen(addresses: impl Iterator<Item = Address>) -> Vec<Address> {
    let mut counts = [0; 3];
    let numbered = |address: Address| {
        let kind = kind(&address);
        counts[kind] += 1;
        (counts[kind], kind, address)
    };
    let mut numbered: Vec<(usize, usize, Address)> = addresses.map(numbered).collect();
    numbered.sort_by_key(|(number, kind, _)| (*number, *kind));
    numbered.into_iter().take(ADDRESSES_MAX).map(|(_, _, address)| address).collect()
}

/// The place of the address's kind: IPv4, other IPv6, link-local.
fn kind(address: &Address) -> usize {
    match (address.host().contains(':'), address.is_on_link()) {
        (false, _) => 0,
        (true, false) => 1,
        (true, true) => 2,
    }
}

fn version(value: &[u8]) -> Option<u8> {
    let is_number = (1..=3).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    str::from_utf8(value).ok().filter(|_| is_number)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::super::links::Link;
    use super::*;

    fn links() -> Links {
        Links::new(vec![Link { number: 2, name: "eth0".into(), net: "10.0.0.5/16".parse().unwrap() }])
    }

    fn received() -> Received {
        Received {
            instance: "CYJCP9HDNK-12346".into(),
            port: 12346,
            version: Some(b"1".to_vec()),
            pairing: None,
            addresses: vec![("10.0.0.9".parse().unwrap(), vec![2])],
        }
    }

    fn found(received: &Received) -> Result<Found, Ignored> {
        Found::of(received, &links())
    }

    #[test]
    fn an_announcement_becomes_what_was_found() {
        let quiet = found(&received()).unwrap();
        assert_eq!((quiet.id.as_str(), quiet.version, quiet.pairing), ("CYJCP9HDNK", 1, None));
        assert_eq!(quiet.addresses, ["10.0.0.9:12346".parse().unwrap()]);
        let pairing = |name: &[u8]| found(&Received { pairing: Some(name.to_vec()), ..received() }).unwrap().pairing;
        assert_eq!(pairing("Küche".as_bytes()).as_deref(), Some("Küche"));
        for name in [&b""[..], b"\x1b]0;title\x07", b"\xff\xfe", &[b'a'; 255], "\u{202e}nehctik".as_bytes()] {
            assert_eq!(pairing(name).as_deref(), Some(""), "{name:?}");
        }
    }

    #[test]
    fn what_no_receiver_announces_is_ignored() {
        let instance = |name: &str| found(&Received { instance: name.into(), ..received() });
        for name in ["", "kitchen", "CYJCP9HDNKX", "\u{1b}[31mCYJCP9HDNK", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"] {
            assert_eq!(instance(name), Err(Ignored::Instance), "{name}");
        }
        assert_eq!(instance(&"x".repeat(10_000)), Err(Ignored::Instance));
        for version in [None, Some(&b""[..]), Some(b"+1"), Some(b"256"), Some(b"one"), Some(b"0001"), Some(b"\xff")] {
            let version = version.map(<[u8]>::to_vec);
            assert_eq!(found(&Received { version, ..received() }), Err(Ignored::Version));
        }
        assert_eq!(found(&Received { port: 0, ..received() }), Err(Ignored::Address));
        for ip in ["127.0.0.1", "224.0.0.251", "10.1.0.9", "10.0.255.255", "::1", "fe80::1"] {
            let addresses = vec![(ip.parse().unwrap(), vec![if ip == "fe80::1" { 9 } else { 2 }])];
            assert_eq!(found(&Received { addresses, ..received() }), Err(Ignored::Address), "{ip}");
        }
        assert_eq!(found(&Received { addresses: Vec::new(), ..received() }), Err(Ignored::Address));
    }

    #[test]
    fn many_addresses_of_one_kind_leave_room_for_the_others() {
        let on_link = (1..=20u16).map(|number| (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, number).into(), vec![2]));
        let real = ("10.0.0.9".parse().unwrap(), vec![2]);
        let kept = found(&Received { addresses: on_link.chain([real]).collect(), ..received() }).unwrap().addresses;
        assert_eq!((kept.len(), &kept[0]), (ADDRESSES_MAX, &"10.0.0.9:12346".parse().unwrap()));
    }

    #[test]
    fn of_thousands_of_addresses_a_few_are_kept() {
        let all =
            (0..40_000u32).map(|number| (IpAddr::from((0x0800_0000 + 0x0200_0000 + number).to_be_bytes()), vec![2]));
        let kept = found(&Received { addresses: all.collect(), ..received() }).unwrap().addresses;
        assert_eq!(kept.len(), ADDRESSES_MAX);
    }
}
