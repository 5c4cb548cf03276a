//! `waft pair`: this machine and another one trust each other, by a short code that one shows and the other's user
//! types.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use waft_core::limits::PAIRING_OPEN_MS;

use crate::address::Address;
use crate::cli::arguments::Pair;
use crate::cli::find::look;
use crate::cli::interrupt::Interrupt;
use crate::cli::receive::{announce, listen_at, print_addresses};
use crate::cli::trust::{directions, print_peer};
use crate::cli::ui::{Event, Question, Ui, pairing_code_form, secret};
use crate::cli::{check_answer, open_home, open_identity_in_background};
use crate::discovery::{Announced, Found};
use crate::error::{Class, Error};
use crate::home::Home;
use crate::identity::{self, Identity};
use crate::name::Name;
use crate::net::listen;
use crate::pair::{self, Attempt, Listener, Me, Paired, PairingCode};
use crate::trust::{Peer, Trust};
use crate::worker::in_background;

/// How long the code is shown.
const OPEN: Duration = Duration::from_millis(PAIRING_OPEN_MS);

/// Shortest time from one code to the next.
const BETWEEN_CODES: Duration = Duration::from_secs(2);

/// The other machine, as the user of this one wants to trust it.
struct Other {
    name: Name,
    /// Where it listens; without an address this machine listens.
    address: Option<Address>,
    sends: bool,
    receives: bool,
}

impl Other {
    /// As the arguments and, at a terminal, the user say.
    async fn of(args: &Pair, ui: &Ui) -> Result<Self, Error> {
        let (name, mut address) = match args.other.as_deref() {
            Some(other) => match other.split_once('@') {
                Some((name, address)) => (Some(name), Some(address.parse().map_err(Error::usage)?)),
                None => (Some(other), None),
            },
            None if ui.has_user() => (None, None),
            None => return Err(Error::usage("Give a name for the other machine: waft pair NAME, or NAME@ADDRESS.")),
        };
        let name = name.map(Name::new).transpose().map_err(Error::usage)?;
        let mut suggested = None;
        if address.is_none() && args.listen.is_none() && ui.has_user() {
            let chosen = choose_machine(ui).await?;
            suggested = chosen.as_ref().and_then(|found| Name::new(found.pairing.as_deref()?).ok());
            address = chosen.and_then(|found| found.addresses.into_iter().next());
        }
        let name = match name {
            Some(name) => name,
            None => ask_name(suggested, ui).await?,
        };
        Ok(Self { name, address, sends: !args.send_only, receives: !args.receive_only })
    }
}

/// Lets the user choose among the machines that announce that they wait for a pairing. `None` if there are none, or the user
/// wants none of them: then this machine shows a code.
async fn choose_machine(ui: &Ui) -> Result<Option<Found>, Error> {
    ui.say("Looking for machines on this network that wait for a pairing.");
    let mut found = look(|found| found.pairing.is_some()).await;
    if found.is_empty() {
        return Ok(None);
    }
    for (index, found) in found.iter().enumerate() {
        // Anybody can announce any name.
        let name = match found.pairing.as_deref() {
            Some(name) if !name.is_empty() => format!("announced as {name:?}"),
            _ => format!("with the id {}", found.id),
        };
        ui.must(format!("{:>3}  {}  {name}", index + 1, found.addresses[0]));
    }
    let count = found.len();
    let number = |answer: &str| match answer.trim().parse() {
        _ if answer.trim().is_empty() => Ok(None),
        Ok(number) if (1..=count).contains(&number) => Ok(Some(number - 1)),
        _ => Err(format!("type a number from 1 to {count}, or nothing")),
    };
    let question = "Pair with number (nothing: none of them, show a code here):";
    let chosen = ui.ask(Question::Machine, question, number).await?;
    Ok(chosen.map(|index| found.swap_remove(index)))
}

async fn ask_name(suggested: Option<Name>, ui: &Ui) -> Result<Name, Error> {
    let question = match &suggested {
        Some(name) => format!("Name for it on this machine [{name}]:"),
        None => "Name for the other machine on this one:".to_owned(),
    };
    let form = |answer: &str| match (answer.trim(), &suggested) {
        ("", Some(name)) => Ok(name.clone()),
        (answer, _) => Name::new(answer).map_err(|error| error.to_string()),
    };
    Ok(ui.ask(Question::Name, &question, form).await?)
}

/// Runs the command.
pub(super) async fn run(args: Pair, ui: &Ui) -> Result<(), Error> {
    let interrupt = Interrupt::listen();
    interrupt.or(run_until_paired(&args, ui)).await
}

