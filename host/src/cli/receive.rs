//! `waft receive`: receives folders from trusted senders, one after the other, by a [`Receiver`].
//!
//! First comes the start-up banner: the receiver's identity, its addresses, its code, and the trusted senders.

mod operator;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};
use waft_core::code::AuthCode;
use waft_core::limits::REMEMBER_MS;
use waft_core::path::escape;
use waft_core::session::Receipt;

use crate::address::{Address, PORT};
use crate::certificate::Certificate;
use crate::cli::arguments::Receive;
use crate::cli::interrupt::Interrupt;
use crate::cli::receive::operator::{ReceiveOperator, Rejections};
use crate::cli::ui::{Event, Question, Ui, key_form, secret, show_code};
use crate::cli::{
    Target, check_answer, not_removed, number_of_files, open_home, open_identity_in_background, open_target, platform,
};
use crate::discovery::{Announced, Announcer};
use crate::error::{Class, Error, bytes, shown};
use crate::home::Home;
use crate::identity;
use crate::net::{self, Endpoint, addresses, listen};
use crate::receive::{Connection, Keys, Outcome, Received, Receiver};
use crate::store::{LeftBehind, Options, Placed};
use crate::trust::{Peer, Trust};
use crate::worker::in_background;

/// With `--once`: how long a sender can reconnect for a receipt that it may not have received. This is longer than a
/// sender keeps trying.
const RECEIPT: Duration = Duration::from_secs(60);

/// Runs the command.
pub(super) async fn run(args: Receive, ui: &Ui) -> Result<(), Error> {
    let interrupt = Interrupt::listen();
    check_answer(Question::Key, key_form)?;
    if !args.sealed_key && Question::Key.in_environment().is_none() && platform::stdin_is_null() {
        ui.warn("no key can be typed here, since standard input is /dev/null: give --sealed-key, or set WAFT_KEY");
    }
    let endpoint = listen_at(args.listen.as_deref())?;
    let (home, trust) = interrupt.or(in_background(open_home)).await?;
    let identity = interrupt.or(open_identity_in_background(&home, ui)).await?;
    let options = Options { overwrite: args.merge, abandon: args.abandon, home: Some(home.clone()) };
    let store = interrupt.or(open_target(target(&args), options, ui)).await?;
    let (listener, local) = listen(endpoint).await?;
    let certificate = identity.certificate().clone();
    let mut receiver = Receiver::new(listener, identity, home.clone(), store)
        .require_code(!args.no_code)
        .keys(keys(&args))
        .cancel_on(interrupt.token());
    let banner = Banner { args: &args, home: &home, certificate: &certificate, trust: &trust, local };
    print_banner(&banner, receiver.code(), ui)?;
    let _announcer = if args.no_announce { None } else { announce(Announced::receiver(&certificate), local, ui) };
    let reception = Reception { args: &args, ui, interrupt: &interrupt, rejections: Rejections::default() };
    match reception.receive(&mut receiver).await {
        Err(error) if error.class() == Class::Interrupted => Err(match reception.left_behind(&mut receiver).await {
            None => error,
            Some(LeftBehind::Part(path)) => interrupted_with_part(&path),
            Some(LeftBehind::Unremoved(path)) => error.with_advice(not_removed(&path)),
        }),
        ended => ended,
    }
}

/// Where folders are received.
fn target(args: &Receive) -> Target<'_> {
    match &args.inbox {
        Some(inbox) => Target::Inbox(inbox),
        None => Target::Folder(&args.into),
    }
}

/// Announces a listener until the result is dropped. If that is not possible, prints a warning that senders need the address.
pub(in crate::cli) fn announce(announced: Announced, local: SocketAddr, ui: &Ui) -> Option<Announcer> {
    let id = announced.id;
    match Announcer::start(announced, local) {
        Ok(announcer) => {
            if announcer.is_some() {
                ui.detail(format!("Announced on the network as {id}."));
            }
            announcer
        }
        Err(error) => {
            ui.warn(format!("this machine is not announced on the network, senders need its address: {error}"));
            None
        }
    }
}

/// How keys reach this machine.
fn keys(args: &Receive) -> Keys {
    match (args.sealed_key, args.either_key) {
        (true, _) => Keys::Sealed,
        (false, true) => Keys::Either,
        (false, false) => Keys::Typed,
    }
}

/// The command while it receives.
struct Reception<'a> {
    args: &'a Receive,
    ui: &'a Ui,
    interrupt: &'a Interrupt,
    rejections: Rejections,
}

