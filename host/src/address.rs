//! The address of a receiver: a host and a port, in the notation that users type.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The default port of a receiver.
pub const PORT: u16 = 12346;

const HOST_MAX: usize = 253;

/// The address of a receiver: `HOST`, `HOST:PORT`, `[IPV6]:PORT` or a bare IPv6 address. HOST is a name or an IP
/// address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// A link-local address with the interface that leads to it.
    pub fn on_link(ip: Ipv6Addr, interface: &str, port: u16) -> Self {
        Self { host: format!("{ip}%{interface}"), port }
    }

    /// Whether this is a link-local address that names an interface.
    pub fn is_on_link(&self) -> bool {
        self.host.contains('%')
    }

    /// The host: a name, or an IP address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if is_ipv6(text) {
            return Ok(Self { host: text.to_owned(), port: PORT });
        }
        if let Some(bracketed) = text.strip_prefix('[') {
            let (host, port) = bracketed.split_once(']').ok_or(AddressError::Host)?;
            if !is_ipv6(host) {
                return Err(AddressError::Host);
            }
            return Ok(Self { host: host.to_owned(), port: port_behind(port)? });
        }
        let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
        Ok(Self { host: checked_host(host)?.to_owned(), port: port_behind(port)? })
    }
}

impl From<SocketAddr> for Address {
    /// Converts a socket address. An IPv4-mapped IPv6 address is written as IPv4.
    fn from(address: SocketAddr) -> Self {
        let host = match (address, address.ip().to_canonical()) {
            (SocketAddr::V6(v6), IpAddr::V6(ip)) if v6.scope_id() != 0 => format!("{ip}%{}", v6.scope_id()),
            (_, ip) => ip.to_string(),
        };
        Self { host, port: address.port() }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if is_ipv6(&self.host) { ("[", "]") } else { ("", "") };
        write!(f, "{open}{}{close}:{}", self.host, self.port)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

/// What is wrong with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The host is missing or cannot be a host name.
    #[error("no host name or address can be written like that; write HOST, HOST:PORT or [IPV6]:PORT")]
    Host,
    /// The text after the colon is not a port.
    #[error("a port is a number from 1 to 65535")]
    Port,
}

/// Whether the text is an IPv6 address, with or without the interface of a link-local address (`fe80::7%eth0`).
fn is_ipv6(host: &str) -> bool {
    let (address, interface) = host.split_once('%').unwrap_or((host, "0"));
    address.parse::<Ipv6Addr>().is_ok() && checked_host(interface).is_ok()
}

fn checked_host(host: &str) -> Result<&str, AddressError> {
    let possible = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let good = !host.is_empty() && host.len() <= HOST_MAX && !host.starts_with('-') && host.chars().all(possible);
    if good { Ok(host) } else { Err(AddressError::Host) }
}

fn port_behind(text: &str) -> Result<u16, AddressError> {
    if text.is_empty() {
        return Ok(PORT);
    }
    let digits = text.strip_prefix(':').filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).filter(|port| *port != 0).ok_or(AddressError::Port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_people_write_them() {
        for (text, shown) in [
            ("board", "board:12346"),
            ("board.local:80", "board.local:80"),
            ("192.0.2.7", "192.0.2.7:12346"),
            ("192.0.2.7:1", "192.0.2.7:1"),
            ("2001:db8::7", "[2001:db8::7]:12346"),
            ("[2001:db8::7]", "[2001:db8::7]:12346"),
            ("[2001:db8::7]:99", "[2001:db8::7]:99"),
            ("fe80::7%eth0", "[fe80::7%eth0]:12346"),
            ("[fe80::7%2]:99", "[fe80::7%2]:99"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(shown.parse(), Ok(address));
        }
    }

    #[test]
    fn what_is_none() {
        for (text, error) in [
            ("", AddressError::Host),
            (":80", AddressError::Host),
            ("a b", AddressError::Host),
            ("-a", AddressError::Host),
            ("a\u{202e}", AddressError::Host),
            ("[::1", AddressError::Host),
            ("[board]:1", AddressError::Host),
            ("[fe80::7%]:1", AddressError::Host),
            ("192.0.2.7%eth0", AddressError::Host),
            ("a:", AddressError::Port),
            ("a:0", AddressError::Port),
            ("a:+1", AddressError::Port),
            ("a:65536", AddressError::Port),
            ("a:1:2", AddressError::Port),
            ("[::1]80", AddressError::Port),
        ] {
            assert_eq!(text.parse::<Address>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn sockets_are_written_as_what_they_are() {
        let address: SocketAddr = "[::ffff:192.0.2.7]:5".parse().unwrap();
        assert_eq!(Address::from(address).to_string(), "192.0.2.7:5");
        let address: SocketAddr = "[fe80::7%3]:5".parse().unwrap();
        assert_eq!(Address::from(address).to_string(), "[fe80::7%3]:5");
    }
}
