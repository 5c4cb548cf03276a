//! The start-up banner of a receiver: its identity, its addresses, its code, and the trusted senders.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use waft_core::code::AuthCode;

use crate::address::{Address, PORT};
use crate::certificate::Certificate;
use crate::cli::answers::show_code;
use crate::cli::arguments::Receive;
use crate::cli::ui::{Event, Ui, secret};
use crate::error::{Error, shown};
use crate::home::Home;
use crate::identity;
use crate::net::{self, Endpoint, addresses};
use crate::trust::{Peer, Trust};

/// Parses the address to listen on: `ADDR:PORT`, `ADDR` or `PORT`; without one, the default port of all addresses. A
/// link-local address includes its interface: `[fe80::7%eth0]:12346`.
pub(in crate::cli) fn listen_at(typed: Option<&str>) -> Result<Endpoint, Error> {
    let Some(typed) = typed else { return Ok(Endpoint::Everywhere(PORT)) };
    if let Ok(port) = typed.strip_prefix(':').unwrap_or(typed).parse() {
        return Ok(Endpoint::Everywhere(port));
    }
    let (host, port) = match typed.strip_prefix('[').and_then(|typed| typed.split_once(']')) {
        Some((host, "")) => (host, Some(PORT)),
        Some((host, port)) => (host, port.strip_prefix(':').and_then(|port| port.parse().ok())),
        None => (typed, Some(PORT)),
    };
    let at = port.map(|port| net::socket_address(host, port)).transpose();
    if let Some(at) = at.map_err(|unknown| Error::from(&unknown))?.flatten() {
        return Ok(Endpoint::At(at));
    }
    match (typed.parse::<SocketAddr>(), typed.parse::<IpAddr>()) {
        (Ok(socket), _) => Ok(Endpoint::At(socket)),
        (_, Ok(ip)) => Ok(Endpoint::At((ip, PORT).into())),
        _ => Err(Error::usage(format!("{typed:?} is not ADDR:PORT, such as 192.168.1.5:12346 or [::1]:12346."))),
    }
}

/// The inputs of the start-up banner.
pub(super) struct Banner<'a> {
    /// The arguments of the command.
    pub(super) args: &'a Receive,
    /// The configuration folder.
    pub(super) home: &'a Home,
    /// This machine's certificate.
    pub(super) certificate: &'a Certificate,
    /// The trusted peers.
    pub(super) trust: &'a Trust,
    /// The local address of the listener.
    pub(super) local: SocketAddr,
}

/// Prints the start-up banner. `code` is the code that senders have to give, if there is one.
pub(super) fn print_banner(banner: &Banner<'_>, code: Option<&AuthCode>, ui: &Ui) -> Result<(), Error> {
    let &Banner { args, home, certificate, trust, local } = banner;
    let name = identity::name(home)?;
    let name = name.as_ref().map_or("This machine", |name| name.as_str());
    ui.say(format!("{name}, fingerprint {}", certificate.fingerprint()));
    let addresses = print_addresses(local, ui);
    ui.say(format!("Folders are received into {}", shown(&args.into)));
    print_senders(trust, ui);
    if let Some(code) = code {
        show_code(ui, "Code", code);
    }
    let code = code.map(|code| secret(code.display()));
    let code = code.as_ref().map(|code| code.as_str());
    ui.event(&Event::Ready { address: addresses.first().map(String::as_str), addresses: &addresses, code });
    Ok(())
}

/// Prints the addresses of the receiver, and returns them.
fn print_addresses(local: SocketAddr, ui: &Ui) -> Vec<String> {
    let addresses = reachable_at(local);
    let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    if shown.is_empty() {
        ui.warn(format!(
            "this machine has no address that another one could use: connect it to a network; it listens on port {}",
            local.port()
        ));
    } else {
        ui.say(format!("Listening at {}", shown.join(", ")));
    }
    if addresses.iter().any(Address::is_on_link) {
        ui.say("After %, a sender types the name of its own interface on that link.");
    }
    shown
}

fn print_senders(trust: &Trust, ui: &Ui) {
    let senders: Vec<&str> =
        trust.peers().iter().filter(|peer| peer.sends).map(|Peer { name, .. }| name.as_str()).collect();
    match senders.is_empty() {
        true => ui.warn("no sender is trusted yet: waft trust add NAME CERT.pem"),
        false => ui.say(format!("Trusted to send here: {}", senders.join(", "))),
    }
}

/// The addresses that a sender can use, the most likely one first.
pub(in crate::cli) fn reachable_at(local: SocketAddr) -> Vec<Address> {
    match local.ip().is_unspecified() {
        true => reachable_among(addresses(local.port()).unwrap_or_default(), local),
        false => vec![net::local_address(local)],
    }
}

/// Keeps only the addresses at which a socket that listens on all addresses of its family is reachable. An IPv6
/// socket also accepts IPv4.
fn reachable_among(mut addresses: Vec<Address>, local: SocketAddr) -> Vec<Address> {
    addresses.retain(|address| local.is_ipv6() || address.host().parse::<Ipv4Addr>().is_ok());
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to_listen_can_be_said_in_three_ways() {
        let at = |typed| listen_at(Some(typed)).ok();
        for (typed, socket) in [
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[::1]:9", "[::1]:9"),
            ("::1", "[::1]:12346"),
            ("[::1]", "[::1]:12346"),
            ("127.0.0.1", "127.0.0.1:12346"),
        ] {
            assert_eq!(at(typed), Some(Endpoint::At(socket.parse().unwrap())), "{typed}");
        }
        assert_eq!((at(":9"), at("9")), (Some(Endpoint::Everywhere(9)), Some(Endpoint::Everywhere(9))));
        assert_eq!((at("localhost:9"), at("1.2.3.4:70000"), at("[::1]:70000")), (None, None, None));
        assert_eq!(listen_at(None).ok(), Some(Endpoint::Everywhere(PORT)));
    }

    #[test]
    fn only_addresses_that_hear_are_shown() {
        let shown = |all: &[&str], local: &str| {
            let all = all.iter().map(|address| address.parse().unwrap()).collect();
            let shown = reachable_among(all, local.parse().unwrap());
            shown.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let all = ["10.0.0.2:9", "[2001:db8::7]:9", "[fe80::7%eth0]:9"];
        assert_eq!(shown(&all, "[::]:9"), all);
        assert_eq!(shown(&all, "0.0.0.0:9"), ["10.0.0.2:9"]);
        assert_eq!(shown(&all[1..], "0.0.0.0:9"), [""; 0]);
    }
}
