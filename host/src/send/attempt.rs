//! One connection to the receiver, from TCP to the receipt.

use std::marker::PhantomData;
use std::pin::pin;
use std::time::Duration;

use rand_core::OsRng;
use tokio::net::TcpStream;
use tokio::time::timeout;
use waft_core::path::FolderName;
use waft_core::sealed::ChunkSize;
use waft_core::session::sender::{Buffers, Environment, Peer, Run, SendError, Sender as Session, Source, SourceError};
use waft_core::session::{Receipt, SessionError};
use waft_core::wire::message::{Cancel, Refusal};

#[cfg(feature = "discovery")]
use super::announced::Finding;
use super::error::session_error;
use super::operator::{Event, Operator, SessionOperator};
use super::retry::{Outlook, Retries};
use super::{Destination, Sender, no_address};
use crate::address::Address;
use crate::error::{Class, Error, LARGE_PACKETS};
use crate::folder::{FolderSource, source_error};
use crate::net::{DIAL, DialError, both_failed, dial};
use crate::preface::{self, PrefaceError};
use crate::session::{Clock, GRACE, Phase, RingCipher};
use crate::tls::TlsLink;
use crate::tls::error::HandshakeError;
use crate::tls::pins::Pins;
use crate::tls::sender::authenticate;
use crate::worker::in_background;

/// Iterations of the key derivation: the receiver's cost for each typed or guessed key.
const ITERATIONS: u32 = 200_000;

/// How long to wait for a connection before the delay is reported to the operator.
const DIAL_QUIETLY: Duration = Duration::from_secs(3);

/// The types with which core's sender works on a computer.
struct SenderEnvironment<'a, O>(PhantomData<&'a O>);

impl<'a, O: Operator> Environment for SenderEnvironment<'a, O> {
    type Link = TlsLink;
    type Source = FolderSource;
    type Operator = SessionOperator<'a, O>;
    type Clock = Clock;
    type Rng = OsRng;
    type Cipher = RingCipher;
}

/// Why an attempt failed.
#[derive(Debug)]
pub(super) struct Failure {
    /// The error to report if there is no further attempt.
    pub(super) error: Error,
    /// What it says about the next attempt.
    pub(super) outlook: Outlook,
    /// A hint at a possible cause, if the peer stopped responding.
    pub(super) hint: Option<&'static str>,
    /// Whether what answers there showed that it is not the receiver, or does not take this sender's folders.
    pub(super) is_foreign: bool,
}

impl Failure {
    /// No address of the receiver is known.
    fn no_address(peer: &crate::trust::Peer) -> Self {
        Self { error: no_address(peer), outlook: Outlook::Unreachable, hint: None, is_foreign: false }
    }

    /// The receiver at `address` did not begin TLS.
    pub(super) fn preface(error: PrefaceError, address: &Address) -> Self {
        let outlook = Outlook::from(error);
        Self { outlook, error: error.at(address), hint: None, is_foreign: outlook == Outlook::Final }
    }

    fn handshake(error: &HandshakeError, peer: &str) -> Self {
        let hint = matches!(error, HandshakeError::TimedOut).then_some(LARGE_PACKETS);
        let outlook = Outlook::from(error);
        Self { outlook, error: error.with(peer), hint, is_foreign: outlook == Outlook::Final }
    }

    /// The session ended with `cause` in this phase.
    pub(super) fn session(cause: SendError, error: Error, phase: Phase) -> Self {
        let is_silence = matches!(
            cause,
            SendError::Session(SessionError::TimedOut | SessionError::PeerCancelled(Cancel::TimedOut))
                | SendError::OutcomeUnknown { interrupted: false }
        );
        let hint = (is_silence && phase == Phase::Begun).then_some(LARGE_PACKETS);
        Self { outlook: cause.into(), error, hint, is_foreign: false }
    }

    /// Whether the folder may have arrived.
    pub(super) fn is_outcome_unknown(&self) -> bool {
        self.error.class() == Class::Unknown
    }
}

/// An error after which another attempt is pointless.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, outlook: Outlook::Final, hint: None, is_foreign: false }
    }
}

