//! `waft send`: offers a folder to a trusted receiver, and tries again until the receiver has committed it.
//!
//! Walk -> archive -> compress -> seal -> frame -> TLS -> **TCP**. PROTOCOL.md, section 6.

mod attempt;
mod operator;
mod patience;
mod retries;
mod target;

use std::path::{Path, PathBuf};
use std::time::Instant;

use rand_core::{OsRng, RngCore};
use tokio::time::sleep;
use waft_core::session::sender::Source;
use waft_core::session::{Receipt, SessionError};

use self::attempt::Sending;
use self::patience::{Hope, Patience};
use self::retries::Retries;
use self::target::Target;
use super::answers::{code_form, new_key};
use super::{folders, open_identity_in_background};
use crate::asked::Asked;
use crate::cli::arguments::Send;
use crate::cli::interrupt::Interrupt;
use crate::cli::ui::{Event, Ui};
use crate::door::KnockError;
use crate::error::{Error, bytes, files, shown};
use crate::folder::FolderSource;
use crate::worker::in_background;

/// The default folder to send.
const FOLDER: &str = "SEND_FOLDER";

/// Runs the command.
pub(super) async fn run(args: Send, ui: &Ui) -> Result<(), Error> {
    let interrupt = Interrupt::listen();
    let mut sending = interrupt.or(prepare(args, ui)).await?;
    let receipt = until_sent(&mut sending, ui, &interrupt).await.map_err(|error| match error {
        Error::Interrupted if sending.sent() > 0 => Error::InterruptedSending(sending.peer_name().to_owned()),
        error => error,
    })?;
    tell(&sending, receipt, ui);
    Ok(())
}

/// Prepares everything that needs no connection. Nothing is created before the receiver and its address are known.
async fn prepare(args: Send, ui: &Ui) -> Result<Sending, Error> {
    super::check_answer(Asked::Code, code_form)?;
    target::check_format(args.to.as_deref())?;
    let (home, trust) = in_background(super::open_home).await?;
    let known = Target::find(args.to.as_deref(), &trust, ui)?;
    let folder = folder(args.folder, ui).await?;
    let target = match known {
        Some(target) => target,
        None => Target::ask(&trust, ui).await?,
    };
    let folder = match folder {
        Some(folder) => folder,
        None => default_folder(ui)?,
    };
    let identity = open_identity_in_background(&home, ui).await?;
    let source = FolderSource::new(folders::walk(&folder, args.skip_unsendable, ui).await?);
    let info = source.info();
    let (folder, total) = (shown(&folder), bytes(info.shape.total));
    ui.say(format!(
        "Sending {folder}: {}, {total}, to {} at {}.",
        files(info.shape.files),
        target.peer.name,
        target.address
    ));
    let (key, typed_only) = (new_key(), args.typed_key);
    let mut salt = [0; 32];
    OsRng.fill_bytes(&mut salt);
    Ok(Sending::new(home, identity, target, source, key, salt, typed_only))
}

/// The folder to send: the one in the arguments, else the user's answer at the terminal. `None` for the default
/// folder, which may not exist yet.
async fn folder(typed: Option<PathBuf>, ui: &Ui) -> Result<Option<PathBuf>, Error> {
    if typed.is_some() || !ui.has_person() {
        return Ok(typed);
    }
    let answer = ui.ask(Asked::Folder, &format!("Folder [./{FOLDER}]:"), folder_form).await?;
    Ok((!answer.is_empty()).then(|| answer.into()))
}

/// The default folder, which is created if it does not exist.
fn default_folder(ui: &Ui) -> Result<PathBuf, Error> {
    let path = PathBuf::from(FOLDER);
    if !path.exists() {
        std::fs::create_dir(&path).map_err(|cause| Error::File(path.clone(), cause))?;
        ui.must(format!("Made ./{FOLDER}: put into it what is to be sent."));
    }
    Ok(path)
}

/// Accepts an empty answer, or an existing folder.
fn folder_form(answer: &str) -> Result<String, String> {
    let there = answer.is_empty() || Path::new(answer).is_dir();
    if there { Ok(answer.to_owned()) } else { Err("no such folder".to_owned()) }
}

