//! Sends a folder to a trusted receiver, over as many connections as that takes. A [`Destination`] is the receiver and its
//! address.
//!
//! Walk -> archive -> compress -> seal -> frame -> TLS -> **TCP**. PROTOCOL.md, section 6.

#[cfg(feature = "discovery")]
mod announced;
mod attempt;
pub(crate) mod error;
mod operator;
mod retry;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand_core::{OsRng, RngCore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use waft_core::code::TransferKey;
use waft_core::path::FolderName;
use waft_core::sealed::{ChunkSize, Compressor};
use waft_core::session::sender::buffer_len;

use crate::address::Address;
use crate::error::{Class, Error};
use crate::folder::{Folder, FolderSource};
use crate::identity::Identity;
use crate::send::attempt::Failure;
use crate::send::error::lost;
use crate::send::retry::{Outlook, Retries};
use crate::trust::{Peer, Trust, TrustError, TrustSource};
use crate::{Receipt, session};

pub use self::operator::{Event, Operator};
pub use self::retry::RetryLimit;
pub use waft_core::session::sender::KeyRule;
pub use waft_core::wire::message::Stage;

/// Sends one folder to one receiver. It has the state of this run: the transfer key, and what is known after connections
/// that broke.
///
/// The futures need a Tokio runtime with I/O and time. They are not `Send`: await them in `main`, in
/// [`block_on`](tokio::runtime::Runtime::block_on) or in a [`LocalSet`](tokio::task::LocalSet), not in `tokio::spawn`.
pub struct Sender {
    identity: Arc<Identity>,
    trust: TrustSource,
    destination: Destination,
    source: FolderSource,
    cancel: CancellationToken,
    keys: KeyRule,
    waits: bool,
    #[cfg(feature = "discovery")]
    finding: announced::Finding,
    /// Boxed, because a key that is moved leaves copies on the stack.
    key: Box<TransferKey>,
    salt: [u8; 32],
    /// A [`FolderName`].
    name: String,
    created: u64,
    /// Whether the operator was given the key.
    is_key_shown: bool,
    /// Whether the receiver's address was stored.
    is_address_saved: bool,
    /// The known addresses that the present attempt has tried.
    tried: Vec<Address>,
    /// Bytes of the archive that were sent, over all connections. Connections that broke may have sent some of them
    /// in vain.
    sent: u64,
    plain: Vec<u8>,
    frame: Vec<u8>,
    compressor: Box<Compressor>,
}

/// A folder that a receiver has committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The receiver's proof.
    pub receipt: Receipt,
    /// Bytes of the archive that were sent, over all connections. Fewer than [`Receipt::bytes`] if the receiver had a
    /// part of the folder already; more if connections broke.
    pub bytes_sent: u64,
}

impl Sender {
    /// Prepares to send `folder` to `destination`, with a new transfer key. `trust` has to contain the destination. Senders to
    /// several receivers share the identity, and clones of the folder.
    pub fn new(
        identity: impl Into<Arc<Identity>>,
        trust: impl Into<TrustSource>,
        destination: Destination,
        folder: Folder,
    ) -> Self {
        let mut salt = [0; 32];
        OsRng.fill_bytes(&mut salt);
        let mut key = Box::new(TransferKey::empty());
        key.randomize(&mut OsRng);
        let name = folder.name().as_str().to_owned();
        Self {
            identity: identity.into(),
            trust: trust.into(),
            destination,
            source: FolderSource::new(folder),
            cancel: CancellationToken::new(),
            keys: KeyRule::Any,
            waits: false,
            #[cfg(feature = "discovery")]
            finding: announced::Finding::Off,
            key,
            salt,
            name,
            created: session::seconds_since_1970(),
            is_key_shown: false,
            is_address_saved: false,
            tried: Vec::new(),
            sent: 0,
            plain: vec![0; buffer_len(ChunkSize::MAX)],
            frame: vec![0; buffer_len(ChunkSize::MAX)],
            compressor: Box::default(),
        }
    }

    /// Sends only if the key reaches the receiver in one of these ways. A receiver that takes sealed keys opens the folder
    /// without a user.
    pub fn keys(mut self, keys: KeyRule) -> Self {
        self.keys = keys;
        self
    }

    /// What the folder is called at the receiver. The default is its own name here ([`Folder::name`]).
    pub fn named(mut self, name: FolderName<'_>) -> Self {
        name.as_str().clone_into(&mut self.name);
        self
    }

