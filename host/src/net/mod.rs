//! TCP: a sender dials, a receiver listens, and both close a connection without a reset.
//!
//! The network interfaces in link-local IPv6 addresses such as `fe80::7%eth0` are resolved here, because not every system's
//! resolver accepts their names, and none reports which interfaces exist.

mod dial;
mod listen;

use std::io;
use std::net::{SocketAddr, SocketAddrV6};
use std::time::Duration;

use if_addrs::Interface;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(crate) use dial::{DIAL, DialError, both_failed, dial};
pub use listen::{Endpoint, ListenError, addresses, listen, local_address};

use crate::error::Class::Unreachable;
use crate::error::Error;

/// How long a side waits for its peer to close the connection after the last message, so that no TCP reset overtakes
/// that message.
const PARTING: Duration = Duration::from_secs(1);

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

/// Closes a connection after our last message: shuts down our direction, then waits a short time for the peer to
/// close its own. Closing a socket with unread bytes would reset the connection, and the reset could overtake the
/// message.
pub(crate) async fn close(mut stream: TcpStream) {
    let _ = timeout(PARTING, async {
        let mut sink = [0; 512];
        stream.shutdown().await?;
        while stream.read(&mut sink).await? > 0 {}
        io::Result::Ok(())
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
