//! Parses the arguments for a board's policy and network.

use std::net::{Ipv4Addr, SocketAddr};

use ipnet::Ipv4Net;
use waft_receiver::identity::{self as board, KeyPolicy, NAME_MAX, Network, Policy, Wifi};
use zeroize::Zeroizing;

use crate::address::{Address, PORT};
use crate::cli::arguments::{NetworkArgs, PolicyArgs};
use crate::cli::ui::{Question, Ui};
use crate::error::Error;
use crate::name::Name;

/// The name of a Wi-Fi network: 1 to 32 bytes.
pub(super) struct Ssid(String);

/// Maximum length of an SSID, in bytes.
const SSID_MAX: usize = 32;

pub(super) fn policy(args: PolicyArgs) -> Policy {
    let key = match (args.sealed_key, args.either_key) {
        (true, _) => KeyPolicy::Sealed,
        (false, true) => KeyPolicy::Either,
        (false, false) => KeyPolicy::Typed,
    };
    Policy { code: !args.no_code, key, allow_older: args.allow_older, announce: !args.no_announce }
}

/// Describes a policy in a sentence.
pub(super) fn words(policy: &Policy) -> String {
    let code = if policy.code { "It asks for the 4-digit code" } else { "It asks for no code" };
    let key = match policy.key {
        KeyPolicy::Typed => "the key is typed at its console",
        KeyPolicy::Sealed => "the key is sealed to it",
        KeyPolicy::Either => "the key is typed at its console or sealed to it, as the sender wants",
    };
    let older = if policy.allow_older { " It takes older folders too." } else { "" };
    let announce = if policy.announce { "" } else { " It does not announce itself." };
    format!("{code}, and {key}.{older}{announce}")
}

/// The network settings without Wi-Fi.
pub(super) fn network(args: &NetworkArgs, name: &Name) -> Result<Network, Error> {
    let hostname = hostname(args.hostname.as_deref().unwrap_or(name.as_str()))?;
    let hostname = hostname.parse().map_err(|_| no_hostname(hostname))?;
    Ok(Network { hostname, address: address(args)?, wifi: None })
}

/// Checks a hostname by the rule of the identity image.
fn hostname(typed: &str) -> Result<&str, Error> {
    Name::new(typed).map(|_| typed).map_err(|_| no_hostname(typed))
}

fn no_hostname(typed: &str) -> Error {
    Error::usage(format!(
        "{typed:?} is not a hostname: one has 1 to {NAME_MAX} letters, digits, '.', '_' and '-', and does not begin with '-' or '.'"
    ))
}

fn address(args: &NetworkArgs) -> Result<board::Address, Error> {
    let Some(typed) = &args.address else { return Ok(board::Address::Dhcp) };
    let board = subnet(typed).ok_or_else(|| {
        Error::usage(format!("{typed:?} is not an address of a board; write ADDR/PREFIX, such as 192.168.1.20/24"))
    })?;
    if is_of_all(board.addr(), board) {
        return Err(Error::usage(format!(
            "{typed} is the address of the subnet itself, or of everybody in it, and not of one board"
        )));
    }
    let gateway = args.gateway.as_deref().map(|typed| host("gateway", typed)).transpose()?;
    let dns = args.dns.as_deref().map(|typed| host("name server", typed)).transpose()?;
    match gateway {
        Some(gateway) if !is_neighbour(gateway, board) => Err(Error::usage(format!(
            "the gateway {gateway} is no other host of the subnet {board}, so the board could not reach it"
        ))),
        _ => Ok(board::Address::Static {
            address: board.addr().octets(),
            prefix: board.prefix_len(),
            gateway: gateway.map(|ip| ip.octets()),
            dns: dns.map(|ip| ip.octets()),
        }),
    }
}

/// An address with the subnet that it is in. The standard library parses the address, because `ipnet` takes leading
/// zeros, which some programs read as octal.
fn subnet(typed: &str) -> Option<Ipv4Net> {
    let (address, prefix) = typed.split_once('/')?;
    let address = address.parse().ok().filter(is_host)?;
    Ipv4Net::new(address, prefix.parse().ok().filter(|prefix| *prefix > 0)?).ok()
}

fn host(what: &str, typed: &str) -> Result<Ipv4Addr, Error> {
    let address = typed.parse().ok().filter(is_host);
    address.ok_or_else(|| Error::usage(format!("{typed:?} is not an IPv4 address of a {what}")))
}

/// Whether this can be the address of a host: not "this network", loopback, multicast or reserved.
fn is_host(address: &Ipv4Addr) -> bool {
    !(address.is_loopback() || matches!(address.octets()[0], 0 | 224..))
}

/// Whether this is the first or last address of the subnet, which no host can have (RFC 1122, section 3.2.1.3) unless
/// the subnet has no others (RFC 3021).
fn is_of_all(address: Ipv4Addr, subnet: Ipv4Net) -> bool {
    subnet.prefix_len() < 31 && [subnet.network(), subnet.broadcast()].contains(&address)
}

/// Whether `other` is the address of another host in the board's subnet.
fn is_neighbour(other: Ipv4Addr, board: Ipv4Net) -> bool {
    other != board.addr() && board.contains(&other) && !is_of_all(other, board)
}

/// The address where a board with these settings listens, if it is known.
pub(super) fn listens_at(address: &board::Address) -> Option<Address> {
    match address {
        board::Address::Dhcp => None,
        board::Address::Static { address, .. } => Some(SocketAddr::from((*address, PORT)).into()),
    }
}

