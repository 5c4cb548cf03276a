//! `waft provision`: creates a board's identity and seed, and prints the commands that put them on the board.
//!
//! `output` chooses the files. The senders that the board will trust come from certificate files; `settings` parses the options for its policy and
//! network.

mod output;
mod settings;

use std::path::{Path, PathBuf};

use waft_receiver::identity::SENDERS_MAX;

use crate::address::Address;
use crate::board::Board;
use crate::certificate::Certificate;
use crate::cli::arguments::Provision;
use crate::cli::firmware::check_nameable;
use crate::cli::flash::record::{Provisioned, Record};
use crate::cli::interrupt::Interrupt;
use crate::cli::provision::output::Output;
use crate::cli::trust::certificate;
use crate::cli::ui::{Event, Ui};
use crate::cli::wait_for;
use crate::error::{Error, shown};
use crate::home::Home;
use crate::identity;
use crate::name::Name;
use crate::provision::{Plan, Sender};
use crate::trust::{Peer, Trust};

/// Runs the command.
pub(super) fn run(args: Provision, ui: &Ui) -> Result<(), Error> {
    super::check_is_file(&args.output, "standard output")?;
    check_nameable(&args.output)?;
    let board = &Board::find(&args.board)?;
    let (mut plan, ssid) = read(&args, board)?;
    let home = super::home()?;
    let own = super::open_identity(&home, ui)?;
    let own = own.certificate();
    plan.senders = read_senders(&args.sender, &home, own)?;
    let output = Output::new(args.output, args.firmware.as_deref(), board)?;
    output.check(&plan, &home)?;
    if let Some(ssid) = ssid {
        plan.network.wifi = Some(wait_for(Interrupt::listen().or(settings::wifi(ssid, ui)))?);
    }
    let (senders, policy) = (plan.senders.clone(), settings::words(&plan.policy));
    let peer = output.create(plan, &home, own)?;
    print_result(&peer, board, &output, ui);
    ui.say(format!("It is trusted here, to receive only. {policy}"));
    print_senders(&peer, &senders, own, ui);
    output.print_commands(board, ui);
    if board.machine.is_none() && !output.commands(board).is_empty() {
        ui.say(format!("`waft flash {}` runs these commands.", peer.name));
    }
    output.warn(ui);
    remember(&home, &peer.name, &args.board, board, &output, ui);
    Ok(())
}

/// Stores what `waft flash` has to know. The board is made even if that fails.
fn remember(home: &Home, name: &Name, typed: &str, board: &Board, output: &Output<'_>, ui: &Ui) {
    if board.machine.is_some() {
        return;
    }
    let provisioned = Provisioned::new(name, typed, board, output.path(), output.is_combined());
    if let Err(error) = provisioned.and_then(|provisioned| Record::remember(home, provisioned)) {
        ui.warn(format!("`waft flash {name}` will need --board and --identity: {error}"));
    }
}

/// Parses the arguments as far as possible without the configuration folder. The list of senders is still empty.
fn read(args: &Provision, board: &Board) -> Result<(Plan, Option<settings::Ssid>), Error> {
    let name = Name::new(&args.name).map_err(Error::usage)?;
    let network = settings::network(&args.network, &name)?;
    let typed = args.at.as_deref().map(str::parse::<Address>).transpose().map_err(Error::usage)?;
    let at = typed.or_else(|| settings::listens_at(&network.address));
    let ssid = match &args.network.wifi {
        Some(_) if !board.wifi => {
            return Err(Error::usage(format!("the board {} has no Wi-Fi: leave --wifi out", board.name)));
        }
        wifi => wifi.as_deref().map(settings::ssid).transpose()?,
    };
    Ok((Plan { name, senders: Vec::new(), policy: settings::policy(args.policy), network, at }, ssid))
}

