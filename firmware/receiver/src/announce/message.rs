//! The messages of multicast DNS: a board's records, and the queries that ask for them. RFC 6762 and 6763.

use core::net::Ipv4Addr;

use domain::base::iana::{Class, Opcode, Rtype};
use domain::base::name::{Name, ToName};
use domain::base::{Message, MessageBuilder};
use domain::rdata::{A, Ptr, Srv, Txt};
use heapless::Vec;
use waft_core::discovery::{DeviceId, ID_LEN, PAIRING_KEY, SERVICE, VERSION_KEY};
use waft_core::wire::preface::VERSION;

use crate::board;
use crate::identity::NAME_MAX;

/// The longest message.
pub(super) const MAX: usize = 384;

/// The bit of a record's class that says: this replaces what is known of that name and type.
const REPLACES: u16 = 0x8000;
/// The bit of a question's class that asks for an answer to the address of the one who asks.
const UNICAST: u16 = 0x8000;
/// For how many seconds a record counts: one with an address or a port, and any other.
const HOST_TTL: u32 = 120;
const TTL: u32 = 4_500;

/// What a board announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Announcement<'a> {
    pub(super) id: DeviceId,
    pub(super) address: Ipv4Addr,
    /// While pairing is open: the name of the board.
    pub(super) pairing: Option<&'a str>,
}

/// A name as DNS writes it: each label after its length, up to an empty one.
struct Labels(Vec<u8, { 1 + ID_LEN + 1 + 5 + 1 + 4 + 1 + 5 + 1 }>);

impl Labels {
    fn new(labels: &[&str]) -> Self {
        let mut bytes = Vec::new();
        for label in labels.iter().chain(&["local", ""]) {
            let fits = bytes.push(label.len() as u8).is_ok() && bytes.extend_from_slice(label.as_bytes()).is_ok();
            debug_assert!(fits, "the longest name is that of an instance");
        }
        Self(bytes)
    }

    fn name(&self) -> &Name<[u8]> {
        Name::from_slice(&self.0).unwrap_or(Name::root_slice())
    }
}

impl Announcement<'_> {
    /// The message that announces the board.
    pub(super) fn records(&self) -> Vec<u8, MAX> {
        self.message(TTL, HOST_TTL)
    }

    /// The message that withdraws the announcement.
    pub(super) fn withdrawn(&self) -> Vec<u8, MAX> {
        self.message(0, 0)
    }

    fn message(&self, ttl: u32, host_ttl: u32) -> Vec<u8, MAX> {
        let [service, instance, host] = self.names();
        let [service, instance, host] = [service.name(), instance.name(), host.name()];
        let unique = Class::from_int(Class::IN.to_int() | REPLACES);
        let text = self.text();
        let compose = || {
            let mut message = MessageBuilder::from_target(Vec::new()).ok()?;
            message.header_mut().set_qr(true);
            message.header_mut().set_aa(true);
            let mut answer = message.answer();
            answer.push((service, Class::IN, ttl, Ptr::new(instance))).ok()?;
            answer.push((instance, unique, host_ttl, Srv::new(0, 0, board::PORT, host))).ok()?;
            answer.push((instance, unique, ttl, Txt::from_octets(text.as_slice()).ok()?)).ok()?;
            answer.push((host, unique, host_ttl, A::new(self.address))).ok()?;
            Some(answer.finish())
        };
        let composed = compose();
        debug_assert!(composed.is_some(), "the longest message fits");
        composed.unwrap_or_default()
    }

    /// The strings of the TXT record, each after its length.
    fn text(&self) -> Vec<u8, { 64 + NAME_MAX }> {
        let mut text = Vec::new();
        let mut push = |key: &str, value: &[u8]| {
            let length = key.len() + 1 + value.len();
            let parts: [&[u8]; 4] = [&[length as u8], key.as_bytes(), b"=", value];
            let fits = parts.iter().all(|part| text.extend_from_slice(part).is_ok());
            debug_assert!(fits, "the longest name fits");
        };
        push(VERSION_KEY, &[b'0' + VERSION]);
        if let Some(name) = self.pairing {
            push(PAIRING_KEY, name.as_bytes());
        }
        text
    }

    /// The names of the service, of this instance of it, and of the host.
    fn names(&self) -> [Labels; 3] {
        let [service, protocol] = SERVICE;
        let id = self.id.as_str();
        [Labels::new(&[service, protocol]), Labels::new(&[id, service, protocol]), Labels::new(&[id])]
    }

    /// Whether a message asks for one of the records. Not if it only asks for instances, and contains this one.
    pub(super) fn is_asked_by(&self, query: &[u8]) -> bool {
        self.parse(query).unwrap_or(false)
    }

    /// `None` for a message that is malformed.
    fn parse(&self, query: &[u8]) -> Option<bool> {
        let message = Message::from_slice(query).ok()?;
        if message.header().qr() || message.header().opcode() != Opcode::QUERY {
            return Some(false);
        }
        let [service, instance, host] = self.names();
        let [service, instance, host] = [service.name(), instance.name(), host.name()];
        let mut asks_for_instances = false;
        for question in message.question() {
            let question = question.ok()?;
            let (name, kind) = (question.qname(), question.qtype());
            let class = Class::from_int(question.qclass().to_int() & !UNICAST);
            let is = |wanted: &[Rtype]| wanted.contains(&kind) || kind == Rtype::ANY;
            if class != Class::IN && class != Class::ANY {
                continue;
            }
            if is(&[Rtype::SRV, Rtype::TXT]) && name.name_eq(instance) || is(&[Rtype::A]) && name.name_eq(host) {
                return Some(true);
            }
            asks_for_instances |= is(&[Rtype::PTR]) && name.name_eq(service);
        }
        if !asks_for_instances {
            return Some(false);
        }
        let known = message.answer().ok()?;
        let known = known.limit_to::<Ptr<_>>().filter_map(Result::ok);
        Some(!known.into_iter().any(|record| {
            record.owner().name_eq(service)
                && record.data().ptrdname().name_eq(instance)
                && record.ttl().as_secs() >= TTL / 2
        }))
    }
}

#[cfg(test)]
mod tests;
