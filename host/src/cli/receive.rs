//! `waft receive`: receives folders from trusted senders, one after the other, by a [`Receiver`].

mod banner;
mod operator;
mod rejections;

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};
use waft_core::limits::REMEMBER_MS;
use waft_core::session::Receipt;

use self::banner::{Banner, print_banner};
pub(super) use self::banner::{listen_at, reachable_at};
use self::operator::ReceiveOperator;
use self::rejections::Rejections;
use super::answers::{files, key_form};
use super::folders::{not_removed, open_target};
use super::open_identity_in_background;
use crate::cli::arguments::Receive;
use crate::cli::interrupt::Interrupt;
use crate::cli::platform;
use crate::cli::ui::{Event, Question, Ui};
use crate::error::{Class, Error, bytes, shown};
use crate::net::listen;
use crate::receive::{Connection, Outcome, Received, Receiver};
use crate::store::{LeftBehind, Options};
use crate::worker::in_background;

/// With `--once`: how long a sender can reconnect for a receipt that it may not have received. This is longer than a
/// sender keeps trying.
const RECEIPT: Duration = Duration::from_secs(60);

/// Runs the command.
pub(super) async fn run(args: Receive, ui: &Ui) -> Result<(), Error> {
    let interrupt = Interrupt::listen();
    super::check_answer(Question::Key, key_form)?;
    if !args.no_key && Question::Key.in_environment().is_none() && platform::stdin_is_null() {
        ui.warn("no key can be typed here, since standard input is /dev/null: give --no-key, or set WAFT_KEY");
    }
    let endpoint = listen_at(args.listen.as_deref())?;
    let (home, trust) = interrupt.or(in_background(super::open_home)).await?;
    let identity = interrupt.or(open_identity_in_background(&home, ui)).await?;
    let options = Options { overwrite: args.overwrite, abandon: args.abandon, home: Some(home.clone()) };
    let store = interrupt.or(open_target(&args.into, options, ui)).await?;
    let (listener, local) = listen(endpoint).await?;
    let certificate = identity.certificate().clone();
    let mut receiver = Receiver::new(listener, identity, home.clone(), store)
        .require_code(!args.no_code)
        .require_typed_key(!args.no_key)
        .cancel_on(interrupt.token());
    let banner = Banner { args: &args, home: &home, certificate: &certificate, trust: &trust, local };
    print_banner(&banner, receiver.code(), ui)?;
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
                super::answers::show_code(ui, "Code", code);
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
            Outcome::Committed(received) => self.print_committed(name.as_str(), received),
            Outcome::ReceiptRepeated => self.ui.say(format!("{name} has asked for its receipt again.")),
        }
        Ok(())
    }

    fn print_committed(&self, peer: &str, received: Received) {
        let Received { receipt: Receipt { digest, files: count, bytes: total, generation }, held } = received;
        let (ui, sent) = (self.ui, total - held);
        ui.event(&Event::Committed { peer, files: count, bytes: total, sent, digest: digest.to_string(), generation });
        let target = shown(&self.args.into);
        ui.done(format!("The folder of {peer} is in {target}: {}, {}.", files(count), bytes(total)));
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
