//! The messages of multicast DNS: a board's records, and the queries that ask for them. RFC 6762 and 6763.
//!
//! A name in a query may consist of 255 pointers. So the number of names that are read is bounded, and with it the work: less than
//! 1.5 million instructions for the worst message.
//!
//! No negative answers are given (RFC 6762, section 6.1).

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

/// The bit of a record's class that says: this replaces what is known of that name and type. RFC 6762, section 10.2.
const CACHE_FLUSH: u16 = 0x8000;
/// The bit of a question's class that asks for an answer to the address of the querier. RFC 6762, section 5.4.
const UNICAST_RESPONSE: u16 = 0x8000;
/// The most questions of a query that is examined, and the most of its known answers that are.
const QUESTIONS: u16 = 32;
const KNOWN_ANSWERS: usize = 8;
/// Bytes of a message's header.
const HEADER: usize = 12;
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

/// Bytes of the longest names, that of an instance and that of all services, and of the longest text. No record is longer than
/// its name, 10 bytes, and twice the longest name.
const NAME: usize = if INSTANCE > TYPES_NAME { INSTANCE } else { TYPES_NAME };
const INSTANCE: usize = 1 + ID_LEN + 1 + SERVICE[0].len() + 1 + SERVICE[1].len() + 1 + DOMAIN.len() + 1;
const TYPES_NAME: usize = 1 + TYPES[0].len() + 1 + TYPES[1].len() + 1 + TYPES[2].len() + 1 + DOMAIN.len() + 1;
const TEXT: usize = 1 + VERSION_KEY.len() + 2 + 1 + PAIRING_KEY.len() + 1 + NAME_MAX;
const _: () = assert!(HEADER + 5 * (NAME + 10) + 2 * NAME + TEXT + 16 <= MAX && VERSION < 10);
/// The domain of multicast DNS.
const DOMAIN: &str = "local";
/// The name that lists the types of all services. RFC 6763, section 9.
const TYPES: [&str; 3] = ["_services", "_dns-sd", "_udp"];

/// A name as DNS writes it: each label after its length, up to an empty one.
struct Labels(Vec<u8, NAME>);

impl Labels {
    fn new(labels: &[&str]) -> Self {
        let mut bytes = Vec::new();
        for label in labels.iter().chain(&[DOMAIN, ""]) {
            let fits = bytes.push(label.len() as u8).is_ok() && bytes.extend_from_slice(label.as_bytes()).is_ok();
            debug_assert!(fits, "no name is longer than the longest");
        }
        Self(bytes)
    }

    fn name(&self) -> &Name<[u8]> {
        Name::from_slice(&self.0).unwrap_or(Name::root_slice())
    }
}

/// Whether a message is a query, by its header.
pub(super) fn is_query(message: &[u8]) -> bool {
    Message::from_slice(message)
        .is_ok_and(|message| !message.header().qr() && message.header().opcode() == Opcode::QUERY)
}

impl Announcement<'_> {
    /// The announcement of a board that has no address yet.
    pub(super) fn new(id: DeviceId) -> Self {
        Self { id, address: Ipv4Addr::UNSPECIFIED, pairing: None }
    }

    /// The message that announces the board.
    pub(super) fn records(&self) -> Vec<u8, MAX> {
        self.message(TTL, HOST_TTL)
    }

    /// The message that withdraws the announcement. RFC 6762, section 10.1.
    pub(super) fn goodbye(&self) -> Vec<u8, MAX> {
        self.message(0, 0)
    }

    fn message(&self, ttl: u32, host_ttl: u32) -> Vec<u8, MAX> {
        let [types, service, instance, host] = self.names();
        let [types, service, instance, host] = [types.name(), service.name(), instance.name(), host.name()];
        let unique = Class::from_int(Class::IN.to_int() | CACHE_FLUSH);
        let text = self.text();
        let compose = || {
            let mut message = MessageBuilder::from_target(Vec::new()).ok()?;
            message.header_mut().set_qr(true);
            message.header_mut().set_aa(true);
            let mut answer = message.answer();
            if ttl > 0 {
                // Not withdrawn, since other receivers have the same record.
                answer.push((types, Class::IN, ttl, Ptr::new(service))).ok()?;
            }
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
    fn text(&self) -> Vec<u8, TEXT> {
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

    /// The names of all services, of this service, of this instance of it, and of the host.
    fn names(&self) -> [Labels; 4] {
        let [service, protocol] = SERVICE;
        let id = self.id.as_str();
        [&TYPES[..], &[service, protocol], &[id, service, protocol], &[id]].map(Labels::new)
    }

    /// Whether a query asks for one of the records. Not if it only asks for instances, and contains this one: known-answer
    /// suppression, RFC 6762, section 7.1.
    pub(super) fn is_asked_by(&self, query: &[u8]) -> bool {
        self.parse(query).unwrap_or(false)
    }

    /// `None` for a message that is malformed.
    fn parse(&self, query: &[u8]) -> Option<bool> {
        let message = Message::from_slice(query).ok()?;
        if message.header_counts().qdcount() > QUESTIONS {
            return Some(false);
        }
        let [types, service, instance, host] = self.names();
        let [types, service, instance, host] = [types.name(), service.name(), instance.name(), host.name()];
        let mut asks_for_instances = false;
        for question in message.question() {
            let question = question.ok()?;
            let (name, kind) = (question.qname(), question.qtype());
            let class = Class::from_int(question.qclass().to_int() & !UNICAST_RESPONSE);
            let is = |wanted: &[Rtype]| wanted.contains(&kind) || kind == Rtype::ANY;
            if class != Class::IN && class != Class::ANY {
                continue;
            }
            let is_asked = is(&[Rtype::SRV, Rtype::TXT]) && name.name_eq(instance)
                || is(&[Rtype::A]) && name.name_eq(host)
                || is(&[Rtype::PTR]) && name.name_eq(types);
            if is_asked {
                return Some(true);
            }
            asks_for_instances |= is(&[Rtype::PTR]) && name.name_eq(service);
        }
        if !asks_for_instances {
            return Some(false);
        }
        let known = message.answer().ok()?;
        Some(!known.take(KNOWN_ANSWERS).filter_map(Result::ok).any(|record| {
            let is_fresh = record.ttl().as_secs() >= TTL / 2 && record.owner().name_eq(service);
            let data = record.into_record::<Ptr<_>>().ok().flatten().filter(|_| is_fresh);
            data.is_some_and(|record| record.data().ptrdname().name_eq(instance))
        }))
    }
}

#[cfg(test)]
mod tests;