    /// What the folder is called at the receiver.
    pub fn name(&self) -> FolderName<'_> {
        FolderName::new(&self.name).expect("the name was checked")
    }

    /// Takes less memory, at most 1 MiB, because many senders run at the same time.
    pub fn among_many(mut self, is_among_many: bool) -> Self {
        if is_among_many {
            self.source = self.source.among_many();
        }
        self
    }

    /// Waits until the receiver is there, whatever keeps it from a first session: it is off, boots, is busy, or has no
    /// address yet.
    pub fn wait_for_receiver(mut self, wait: bool) -> Self {
        self.waits = wait;
        self
    }

    /// Looks for the receiver by multicast DNS if it is not at its known addresses, or has none. Not for a destination whose
    /// address was given. Only addresses on networks of this machine are tried, and the receiver has to authenticate at them
    /// as everywhere. With a [`Home`](crate::home::Home), the address is remembered.
    #[cfg(feature = "discovery")]
    pub fn find_receiver(mut self, find: bool) -> Self {
        self.finding = if find { announced::Finding::NotYet } else { announced::Finding::Off };
        self
    }

    /// Stops when this token is cancelled: notifies the receiver, and ends with an error of [`Class::Interrupted`], or of
    /// [`Class::Unknown`] if the receiver may have the whole folder.
    ///
    /// Dropping the future of [`send`](Self::send) stops as well, and does not notify the receiver.
    pub fn cancel_on(mut self, token: CancellationToken) -> Self {
        self.cancel = token;
        self
    }

    /// Where the folder is sent.
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Sends the folder, and tries again until there is a receipt or another attempt is pointless. A later call goes on
    /// where this one ended.
    pub async fn send(&mut self, operator: &mut impl Operator) -> Result<Sent, Error> {
        let receipt = self.send_until_committed(operator).await.map_err(|error| match error.class() {
            Class::Interrupted if self.sent > 0 => error.with_advice(format!(
                "What {} has by now stays there: sending again continues from there.",
                self.destination.peer().name
            )),
            _ => error,
        })?;
        Ok(Sent { receipt, bytes_sent: self.sent })
    }

    async fn send_until_committed(&mut self, operator: &mut impl Operator) -> Result<Receipt, Error> {
        let (start, mut retries, mut broken) = (Instant::now(), Retries::new(self.waits), None);
        loop {
            let failure = match self.attempt(&mut retries, operator).await {
                Ok(receipt) => return Ok(receipt),
                Err(failure) => failure,
            };
            let elapsed = start.elapsed();
            let Some(retry) = retries.next(failure.outlook, elapsed) else {
                return Err(final_error(failure, broken));
            };
            let Failure { error, hint, .. } = &failure;
            operator.event(Event::Retry { error, hint: *hint, wait: retry.wait, limit: retry.limit, elapsed });
            broken = more_important(broken, failure);
            if self.is_cancelled_within(retry.wait).await {
                return Err(final_error(Error::interrupted().into(), broken));
            }
        }
    }

    async fn is_cancelled_within(&self, wait: Duration) -> bool {
        tokio::select! {
            () = sleep(wait) => false,
            () = self.cancel.cancelled() => true,
        }
    }
}

/// Chooses which error of a broken session to remember. One after which the folder may have arrived is never
/// replaced.
fn more_important(before: Option<Failure>, failure: Failure) -> Option<Failure> {
    match before {
        Some(before) if before.is_outcome_unknown() => Some(before),
        _ if failure.outlook == Outlook::Broken => Some(failure),
        before => before,
    }
}

/// Chooses the error to report: the last one, unless an earlier broken session is more important. In that case the
/// last error is included, because it may say which program answers at the address now.
fn final_error(last: Failure, broken: Option<Failure>) -> Error {
    match broken {
        Some(broken) if broken.is_outcome_unknown() && last.outlook.is_broken() => broken.error,
        Some(broken) if broken.is_outcome_unknown() || last.outlook.is_out_of_reach() => {
            lost(&broken.error, last.error)
        }
        _ => last.error,
    }
}

/// A trusted receiver at an address.
#[derive(Clone, Debug)]
pub struct Destination {
    peer: Peer,
    /// The address to try first, if one is known.
    address: Option<Address>,
    /// A second address to try if the first one does not respond.
    other: Option<Address>,
    /// Whether the user has given the address.
    #[cfg_attr(not(feature = "discovery"), allow(dead_code))]
    is_given: bool,
}

