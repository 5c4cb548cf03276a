//! The thread that speaks multicast DNS, which the crate `mdns-sd` provides, and what this crate adds to it: bounds on its
//! memory, and errors where it is silent.
//!
//! What strangers send is cached by that thread without a bound, for as long as they say. So a [`Daemon`] is asked now and
//! then how much it holds ([`Daemon::is_overfull`]), and the one that uses it starts another one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use if_addrs::Interface;
use mdns_sd::{
    HostnameResolutionEvent, IfKind, IfPredicate, MDNS_PORT, Receiver, ResolvedService, ScopedIp, ServiceDaemon,
    ServiceEvent, ServiceInfo,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::time::timeout;
use waft_core::discovery::{DeviceId, PAIRING_KEY, SERVICE, VERSION_KEY};

use super::Unavailable;
use super::announce::Announced;
use super::found::Received;

/// Most records and timers that a daemon may hold. A network with hundreds of receivers stays far below.
const HELD_MAX: i64 = 8192;

/// How often a daemon is asked how much it holds.
pub(super) const CHECK: Duration = Duration::from_secs(1);

/// How long a daemon may take to answer, and to say goodbye at the end.
const ANSWER: Duration = Duration::from_millis(500);

/// Most hosts whose missing addresses are asked for in one browsing. Strangers can announce any number of hosts.
const ASKED_MAX: usize = 32;

/// How long missing addresses are asked for. Responders leave out what they sent within the last second, so that the first
/// question may remain without an answer.
const ASKED_FOR: Duration = Duration::from_secs(5);

/// The version of the protocol in announcements.
const VERSION: u8 = 1;

/// A running daemon. Dropping it ends the thread; what it announced is withdrawn by then.
pub(super) struct Daemon {
    daemon: ServiceDaemon,
    has_announced: bool,
}

impl Daemon {
    /// Starts a daemon that browses on all interfaces but the loopback.
    pub(super) fn start() -> Result<Self, Unavailable> {
        check_port()?;
        let daemon = ServiceDaemon::new().map_err(|error| unavailable(&error))?;
        daemon.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6]).map_err(|error| unavailable(&error))?;
        Ok(Self { daemon, has_announced: false })
    }

    /// Announces a listener at `local`, only on interfaces and with addresses at which it is reachable.
    pub(super) fn announce(&mut self, announced: &Announced, local: SocketAddr) -> Result<(), Unavailable> {
        let reachable = IfKind::Predicate(IfPredicate::new(move |interface| is_reachable_at(local, interface)));
        let register = || {
            self.daemon.disable_interface(IfKind::All)?;
            self.daemon.enable_interface(reachable.clone())?;
            self.daemon.register(service_info(announced, local, vec![reachable])?)
        };
        register().map_err(|error| unavailable(&error))?;
        self.has_announced = true;
        Ok(())
    }

    /// Begins to browse.
    pub(super) fn browse(&self) -> Result<Browsing, Unavailable> {
        let results = self.daemon.browse(&domain()).map_err(|error| unavailable(&error))?;
        Ok(Browsing { daemon: self.daemon.clone(), results, asked: Vec::new() })
    }

    /// Whether the daemon holds too much, or does not answer.
    pub(super) async fn is_overfull(&self) -> bool {
        let Ok(metrics) = self.daemon.get_metrics() else { return true };
        let Ok(Ok(metrics)) = timeout(ANSWER, metrics.recv_async()).await else { return true };
        metrics
            .iter()
            .filter(|(name, _)| name.starts_with("cached-") || *name == "timer")
            .map(|(_, held)| held)
            .sum::<i64>()
            > HELD_MAX
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let ended = self.daemon.shutdown();
        if let (true, Ok(ended)) = (self.has_announced, ended) {
            // The process may end right after this, before the thread has withdrawn the announcement.
            let _ = ended.recv_timeout(ANSWER);
        }
    }
}

/// The results of browsing.
pub(super) struct Browsing {
    daemon: ServiceDaemon,
    results: Receiver<ServiceEvent>,
    /// The hosts whose missing addresses are asked for. The daemon asks until the time is over or the receiver is dropped.
    asked: Vec<(String, Receiver<HostnameResolutionEvent>)>,
}

