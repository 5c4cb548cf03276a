//! `waft pair`: this machine and another one trust each other, by a short code that one shows and the other's user
//! types.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use waft_core::limits::PAIRING_OPEN_MS;

use crate::address::Address;
use crate::cli::arguments::Pair;
use crate::cli::interrupt::Interrupt;
use crate::cli::receive::{listen_at, print_addresses};
use crate::cli::trust::{directions, print_peer};
use crate::cli::ui::{Event, Question, Ui, pairing_code_form, secret};
use crate::cli::{check_answer, open_home, open_identity_in_background};
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
    fn of(args: &Pair) -> Result<Self, Error> {
        let (name, address) = match args.other.split_once('@') {
            Some((name, address)) => (name, Some(address.parse().map_err(Error::usage)?)),
            None => (args.other.as_str(), None),
        };
        let name = Name::new(name).map_err(Error::usage)?;
        Ok(Self { name, address, sends: !args.send_only, receives: !args.receive_only })
    }
}

/// Runs the command.
pub(super) async fn run(args: Pair, ui: &Ui) -> Result<(), Error> {
    let interrupt = Interrupt::listen();
    interrupt.or(run_until_paired(&args, ui)).await
}

async fn run_until_paired(args: &Pair, ui: &Ui) -> Result<(), Error> {
    let other = Other::of(args)?;
    check_answer(Question::PairingCode, pairing_code_form)?;
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