impl Destination {
    /// Checks the format of an argument for [`parse`](Self::parse), as far as that needs no trusted peers.
    pub fn check_format(to: &str) -> Result<(), Error> {
        to.split_once('@').map_or(Ok(()), |(_, host)| address(host).map(drop))
    }

    /// Parses `NAME`, `NAME@HOST[:PORT]`, or `HOST[:PORT]` if exactly one receiver is trusted.
    pub fn parse(to: &str, trust: &Trust) -> Result<Self, Error> {
        if let Some((name, host)) = to.split_once('@') {
            return Self::new(named(name, trust)?, Some(address(host)?));
        }
        match trust.by_name(to) {
            Some(peer) => Self::new(peer, None),
            None if looks_like_name(to) && trust.only_receiver().is_err() => Err(unknown(to)),
            None => Self::new(trust.only_receiver()?, Some(address(to)?)),
        }
    }

    /// The only trusted receiver, at its known address.
    pub fn only(trust: &Trust) -> Result<Self, Error> {
        Self::new(trust.only_receiver()?, None)
    }

    /// A trusted receiver at `address`; without one, where it was last reached, or at its configured address, if one is known.
    pub fn new(peer: &Peer, address: Option<Address>) -> Result<Self, Error> {
        if !peer.receives {
            return Err(not_a_receiver(peer));
        }
        let is_given = address.is_some();
        let (address, other) = match address {
            Some(given) => (Some(given), None),
            None => (peer.address().cloned(), peer.at.clone()),
        };
        let other = other.filter(|other| Some(other) != address.as_ref());
        Ok(Self { peer: peer.clone(), address, other, is_given })
    }

    /// The receiver.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The address to try first; `None` if none is known, so that the receiver has to be found.
    pub fn address(&self) -> Option<&Address> {
        self.address.as_ref()
    }

    /// Changes the address to try first. The one before becomes the second one, unless there is a configured one.
    #[cfg(feature = "discovery")]
    fn move_to(&mut self, address: Address) {
        let other = self.other.take().filter(|other| *other != address);
        let before = self.address.replace(address);
        self.other = other.or(before);
    }
}

fn not_a_receiver(peer: &Peer) -> Error {
    Error::new(
        Class::Identity,
        format!("{} is trusted here, but not to receive from this machine.", peer.name),
        format!("To allow it: waft trust remove {}, then add it again without --receive-only.", peer.name),
    )
}

/// The error for a receiver whose address is neither known nor announced.
pub(crate) fn no_address(peer: &Peer) -> Error {
    Error::new(
        Class::Unreachable,
        format!("The address of {} is not known, and it was not found on this network.", peer.name),
        format!(
            "Is it on, and does it announce itself (`waft find` lists what does)? Or give an address that it shows: waft send FOLDER {}@ADDRESS. It is remembered from then on.",
            peer.name
        ),
    )
}

fn named<'t>(name: &str, trust: &'t Trust) -> Result<&'t Peer, Error> {
    trust.by_name(name).ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> Error {
    TrustError::Unknown { name: name.to_owned() }.into()
}

fn address(text: &str) -> Result<Address, Error> {
    text.parse().map_err(|problem| Error::usage(format!("{text:?} is not an address: {problem}")))
}

/// A text without a dot and a colon is more likely a mistyped name than a host.
fn looks_like_name(text: &str) -> bool {
    !text.contains(['.', ':'])
}

#[cfg(test)]
mod tests {
    use waft_core::session::SessionError;
    use waft_core::session::sender::SendError;

    use super::error::session_error;
    use super::*;
    use crate::address::Address;
    use crate::identity::Identity;
    use crate::net::DialError;
    use crate::preface::PrefaceError;
    use crate::session::Phase;

    fn session(cause: impl Into<SendError>) -> Failure {
        let cause = cause.into();
        Failure::session(cause, session_error("kitchen", cause, None, Phase::Code), Phase::Code)
    }

    fn address() -> Address {
        "kitchen".parse().expect("an address")
    }

    fn absent() -> Failure {
        DialError::Refused { address: address() }.into()
    }

    fn class(last: Failure, broken: Option<Failure>) -> Class {
        final_error(last, broken).class()
    }