impl Reception<'_> {
    /// Receives folders until Ctrl-C; with `--once`, until one folder is committed or finally refused.
    async fn receive(&self, receiver: &mut Receiver) -> Result<(), Error> {
        let (ui, once) = (self.ui, self.args.once);
        // A sender whose connection broke reconnects within this time or not at all.
        let mut broken: Option<(Instant, Error)> = None;
        loop {
            let late = broken.as_ref().map(|(since, _)| *since + Duration::from_millis(REMEMBER_MS));
            let connection = tokio::select! {
                connection = self.accept(receiver) => connection?,
                () = until(late) => return Err(broken.map_or_else(Error::interrupted, |(_, error)| error)),
            };
            ui.detail(format!("{} connects from {}.", connection.peer().name, connection.address()));
            match self.run_session(receiver, connection).await {
                Ok(()) if once && receiver.has_unconfirmed_receipt() => return self.give_receipt(receiver).await,
                Ok(()) if once => return Ok(()),
                Ok(()) => {}
                Err(error) if error.class() == Class::Interrupted => return Err(error),
                Err(error) if !once => ui.error_and_go_on(&error),
                Err(error) => match error.class() {
                    Class::Code => ui.error_and_go_on(&error),
                    Class::Broken => {
                        ui.error_and_go_on(&error);
                        broken = Some((Instant::now(), error));
                    }
                    _ => return Err(error),
                },
            }
            ui.say("Waiting for the next folder.");
            if let Some(code) = receiver.code() {
                show_code(ui, "Code", code);
            }
        }
    }

    /// Waits for the next sender, and reports connections that are rejected meanwhile. Cancel-safe.
    async fn accept(&self, receiver: &mut Receiver) -> Result<Connection, Error> {
        let mut operator = ReceiveOperator::new(self.ui, &self.rejections);
        loop {
            tokio::select! {
                biased;
                connection = receiver.accept(&mut operator) => return connection,
                () = self.rejections.due() => self.rejections.report(self.ui),
            }
        }
    }

    /// Runs the session with a sender, and reports its outcome.
    async fn run_session(&self, receiver: &mut Receiver, connection: Connection) -> Result<(), Error> {
        let name = connection.peer().name.clone();
        let mut operator = ReceiveOperator::new(self.ui, &self.rejections);
        let outcome = receiver.receive(connection, &mut operator).await;
        match outcome.map_err(|error| operator.failure().unwrap_or(error))? {
            Outcome::Committed(received) => self.print_committed(name.as_str(), &received),
            Outcome::ReceiptRepeated => self.ui.say(format!("{name} has asked for its receipt again.")),
        }
        Ok(())
    }

    fn print_committed(&self, peer: &str, received: &Received) {
        let Received { receipt, held, folder, path, placed } = received;
        let (how, says) = match placed {
            Placed::New => ("new", ""),
            Placed::Replaced => ("replaced", " It replaced the one that was there."),
            Placed::Merged => ("merged", " Its files are among those that were there."),
            Placed::Unchanged => ("unchanged", " It was there already."),
        };
        let &Receipt { digest, files: count, bytes: total, generation } = receipt;
        let (ui, sent) = (self.ui, total - held);
        let (digest_text, folder) = (digest.to_string(), escape(folder).to_string());
        ui.event(&Event::Committed {
            peer,
            files: count,
            bytes: total,
            sent,
            digest: digest_text,
            generation,
            folder: &folder,
            path: Some(shown(path)),
            placed: Some(how),
        });
        let (name, target) = match &self.args.inbox {
            Some(_) => (format!(" {folder}"), shown(path)),
            None => (String::new(), shown(&self.args.into)),
        };
        ui.done(format!(
            "The folder{name} of {peer} is in {target}: {}, {}.{says}",
            number_of_files(count),
            bytes(total)
        ));
        ui.detail(format!("Its digest: {digest}"));
    }

    /// Waits for the sender of the committed folder, whose receipt may have been lost, and accepts nothing else. Always
    /// succeeds, because the folder is already committed.
    async fn give_receipt(&self, receiver: &mut Receiver) -> Result<(), Error> {
        receiver.close();
        self.ui.say(format!(
            "The connection ended before its sender confirmed the receipt. Waiting up to {} s for it to come back.",
            RECEIPT.as_secs()
        ));
        let end = Instant::now() + RECEIPT;
        while receiver.has_unconfirmed_receipt() {
            let Ok(Ok(connection)) = timeout_at(end, self.accept(receiver)).await else { break };
            if let Err(error) = self.run_session(receiver, connection).await {
                self.ui.detail(error.to_string());
            }
        }
        Ok(())
    }

    /// What is left beside the target, unless the disk takes too long to answer.
    async fn left_behind(&self, receiver: &mut Receiver) -> Option<LeftBehind> {
        tokio::select! {
            left = receiver.left_behind() => left,
            () = self.interrupt.overdue() => None,
        }
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// The error for an interruption while a part of a folder is kept for a later attempt.
fn interrupted_with_part(path: &std::path::Path) -> Error {
    Error::interrupted().with_advice(format!(
        "What was received so far is kept in {}: when the folder is sent again, it continues from there. It can be removed.",
        shown(path)
    ))
}

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
    ui.say(match &args.inbox {
        Some(inbox) => format!("Folders are received into the inbox {}, each in SENDER/FOLDER", shown(inbox)),
        None => format!("Folders are received into {}", shown(&args.into)),
    });
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
pub(super) fn print_addresses(local: SocketAddr, ui: &Ui) -> Vec<String> {
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
        true => ui.warn("no sender is trusted yet: waft pair NAME, or waft trust add NAME CERT.pem"),
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