impl Browsing {
    /// The next instance whose records are complete. `None` if the daemon has ended the browsing, because it had more results
    /// than were taken. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Received> {
        loop {
            match self.results.recv_async().await {
                Ok(ServiceEvent::ServiceResolved(service)) => {
                    self.ask_for_ipv4(&service);
                    let Some(instance) = instance(&service.fullname) else { continue };
                    let value = |key| service.get_property_val(key).map(|value| value.unwrap_or_default().to_vec());
                    return Some(Received {
                        instance: instance.to_owned(),
                        port: service.port,
                        version: value(VERSION_KEY),
                        pairing: value(PAIRING_KEY),
                        addresses: service.addresses.iter().map(address).collect(),
                    });
                }
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }

    /// Asks for the IPv4 addresses of a service that has only others so far. An answer that arrived over IPv6 has only
    /// IPv6 addresses, and once it is known, an answer over IPv4 that was not sent yet is not sent any more.
    fn ask_for_ipv4(&mut self, service: &ResolvedService) {
        // What is found is in the results, too.
        self.asked.retain(|(_, answers)| {
            answers.drain();
            !answers.is_disconnected()
        });
        let has_ipv4 = service.addresses.iter().any(ScopedIp::is_ipv4);
        if has_ipv4 || self.asked.len() >= ASKED_MAX || self.asked.iter().any(|(host, _)| *host == service.host) {
            return;
        }
        let timeout = ASKED_FOR.as_millis().try_into().ok();
        if let Ok(receiver) = self.daemon.resolve_hostname(&service.host, timeout) {
            self.asked.push((service.host.clone(), receiver));
        }
    }
}

/// An address, and the numbers of the interfaces on which it was announced.
fn address(ip: &ScopedIp) -> (IpAddr, Vec<u32>) {
    let interfaces = match ip {
        ScopedIp::V4(v4) => v4.interface_ids().iter().map(|interface| interface.index).collect(),
        ScopedIp::V6(v6) => vec![v6.scope_id().index],
        _ => Vec::new(),
    };
    (ip.to_ip_addr(), interfaces)
}

/// The service type with its domain: `_waft._tcp.local.`.
fn domain() -> String {
    let [name, transport] = SERVICE;
    format!("{name}.{transport}.local.")
}

/// The instance name in a full name.
fn instance(fullname: &str) -> Option<&str> {
    let domain = domain();
    let (instance, rest) = fullname.split_at_checked(fullname.len().checked_sub(domain.len() + 1)?)?;
    rest.strip_prefix('.').is_some_and(|rest| rest.eq_ignore_ascii_case(&domain)).then_some(instance)
}

/// Whether a listener at `local` is reachable from other machines at this address of an interface.
fn is_reachable_at(local: SocketAddr, interface: &Interface) -> bool {
    let ip = local.ip();
    let scope = match local {
        SocketAddr::V6(v6) => v6.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    let is_reachable = match ip.is_unspecified() {
        // A socket for all IPv6 addresses takes IPv4 as well.
        true => ip.is_ipv6() || interface.ip().is_ipv4(),
        false => interface.ip() == ip && (scope == 0 || interface.index == Some(scope)),
    };
    is_reachable && !interface.is_loopback()
}

fn service_info(announced: &Announced, local: SocketAddr, kinds: Vec<IfKind>) -> Result<ServiceInfo, mdns_sd::Error> {
    let instance = instance_name(announced.id, local.port());
    let host = format!("{instance}.local.");
    let mut texts = vec![(VERSION_KEY, VERSION.to_string())];
    texts.extend(announced.pairing.clone().map(|name| (PAIRING_KEY, name)));
    // Addresses come and go with their interfaces, and those that `kinds` leaves out are not announced.
    let mut info = ServiceInfo::new(&domain(), &instance, &host, "", local.port(), &texts[..])?.enable_addr_auto();
    info.set_interfaces(kinds);
    // The name follows from a certificate: it is unique. With a probe a stranger could claim it and have this one renamed.
    info.set_requires_probe(false);
    Ok(info)
}

/// The instance name of a listener. The port tells several listeners of one machine apart. It is the name of the host as
/// well, so that the machine's own name is not announced.
fn instance_name(id: DeviceId, port: u16) -> String {
    format!("{id}-{port}")
}

/// Checks that the port of multicast DNS can be shared with the other programs that use it.
fn check_port() -> Result<(), Unavailable> {
    let bind = |domain, at: SocketAddr| {
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
        let _ = socket.set_reuse_port(true);
        if at.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&at.into())
    };
    let bound = bind(Domain::IPV4, (Ipv4Addr::UNSPECIFIED, MDNS_PORT).into())
        .or_else(|error| bind(Domain::IPV6, (Ipv6Addr::UNSPECIFIED, MDNS_PORT).into()).map_err(|_| error));
    bound.map_err(|error| Unavailable(format!("UDP port {MDNS_PORT} cannot be used ({error})")))
}

fn unavailable(error: &mdns_sd::Error) -> Unavailable {
    Unavailable(error.to_string())
}

#[cfg(test)]
mod tests {
    use if_addrs::{IfAddr, IfOperStatus, Ifv4Addr, Ifv6Addr};

