//! TCP: a sender connects, a receiver listens.
//!
//! Each error variant names a cause, because each cause has a different remedy.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use if_addrs::Interface;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

use crate::address::Address;
use crate::interface::{self, UnknownInterface};
use crate::platform;

/// How long a sender tries to reach a receiver.
pub(crate) const DIAL: Duration = Duration::from_secs(10);

/// How long a side waits for its peer to close the connection after the last message, so that no TCP reset overtakes
/// that message.
const PARTING: Duration = Duration::from_secs(1);
/// Length of the listener's accept queue. It leaves room for a sender beside many unknown clients that connect and
/// wait.
const BACKLOG: i32 = 256;

/// Connects to the first of a receiver's addresses that answers, within `patience` in total.
pub(crate) async fn dial(address: &Address, patience: Duration) -> Result<TcpStream, DialError> {
    let until = Instant::now() + patience;
    let unresolved = |source| DialError::Unresolved { address: address.clone(), source };
    let timed_out = || DialError::TimedOut { address: address.clone() };
    if let Some(found) = interface::socket_address(address.host(), address.port()).map_err(DialError::Interface)? {
        return connect(address, &[found], until).await;
    }
    let found = timeout(patience, lookup_host((address.host(), address.port()))).await.map_err(|_| timed_out())?;
    let found: Vec<SocketAddr> = found.map_err(unresolved)?.collect();
    connect(address, &found, until).await
}

/// Connects to the first of the resolved addresses that answers.
async fn connect(address: &Address, found: &[SocketAddr], until: Instant) -> Result<TcpStream, DialError> {
    let mut problem = DialError::Unresolved { address: address.clone(), source: io::ErrorKind::NotFound.into() };
    for (tried, socket) in found.iter().enumerate() {
        let left = until.saturating_duration_since(Instant::now());
        let share = left / (found.len() - tried) as u32;
        let this = match timeout(share, TcpStream::connect(socket)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true).map_err(|source| DialError::of(source, address, true))?;
                return Ok(stream);
            }
            Ok(Err(source)) => DialError::of(source, address, has_route(*socket)),
            Err(_) => DialError::TimedOut { address: address.clone() },
        };
        if this.tells_more_than(&problem) {
            problem = this;
        }
    }
    Err(problem)
}

/// Why a receiver cannot be reached.
#[derive(Debug)]
pub(crate) enum DialError {
    /// The address names an interface that this machine does not have.
    Interface(UnknownInterface),
    /// The name does not resolve to any address.
    Unresolved {
        /// The address to connect to.
        address: Address,
        /// The resolver's reason.
        source: io::Error,
    },
    /// The machine is reachable, but nothing listens on the port.
    Refused {
        /// The address to connect to.
        address: Address,
    },
    /// No answer arrived in time.
    TimedOut {
        /// The address to connect to.
        address: Address,
    },
    /// This machine has no route to the address.
    Unreachable {
        /// The address to connect to.
        address: Address,
    },
    /// The destination was reported as unreachable or prohibited: in an ICMP message from a router or the destination
    /// itself, or by a firewall rule of this machine.
    Rejected {
        /// The address to connect to.
        address: Address,
    },
    /// Any other error.
    Failed {
        /// The address to connect to.
        address: Address,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl DialError {
    /// Classifies an error of the operating system. `has_route` is whether this machine has a route to the address.
    fn of(source: io::Error, address: &Address, has_route: bool) -> Self {
        use io::ErrorKind::{HostUnreachable, NetworkDown, NetworkUnreachable, PermissionDenied};
        let address = address.clone();
        match source.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused { address },
            io::ErrorKind::TimedOut => Self::TimedOut { address },
            HostUnreachable | PermissionDenied => Self::Rejected { address },
            // With a route, the error comes from a router; its code is the same as that of a missing local route.
            NetworkUnreachable if has_route => Self::Rejected { address },
            NetworkUnreachable | NetworkDown => Self::Unreachable { address },
            _ => Self::Failed { address, source },
        }
    }

    /// Ranks errors, so that of several addresses' errors the one nearest to success is reported.
    fn tells_more_than(&self, other: &Self) -> bool {
        let rank = |problem: &Self| match problem {
            Self::Unresolved { .. } | Self::Interface(_) => 0,
            Self::Unreachable { .. } => 1,
            Self::TimedOut { .. } => 2,
            Self::Failed { .. } => 3,
            Self::Rejected { .. } => 4,
            Self::Refused { .. } => 5,
        };
        rank(self) > rank(other)
    }
}

/// Whether this machine has a route to an address. Connecting a UDP socket sends nothing.
fn has_route(to: SocketAddr) -> bool {
    let from: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    UdpSocket::bind(from).and_then(|socket| socket.connect(to)).is_ok()
}

/// Where a receiver listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// On this port of all addresses of this machine, IPv6 and IPv4.
    Everywhere(u16),
    /// On one address.
    At(SocketAddr),
}

