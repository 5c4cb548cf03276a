//! One connection to the receiver, from TCP to the receipt, and the state that a run keeps between connections.

use std::marker::PhantomData;
use std::pin::pin;
use std::time::Duration;

use rand_core::OsRng;
use tokio::net::TcpStream;
use tokio::time::timeout;
use waft_core::code::TransferKey;
use waft_core::sealed::{ChunkSize, Compressor};
use waft_core::session::sender::{Buffers, Environment, Peer, Run, Sender, Source, SourceError, buffer_len};
use waft_core::session::{Receipt, SessionError};
use waft_core::wire::message::{Cancel, Refusal};

use super::operator::{AtSender, KeyTold};
use super::patience::Patience;
use super::target::Target;
use crate::address::Address;
use crate::cli::interrupt::Interrupt;
use crate::cli::ui::{Event, Ui};
use crate::cli::{folders, seconds_since_1970};
use crate::clock::Clock;
use crate::crypto::RingCipher;
use crate::door::knock;
use crate::error::{Error, Moment};
use crate::folder::FolderSource;
use crate::home::Home;
use crate::identity::Identity;
use crate::net::{DIAL, DialError, dial};
use crate::tls::link::TlsLink;
use crate::tls::pins::Pins;
use crate::tls::sender::authenticate;
use crate::trust::{CurrentTrust, Trust};
use crate::worker::in_background;

/// Iterations of the key derivation: the receiver's cost for each typed or guessed key.
const ITERATIONS: u32 = 200_000;

/// How long to wait for a connection before the user is told about the delay.
const DIAL_QUIETLY: Duration = Duration::from_secs(3);

/// The types with which core's sender works on a computer.
struct SenderEnvironment<'a>(PhantomData<&'a ()>);

impl<'a> Environment for SenderEnvironment<'a> {
    type Link = TlsLink;
    type Source = FolderSource;
    type Operator = AtSender<'a>;
    type Clock = Clock;
    type Rng = OsRng;
    type Cipher = RingCipher;
}

/// The state of a run.
pub(super) struct Sending {
    home: Home,
    trust: CurrentTrust,
    identity: Identity,
    target: Target,
    source: FolderSource,
    key: Box<TransferKey>,
    salt: [u8; 32],
    typed_only: bool,
    created: u64,
    key_told: KeyTold,
    remembered: bool,
    /// Bytes of the archive that were sent, over all connections. Connections that broke may have sent some of them
    /// in vain.
    sent: u64,
    plain: Vec<u8>,
    frame: Vec<u8>,
    compressor: Box<Compressor>,
}

impl Sending {
    pub(super) fn new(
        home: Home,
        identity: Identity,
        target: Target,
        source: FolderSource,
        key: Box<TransferKey>,
        salt: [u8; 32],
        typed_only: bool,
    ) -> Self {
        Self {
            trust: CurrentTrust::new(home.clone()),
            home,
            identity,
            target,
            source,
            key,
            salt,
            typed_only,
            created: seconds_since_1970(),
            key_told: KeyTold::default(),
            remembered: false,
            sent: 0,
            plain: vec![0; buffer_len(ChunkSize::MAX)],
            frame: vec![0; buffer_len(ChunkSize::MAX)],
            compressor: Box::default(),
        }
    }