    use super::*;

    #[test]
    fn the_instance_is_what_stands_before_the_type() {
        assert_eq!(instance("CYJCP9HDNK-1._waft._tcp.local."), Some("CYJCP9HDNK-1"));
        assert_eq!(instance("a.b._WAFT._tcp.Local."), Some("a.b"));
        for other in ["", "_waft._tcp.local.", "x._http._tcp.local.", "x_waft._tcp.local.", "é", "x._waft._tcp.local"]
        {
            assert_eq!(instance(other), None, "{other}");
        }
    }

    #[test]
    fn neither_the_machine_nor_its_user_is_named() {
        let id = DeviceId::from_instance(b"CYJCP9HDNK").unwrap();
        let info = |pairing: Option<&str>| {
            let announced = Announced { id, pairing: pairing.map(str::to_owned) };
            service_info(&announced, "[::]:12346".parse().unwrap(), Vec::new()).unwrap()
        };
        let quiet = info(None);
        assert_eq!(quiet.get_fullname(), "CYJCP9HDNK-12346._waft._tcp.local.");
        assert_eq!(quiet.get_hostname(), "CYJCP9HDNK-12346.local.");
        let texts = |info: &ServiceInfo| {
            info.get_properties().iter().map(|text| format!("{}={}", text.key(), text.val_str())).collect::<Vec<_>>()
        };
        assert_eq!(texts(&quiet), ["v=1"]);
        assert_eq!(texts(&info(Some("kitchen"))), ["v=1", "pair=kitchen"]);
        assert_eq!(texts(&info(Some(""))), ["v=1", "pair="]);
    }

    #[test]
    fn a_fixed_address_is_announced_again_when_it_is_back() {
        let announced = Announced { id: DeviceId::from_instance(b"CYJCP9HDNK").unwrap(), pairing: None };
        for local in ["[::]:1", "10.0.0.2:1"] {
            let info = service_info(&announced, local.parse().unwrap(), Vec::new()).unwrap();
            assert!(info.is_addr_auto() && info.get_addresses().is_empty(), "{local}");
        }
    }

    #[test]
    fn a_listener_is_announced_where_it_is_reachable() {
        let interface = |name: &str, ip: &str, index| Interface {
            name: name.to_owned(),
            addr: match ip.parse().unwrap() {
                IpAddr::V4(ip) => {
                    IfAddr::V4(Ifv4Addr { ip, netmask: [255, 255, 255, 0].into(), prefixlen: 24, broadcast: None })
                }
                IpAddr::V6(ip) => {
                    IfAddr::V6(Ifv6Addr { ip, netmask: Ipv6Addr::UNSPECIFIED, prefixlen: 64, broadcast: None })
                }
            },
            index: Some(index),
            oper_status: IfOperStatus::Up,
            is_p2p: false,
            #[cfg(windows)]
            adapter_name: String::new(),
        };
        let all = [
            interface("lo", "127.0.0.1", 1),
            interface("lo", "::1", 1),
            interface("eth0", "10.0.0.2", 2),
            interface("eth0", "fe80::7", 2),
            interface("eth1", "fe80::7", 3),
        ];
        let on = |local: &str| {
            let is_on = |interface: &&Interface| is_reachable_at(local.parse().unwrap(), interface);
            all.iter()
                .filter(is_on)
                .map(|interface| format!("{}%{}", interface.ip(), interface.name))
                .collect::<Vec<_>>()
        };
        assert_eq!(on("[::]:1"), ["10.0.0.2%eth0", "fe80::7%eth0", "fe80::7%eth1"]);
        assert_eq!(on("0.0.0.0:1"), ["10.0.0.2%eth0"]);
        assert_eq!(on("10.0.0.2:1"), ["10.0.0.2%eth0"]);
        assert_eq!(on("[fe80::7%3]:1"), ["fe80::7%eth1"]);
        assert_eq!(on("127.0.0.1:1"), [""; 0]);
    }
}
