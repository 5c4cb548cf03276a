//! `waft receive`: listens, and receives folders from trusted senders, one after the other.
//!
//! TCP -> TLS -> frame -> open -> decompress -> **store**. PROTOCOL.md, section 6.

mod entrance;
mod greeting;
mod operator;
mod reception;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use waft_core::limits::REMEMBER_MS;

use self::entrance::{Entrance, Knock, Porter};
use self::greeting::{Greeting, greet};
pub(super) use self::greeting::{listen_at, reachable_at};
use self::reception::Reception;
use super::answers::key_form;
use super::open_identity_in_background;
use super::targets::{self, Target};
use crate::asked::Asked;
use crate::cli::arguments::Receive;
use crate::cli::interrupt::Interrupt;
use crate::cli::platform;
use crate::cli::ui::{Event, Ui};
use crate::door::AdmitError;
use crate::error::{Class, Error};
use crate::home::Home;
use crate::identity::Identity;
use crate::net::listen;
use crate::store::DirectoryStore;
use crate::tls::pins::Pins;
use crate::tls::{Authenticated, receiver};
use crate::trust::CurrentTrust;
use crate::worker::in_background;

/// With `--once`: how long a sender can reconnect for a receipt that it may not have received. This is longer than a
/// sender keeps trying.
const RECEIPT: Duration = Duration::from_secs(60);

/// Runs the command.
pub(super) async fn run(args: Receive, ui: &Ui) -> Result<(), Error> {
    let interrupt = Interrupt::listen();
    super::check_answer(Asked::Key, key_form)?;
    if !args.no_key && Asked::Key.in_environment().is_none() && platform::stdin_is_null() {
        ui.warn("no key can be typed here, since standard input is /dev/null: give --no-key, or set WAFT_KEY");
    }
    let endpoint = listen_at(args.listen.as_deref())?;
    let (home, trust) = interrupt.or(in_background(super::open_home)).await?;
    let identity = Arc::new(interrupt.or(open_identity_in_background(&home, ui)).await?);
    let store = interrupt.or(open_store(&args, &home, ui)).await?;
    let (listener, local) = listen(endpoint).await.map_err(Error::Listen)?;
    let mut reception = Reception::new(&args, identity.clone(), store);
    let about = Greeting { args: &args, home: &home, identity: &identity, trust: &trust, local };
    greet(&about, &mut reception, ui)?;
    let mut entrance = Entrance::new(listener, Prover { trust: CurrentTrust::new(home), identity });
    match receive(&mut entrance, &mut reception, args.once, ui, &interrupt).await {
        Err(Error::Interrupted) => {
            Err(left_behind(&mut reception, &interrupt).await.map_or(Error::Interrupted, Error::InterruptedWithPart))
        }
        ended => ended,
    }
}

async fn open_store(args: &Receive, home: &Home, ui: &Ui) -> Result<DirectoryStore, Error> {
    let target = Target { into: &args.into, overwrite: args.overwrite, abandon: args.abandon, home: Some(home) };
    targets::open(&target, ui).await
}

/// The path of a part of a folder that is kept, unless the disk takes too long to answer.
async fn left_behind(reception: &mut Reception, interrupt: &Interrupt) -> Option<PathBuf> {
    tokio::select! {
        path = reception.left_behind() => path,
        () = interrupt.overdue() => None,
    }
}