    #[test]
    fn a_receiver_that_is_gone_after_a_broken_session_is_reported_with_both_errors() {
        let broken = more_important(None, session(SessionError::Disconnected));
        let error = final_error(absent(), broken);
        let text = error.to_string();
        assert_eq!(error.class(), Class::Broken);
        assert!(text.contains("while the code was asked for") && text.contains("Nothing listens"), "{text}");
        assert_eq!(class(absent(), None), Class::Unreachable);
    }

    #[test]
    fn that_a_folder_may_have_arrived_is_not_forgotten() {
        let unknown = || more_important(None, session(SendError::OutcomeUnknown { interrupted: false }));
        let still = more_important(unknown(), session(SessionError::Disconnected));
        assert_eq!(class(absent(), still), Class::Unknown);
        assert_eq!(class(session(SessionError::TimedOut), unknown()), Class::Unknown);
        let interrupted = || Failure::from(Error::interrupted());
        assert_eq!(class(interrupted(), unknown()), Class::Unknown);
        let broken = more_important(None, session(SessionError::Disconnected));
        assert_eq!(class(interrupted(), broken), Class::Interrupted);
    }

    #[test]
    fn a_stranger_that_answers_afterwards_is_named() {
        let unknown = more_important(None, session(SendError::OutcomeUnknown { interrupted: false }));
        let error = final_error(Failure::preface(PrefaceError::NotWaft, &address()), unknown);
        let text = error.to_string();
        assert_eq!(error.class(), Class::Unknown);
        assert!(text.contains("Everything was sent") && text.contains("is not waft"), "{text}");
    }

    /// Trusts peers given as `(name, may receive, address)`.
    fn trust(peers: &[(&str, bool, Option<&str>)]) -> Trust {
        let own = Identity::generate();
        let mut trust = Trust::default();
        for (name, receives, at) in peers {
            let peer = Peer {
                name: name.parse().expect("a name"),
                certificate: Identity::generate().certificate().clone(),
                sends: true,
                receives: *receives,
                at: at.map(|at| at.parse().expect("an address")),
                last: None,
            };
            trust.add(peer, own.certificate()).expect("a new peer");
        }
        trust
    }

    fn read(to: &str, trust: &Trust) -> Result<String, Error> {
        Destination::parse(to, trust).map(|target| match target.address {
            Some(address) => format!("{} at {address}", target.peer.name),
            None => format!("{}, to be found", target.peer.name),
        })
    }

    fn error(to: &str, trust: &Trust) -> String {
        read(to, trust).unwrap_err().to_string()
    }

    #[test]
    fn names_and_addresses_go_together() {
        let trust = trust(&[("kitchen", true, Some("10.0.0.2")), ("attic", true, None)]);
        assert_eq!(read("kitchen", &trust).unwrap(), "kitchen at 10.0.0.2:12346");
        assert_eq!(read("KITCHEN@host:99", &trust).unwrap(), "kitchen at host:99");
        assert_eq!(read("attic@[::1]:99", &trust).unwrap(), "attic at [::1]:99");
        assert_eq!(read("attic", &trust).unwrap(), "attic, to be found");
        assert!(error("cellar@host", &trust).contains("cellar"));
        assert!(error("cellar", &trust).contains("cellar"));
        assert!(error("10.0.0.2", &trust).starts_with("More than one receiver"));
        assert!(error("attic@a b", &trust).contains("is not an address"));
    }

    #[test]
    fn where_it_was_met_comes_before_where_it_is_said_to_be() {
        let trust = trust(&[("kitchen", true, Some("10.0.0.2"))]);
        assert_eq!(Destination::parse("kitchen", &trust).unwrap().other, None);
        let mut peer = trust.peers()[0].clone();
        peer.last = Some("10.0.0.7".parse().expect("an address"));
        let target = Destination::new(&peer, None).unwrap();
        assert_eq!(target.address.unwrap().to_string(), "10.0.0.7:12346");
        assert_eq!(target.other.map(|other| other.to_string()).as_deref(), Some("10.0.0.2:12346"));
        assert_eq!(Destination::parse("kitchen@host", &trust).unwrap().other, None);
    }

    #[test]
    fn a_host_will_do_while_one_receiver_is_trusted() {
        let trust = trust(&[("kitchen", true, None), ("laptop", false, Some("10.0.0.3"))]);
        assert_eq!(read("myhost", &trust).unwrap(), "kitchen at myhost:12346");
        assert_eq!(read("10.0.0.9:1", &trust).unwrap(), "kitchen at 10.0.0.9:1");
        assert!(error("laptop", &trust).contains("not to receive"));
    }
}