    pub(super) fn peer_name(&self) -> &str {
        self.target.peer.name.as_str()
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Connects, authenticates the receiver, and offers the folder.
    pub(super) async fn attempt(
        &mut self,
        patience: &mut Patience,
        ui: &Ui,
        interrupt: &Interrupt,
    ) -> Result<Receipt, Error> {
        let mut link = tokio::select! {
            link = self.connect(ui) => link?,
            () = interrupt.raised() => return Err(Error::Interrupted),
        };
        patience.met();
        ui.event(&Event::Connected { peer: self.target.peer.name.as_str() });
        ui.say(format!("{} is there.", self.target.peer.name));
        self.remember(ui).await;

        let peer = &self.target.peer;
        let run = Run {
            key: &self.key,
            salt: self.salt,
            created: self.created,
            iterations: ITERATIONS,
            chunk: ChunkSize::MAX,
            certificate: self.identity.certificate().hash(),
            typed_only: self.typed_only,
        };
        let total = self.source.info().shape.total;
        let mut operator = AtSender::new(ui, interrupt, peer.name.as_str(), &self.key, total, &mut self.key_told);
        let mut sender = Sender::<SenderEnvironment<'_>> {
            run: &run,
            source: &mut self.source,
            operator: &mut operator,
            clock: &Clock::start(),
            rng: &mut OsRng,
            buffers: Buffers { plain: &mut self.plain, frame: &mut self.frame, compressor: Some(&mut self.compressor) },
        };
        let receiver = Peer { certificate: peer.certificate.hash(), hpke: peer.certificate.hpke() };
        let outcome = tokio::select! {
            outcome = sender.send(&mut link, &receiver) => Some(outcome),
            () = interrupt.overdue() => None,
        };
        let outcome = outcome.unwrap_or_else(|| match operator.has_sent_all() {
            true => Err(SessionError::OutcomeUnknown { interrupted: true }),
            false => Err(SessionError::Cancelled(Cancel::Interrupted)),
        });
        link.close().await;
        let (crossed, moment, failure) = operator.end();
        if crossed > 0 {
            self.sent += crossed;
            patience.got_further();
        }
        match outcome {
            Ok(receipt) => Ok(receipt),
            Err(cause) => Err(match failure {
                Some(failure) => failure,
                None => self.failed(cause, moment).await,
            }),
        }
    }

    /// Opens the TCP connection, sends the preface, and performs the TLS handshake.
    async fn connect(&mut self, ui: &Ui) -> Result<TlsLink, Error> {
        let mut stream = self.dial(ui).await?;
        let Target { peer, address, .. } = &self.target;
        knock(&mut stream).await.map_err(|error| Error::Knock(address.clone(), error))?;
        let current = self.trust.clone();
        let trust = in_background(move || current.get()).await?;
        let proven = authenticate(stream, &self.identity, Pins::receiver(trust, &peer.name)).await;
        let who = || format!("{} at {address}", peer.name);
        proven.map(|proven| proven.link).map_err(|error| Error::Handshake(who(), error))
    }

    /// Connects to the address where the receiver was last reached; if that fails, to its configured address.
    async fn dial(&mut self, ui: &Ui) -> Result<TcpStream, Error> {
        let Target { address, other, peer } = &mut self.target;
        let failed = match patiently(address, ui).await {
            Ok(stream) => return Ok(stream),
            Err(failed) => failed,
        };
        let Some(second) = other else { return Err(Error::Dial(failed)) };
        ui.detail(format!("{} is not at {address}. Trying {second}, its address in the trust file.", peer.name));
        match patiently(second, ui).await {
            Ok(stream) => {
                std::mem::swap(address, second);
                Ok(stream)
            }
            Err(again) => Err(Error::DialBoth(failed, again)),
        }
    }

    /// Adds information to a session's error that the session does not have.
    async fn failed(&mut self, cause: SessionError, moment: Moment) -> Error {
        let entry = match cause {
            SessionError::Cancelled(Cancel::Interrupted) => return Error::Interrupted,
            SessionError::Cancelled(Cancel::SourceChanged) => {
                return folders::source_error(SourceError::Changed, &mut self.source);
            }
            SessionError::Cancelled(Cancel::SourceUnreadable) => {
                return folders::source_error(SourceError::Unreadable, &mut self.source);
            }
            SessionError::Refused(Refusal::Name { entry } | Refusal::Collision { entry }) => {
                folders::entry_path(&mut self.source, entry).await
            }
            _ => None,
        };
        Error::Sending { peer: self.peer_name().to_owned(), cause, entry, moment }
    }

    /// Stores the receiver's address, once per run.
    async fn remember(&mut self, ui: &Ui) {
        if !std::mem::replace(&mut self.remembered, true) {
            let hash = self.target.peer.certificate.hash();
            let (home, address) = (self.home.clone(), self.target.address.clone());
            if let Err(error) = in_background(move || Trust::remember(&home, hash, address)).await {
                ui.warn(format!("where {} was met cannot be kept: {error}", self.target.peer.name));
            }
        }
    }
}

/// Connects, and informs the user if that takes long.
async fn patiently(address: &Address, ui: &Ui) -> Result<TcpStream, DialError> {
    let mut dialing = pin!(dial(address, DIAL));
    if let Ok(dialed) = timeout(DIAL_QUIETLY, &mut dialing).await {
        return dialed;
    }
    ui.say(format!("{address} has not answered yet. Waiting up to {} s.", DIAL.as_secs()));
    dialing.await
}
