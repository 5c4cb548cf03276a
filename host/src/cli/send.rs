//! `waft send`: sends files and folders to trusted receivers, each by a [`Sender`].

mod operator;
mod plan;
mod several;
mod watching;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use waft_core::path::{FolderName, escape};
use waft_core::session::Receipt;

use self::operator::{Manner, SendOperator};
use crate::cli::arguments::Send;
use crate::cli::find::{Known, line, look};
use crate::cli::interrupt::Interrupt;
use crate::cli::ui::{Event, Question, Ui, code_form};
use crate::cli::{
    check_answer, number_of_files, open_home, open_identity_in_background, report_skipped, shown_paths, walk_paths,
};
use crate::discovery::{DeviceId, Search};
use crate::error::{Class, Error, bytes, shown};
use crate::folder::Folder;
use crate::home::Home;
use crate::identity::Identity;
use crate::send::{Destination, KeyRule, Sender, Sent, no_address};
use crate::trust::Trust;
use crate::worker::in_background;

/// The default folder to send.
const FOLDER: &str = "SEND_FOLDER";

/// Runs the command.
pub(super) async fn run(args: Send, ui: &Ui) -> Result<(), Error> {
    let interrupt = Interrupt::listen();
    let arguments = Arguments::new(&args)?;
    if args.dry_run {
        return interrupt.or(plan::run(&arguments, &args, ui)).await;
    }
    let delivery = interrupt.or(prepare(&args, &arguments, &interrupt, ui)).await?;
    if args.watch {
        return watching::run(&delivery).await;
    }
    let folder = interrupt.or(delivery.walk()).await?;
    delivery.announce(&folder);
    let delivered = delivery.deliver(folder, Manner::Detailed).await;
    delivered.map_err(|error| match (error.class(), &arguments.to[..]) {
        // A file or folder may have been taken for a host.
        (Class::Unreachable, [to]) => explain_last_argument(to, error),
        _ => error,
    })
}

/// The arguments of the command, told apart.
struct Arguments<'a> {
    /// The files and folders to send; empty for the default folder.
    paths: &'a [PathBuf],
    /// The receivers; empty for the only trusted one.
    to: Vec<&'a str>,
}

impl<'a> Arguments<'a> {
    /// Without `--to`, the last one of two and more arguments is the receiver.
    fn new(args: &'a Send) -> Result<Self, Error> {
        let (paths, to) = match &args.arguments[..] {
            [paths @ .., to] if !paths.is_empty() && args.to.is_empty() => {
                (paths, vec![to.to_str().ok_or_else(|| not_a_receiver(to))?])
            }
            paths => (paths, args.to.iter().map(String::as_str).collect()),
        };
        to.iter().try_for_each(|to| Destination::check_format(to))?;
        Ok(Self { paths, to })
    }
}

/// The error for a last argument that can be neither a name nor an address.
fn not_a_receiver(to: &Path) -> Error {
    Error::usage(format!("{} is not a receiver.", shown(to.as_os_str()))).with_advice(LAST_IS_RECEIVER)
}

const LAST_IS_RECEIVER: &str = "The last argument is the receiver: `waft send PATH... TO`.";

/// Prepares everything that needs no connection. Nothing is created before the receivers and their addresses are known.
async fn prepare<'a>(
    args: &'a Send,
    arguments: &Arguments<'_>,
    interrupt: &'a Interrupt,
    ui: &'a Ui,
) -> Result<Delivery<'a>, Error> {
    check_answer(Question::Code, code_form)?;
    let (home, trust) = in_background(open_home).await?;
    let known = known_destinations(&arguments.to, &trust, ui)?;
    if !args.wait {
        check_addresses(&known).await?;
    }
    let paths = typed_or_asked(arguments.paths, ui).await?;
    let destinations = match known.is_empty() {
        false => known,
        true => vec![ask_destination(&trust, ui).await?],
    };
    let paths = if paths.is_empty() { vec![default_folder(ui)?] } else { paths };
    let identity = Arc::new(open_identity_in_background(&home, ui).await?);
    Ok(Delivery { args, paths, destinations, identity, home, interrupt, ui })
}

/// Checks that receivers without a known address are announced on this network. Where they are, the senders find out.
async fn check_addresses(destinations: &[Destination]) -> Result<(), Error> {
    for destination in destinations.iter().filter(|destination| destination.address().is_none()) {
        let peer = destination.peer();
        let search = Search::start(DeviceId::of(&peer.certificate.hash()))?;
        if search.addresses().await.is_empty() {
            return Err(no_address(peer));
        }
    }
    Ok(())
}

/// What stays the same from one transfer of a run to the next.
struct Delivery<'a> {
    args: &'a Send,
    paths: Vec<PathBuf>,
    destinations: Vec<Destination>,
    identity: Arc<Identity>,
    home: Home,
    interrupt: &'a Interrupt,
    ui: &'a Ui,
}