async fn run_until_paired(args: &Pair, ui: &Ui) -> Result<(), Error> {
    check_answer(Question::PairingCode, pairing_code_form)?;
    let other = Other::of(args, ui).await?;
    let (home, _) = in_background(open_home).await?;
    let identity = open_identity_in_background(&home, ui).await?;
    let own_name = identity::name(&home)?;
    let own_name = own_name.as_ref().map_or("", Name::as_str);
    // What the peer may do here is what this machine asks to do there, the other way round.
    let me = Me::new(&identity, own_name, other.receives, other.sends);
    // A damaged list is found before the other machine trusts this one.
    Trust::load(&home)?;
    let paired = match &other.address {
        Some(address) => dial(&other.name, address, &me, ui).await?,
        None => show_code_until_paired(args, me, ui).await?,
    };
    trust(&home, &identity, &other, paired, ui)
}

/// Asks for the code that the other machine shows, and pairs with it.
async fn dial(name: &Name, address: &Address, me: &Me, ui: &Ui) -> Result<Paired, Error> {
    let code = ui.ask(Question::PairingCode, &format!("Code that {name} shows:"), pairing_code_form).await?;
    pair::dial(address, code, me).await.map_err(|error| error.at(address))
}

/// Shows codes, each for one attempt, until a machine paired.
async fn show_code_until_paired(args: &Pair, me: Me, ui: &Ui) -> Result<Paired, Error> {
    let (listener, local) = listen(listen_at(args.listen.as_deref())?).await?;
    let announced = Announced::pairing(&me.certificate, &me.name);
    let mut listener = Listener::new(listener, me)?;
    let until = Instant::now() + OPEN;
    let addresses = print_addresses(local, ui);
    let mut code = pair::new_code();
    show(&code, ui);
    let shown = secret(code.display());
    let (address, code_shown) = (addresses.first().map(String::as_str), Some(shown.as_str()));
    ui.event(&Event::Ready { address, addresses: &addresses, code: code_shown });
    let example = address.unwrap_or("ADDRESS");
    ui.say(format!("Type it there: waft pair NAME@{example}"));
    let _announcer = if args.no_announce { None } else { announce(announced, local, ui) };
    loop {
        // A peer that spends one code after the other must not fill the screen.
        let next = Instant::now() + BETWEEN_CODES;
        let Attempt { from, outcome } = listener.attempt(code, until).await.ok_or_else(nothing_paired)?;
        match outcome {
            Ok(paired) => return Ok(paired),
            Err(error) => {
                ui.warn(format!("an attempt from {} failed", Address::from(from)));
                ui.error_and_go_on(&error.into());
            }
        }
        sleep_until(next).await;
        code = pair::new_code();
        show(&code, ui);
        ui.event(&Event::Code { code: secret(code.display()).as_str() });
    }
}

fn show(code: &PairingCode, ui: &Ui) {
    ui.must(secret(format_args!("Code:  {}", code.display())).as_str());
}

/// Stores the other machine among the trusted ones.
fn trust(home: &Home, identity: &Identity, other: &Other, paired: Paired, ui: &Ui) -> Result<(), Error> {
    let Paired { certificate, is_confirmed, is_board, sends, receives, .. } = paired;
    let (name, at) = (other.name.clone(), other.address.clone());
    // A board never sends.
    let may_send = other.sends && !is_board;
    let peer = Peer { name, certificate, sends: may_send, receives: other.receives, at, last: None };
    let peer = Trust::change(home, |trust| trust.add_or_update(peer, identity.certificate()))?;
    print_peer(&peer, ui);
    if !is_confirmed {
        ui.warn(format!(
            "the connection broke at the end: if the other machine reports an error, pair with {} again",
            peer.name
        ));
    }
    warn_of_differences(&peer, sends, receives, ui);
    let what = directions(&peer);
    ui.done(format!("Paired: {} is trusted ({what}), fingerprint {}.", peer.name, peer.certificate.fingerprint()));
    Ok(())
}

/// Tells the user what the other machine asks for and may not do here, or the other way round.
fn warn_of_differences(peer: &Peer, sends: bool, receives: bool, ui: &Ui) {
    for (asks, may, what) in [(sends, peer.sends, "send to"), (receives, peer.receives, "receive from")] {
        let difference = match (asks, may) {
            (true, false) => format!("asks to {what} this machine, but may not"),
            (false, true) => format!("may {what} this machine, but does not ask for it"),
            _ => continue,
        };
        ui.warn(format!("{} {difference}: pair again if that is a mistake", peer.name));
    }
}

fn nothing_paired() -> Error {
    Error::new(
        Class::Unreachable,
        "No machine has paired within 5 minutes.",
        "Begin again. If the other machine could not connect, let the TCP port in: a firewall may refuse it.",
    )
}
