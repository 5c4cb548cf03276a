//! The `waft` command, built on the library: one module for each command, and what they share.
//!
//! A command takes parsed arguments, does its work by the library, and reports results through `Ui`. Modules outside
//! of this one never import from it.

mod arguments;
mod demo;
mod find;
mod firmware;
mod flash;
mod id;
mod interrupt;
mod open;
mod pair;
#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod platform;
mod provision;
mod receive;
mod seal;
mod send;
mod simulate;
mod trust;
mod ui;

use std::ffi::OsString;
use std::io::{ErrorKind, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use etcetera::BaseStrategy;
use waft_core::code::TransferKey;
use waft_core::sealed::{Header, Secret, Stretch};
use waft_core::session::sender::SourceError;

use crate::cli::arguments::{Command, ContentArgs, Typed, output_options, parse};
use crate::cli::ui::{AskError, Event, Question, Ui};
use crate::error::{Class, Error, shown};
use crate::folder::{self, Folder, FolderSource, Options, SkippedWhy};
use crate::home::Home;
use crate::identity::{self, Identity};
use crate::name::Name;
use crate::store::{self, DirectoryStore, Earlier, Prepared};
use crate::trust::Trust;
use crate::worker::in_background;

/// The environment variable that selects another configuration folder.
const HOME_VARIABLE: &str = "WAFT_HOME";

/// Runs the command in a command line.
pub fn run(arguments: &[OsString]) -> ExitCode {
    let Typed { cli, command } = match parse(arguments) {
        Ok(typed) => typed,
        Err(error) => return refuse(&error, &Ui::new(output_options(arguments))),
    };
    let ui = Ui::new(cli.output);
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        Ui::leave();
        hook(panic);
    }));
    // The output of these two is a file for another program.
    if !matches!(cli.command, Command::Completions { .. } | Command::Man) {
        ui.event(&Event::started(command.strip_prefix("waft ")));
    }
    match execute(cli.command, &ui).and_then(|()| ui.check_output()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error = match error.class() == Class::Usage && error.advice().is_empty() {
                true => error.with_advice(format!("`{command} --help` shows what can be typed.")),
                false => error,
            };
            ui.error(&error);
            ExitCode::from(exit_code_of(&error))
        }
    }
}

/// Reports why a command line cannot be parsed. Also prints the help or the version, which clap returns as errors.
fn refuse(error: &clap::Error, ui: &Ui) -> ExitCode {
    if error.use_stderr() && ui.is_json() {
        ui.event(&Event::started(None));
        ui.error(&wrong_usage(&error.to_string()));
        return ExitCode::from(error.exit_code() as u8);
    }
    let printed = error.print().and_then(|()| stdout().flush());
    match printed {
        // A reader that closed the pipe is not an error. If standard error cannot be written, no error can be
        // reported.
        Err(cause) if !error.use_stderr() && cause.kind() != ErrorKind::BrokenPipe => {
            let error = Error::file("standard output", cause);
            ui.error(&error);
            ExitCode::from(exit_code(error.class()))
        }
        _ => ExitCode::from(error.exit_code() as u8),
    }
}

/// The error for a command line that cannot be parsed. The first paragraph of clap's message says what happened, the rest
/// says what to do.
fn wrong_usage(message: &str) -> Error {
    let message = message.trim().trim_start_matches("error: ");
    let (what, advice) = message.split_once("\n\n").unwrap_or((message, ""));
    Error::usage(what).with_advice(advice)
}

fn execute(command: Command, ui: &Ui) -> Result<(), Error> {
    match command {
        Command::Id(args) => id::run(args, ui),
        Command::Trust(args) => trust::run(args, ui),
        Command::Pair(args) => wait_for(pair::run(args, ui)),
        Command::Receive(args) => wait_for(receive::run(args, ui)),
        Command::Send(args) => wait_for(send::run(args, ui)),
        Command::Find(args) => wait_for(find::run(args, ui)),
        Command::Seal(args) => wait_for(seal::run(args, ui)),
        Command::Open(args) => wait_for(open::run(args, ui)),
        Command::Provision(args) => provision::run(args, ui),
        Command::Flash(args) => wait_for(flash::run(args, ui)),
        Command::Firmware(args) => wait_for(firmware::run(args, ui)),
        Command::Simulate(args) => wait_for(simulate::run(args, ui)),
        Command::Demo => wait_for(demo::run(ui)),
        Command::Completions { shell } => {
            ui.write(&arguments::help::completion_script(shell));
            Ok(())
        }
        Command::Man => {
            ui.write(&arguments::help::manual());
            Ok(())
        }
    }
}

