//! The networks that this machine is on: which announced addresses are on one of them.

use std::net::{IpAddr, Ipv6Addr};

use if_addrs::{IfAddr, Interface};
use ipnet::IpNet;

use crate::address::Address;

/// The addresses of this machine with their subnets.
#[derive(Clone, Debug, Default)]
pub(super) struct Links(Vec<Link>);

/// An address of this machine with its subnet.
#[derive(Clone, Debug)]
pub(super) struct Link {
    /// The number of the interface.
    pub(super) number: u32,
    /// The name of the interface.
    pub(super) name: String,
    /// The address, and the length of the subnet's prefix.
    pub(super) net: IpNet,
}

impl Links {
    /// The networks as they are now. Without loopback.
    pub(super) fn read() -> Self {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        Self(
            interfaces
                .iter()
                .filter(|interface| interface.is_oper_up() && !interface.is_loopback())
                .filter_map(link)
                .collect(),
        )
    }

    #[cfg(test)]
    pub(super) fn new(links: Vec<Link>) -> Self {
        Self(links)
    }

    /// The address and port as a sender uses them, if the address is one of a single machine on a network of these
    /// interfaces. `None` for all others: of other networks, of this machine alone, multicast and broadcast.
    pub(super) fn address(&self, ip: IpAddr, port: u16, interfaces: &[u32]) -> Option<Address> {
        let mut links = self.0.iter().filter(|link| interfaces.contains(&link.number));
        match ip {
            _ if port == 0 || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() => None,
            IpAddr::V6(ip) if ip.is_unicast_link_local() => Some(on_link(ip, links.next()?, port)),
            ip => {
                links.find(|link| has(link.net, ip))?;
                Some((ip, port).into()).map(|socket: std::net::SocketAddr| socket.into())
            }
        }
    }
}

fn link(interface: &Interface) -> Option<Link> {
    let (ip, prefix) = match &interface.addr {
        IfAddr::V4(v4) => (IpAddr::V4(v4.ip), v4.prefixlen),
        IfAddr::V6(v6) => (IpAddr::V6(v6.ip), v6.prefixlen),
    };
    Some(Link { number: interface.index?, name: interface.name.clone(), net: IpNet::new(ip, prefix).ok()? })
}

/// Whether the address belongs to a machine of this subnet: not to the subnet itself, and not to all of its machines.
fn has(net: IpNet, ip: IpAddr) -> bool {
    let is_special = match net {
        IpNet::V4(v4) => v4.prefix_len() < 31 && (ip == v4.network() || ip == v4.broadcast()),
        IpNet::V6(_) => false,
    };
    net.contains(&ip) && !is_special
}

/// A link-local address with the interface that leads to it. Windows identifies interfaces by their numbers.
fn on_link(ip: Ipv6Addr, link: &Link, port: u16) -> Address {
    match cfg!(windows) {
        true => Address::on_link(ip, &link.number.to_string(), port),
        false => Address::on_link(ip, &link.name, port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_machines_on_the_same_network_count() {
        let link = |number, name: &str, net: &str| Link { number, name: name.into(), net: net.parse().unwrap() };
        let links = Links::new(vec![
            link(2, "eth0", "10.0.0.5/24"),
            link(2, "eth0", "fe80::5/64"),
            link(2, "eth0", "2001:db8::5/64"),
            link(3, "eth1", "192.168.7.1/30"),
        ]);
        let at = |ip: &str, interface: u32| {
            links.address(ip.parse().unwrap(), 12346, &[interface]).map(|address| address.to_string())
        };
        for (ip, interface, shown) in [
            ("10.0.0.9", 2, "10.0.0.9:12346"),
            ("10.0.0.5", 2, "10.0.0.5:12346"),
            ("192.168.7.2", 3, "192.168.7.2:12346"),
            ("2001:db8::9", 2, "[2001:db8::9]:12346"),
        ] {
            assert_eq!(at(ip, interface).as_deref(), Some(shown));
        }
        #[cfg(unix)]
        assert_eq!(at("fe80::9", 2).as_deref(), Some("[fe80::9%eth0]:12346"));
        for (ip, interface) in [
            ("10.0.1.9", 2),
            ("10.0.0.9", 3),
            ("10.0.0.0", 2),
            ("10.0.0.255", 2),
            ("192.168.7.3", 3),
            ("8.8.8.8", 2),
            ("127.0.0.1", 2),
            ("0.0.0.0", 2),
            ("224.0.0.251", 2),
            ("255.255.255.255", 2),
            ("::1", 2),
            ("::", 2),
            ("ff02::fb", 2),
            ("::ffff:10.0.0.9", 2),
            ("2001:db8:1::9", 2),
            ("fe80::9", 4),
        ] {
            assert_eq!(at(ip, interface), None, "{ip}");
        }
        assert_eq!(links.address("10.0.0.9".parse().unwrap(), 0, &[2]), None);
        assert_eq!(links.address("10.0.0.9".parse().unwrap(), 1, &[]), None);
    }
}