/// Sends the folder, and tries again until there is a receipt or another attempt is pointless.
async fn until_sent(sending: &mut Sending, ui: &Ui, interrupt: &Interrupt) -> Result<Receipt, Error> {
    let (start, mut patience) = (Instant::now(), Patience::default());
    let (mut broken, mut told) = (None, Retries::default());
    loop {
        let error = match sending.attempt(&mut patience, ui, interrupt).await {
            Ok(receipt) => return Ok(receipt),
            Err(error) => error,
        };
        let now = start.elapsed();
        let Some(retry) = patience.next(Hope::after(&error), now) else {
            return Err(verdict(error, broken));
        };
        told.tell(&error, retry, now, ui);
        broken = worse(broken, error);
        tokio::select! {
            () = sleep(retry.wait) => {}
            () = interrupt.raised() => return Err(verdict(Error::Interrupted, broken)),
        }
    }
}

/// Chooses which error of a broken session to remember. One after which the folder may have arrived is never
/// replaced.
fn worse(before: Option<Error>, error: Error) -> Option<Error> {
    match (before, error) {
        (Some(before), _) if is_outcome_unknown(&before) => Some(before),
        (_, error @ Error::Sending { .. }) => Some(error),
        (before, _) => before,
    }
}

/// Chooses the error to report: the last one, unless an earlier broken session is more important. In that case the
/// last error is included, because it may say which program answers at the address now.
fn verdict(last: Error, broken: Option<Error>) -> Error {
    match broken {
        Some(broken) if is_outcome_unknown(&broken) && Hope::after(&last) == Hope::Broken => broken,
        Some(broken) if is_outcome_unknown(&broken) || is_out_of_reach(&last) => {
            Error::Lost { broken: broken.into(), last: last.into() }
        }
        _ => last,
    }
}

/// Whether the folder may have arrived.
fn is_outcome_unknown(error: &Error) -> bool {
    matches!(error, Error::Sending { cause: SessionError::OutcomeUnknown { .. }, .. })
}

/// Whether the receiver did not respond at all.
fn is_out_of_reach(error: &Error) -> bool {
    use KnockError::{Closed, Silent};
    matches!(error, Error::Dial(_) | Error::DialBoth(..) | Error::Knock(_, Closed | Silent))
}

fn tell(sending: &Sending, receipt: Receipt, ui: &Ui) {
    let Receipt { digest, files: count, bytes: total, generation } = receipt;
    let peer = sending.peer_name();
    let sent = sending.sent();
    let digest_text = digest.to_string();
    ui.event(&Event::Committed { peer, files: count, bytes: total, sent, digest: digest_text, generation });
    // After broken connections the transferred bytes may exceed the total, which would only confuse the user.
    let crossed = if sent < total { format!(", of which {} had to cross", bytes(sent)) } else { String::new() };
    ui.done(format!("{peer} has the folder: {}, {}{crossed}.", files(count), bytes(total)));
    ui.detail(format!("Its digest: {digest}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Moment;
    use crate::net::DialError;

    fn session(cause: SessionError) -> Error {
        Error::Sending { peer: "kitchen".into(), cause, entry: None, moment: Moment::Code }
    }

    fn absent() -> Error {
        Error::Dial(DialError::Refused { address: "kitchen".parse().expect("an address") })
    }

    fn exit(error: Error) -> u8 {
        error.class().exit()
    }

    #[test]
    fn who_is_gone_after_a_broken_session_is_told_of_that() {
        let broken = worse(None, session(SessionError::Disconnected));
        let told = verdict(absent(), broken).told();
        assert_eq!(told.class.exit(), 16);
        assert!(told.what.contains("while the code was asked for") && told.what.contains("Nobody listens"), "{told:?}");
        assert_eq!(exit(verdict(absent(), None)), 10);
    }

    #[test]
    fn that_a_folder_may_have_arrived_is_not_forgotten() {
        let unknown = worse(None, session(SessionError::OutcomeUnknown { interrupted: false }));
        let still = worse(unknown, session(SessionError::Disconnected));
        assert_eq!(exit(verdict(absent(), still)), 18);
        let unknown = || worse(None, session(SessionError::OutcomeUnknown { interrupted: false }));
        assert_eq!(exit(verdict(session(SessionError::TimedOut), unknown())), 18);
        assert_eq!(exit(verdict(Error::Interrupted, unknown())), 18);
        assert_eq!(exit(verdict(Error::Interrupted, worse(None, session(SessionError::Disconnected)))), 130);
    }

    #[test]
    fn a_stranger_who_answers_afterwards_is_named() {
        let address = || "kitchen".parse().expect("an address");
        let unknown = worse(None, session(SessionError::OutcomeUnknown { interrupted: false }));
        let told = verdict(Error::Knock(address(), KnockError::NotWaft), unknown).told();
        assert_eq!(told.class.exit(), 18);
        assert!(told.what.contains("Everything was sent") && told.what.contains("is not waft"), "{told:?}");
    }
}