impl From<DialError> for Failure {
    fn from(error: DialError) -> Self {
        Self { outlook: Outlook::dialing(&[&error]), error: error.into(), hint: None, is_foreign: false }
    }
}

impl Sender {
    /// Connects, authenticates the receiver, and offers the folder.
    pub(super) async fn attempt(
        &mut self,
        retries: &mut Retries,
        operator: &mut impl Operator,
    ) -> Result<Receipt, Failure> {
        let cancel = self.cancel.clone();
        let mut link = tokio::select! {
            link = self.connect(operator) => link?,
            () = cancel.cancelled() => return Err(Error::interrupted().into()),
        };
        retries.connected();
        operator.event(Event::Connected);
        self.save_address(operator).await;

        let peer = self.destination.peer();
        let run = Run {
            key: &self.key,
            salt: self.salt,
            name: FolderName::new(&self.name).expect("`named` and `Folder::name` have a checked name"),
            created: self.created,
            iterations: ITERATIONS,
            chunk: ChunkSize::MAX,
            certificate: self.identity.certificate().hash(),
            keys: self.keys,
        };
        let total = self.source.info().shape.total;
        let shown = &mut self.is_key_shown;
        let mut operator = SessionOperator::new(operator, &peer.name, &self.key, total, shown, &cancel);
        let mut session = Session::<SenderEnvironment<'_, _>> {
            run: &run,
            source: &mut self.source,
            operator: &mut operator,
            clock: &Clock::start(),
            rng: &mut OsRng,
            buffers: Buffers { plain: &mut self.plain, frame: &mut self.frame, compressor: Some(&mut self.compressor) },
        };
        let receiver = Peer { certificate: peer.certificate.hash(), hpke: peer.certificate.hpke() };
        let outcome = tokio::select! {
            outcome = session.send(&mut link, &receiver) => Some(outcome),
            // A session that has not stopped cleanly by then is stuck.
            () = async { cancel.cancelled().await; tokio::time::sleep(GRACE).await } => None,
        };
        let outcome = outcome.unwrap_or_else(|| match operator.has_sent_all() {
            true => Err(SendError::OutcomeUnknown { interrupted: true }),
            false => Err(SessionError::Cancelled(Cancel::Interrupted).into()),
        });
        link.close().await;
        let (sent, phase) = operator.end();
        if sent > 0 {
            self.sent += sent;
            retries.made_progress();
        }
        match outcome {
            Ok(receipt) => Ok(receipt),
            Err(cause) => Err(self.session_failure(cause, phase).await),
        }
    }

    /// Opens an authenticated connection: to a known address of the receiver, else where it is announced.
    async fn connect(&mut self, operator: &mut impl Operator) -> Result<TlsLink, Failure> {
        self.tried.clear();
        match self.connect_known(operator).await {
            Ok(link) => Ok(link),
            #[cfg(feature = "discovery")]
            Err(failure) if !matches!(self.finding, Finding::Off) => self.connect_announced(failure, operator).await,
            Err(failure) => Err(failure),
        }
    }

    /// Opens an authenticated connection to a known address.
    async fn connect_known(&mut self, operator: &mut impl Operator) -> Result<TlsLink, Failure> {
        let (stream, address) = self.dial(operator).await?;
        match self.secure(stream, &address).await {
            Err(failure) if failure.is_foreign => self.connect_other(&address, failure, operator).await,
            secured => secured,
        }
    }

    /// Opens an authenticated connection to the second address, if it was not tried yet, after another machine responded at
    /// the first one.
    async fn connect_other(
        &mut self,
        first: &Address,
        failure: Failure,
        operator: &mut impl Operator,
    ) -> Result<TlsLink, Failure> {
        let other = self.destination.other.clone().filter(|other| !self.tried.contains(other));
        let Some(second) = other else { return Err(failure) };
        operator.event(Event::OtherAddress { failed: first, next: &second });
        self.tried.push(second.clone());
        let Ok(stream) = dial_reporting_delay(&second, operator).await else { return Err(failure) };
        let link = self.secure(stream, &second).await?;
        let Destination { address, other, .. } = &mut self.destination;
        std::mem::swap(address, other);
        self.is_address_saved = false;
        Ok(link)
    }

    /// Sends the preface, and performs the TLS handshake.
    async fn secure(&self, mut stream: TcpStream, address: &Address) -> Result<TlsLink, Failure> {
        preface::send(&mut stream).await.map_err(|error| Failure::preface(error, address))?;
        self.handshake(stream, address).await
    }

    /// Performs the TLS handshake, which the receiver has begun.
    pub(super) async fn handshake(&self, stream: TcpStream, address: &Address) -> Result<TlsLink, Failure> {
        let peer = self.destination.peer();
        let source = self.trust.clone();
        let trust = in_background(move || source.current()).await.map_err(Error::from)?;
        let secured = authenticate(stream, &self.identity, Pins::receiver(trust, &peer.name)).await;
        let peer = || format!("{} at {address}", peer.name);
        secured.map(|secured| secured.link).map_err(|error| Failure::handshake(&error, &peer()))
    }

    /// Connects to the address where the receiver was last reached; if that fails, to its configured address. Returns the
    /// address as well.
    async fn dial(&mut self, operator: &mut impl Operator) -> Result<(TcpStream, Address), Failure> {
        let Destination { peer, address, other, .. } = &mut self.destination;
        let Some(address) = address else { return Err(Failure::no_address(peer)) };
        self.tried.push(address.clone());
        let failed = match dial_reporting_delay(address, operator).await {
            Ok(stream) => return Ok((stream, address.clone())),
            Err(failed) => failed,
        };
        let Some(second) = other else { return Err(failed.into()) };
        operator.event(Event::OtherAddress { failed: address, next: second });
        self.tried.push(second.clone());
        match dial_reporting_delay(second, operator).await {
            Ok(stream) => {
                std::mem::swap(address, second);
                Ok((stream, address.clone()))
            }
            Err(again) => {
                let outlook = Outlook::dialing(&[&failed, &again]);
                Err(Failure { outlook, error: both_failed(&failed, &again), hint: None, is_foreign: false })
            }
        }
    }

    /// Adds information to a session's error that the session does not have.
    async fn session_failure(&mut self, cause: SendError, phase: Phase) -> Failure {
        let entry = match cause {
            SendError::Session(SessionError::Cancelled(Cancel::Interrupted)) => return Error::interrupted().into(),
            SendError::Session(SessionError::Cancelled(Cancel::SourceChanged)) => {
                return source_error(SourceError::Changed, self.source.take_error().as_ref()).into();
            }
            SendError::Session(SessionError::Cancelled(Cancel::SourceUnreadable)) => {
                return source_error(SourceError::Unreadable, self.source.take_error().as_ref()).into();
            }
            SendError::Session(SessionError::PeerCancelled(Cancel::BaseLost)) => {
                self.source.leave_out_equal_files(false);
                None
            }
            SendError::Session(SessionError::Refused(Refusal::Name { entry } | Refusal::Collision { entry })) => {
                self.source.entry_path(entry).await
            }
            _ => None,
        };
        let peer = self.destination.peer().name.as_str();
        Failure::session(cause, session_error(peer, cause, entry.as_deref(), phase), phase)
    }

    /// Stores the receiver's address, once for each address at which it was reached in this run.
    async fn save_address(&mut self, operator: &mut impl Operator) {
        if !std::mem::replace(&mut self.is_address_saved, true) {
            let hash = self.destination.peer().certificate.hash();
            let trust = self.trust.clone();
            let Some(address) = self.destination.address().cloned() else { return };
            if let Err(error) = in_background(move || trust.save_address(hash, address)).await {
                operator.event(Event::AddressNotSaved(&error.into()));
            }
        }
    }
}

/// Connects, and reports it to the operator if that takes long.
async fn dial_reporting_delay(address: &Address, operator: &mut impl Operator) -> Result<TcpStream, DialError> {
    let mut dialing = pin!(dial(address, DIAL));
    if let Ok(dialed) = timeout(DIAL_QUIETLY, &mut dialing).await {
        return dialed;
    }
    operator.event(Event::StillDialing { address, limit: DIAL });
    dialing.await
}