pub(super) fn ssid(typed: &str) -> Result<Ssid, Error> {
    match typed.len() {
        1..=SSID_MAX if !typed.chars().any(char::is_control) => Ok(Ssid(typed.to_owned())),
        _ => Err(Error::usage(format!("{typed:?} is not the name of a Wi-Fi network: it has 1 to {SSID_MAX} bytes"))),
    }
}

/// Asks for the passphrase of a network.
pub(super) async fn wifi(Ssid(ssid): Ssid, ui: &Ui) -> Result<Wifi, Error> {
    let passphrase =
        ui.ask(Question::Passphrase, &format!("Passphrase of the Wi-Fi network {ssid}:"), passphrase).await?;
    Wifi::new(&ssid, passphrase.as_bytes())
        .map_err(|error| Error::usage(format!("no board takes this network: {error}")))
}

/// Checks a passphrase by the rules of IEEE 802.11: 8 to 63 printable ASCII characters, or the key itself in 64
/// hexadecimal digits.
fn passphrase(typed: &str) -> Result<Zeroizing<String>, String> {
    let printable = typed.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    match typed.len() {
        8..=63 if printable => Ok(Zeroizing::new(typed.to_owned())),
        64 if typed.bytes().all(|byte| byte.is_ascii_hexdigit()) => Ok(Zeroizing::new(typed.to_owned())),
        _ => Err("a passphrase has 8 to 63 printable characters of ASCII, or is a key of 64 hexadecimal digits".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Class;

    fn args(address: &str, gateway: Option<&str>, dns: Option<&str>) -> NetworkArgs {
        NetworkArgs {
            address: Some(address.into()),
            gateway: gateway.map(Into::into),
            dns: dns.map(Into::into),
            ..NetworkArgs::default()
        }
    }

    #[test]
    fn addresses_are_those_of_a_host_in_a_subnet() {
        assert_eq!(address(&NetworkArgs::default()).unwrap(), board::Address::Dhcp);
        let full = address(&args("10.1.2.3/16", Some("10.1.0.1"), Some("9.9.9.9"))).unwrap();
        let (gateway, dns) = (Some([10, 1, 0, 1]), Some([9, 9, 9, 9]));
        assert_eq!(full, board::Address::Static { address: [10, 1, 2, 3], prefix: 16, gateway, dns });
        assert_eq!(listens_at(&full).unwrap().to_string(), "10.1.2.3:12346");
        for bad in [
            "10.1.2.3",
            "10.1.2.3/0",
            "10.1.2.3/33",
            "0.0.0.1/8",
            "224.0.0.1/4",
            "240.0.0.1/8",
            "127.0.0.1/8",
            "::1/64",
            "010.1.2.3/8",
        ] {
            assert!(address(&args(bad, None, None)).is_err(), "{bad}");
        }
        for bad in ["10.0.0.0/8", "10.255.255.255/8", "10.1.2.4/30", "10.1.2.7/30"] {
            let refused = address(&args(bad, None, None)).unwrap_err().to_string();
            assert!(refused.contains("subnet itself"), "{refused}");
        }
        for good in ["10.1.2.5/30", "10.1.2.6/30", "10.1.2.4/31", "10.1.2.5/31", "10.1.2.4/32"] {
            assert!(address(&args(good, None, None)).is_ok(), "{good}");
        }
        for gateway in ["10.2.0.1", "10.1.2.3", "10.1.0.0", "10.1.255.255", "0.0.0.0", "board", ""] {
            assert!(address(&args("10.1.2.3/16", Some(gateway), None)).is_err(), "{gateway}");
        }
        assert!(address(&args("10.1.2.3/16", None, Some("0.0.0.0"))).is_err());
    }

    #[test]
    fn hostnames_keep_the_images_rule() {
        for good in ["a", "kitchen-1.lab", &"h".repeat(NAME_MAX)] {
            assert_eq!(hostname(good).ok(), Some(good));
        }
        for bad in ["", "-a", ".a", "a b", "ü", &"h".repeat(NAME_MAX + 1)] {
            assert!(hostname(bad).unwrap_err().to_string().contains("is not a hostname"), "{bad:?}");
        }
    }

    #[test]
    fn passphrases_have_the_forms_of_wifi() {
        for good in ["open sesame", &"~".repeat(63), &"0aF".repeat(22)[..64]] {
            assert_eq!(passphrase(good).as_deref().map(|text| text.as_str()), Ok(good));
        }
        for bad in ["", "sesame!", "open\tsesame", "sésame ouvre", &"x".repeat(64), &"x".repeat(65)] {
            let why = passphrase(bad).unwrap_err();
            assert!(bad.is_empty() || !why.contains(bad), "it is not repeated: {why}");
        }
    }

    #[tokio::test]
    async fn a_passphrase_is_asked_for_until_it_is_one() {
        let asked = async |lines| wifi(ssid("home").unwrap(), &Ui::answered(lines)).await;
        let wifi = asked("sesame\nopen sesame\n").await.unwrap();
        assert_eq!((wifi.ssid.as_str(), wifi.passphrase.as_slice()), ("home", &b"open sesame"[..]));
        let malformed = asked("sesame\n").await.unwrap_err();
        assert!(malformed.class() == Class::Usage && !malformed.to_string().contains("sesame"), "{malformed}");
        let error = asked("").await.unwrap_err();
        assert!(error.to_string().contains("passphrase") && error.class() == Class::Usage, "{error}");
    }

    #[test]
    fn network_names_have_a_length() {
        assert!(ssid("my network").is_ok() && ssid(&"n".repeat(32)).is_ok());
        assert!(ssid("").is_err() && ssid(&"n".repeat(33)).is_err() && ssid("a\nb").is_err());
    }
}