fn print_result(peer: &Peer, board: &Board, output: &Output<'_>, ui: &Ui) {
    let (name, fingerprint) = (peer.name.as_str(), peer.certificate.fingerprint().to_string());
    let (path, seed) = (shown(output.path()), output.seed().map(shown));
    match output.is_combined() {
        true => {
            ui.say(format!("Made {name}'s identity, and put it into {path} with the program, for: {}.", board.title))
        }
        false => ui.say(format!("Made {name}'s identity in {path}, for: {}.", board.title)),
    }
    ui.print(format!("{name}  {fingerprint}"));
    let (commands, folder) = (output.commands(board), board.folder.as_deref().map(shown));
    let event = Event::Provisioned { name, board: &board.name, fingerprint, path, seed, folder, commands: &commands };
    ui.event(&event);
}

fn print_senders(peer: &Peer, senders: &[Sender], own: &Certificate, ui: &Ui) {
    let names: Vec<&str> = senders.iter().map(|sender| sender.name.as_str()).collect();
    ui.say(format!("Trusted to send to it: {}.", names.join(", ")));
    if !senders.iter().any(|sender| sender.certificate == *own) {
        ui.warn(format!("this machine is not among them, so {} will refuse it", peer.name));
    }
}

/// The name of this machine on a board, if its user has not set one.
const UNNAMED: &str = "laptop";

/// The senders with these certificates; if none are given, this machine.
pub(super) fn read_senders(paths: &[PathBuf], home: &Home, own: &Certificate) -> Result<Vec<Sender>, Error> {
    if paths.is_empty() {
        return Ok(vec![own_sender(home, own)?]);
    }
    if paths.len() > SENDERS_MAX {
        return Err(Error::usage(format!(
            "a board trusts at most {SENDERS_MAX} senders, but {} are given",
            paths.len()
        )));
    }
    let trust = Trust::load(home)?;
    let mut senders = Vec::with_capacity(paths.len());
    for path in paths {
        let sender = read_sender(path, home, own, &trust)?;
        check_distinct(&sender, &senders, path)?;
        senders.push(sender);
    }
    Ok(senders)
}

/// This machine as a sender.
pub(in crate::cli) fn own_sender(home: &Home, own: &Certificate) -> Result<Sender, Error> {
    let name = identity::name(home)?;
    let name = name.unwrap_or_else(|| Name::new(UNNAMED).expect("letters are a valid name"));
    Ok(Sender { name, certificate: own.clone() })
}

/// The sender with the certificate in a file. Its name is the one under which this machine trusts it, else the name
/// of the file.
fn read_sender(path: &Path, home: &Home, own: &Certificate, trust: &Trust) -> Result<Sender, Error> {
    let certificate = certificate(path)?;
    match trust.by_hash(certificate.hash()) {
        _ if certificate == *own => own_sender(home, own),
        Some(known) => Ok(Sender { name: known.name.clone(), certificate }),
        None => Ok(Sender { name: named_after(path)?, certificate }),
    }
}

fn named_after(path: &Path) -> Result<Name, Error> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    Name::new(&stem).map_err(|problem| {
        Error::usage(format!("the sender of {} cannot be named after the file: {problem}; rename it", shown(path)))
    })
}

fn check_distinct(sender: &Sender, others: &[Sender], path: &Path) -> Result<(), Error> {
    match others.iter().find(|other| other.certificate == sender.certificate || other.name == sender.name) {
        None => Ok(()),
        Some(other) if other.certificate == sender.certificate => {
            Err(Error::usage(format!("the certificate in {} is given twice", shown(path))))
        }
        Some(other) => Err(Error::usage(format!(
            "the certificate in {} is another sender's, but both would be named {}; rename the file",
            shown(path),
            other.name
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::arguments::{NetworkArgs, PolicyArgs};

    #[test]
    fn a_network_without_wires_is_for_boards_that_have_one() {
        let args = Provision {
            board: "mps2".into(),
            name: "kitchen".into(),
            output: "identity.bin".into(),
            firmware: None,
            sender: Vec::new(),
            at: None,
            policy: PolicyArgs::default(),
            network: NetworkArgs { wifi: Some("home".into()), ..NetworkArgs::default() },
        };
        let wired = Board::named("mps2").unwrap();
        assert!(read(&args, wired).is_err_and(|error| error.to_string().contains("mps2 has no Wi-Fi")));
        assert!(read(&args, &Board { wifi: true, ..wired.clone() }).unwrap().1.is_some());
    }
}