/// Receives folders until Ctrl-C; with `once`, until one folder is committed or finally refused.
async fn receive(
    entrance: &mut Entrance<Prover>,
    reception: &mut Reception,
    once: bool,
    ui: &Ui,
    interrupt: &Interrupt,
) -> Result<(), Error> {
    // A sender whose connection broke reconnects within this time or not at all.
    let mut broken: Option<(Instant, Error)> = None;
    loop {
        let late = broken.as_ref().map(|(since, _)| *since + Duration::from_millis(REMEMBER_MS));
        let knock = tokio::select! {
            knock = entrance.next() => knock,
            () = interrupt.raised() => return Err(Error::Interrupted),
            () = until(late) => return Err(broken.map_or(Error::Interrupted, |(_, error)| error)),
            () = reception.expire() => continue,
        };
        let (from, guest) = match knock {
            Knock::Proven(from, guest) => (from, guest),
            Knock::Failed(from, failure) => {
                failure.tell(from, ui);
                continue;
            }
        };
        ui.detail(format!("{} connects from {}.", guest.peer.name, from.ip().to_canonical()));
        // The session handles Ctrl-C itself: it informs the sender, and completes a commit that has begun.
        let outcome = tokio::select! {
            outcome = reception.receive(guest, ui, interrupt) => outcome,
            never = entrance.keep() => match never {},
        };
        match outcome {
            Ok(()) if once && reception.has_unconfirmed_receipt() => {
                return give_receipt(entrance, reception, ui, interrupt).await;
            }
            Ok(()) if once => return Ok(()),
            Ok(()) => {}
            Err(Error::Interrupted) => return Err(Error::Interrupted),
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
        reception.listen_on(ui);
    }
}

/// Waits for the sender of the committed folder, whose receipt may have been lost, and accepts nothing else. Always
/// succeeds, because the folder is already committed.
async fn give_receipt(
    entrance: &mut Entrance<Prover>,
    reception: &mut Reception,
    ui: &Ui,
    interrupt: &Interrupt,
) -> Result<(), Error> {
    reception.close();
    ui.say(format!(
        "The connection ended before its sender confirmed the receipt. Waiting up to {} s for it to come back.",
        RECEIPT.as_secs()
    ));
    let end = Instant::now() + RECEIPT;
    while reception.has_unconfirmed_receipt() {
        let knock = tokio::select! {
            knock = entrance.next() => knock,
            () = interrupt.raised() => return Ok(()),
            () = sleep_until(end) => return Ok(()),
        };
        match knock {
            Knock::Failed(from, failure) => failure.tell(from, ui),
            Knock::Proven(_, guest) => {
                let outcome = tokio::select! {
                    outcome = reception.receive(guest, ui, interrupt) => outcome,
                    never = entrance.keep() => match never {},
                };
                if let Err(error) = outcome {
                    ui.detail(error.to_string());
                }
            }
        }
    }
    Ok(())
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Authenticates connections. The trust file is checked for each one, so that a peer that was just added can connect.
#[derive(Clone)]
struct Prover {
    trust: CurrentTrust,
    identity: Arc<Identity>,
}

impl Porter for Prover {
    type Guest = Authenticated;
    type Failure = Failure;

    async fn prove(self, stream: TcpStream) -> Result<Authenticated, Failure> {
        let identity = self.identity;
        let trust = in_background(move || self.trust.get()).await.map_err(|error| Failure::Known(error.into()))?;
        // Without this option, small messages would be delayed until earlier ones are acknowledged.
        let _ = stream.set_nodelay(true);
        let who = stream.peer_addr().map_or("somebody".into(), |from| from.ip().to_canonical().to_string());
        let proven = receiver::authenticate(stream, &identity, Pins::senders(trust)).await;
        proven.map_err(|error| Failure::Known(Error::Handshake(who, error)))
    }
}

/// Why a connection was rejected.
enum Failure {
    /// The peer did not send a valid preface.
    Stranger(AdmitError),
    /// An error that the user may want to fix.
    Known(Error),
}

impl From<AdmitError> for Failure {
    fn from(error: AdmitError) -> Self {
        Self::Stranger(error)
    }
}

impl Failure {
    fn tell(self, from: SocketAddr, ui: &Ui) {
        let address = from.ip().to_canonical().to_string();
        match self {
            Self::Stranger(error) => ui.detail(format!("{address}: {error}")),
            Self::Known(error) => {
                let told = error.told();
                ui.event(&Event::Rejected { address, class: told.class.name(), message: told.what.clone() });
                ui.say(format!("Turned away: {}\n  {}", told.what, told.next));
            }
        }
    }
}