impl Delivery<'_> {
    async fn walk(&self) -> Result<Folder, Error> {
        walk_paths(&self.paths, &self.args.content).await
    }

    /// Prints what is sent and what not, and where it is sent.
    fn announce(&self, folder: &Folder) {
        report_skipped(folder, self.ui);
        let shape = folder.info.shape;
        let to = match &self.destinations[..] {
            [one] => match one.address() {
                Some(address) => format!("{} at {address}", one.peer().name),
                None => one.peer().name.to_string(),
            },
            several => format!("{} receivers", several.len()),
        };
        self.ui.say(format!(
            "Sending {}{}: {}, {}, to {to}.",
            shown_paths(&self.paths),
            self.called(folder),
            number_of_files(shape.files),
            bytes(shape.total)
        ));
    }

    /// What the folder is called at the receiver, if that is not just the name of the one path that is sent.
    fn called(&self, folder: &Folder) -> String {
        let name = self.args.name.as_deref().unwrap_or(folder.name().as_str());
        match &self.paths[..] {
            [path] if path.file_name().is_some_and(|file| file == name) => String::new(),
            _ => format!(" as {}", escape(name)),
        }
    }

    /// Sends the folder to all receivers.
    async fn deliver(&self, folder: Folder, manner: Manner) -> Result<(), Error> {
        match &self.destinations[..] {
            [one] => self.send(one, folder, manner).await,
            several => several::send(self, several, &folder).await,
        }
    }

    /// Sends the folder to one receiver, and reports its receipt.
    async fn send(&self, destination: &Destination, folder: Folder, manner: Manner) -> Result<(), Error> {
        let peer = destination.peer().name.as_str();
        let sender = Sender::new(self.identity.clone(), self.home.clone(), destination.clone(), folder);
        let sender = match &self.args.name {
            Some(name) => sender.named(FolderName::new(name).expect("the arguments were checked")),
            None => sender,
        };
        let mut sender = sender
            .keys(key_rule(self.args))
            .wait_for_receiver(self.args.wait)
            .find_receiver(true)
            .among_many(manner == Manner::Among)
            .cancel_on(self.interrupt.token());
        let name = sender.name().to_string();
        let mut operator = SendOperator::new(self.ui, peer, manner);
        let sent = sender.send(&mut operator).await;
        let sent = sent.map_err(|error| operator.failure().unwrap_or(error))?;
        print_receipt(peer, &name, sent, self.ui);
        Ok(())
    }
}

/// The ways in which the key may reach the receiver.
fn key_rule(args: &Send) -> KeyRule {
    match (args.typed_key, args.sealed) {
        (true, _) => KeyRule::TypedOnly,
        (false, true) => KeyRule::SealedOnly,
        (false, false) => KeyRule::Any,
    }
}

/// What to send: the arguments, else the user's answer at the terminal. Empty for the default folder, which may not
/// exist yet.
async fn typed_or_asked(typed: &[PathBuf], ui: &Ui) -> Result<Vec<PathBuf>, Error> {
    if !typed.is_empty() || !ui.has_user() {
        return Ok(typed.to_vec());
    }
    let answer = ui.ask(Question::Folder, &format!("Folder [./{FOLDER}]:"), folder_form).await?;
    Ok(if answer.is_empty() { Vec::new() } else { vec![answer.into()] })
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

/// Accepts an empty answer, or an existing file or folder.
fn folder_form(answer: &str) -> Result<String, String> {
    let there = answer.is_empty() || Path::new(answer).exists();
    if there { Ok(answer.to_owned()) } else { Err("no such file or folder".to_owned()) }
}

/// The receivers in the arguments; without one, the only trusted receiver. Empty if the user has to be asked.
fn known_destinations(to: &[&str], trust: &Trust, ui: &Ui) -> Result<Vec<Destination>, Error> {
    let mut known: Vec<Destination> = Vec::with_capacity(to.len());
    for to in to {
        let destination = Destination::parse(to, trust).map_err(|error| explain_last_argument(to, error))?;
        if known.iter().any(|other| other.peer().name == destination.peer().name) {
            return Err(Error::usage(format!("The receiver {} is named twice.", destination.peer().name)));
        }
        known.push(destination);
    }
    if !known.is_empty() {
        return Ok(known);
    }
    match Destination::only(trust) {
        Ok(only) => Ok(vec![only]),
        Err(_) if ui.has_user() && trust.peers().iter().any(|peer| peer.receives) => Ok(known),
        Err(error) => Err(error),
    }
}

/// Adds to the error about a receiver why a file or folder was taken for one.
fn explain_last_argument(to: &str, error: Error) -> Error {
    match Path::new(to).exists() {
        true => error.with_advice(format!("{LAST_IS_RECEIVER} To send {} as well, add the receiver.", escape(to))),
        false => error,
    }
}

/// The user's answer at the terminal.
async fn ask_destination(trust: &Trust, ui: &Ui) -> Result<Destination, Error> {
    let known = Known::new(trust);
    for found in look(|found| known.peer(found).is_some_and(|peer| peer.receives)).await {
        ui.say(line(&found, known.peer(&found)));
    }
    let names: Vec<&str> = trust.peers().iter().filter(|peer| peer.receives).map(|peer| peer.name.as_str()).collect();
    let question = format!("To ({}; NAME@HOST):", names.join(", "));
    let form = |answer: &str| Destination::parse(answer.trim(), trust).map_err(|error| error.to_string());
    Ok(ui.ask(Question::Receiver, &question, form).await?)
}

fn print_receipt(peer: &str, folder: &str, sent: Sent, ui: &Ui) {
    let Sent { receipt: Receipt { digest, files: count, bytes: total, generation }, bytes_sent: sent } = sent;
    let digest_text = digest.to_string();
    ui.event(&Event::Committed {
        peer,
        files: count,
        bytes: total,
        sent,
        digest: digest_text,
        generation,
        folder,
        path: None,
        placed: None,
    });
    // After broken connections the transferred bytes may exceed the total, which would only confuse the user.
    let crossed = if sent < total { format!(", of which {} had to cross", bytes(sent)) } else { String::new() };
    ui.done(format!("{peer} has the folder: {}, {}{crossed}.", number_of_files(count), bytes(total)));
    ui.detail(format!("Its digest: {digest}"));
}
