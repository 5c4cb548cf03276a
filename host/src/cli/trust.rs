//! `waft trust`: manages the trusted peers of this machine and what each of them may do.

use std::io::stdin;
use std::path::Path;

use crate::address::Address;
use crate::certificate::{Certificate, FILE_MAX};
use crate::cli::arguments::{Trust as Args, TrustAdd};
use crate::cli::ui::{Event, Ui};
use crate::error::Error;
use crate::home::{read_at_most, read_stream_at_most};
use crate::name::Name;
use crate::trust::{Peer, Trust};

/// Runs the command.
pub(super) fn run(args: Args, ui: &Ui) -> Result<(), Error> {
    match args {
        Args::Add(args) => add(args, ui),
        Args::List => list(ui),
        Args::Remove { name } => remove(&name, ui),
    }
}

fn add(args: TrustAdd, ui: &Ui) -> Result<(), Error> {
    let name = Name::new(&args.name).map_err(Error::usage)?;
    let at = args.at.as_deref().map(str::parse::<Address>).transpose().map_err(Error::usage)?;
    let certificate = given(&args.certificate, ui)?;
    let home = super::home()?;
    let own = super::open_identity(&home, ui)?;
    let peer = Peer { name, certificate, sends: !args.send_only, receives: !args.receive_only, at, last: None };
    Trust::change(&home, |trust| trust.add(peer.clone(), own.certificate()))?;
    ui.say(line(&peer));
    print_peer(&peer, ui);
    ui.say("Compare this fingerprint, by voice, with the one that `waft id` shows there.");
    Ok(())
}

fn list(ui: &Ui) -> Result<(), Error> {
    let trust = Trust::load(&super::home()?)?;
    for peer in trust.peers() {
        ui.print(line(peer));
        print_peer(peer, ui);
    }
    if trust.peers().is_empty() {
        ui.say("No peer is trusted yet: waft pair NAME, or waft trust add NAME CERT.pem");
    }
    Ok(())
}

fn remove(name: &str, ui: &Ui) -> Result<(), Error> {
    let peer = Trust::change(&super::home()?, |trust| trust.remove(name))?;
    ui.event(&Event::Removed { name: peer.name.as_str() });
    ui.say(format!("{} is no longer trusted.", peer.name));
    Ok(())
}

/// Reads a certificate from standard input or from a file.
fn given(path: &Path, ui: &Ui) -> Result<Certificate, Error> {
    if path.as_os_str() != "-" {
        return certificate(path);
    }
    if ui.has_user() {
        ui.say("Paste the certificate, and end it with Enter and Ctrl-D (on Windows: Ctrl-Z and Enter).");
    }
    let path = Path::new("standard input");
    let text = read_stream_at_most(stdin(), FILE_MAX).map_err(|cause| Error::file(path, cause))?;
    Certificate::from_pem(&text).map_err(|problem| problem.of_file(path))
}

/// Reads a certificate from a file.
pub(super) fn certificate(path: &Path) -> Result<Certificate, Error> {
    let text = read_at_most(path, FILE_MAX).map_err(|cause| Error::file(path, cause))?;
    Certificate::from_pem(&text).map_err(|problem| problem.of_file(path))
}

fn line(peer: &Peer) -> String {
    let at = peer.address().map_or(String::new(), |address| format!("  {address}"));
    format!("{:<16} {}  {}{at}", peer.name.as_str(), peer.certificate.fingerprint(), directions(peer))
}

/// Reports a trusted peer to a script.
pub(super) fn print_peer(peer: &Peer, ui: &Ui) {
    let (name, sends, receives) = (peer.name.as_str(), peer.sends, peer.receives);
    let fingerprint = peer.certificate.fingerprint().to_string();
    ui.event(&Event::Trusted { name, fingerprint, sends, receives, address: peer.address().map(ToString::to_string) });
}

/// What a peer may do, in words.
pub(super) fn directions(peer: &Peer) -> &'static str {
    match (peer.sends, peer.receives) {
        (true, true) => "sends and receives",
        (true, false) => "sends",
        (false, true) => "receives",
        (false, false) => "nothing",
    }
}
