//! `waft send`: sends a folder to a trusted receiver, by a [`Sender`].

mod operator;

use std::path::{Path, PathBuf};

use waft_core::session::Receipt;

use self::operator::SendOperator;
use crate::cli::arguments::Send;
use crate::cli::interrupt::Interrupt;
use crate::cli::ui::{Event, Question, Ui, code_form};
use crate::cli::{check_answer, number_of_files, open_home, open_identity_in_background, walk_folder};
use crate::error::{Error, bytes, shown};
use crate::send::{Destination, Sender, Sent};
use crate::trust::Trust;
use crate::worker::in_background;

/// The default folder to send.
const FOLDER: &str = "SEND_FOLDER";

/// Runs the command.
pub(super) async fn run(args: Send, ui: &Ui) -> Result<(), Error> {
    let interrupt = Interrupt::listen();
    let sender = interrupt.or(prepare(args, ui)).await?;
    let mut sender = sender.cancel_on(interrupt.token());
    let peer = sender.destination().peer().name.clone();
    let mut operator = SendOperator::new(ui, peer.as_str());
    let sent = sender.send(&mut operator).await;
    let sent = sent.map_err(|error| operator.failure().unwrap_or(error))?;
    print_receipt(peer.as_str(), sent, ui);
    Ok(())
}

/// Prepares everything that needs no connection. Nothing is created before the receiver and its address are known.
async fn prepare(args: Send, ui: &Ui) -> Result<Sender, Error> {
    check_answer(Question::Code, code_form)?;
    args.to.as_deref().map_or(Ok(()), Destination::check_format)?;
    let (home, trust) = in_background(open_home).await?;
    let known = known_destination(args.to.as_deref(), &trust, ui)?;
    let folder = folder(args.folder, ui).await?;
    let destination = match known {
        Some(destination) => destination,
        None => ask_destination(&trust, ui).await?,
    };
    let folder = match folder {
        Some(folder) => folder,
        None => default_folder(ui)?,
    };
    let identity = open_identity_in_background(&home, ui).await?;
    let walked = walk_folder(&folder, args.skip_unsendable, ui).await?;
    let (name, shape) = (shown(&folder), walked.info.shape);
    let (peer, address) = (&destination.peer().name, destination.address());
    ui.say(format!(
        "Sending {name}: {}, {}, to {peer} at {address}.",
        number_of_files(shape.files),
        bytes(shape.total)
    ));
    Ok(Sender::new(identity, home, destination, walked).require_typed_key(args.typed_key))
}

/// The folder to send: the one in the arguments, else the user's answer at the terminal. `None` for the default
/// folder, which may not exist yet.
async fn folder(typed: Option<PathBuf>, ui: &Ui) -> Result<Option<PathBuf>, Error> {
    if typed.is_some() || !ui.has_user() {
        return Ok(typed);
    }
    let answer = ui.ask(Question::Folder, &format!("Folder [./{FOLDER}]:"), folder_form).await?;
    Ok((!answer.is_empty()).then(|| answer.into()))
}

/// The default folder, which is created if it does not exist.
fn default_folder(ui: &Ui) -> Result<PathBuf, Error> {
    let path = PathBuf::from(FOLDER);
    if !path.exists() {
        std::fs::create_dir(&path).map_err(|cause| Error::file(&path, cause))?;
        ui.must(format!("Created ./{FOLDER}. Put the files to send into it."));
    }
    Ok(path)
}

/// Accepts an empty answer, or an existing folder.
fn folder_form(answer: &str) -> Result<String, String> {
    let there = answer.is_empty() || Path::new(answer).is_dir();
    if there { Ok(answer.to_owned()) } else { Err("no such folder".to_owned()) }
}

/// The receiver in the argument; without one, the only trusted receiver. `None` if the user has to be asked.
fn known_destination(to: Option<&str>, trust: &Trust, ui: &Ui) -> Result<Option<Destination>, Error> {
    match to {
        Some(to) => Destination::parse(to, trust).map(Some),
        None if ui.has_user() && trust.peers().iter().any(|peer| peer.receives) => Ok(Destination::only(trust).ok()),
        None => Destination::only(trust).map(Some),
    }
}

/// The user's answer at the terminal.
async fn ask_destination(trust: &Trust, ui: &Ui) -> Result<Destination, Error> {
    let names: Vec<&str> = trust.peers().iter().filter(|peer| peer.receives).map(|peer| peer.name.as_str()).collect();
    let question = format!("To ({}; NAME@HOST):", names.join(", "));
    let form = |answer: &str| Destination::parse(answer.trim(), trust).map_err(|error| error.to_string());
    Ok(ui.ask(Question::Receiver, &question, form).await?)
}

fn print_receipt(peer: &str, sent: Sent, ui: &Ui) {
    let Sent { receipt: Receipt { digest, files: count, bytes: total, generation }, bytes_sent: sent } = sent;
    let digest_text = digest.to_string();
    ui.event(&Event::Committed { peer, files: count, bytes: total, sent, digest: digest_text, generation });
    // After broken connections the transferred bytes may exceed the total, which would only confuse the user.
    let crossed = if sent < total { format!(", of which {} had to cross", bytes(sent)) } else { String::new() };
    ui.done(format!("{peer} has the folder: {}, {}{crossed}.", number_of_files(count), bytes(total)));
    ui.detail(format!("Its digest: {digest}"));
}
