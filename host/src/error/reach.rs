//! Error texts about the way to a peer: connecting, the preface, the TLS handshake, and listening.

use std::fmt::Display;

use waft_core::wire::preface::ClearRefusal;

use super::Class::{Broken, Identity, Protocol, Refused, Unreachable};
use super::{LARGE_PACKETS, SAME_RELEASE, Told, told};
use crate::door::KnockError;
use crate::interface::UnknownInterface;
use crate::net::{DialError, ListenError};
use crate::tls::error::{HandshakeError, Rejection};
use crate::tls::pins::Distrust;

/// The text for a failed connection to a receiver.
pub(super) fn dial(error: &DialError) -> Told {
    let (what, next) = match error {
        DialError::Interface(unknown) => return interface(unknown),
        DialError::Refused { address } => (
            format!("Nobody listens at {address}."),
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
            format!("No network leads to {address}."),
            "Look whether this machine is on the receiver's network, and compare the address with the ones that it shows.",
        ),
        DialError::Failed { address, source } => (
            format!("Connecting to {address} failed: {source}."),
            "Compare the address with the ones that the receiver shows.",
        ),
    };
    told(Unreachable, what, next)
}

/// The text for a receiver that can be reached neither at `last`, the address where it was last reached, nor at `at`,
/// its configured address.
pub(super) fn dial_both(last: &DialError, at: &DialError) -> Told {
    let Told { class, what, next } = dial(at);
    told(class, format!("{what} Nor where it was met last: {}", dial(last).what), next)
}

/// The text for a port that cannot be opened for listening.
pub(super) fn listen(error: &ListenError) -> Told {
    let (what, next) = match error {
        ListenError::Interface(unknown) => return interface(unknown),
        ListenError::PortTaken { at } => (
            format!("Port {} is taken: another program listens there.", at.port()),
            "End that program, perhaps another `waft receive`; or take another port: --listen ADDR:PORT.",
        ),
        ListenError::NotLocal { at } => {
            (format!("{} is no address of this machine.", at.ip()), "Give one that it has, or leave --listen out.")
        }
        ListenError::Denied { at } => {
            (format!("This user may not listen on port {}.", at.port()), "Take a port above 1023: --listen ADDR:PORT.")
        }
        ListenError::Failed { at, source } => {
            (format!("Listening on {at} failed: {source}."), "Take another address: --listen ADDR:PORT.")
        }
    };
    told(Unreachable, what, next)
}

/// The text for an address that names an interface that this machine does not have.
fn interface(unknown: &UnknownInterface) -> Told {
    let UnknownInterface { wanted, names } = unknown;
    told(
        Unreachable,
        format!("This machine has no network interface {wanted} with an address."),
        format!("Write behind % the one that is on the link to the other machine: {}.", names.join(", ")),
    )
}

/// The text for a peer at `address` that does not begin TLS.
pub(super) fn knock(address: &str, error: KnockError) -> Told {
    match error {
        KnockError::Refused(ClearRefusal::Busy) => told(
            Refused,
            format!("The receiver at {address} is busy with another transfer."),
            "Send again when that one is over.",
        ),
        KnockError::Refused(ClearRefusal::NotProvisioned) => told(
            Identity,
            format!("The board at {address} has no identity yet."),
            "Give it one with `waft provision`, then send again.",
        ),
        KnockError::Refused(ClearRefusal::Purpose) => told(
            Protocol,
            format!("The receiver at {address} does not know this kind of connection: it is another release of waft."),
            SAME_RELEASE,
        ),
        KnockError::Refused(ClearRefusal::Other(reason)) => told(
            Protocol,
            format!("The receiver at {address} refuses for a reason of a later version ({reason})."),
            SAME_RELEASE,
        ),
        KnockError::NotWaft => told(
            Protocol,
            format!("What answers at {address} is not waft."),
            "Another program listens there. Compare address and port with what `waft receive` shows.",
        ),
        KnockError::Closed => told(
            Broken,
            format!("The connection to {address} was closed without an answer."),
            "Either it is not waft, or it is crowded by other connections. Compare address and port with what `waft receive` \
             shows; if they are right, send again later.",
        ),
        KnockError::Silent => told(
            Unreachable,
            format!("Something listens at {address}, but says nothing."),
            "Compare address and port with what `waft receive` shows; if they are right, start it again there.",
        ),
    }
}

/// The text for a failed TLS handshake with the peer `who`: it could not prove its identity, or rejected ours.
pub(super) fn handshake(who: &str, error: &HandshakeError) -> Told {
    match error {
        HandshakeError::NotTrusted(distrust) => distrusted(who, distrust),
        HandshakeError::Rejected(rejection) => rejected(who, *rejection),
        HandshakeError::NotItsKey { name } => told(
            Identity,
            format!("What answers as {who} shows the certificate of {name}, but has not its key."),
            "Somebody may pose as it. If not: have its identity made again there (`waft id --renew`), and trust that.",
        ),
        HandshakeError::NoCertificate => told(
            Identity,
            format!("{who} shows no certificate, so it cannot be told who it is."),
            "Compare the address: it is no receiver or sender of waft's.",
        ),
        HandshakeError::NotTls => foreign(who, "what it says is not TLS"),
        HandshakeError::Incompatible(error) | HandshakeError::Tls(error) => foreign(who, error),
        HandshakeError::Closed => unsecured(who, "it broke off"),
        HandshakeError::TimedOut => {
            let Told { class, what, next } = unsecured(who, "it was too slow");
            told(class, what, format!("{next} {LARGE_PACKETS}"))
        }
        HandshakeError::Io(error) => unsecured(who, error),
    }
}

fn foreign(who: &str, why: impl Display) -> Told {
    told(Protocol, format!("{who} does not speak as waft does: {why}."), SAME_RELEASE)
}

fn unsecured(who: &str, why: impl Display) -> Told {
    told(
        Broken,
        format!("The connection with {who} broke before it was secured: {why}."),
        "Send again. If it stays, look at what the other side says.",
    )
}

fn distrusted(who: &str, distrust: &Distrust) -> Told {
    match distrust {
        Distrust::Unknown { hash } => told(
            Identity,
            format!("{who} is not trusted here. Its fingerprint: {hash}"),
            "If `waft id` shows that fingerprint there, carry its certificate here: waft trust add NAME CERT.pem",
        ),
        Distrust::AnotherName { name } => told(
            Identity,
            format!("{who} is another one: {name}."),
            "Send to that name, or give the address of the one that is meant: NAME@HOST.",
        ),
        Distrust::WrongDirection { name } => told(
            Identity,
            format!("{name} is trusted here, but not in this direction."),
            "See `waft trust list`. To allow it: waft trust remove, then add it without --sends or --receives.",
        ),
    }
}

fn rejected(who: &str, rejection: Rejection) -> Told {
    match rejection {
        Rejection::Direction => told(
            Identity,
            format!("{who} trusts this machine, but not in this direction."),
            "Have it allow that: waft trust remove there, then add it without --sends or --receives.",
        ),
        Rejection::Signature => told(
            Identity,
            format!("{who} found that this machine does not have the key of its certificate."),
            "Make a new identity with `waft id --renew`, and have the new certificate trusted there.",
        ),
        Rejection::Certificate | Rejection::BoardBrokeOff => told(
            Identity,
            format!("{who} does not trust this machine."),
            "Carry this machine's certificate there (`waft id cert`), and have it added: waft trust add NAME CERT.pem. A \
             board is provisioned anew.",
        ),
    }
}