/// Runs a command, or a part of one, as a future on this thread.
fn wait_for<T>(command: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::file("the system's event queue", error))?;
    let ended = runtime.block_on(command);
    // The system's name resolution cannot be cancelled. Do not wait for it here, for example after Ctrl-C.
    runtime.shutdown_background();
    ended
}

/// The exit code for an error: that of its class, unless it is that of another program.
fn exit_code_of(error: &Error) -> u8 {
    error.exit().unwrap_or_else(|| exit_code(error.class()))
}

/// The exit code for an error of this class.
fn exit_code(class: Class) -> u8 {
    match class {
        Class::Interrupted => interrupt::exit_status(),
        class => class.exit_code(),
    }
}

/// Opens the configuration folder: the one that `WAFT_HOME` names, else the platform's standard one. Creates it if it
/// does not exist.
fn home() -> Result<Home, Error> {
    if let Some(path) = std::env::var_os(HOME_VARIABLE).filter(|value| !value.is_empty()) {
        return Ok(Home::at(path)?);
    }
    let Ok(folders) = etcetera::choose_base_strategy() else {
        return Err(Error::new(
            Class::Identity,
            "Identity and trust cannot be opened: this user has no home folder.",
            "Name a folder for waft's configuration in WAFT_HOME.",
        ));
    };
    Ok(Home::at(folders.config_dir().join("waft"))?)
}

/// Opens the configuration folder and reads the trusted peers. Blocks the thread.
fn open_home() -> Result<(Home, Trust), Error> {
    let home = home()?;
    let trust = Trust::load(&home)?;
    Ok((home, trust))
}

/// Opens this machine's identity, and reports one that was just created. Blocks the thread.
fn open_identity(home: &Home, ui: &Ui) -> Result<Identity, Error> {
    Ok(report_new(Identity::open(home)?, home, ui))
}

/// Opens this machine's identity as [`open_identity`] does, without blocking this thread.
async fn open_identity_in_background(home: &Home, ui: &Ui) -> Result<Identity, Error> {
    let opened = home.clone();
    Ok(report_new(in_background(move || Identity::open(&opened)).await?, home, ui))
}

/// Reports an identity that was just created, and returns it.
fn report_new((identity, is_new): (Identity, bool), home: &Home, ui: &Ui) -> Identity {
    if is_new {
        say_new_identity(home, ui);
        let name = identity::name(home).ok().flatten();
        let fingerprint = identity.certificate().fingerprint().to_string();
        ui.event(&Event::Identity { name: name.as_ref().map(Name::as_str), fingerprint, new: true });
    }
    identity
}

fn say_new_identity(home: &Home, ui: &Ui) {
    ui.say(format!("Made a new identity for this machine in {}.", shown(home.path())));
}

/// Rejects the path `-`, with which users mean standard input or output (`stream`). The path has to be a file: an
/// output appears as a whole or not at all, and an input is read twice.
fn check_is_file(path: &Path, stream: &str) -> Result<(), Error> {
    match path.as_os_str() == "-" {
        true => Err(Error::usage(format!("- does not stand for {stream} here: name a file; one of that name is ./-"))),
        false => Ok(()),
    }
}

/// Rejects a code or key in the environment that has the wrong format, before any other work.
fn check_answer<T>(question: Question, form: impl Fn(&str) -> Result<T, String>) -> Result<(), Error> {
    let Some(answer) = question.in_environment() else { return Ok(()) };
    form(&answer).map(drop).map_err(|why| AskError::Malformed(question, why).into())
}

/// How many skipped entries are listed by name; the others are only counted.
const NAMED: usize = 10;

/// The options of a walk for these arguments.
fn walk_options(content: &ContentArgs) -> Options {
    let ContentArgs { exclude, gitignore, follow_links, skip_unsendable } = content.clone();
    Options { skip_unsendable, exclude, gitignore, follow_links, list_all: false }
}

/// Walks files and folders.
async fn walk_paths(paths: &[PathBuf], content: &ContentArgs) -> Result<Folder, Error> {
    Ok(Folder::gather(paths, &walk_options(content)).await?)
}

