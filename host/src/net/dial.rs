//! TCP for a sender: connects to a receiver.
//!
//! Each variant of [`DialError`] names a cause, because each cause has a different remedy.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

use super::{UnknownInterface, socket_address};
use crate::address::Address;
use crate::error::Class::Unreachable;
use crate::error::Error;

/// How long a sender tries to reach a receiver.
pub(crate) const DIAL: Duration = Duration::from_secs(10);

/// Connects to the first of a receiver's addresses that answers, within `limit` in total.
pub(crate) async fn dial(address: &Address, limit: Duration) -> Result<TcpStream, DialError> {
    let until = Instant::now() + limit;
    let unresolved = |source| DialError::Unresolved { address: address.clone(), source };
    let timed_out = || DialError::TimedOut { address: address.clone() };
    if let Some(found) = socket_address(address.host(), address.port()).map_err(DialError::Interface)? {
        return connect(address, &[found], until).await;
    }
    let found = timeout(limit, lookup_host((address.host(), address.port()))).await.map_err(|_| timed_out())?;
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

    /// Whether the machine can be reached, and nothing listens on the port.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
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

impl From<DialError> for Error {
    fn from(error: DialError) -> Self {
        Self::from(&error)
    }
}

impl From<&DialError> for Error {
    fn from(error: &DialError) -> Self {
        let (what, next) = match error {
            DialError::Interface(unknown) => return unknown.into(),
            DialError::Refused { address } => (
                format!("Nothing listens at {address}."),
                "Start `waft receive` there, and compare the address with the ones that it shows. If it runs, a firewall may \
                 refuse the connection: let its TCP port in.",
            ),
            DialError::TimedOut { address } => (
                format!("{address} does not answer: the connection timed out."),
                "Compare the address with the ones that the receiver shows. If it is right, a firewall may drop the \
                 connection: let its TCP port in.",
            ),
            DialError::Rejected { address } => (
                format!(
                    "The network refuses to connect to {address}: that machine is off, or a firewall rejects the connection."
                ),
                "Compare the address with the ones that the receiver shows. If it is right, look at the firewalls there, here \
                 and on the way: let its TCP port in.",
            ),
            DialError::Unresolved { address, source } => (
                format!("No address is known for the name {}: {source}.", address.host()),
                "Compare the name, or give an address that the receiver shows: NAME@ADDRESS.",
            ),
            DialError::Unreachable { address } => (
                format!("There is no route to {address}."),
                "Check whether this machine is on the receiver's network, and compare the address with the ones that it shows.",
            ),
            DialError::Failed { address, source } => (
                format!("Connecting to {address} failed: {source}."),
                "Compare the address with the ones that the receiver shows.",
            ),
        };
        Self::new(Unreachable, what, next)
    }
}

/// The error for a receiver that can be reached neither at `last`, the address where it was last reached, nor at `at`,
/// its configured address.
pub(crate) fn both_failed(last: &DialError, at: &DialError) -> Error {
    let (last, at) = (Error::from(last), Error::from(at));
    Error::new(at.class(), format!("{at} It is not at its last known address either: {last}"), at.advice())
}

/// Whether this machine has a route to an address. Connecting a UDP socket sends nothing.
fn has_route(to: SocketAddr) -> bool {
    let from: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    UdpSocket::bind(from).and_then(|socket| socket.connect(to)).is_ok()
}

#[cfg(test)]
mod tests {
    use socket2::{Domain, Socket, Type};

    use super::*;
    use crate::net::{Endpoint, listen};

    fn at(host: &str, port: u16) -> Address {
        format!("{host}:{port}").parse().unwrap()
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
}