/// Opens a listener; returns it with its local address.
pub(crate) async fn listen(endpoint: Endpoint) -> Result<(TcpListener, SocketAddr), ListenError> {
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
pub(crate) enum ListenError {
    /// The address names an interface that this machine does not have.
    Interface(UnknownInterface),
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

/// The addresses of this machine that a sender on another machine can use, IPv4 first; empty without a network.
/// Link-local addresses are included only if there are no others.
pub(crate) fn addresses(port: u16) -> io::Result<Vec<Address>> {
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
pub(crate) fn shown(local: SocketAddr) -> Address {
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

/// Closes a connection after our last message: shuts down our direction, then waits a short time for the peer to
/// close its own. Closing a socket with unread bytes would reset the connection, and the reset could overtake the
/// message.
pub(crate) async fn part(mut stream: TcpStream) {
    let _ = timeout(PARTING, async {
        let mut sink = [0; 512];
        stream.shutdown().await?;
        while stream.read(&mut sink).await? > 0 {}
        io::Result::Ok(())
    })
    .await;
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

    fn at(host: &str, port: u16) -> Address {
        format!("{host}:{port}").parse().unwrap()
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn everywhere_means_both_families() {
        use crate::needs::{again, own_network};
        if listen(Endpoint::At((Ipv6Addr::LOCALHOST, 0).into())).await.is_err() {
            return again("net::tests::everywhere_means_both_families", own_network());
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
    async fn all_addresses_of_a_name_are_tried() {
        let listening = || listen(Endpoint::At((Ipv4Addr::LOCALHOST, 0).into()));
        let (closing, open) = (listening().await.unwrap(), listening().await.unwrap());
        let closed = closing.1;
        drop(closing);
        let until = || Instant::now() + DIAL;
        let name = at("two-addresses", 1);
        for found in [[closed, open.1], [open.1, closed]] {
            connect(&name, &found, until()).await.unwrap();
        }
        let refused = connect(&name, &[closed, closed], until()).await;
        assert!(matches!(refused, Err(DialError::Refused { .. })), "{refused:?}");
        // "localhost" resolves to ::1 and 127.0.0.1 on most machines; only the second one answers here.
        dial(&at("localhost", open.1.port()), DIAL).await.unwrap();
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

    #[tokio::test]
    async fn each_way_not_to_connect_is_named() {
        let (_, local) = listen(Endpoint::At((Ipv4Addr::LOCALHOST, 0).into())).await.unwrap();
        let free = local.port();
        let refused = dial(&at("127.0.0.1", free), DIAL).await;
        assert!(matches!(refused, Err(DialError::Refused { .. })), "{refused:?}");
        let unresolved = dial(&at("no-such-board.invalid", 1), DIAL).await;
        assert!(matches!(unresolved, Err(DialError::Unresolved { .. } | DialError::TimedOut { .. })), "{unresolved:?}");
    }

    #[cfg(target_os = "linux")] // others take more connections than a backlog has room for
    #[tokio::test]
    async fn silence_ends_in_time() {
        // A listener with a full accept queue drops new connections, much like a machine that is switched off.
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let address = Address::from(socket.local_addr().unwrap().as_socket().unwrap());
        let mut kept = Vec::new();
        let problem = loop {
            match dial(&address, Duration::from_millis(200)).await {
                Ok(stream) if kept.len() < 8 => kept.push(stream),
                Ok(_) => panic!("the backlog is never full"),
                Err(problem) => break problem,
            }
        };
        assert!(matches!(problem, DialError::TimedOut { .. }), "{problem:?}");
    }

    #[test]
    fn loopback_is_no_address_for_others() {
        let addresses = addresses(PORT).unwrap();
        assert!(addresses.iter().all(|address| !["127.0.0.1", "::1"].contains(&address.host())), "{addresses:?}");
    }
}