/// Reports the entries of a folder that are not sent.
fn report_skipped(folder: &Folder, ui: &Ui) {
    for skipped in folder.skipped.first.iter().take(NAMED) {
        ui.warn(format!("skipped: {} is {}", skipped.path, skipped_kind(skipped.why)));
    }
    for unsendable in folder.unsendable.first.iter().take(NAMED) {
        ui.warn(format!("skipped: {}: {}", unsendable.path, unsendable.why));
    }
    let more = unnamed(folder.skipped.count) + unnamed(folder.unsendable.count);
    if more > 0 {
        ui.warn(format!("skipped: {more} more"));
    }
    if folder.left_out.count > 0 {
        ui.detail(format!("Left out: {}", folder.left_out.count));
    }
}

/// What a skipped entry is.
fn skipped_kind(why: SkippedWhy) -> &'static str {
    match why {
        SkippedWhy::Symlink => "a symbolic link",
        SkippedWhy::Special => "a device, pipe or socket",
        SkippedWhy::BrokenLink => "a symbolic link that leads nowhere",
        SkippedWhy::Loop => "a symbolic link to a folder that it is in",
    }
}

/// The name of files and folders in texts: the first one, and the number of the others.
fn shown_paths(paths: &[PathBuf]) -> String {
    let first = paths.first().map_or(String::new(), |path| shown(path.as_os_str()));
    match paths.len() {
        0 | 1 => first,
        more => format!("{first} and {} more", more - 1),
    }
}

fn unnamed(count: u64) -> u64 {
    count.saturating_sub(NAMED as u64)
}

/// Adds the path and the problem to a source's error.
fn source_error(error: SourceError, source: &mut FolderSource) -> Error {
    folder::source_error(error, source.take_error().as_ref())
}

/// Where a command puts folders.
#[derive(Clone, Copy)]
enum Target<'a> {
    /// Into this folder.
    Folder(&'a Path),
    /// Into folders of their own in this one.
    Inbox(&'a Path),
}

/// Opens a target, before the user is asked for anything.
async fn open_target(target: Target<'_>, options: store::Options, ui: &Ui) -> Result<DirectoryStore, Error> {
    let (prepared, into) = match target {
        Target::Folder(into) => (DirectoryStore::prepare(into, options).await?, into),
        Target::Inbox(inbox) => (DirectoryStore::prepare_inbox(inbox, options).await?, inbox),
    };
    let (Prepared { store, earlier, notes }, into) = (prepared, shown(into));
    for earlier in earlier {
        ui.say(match earlier {
            Earlier::Completed => format!("Finished what an interrupted run had begun to put into {into}."),
            Earlier::Undone => format!("Put back the folder that an interrupted run had begun to replace in {into}."),
            Earlier::Abandoned => {
                format!("Gave up what an interrupted run had received for {into}. The folder is as it was.")
            }
        });
    }
    for note in notes {
        ui.warn(format!("{into}: {note}"));
    }
    Ok(store)
}

/// The text for the user about a part of a folder in the staging area whose removal was interrupted.
fn not_removed(staging: &Path) -> String {
    format!(
        "What was not removed in time is in {}. The next folder takes its place; it can be removed.",
        shown(staging)
    )
}

/// A number of files as text.
fn number_of_files(count: u32) -> String {
    if count == 1 { "1 file".into() } else { format!("{count} files") }
}

/// Derives the secret of a sealed file from its key. The computation takes a moment, so it runs on a thread of its
/// own.
async fn file_secret(key: &TransferKey, header: &Header) -> Box<Secret> {
    let (mut copy, salt, iterations) = (Box::new(TransferKey::empty()), header.salt, header.iterations);
    copy.copy_from(key);
    in_background(move || {
        let mut secret = Box::new(Secret::empty());
        let mut stretch = Stretch::new(&copy, &salt, iterations);
        while !stretch.step(iterations) {}
        stretch.finish(&mut secret);
        secret
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn a_command_that_ended_does_not_wait_for_the_resolver() {
        let (_still, over) = channel::<()>();
        let (begin, begun) = oneshot::channel();
        let answered = Arc::new(AtomicBool::new(false));
        let answer = answered.clone();
        let resolver = move || {
            let _ = begin.send(());
            let _ = over.recv_timeout(Duration::from_secs(10));
            answer.store(true, Ordering::SeqCst);
        };
        let ended = wait_for(async {
            drop(tokio::task::spawn_blocking(resolver));
            begun.await.expect("it begins");
            Err::<(), _>(Error::interrupted())
        });
        assert!(ended.is_err() && !answered.load(Ordering::SeqCst));
    }
}
