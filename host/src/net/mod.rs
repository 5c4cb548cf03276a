//! TCP: a sender dials, a receiver listens, and both close a connection without a reset.
//!
//! Also lists the addresses at which a sender can reach a listener. The network interfaces in link-local IPv6 addresses
//! such as `fe80::7%eth0` are resolved here, because not every system's resolver accepts their names, and none reports which
//! interfaces exist.

mod dial;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use if_addrs::Interface;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::address::Address;
use crate::error::Class::Unreachable;
use crate::error::Error;
use crate::platform;

pub(crate) use dial::{DIAL, DialError, both_failed, dial};

/// How long a side waits for its peer to close the connection after the last message, so that no TCP reset overtakes
/// that message.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// Parses an IPv6 address without brackets, optionally followed by `%` and the name or number of an interface. `None`
/// if the text is not such an address.
pub fn socket_address(host: &str, port: u16) -> Result<Option<SocketAddr>, UnknownInterface> {
    let (ip, interface) = match host.split_once('%') {
        Some((ip, interface)) => (ip, Some(interface)),
        None => (host, None),
    };
    let Ok(ip) = ip.parse() else { return Ok(None) };
    let scope = interface.map_or(Ok(0), index)?;
    Ok(Some(SocketAddrV6::new(ip, port, 0, scope).into()))
}

/// The number of the interface with this name or number. Only interfaces with an address are considered: no other one
/// can be used to connect.
fn index(wanted: &str) -> Result<u32, UnknownInterface> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let number = wanted.parse::<u32>().ok();
    let is_wanted =
        |interface: &&Interface| interface.name == wanted || interface.index.is_some_and(|index| Some(index) == number);
    let found = interfaces.iter().find(is_wanted).and_then(|interface| interface.index);
    found.ok_or_else(|| {
        let mut names: Vec<String> = interfaces.into_iter().map(|interface| interface.name).collect();
        names.sort();
        names.dedup();
        UnknownInterface { wanted: wanted.to_owned(), names }
    })
}

/// The name or number after `%` does not belong to an interface of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownInterface {
    /// The text after `%`.
    pub wanted: String,
    /// The names of the interfaces that have addresses.
    pub names: Vec<String>,
}

impl From<&UnknownInterface> for Error {
    fn from(unknown: &UnknownInterface) -> Self {
        let UnknownInterface { wanted, names } = unknown;
        Self::new(
            Unreachable,
            format!("This machine has no network interface {wanted} with an address."),
            format!("Write behind % the one that is on the link to the other machine: {}.", names.join(", ")),
        )
    }
}

/// Closes a connection after our last message, as [`close_within`] does, in a second at most.
pub(crate) async fn close(mut stream: TcpStream) {
    close_within(&mut stream, CLOSE_LIMIT).await;
}

/// Shuts down our direction of a connection, then waits up to `limit` for the peer to close its own. Closing a socket
/// with unread bytes would reset the connection, and the reset could overtake our last message.
pub(crate) async fn close_within(stream: &mut TcpStream, limit: Duration) {
    let _ = timeout(limit, async {
        let mut sink = [0; 512];
        stream.shutdown().await?;
        while stream.read(&mut sink).await? > 0 {}
        io::Result::Ok(())
    })
    .await;
}

/// Length of the listener's accept queue. It leaves room for a sender beside many unknown clients that connect and
/// wait.
const BACKLOG: i32 = 256;

/// Where a receiver listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// On this port of all addresses of this machine, IPv6 and IPv4.
    Everywhere(u16),
    /// On one address.
    At(SocketAddr),
}

/// Opens a listener; returns it with its local address.
pub async fn listen(endpoint: Endpoint) -> Result<(TcpListener, SocketAddr), ListenError> {
    let bind_to = |at| bind(at).map_err(|source| ListenError::of(source, at));
    match endpoint {
        Endpoint::At(at) => bind_to(at),
        Endpoint::Everywhere(port) => match bind_to((Ipv6Addr::UNSPECIFIED, port).into()) {
            Err(taken @ ListenError::PortTaken { .. }) => Err(taken),
            // This machine has no IPv6.
            Err(_) => bind_to((Ipv4Addr::UNSPECIFIED, port).into()),
            bound => bound,
        },
    }
}

/// Why a receiver cannot listen.
#[derive(Debug)]
pub enum ListenError {
    /// Another program already listens there.
    PortTaken {
        /// The address to listen on.
        at: SocketAddr,
    },
    /// The address does not belong to this machine.
    NotLocal {
        /// The address to listen on.
        at: SocketAddr,
    },
    /// This user lacks the permission.
    Denied {
        /// The address to listen on.
        at: SocketAddr,
    },
    /// Any other error.
    Failed {
        /// The address to listen on.
        at: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl ListenError {
    fn of(source: io::Error, at: SocketAddr) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::PortTaken { at },
            io::ErrorKind::AddrNotAvailable => Self::NotLocal { at },
            io::ErrorKind::PermissionDenied => Self::Denied { at },
            _ => Self::Failed { at, source },
        }
    }
}

impl From<ListenError> for Error {
    fn from(error: ListenError) -> Self {
        let (what, next) = match &error {
            ListenError::PortTaken { at } => (
                format!("Port {} is taken: another program listens there.", at.port()),
                "End that program, perhaps another `waft receive`; or take another port: --listen ADDR:PORT.",
            ),
            ListenError::NotLocal { at } => (
                format!("{} is not an address of this machine.", at.ip()),
                "Give one that it has, or leave --listen out.",
            ),
            ListenError::Denied { at } => (
                format!("This user may not listen on port {}.", at.port()),
                "Take a port above 1023: --listen ADDR:PORT.",
            ),
            ListenError::Failed { at, source } => {
                (format!("Listening on {at} failed: {source}."), "Take another address: --listen ADDR:PORT.")
            }
        };
        Self::new(Unreachable, what, next)
    }
}

/// The addresses of this machine that a sender on another machine can use, IPv4 first; empty without a network.
/// Link-local addresses are included only if there are no others.
pub fn addresses(port: u16) -> io::Result<Vec<Address>> {
    let interfaces = if_addrs::get_if_addrs()?;
    let usable = interfaces.iter().filter(|interface| interface.is_oper_up() && !interface.is_loopback());
    let (on_link, mut everywhere): (Vec<&Interface>, Vec<_>) =
        usable.partition(|interface| is_link_local(interface.ip()));
    if everywhere.is_empty() {
        everywhere = on_link;
    }
    everywhere.sort_by_key(|interface| interface.ip().is_ipv6());
    let mut found: Vec<Address> = everywhere.into_iter().map(|interface| address(interface, port)).collect();
    found.dedup();
    Ok(found)
}

/// The local address of a listening socket, as a user types it for a sender on this machine.
pub fn local_address(local: SocketAddr) -> Address {
    let ip = local.ip();
    let interfaces = if is_link_local(ip) { if_addrs::get_if_addrs().unwrap_or_default() } else { Vec::new() };
    let is_its = |interface: &&Interface| match local {
        SocketAddr::V6(v6) => interface.ip() == ip && interface.index == Some(v6.scope_id()),
        SocketAddr::V4(_) => interface.ip() == ip,
    };
    let of_it = interfaces.iter().find(is_its);
    of_it.map_or_else(|| local.into(), |interface| address(interface, local.port()))
}

/// The address of an interface. A link-local IPv6 address includes the interface's name.
fn address(interface: &Interface, port: u16) -> Address {
    match interface.ip() {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => {
            // Windows identifies interfaces by their numbers.
            let number = interface.index.filter(|_| cfg!(windows)).map(|index| index.to_string());
            Address::on_link(ip, number.as_deref().unwrap_or(&interface.name), port)
        }
        ip => SocketAddr::new(ip, port).into(),
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

fn bind(at: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    if at.is_ipv6() {
        // The default differs between operating systems.
        socket.set_only_v6(false)?;
    }
    platform::listen_again(&socket)?;
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from_std(socket.into())?;
    let local = listener.local_addr()?;
    Ok((listener, local))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::PORT;
    use crate::net::{DIAL, dial};

    #[test]
    fn an_interface_has_a_name_and_a_number() {
        let interfaces = if_addrs::get_if_addrs().unwrap();
        let loopback = interfaces.iter().find(|interface| interface.is_loopback()).expect("every machine has one");
        let index = loopback.index.expect("it is numbered");
        let expected: SocketAddr = SocketAddrV6::new("fe80::7".parse().unwrap(), 9, 0, index).into();
        for interface in [loopback.name.clone(), index.to_string()] {
            assert_eq!(socket_address(&format!("fe80::7%{interface}"), 9), Ok(Some(expected)));
        }
    }

    #[test]
    fn an_unknown_interface_is_named_with_those_that_there_are() {
        for wanted in ["no-such", "4000000000", "0"] {
            let unknown = socket_address(&format!("fe80::7%{wanted}"), 9).unwrap_err();
            let loopback = if_addrs::get_if_addrs().unwrap().into_iter().find(Interface::is_loopback).unwrap();
            assert_eq!(unknown.wanted, wanted);
            assert!(unknown.names.contains(&loopback.name), "{unknown:?}");
        }
    }

    #[test]
    fn other_hosts_have_no_interface() {
        assert_eq!(socket_address("2001:db8::7", 9), Ok(Some("[2001:db8::7]:9".parse().unwrap())));
        for host in ["kitchen", "192.0.2.7", "192.0.2.7%lo", ""] {
            assert_eq!(socket_address(host, 9), Ok(None), "{host}");
        }
    }

    fn at(host: &str, port: u16) -> Address {
        format!("{host}:{port}").parse().unwrap()
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn everywhere_means_both_families() {
        use crate::needs::{again, own_network};
        if listen(Endpoint::At((Ipv6Addr::LOCALHOST, 0).into())).await.is_err() {
            return again("net::listen::tests::everywhere_means_both_families", own_network());
        }
        let (listener, local) = listen(Endpoint::Everywhere(0)).await.unwrap();
        let port = local.port();
        dial(&at("127.0.0.1", port), DIAL).await.unwrap();
        let (stream, from) = listener.accept().await.unwrap();
        assert_eq!(Address::from(from).host(), "127.0.0.1");
        drop(stream);
        dial(&at("[::1]", port), DIAL).await.unwrap();
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let (_first, local) = listen(Endpoint::Everywhere(0)).await.unwrap();
        let port = local.port();
        for endpoint in [Endpoint::Everywhere(port), Endpoint::At((Ipv4Addr::UNSPECIFIED, port).into())] {
            let taken = listen(endpoint).await;
            let Err(ListenError::PortTaken { at }) = taken else { panic!("{endpoint:?} must be taken") };
            assert_eq!(at.port(), port);
        }
        let elsewhere = listen(Endpoint::At(([192, 0, 2, 7], 0).into())).await;
        assert!(matches!(elsewhere, Err(ListenError::NotLocal { .. })), "{elsewhere:?}");
    }

    #[test]
    fn loopback_is_no_address_for_others() {
        let addresses = addresses(PORT).unwrap();
        assert!(addresses.iter().all(|address| !["127.0.0.1", "::1"].contains(&address.host())), "{addresses:?}");
    }
}
