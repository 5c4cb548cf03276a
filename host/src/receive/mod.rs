//! Receives folders from trusted senders, one after the other.
//!
//! TCP -> TLS -> frame -> open (decrypt) -> decompress -> **store**. PROTOCOL.md, section 6.

mod accept;
pub(crate) mod error;
mod operator;

use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use rand_core::OsRng;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use waft_core::code::AuthCode;
use waft_core::limits::CHUNK_MAX;
use waft_core::sealed::ChunkSize;
use waft_core::session::peers::PeerState;
use waft_core::session::receiver::{Buffers, Environment, KeySource, Policy, Receiver as Session, buffer_len};
use waft_core::session::{Clock as _, SessionError};
use waft_core::wire::message::Cancel;
use zeroize::Zeroizing;

pub use self::operator::{Event, KeyAnswer, Offer, Operator};
pub use crate::preface::Rejected;

use self::accept::{Accepted, Acceptor};
use self::error::session_error;
use self::operator::SessionOperator;
use crate::Receipt;
use crate::error::Error;
use crate::identity::Identity;
use crate::session::{Clock, RingCipher};
use crate::store::{DirectoryStore, LeftBehind, Placed};
use crate::tls::pins::Pins;
use crate::tls::{Authenticated, TlsLink, receiver};
use crate::trust::{Peer, TrustSource};
use crate::worker::in_background;

/// Maximum number of iterations of a sender's key derivation: about a second in all. Other
/// tasks of its thread run in between.
const MAX_ITERATIONS: u32 = 2_000_000;
/// How long a user has to type the key, in seconds.
const KEY_SECONDS: u16 = 300;

/// Receives folders into one [`DirectoryStore`]: a folder of this computer, or an inbox with many
/// ([`DirectoryStore::prepare_inbox`]). It has the state that outlives a connection: the code, the lockouts,
/// and which folder was received last.
///
/// [`accept`](Self::accept) waits for an authenticated sender, and [`receive`](Self::receive) runs the session with it.
/// Repeat both for further folders.
///
/// The futures need a Tokio runtime with I/O and time. They are not `Send`: await them in `main`, in
/// [`block_on`](tokio::runtime::Runtime::block_on) or in a [`LocalSet`](tokio::task::LocalSet), not in `tokio::spawn`.
pub struct Receiver {
    acceptor: Acceptor<Authenticated, ConnectionError>,
    state: State,
}

/// A connection to an authenticated sender, which has not begun its session.
pub struct Connection {
    address: SocketAddr,
    peer: Authenticated,
}

impl Connection {
    /// The sender.
    pub fn peer(&self) -> &Peer {
        &self.peer.peer
    }

    /// The address from which the sender has connected.
    pub fn address(&self) -> IpAddr {
        self.address.ip().to_canonical()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({} at {})", self.peer().name, self.address)
    }
}

/// How a session ended, if it did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A folder was committed.
    Committed(Received),
    /// The sender of the last folder has come back for its receipt, which may have been lost. Nothing was received.
    ReceiptRepeated,
}

/// A folder that was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The receipt that the sender got.
    pub receipt: Receipt,
    /// Bytes of the archive that were there already, and did not have to be sent.
    pub held: u64,
    /// What its sender calls the folder: a [`FolderName`](waft_core::path::FolderName).
    pub folder: String,
    /// Where the folder is.
    pub path: PathBuf,
    /// How it got there.
    pub placed: Placed,
}

impl Receiver {
    /// Creates a receiver that asks its senders for a code, and its user for the key. `trust` decides who may send.
    pub fn new(
        listener: TcpListener,
        identity: impl Into<Arc<Identity>>,
        trust: impl Into<TrustSource>,
        store: DirectoryStore,
    ) -> Self {
        let identity = identity.into();
        let authenticator = Authenticator { trust: trust.into(), identity: identity.clone() };
        let state = State {
            identity,
            store,
            is_code_required: true,
            keys: Keys::Typed,
            peers: PeerState::new(&mut OsRng),
            clock: Clock::start(),
            cancel: CancellationToken::new(),
            shown_code: None,
            frame: vec![0; buffer_len(ChunkSize::MAX)],
            plain: vec![0; CHUNK_MAX as usize],
        };
        Self { acceptor: Acceptor::new(listener, move |stream| authenticator.clone().authenticate(stream)), state }
    }

    /// Whether a sender has to give the code. Without it, a trusted sender can send while no user is at the receiver.
    pub fn require_code(mut self, require: bool) -> Self {
        self.state.is_code_required = require;
        self
    }

    /// How keys reach this receiver: typed by a user unless this says otherwise.
    pub fn keys(mut self, keys: Keys) -> Self {
        self.state.keys = keys;
        self
    }

    /// Stops when this token is cancelled: a session notifies its sender, and a commit that has begun is completed.
    ///
    /// Dropping a future stops as well. The old folder or the new one is then in place, as after a power failure.
    pub fn cancel_on(mut self, token: CancellationToken) -> Self {
        self.state.cancel = token;
        self
    }

    /// The code that a sender has to give now; `None` if none is required. It changes after every use, and
    /// [`Operator::code`] is called then.
    pub fn code(&mut self) -> Option<&AuthCode> {
        if !self.state.is_code_required {
            return None;
        }
        let code = self.state.peers.code();
        self.state.shown_code = Some(digits(code));
        Some(code)
    }

    /// Waits for the next authenticated sender. Fails only if it is cancelled.
    ///
    /// Cancel-safe: while no `accept` is running, connections wait in the listener's queue.
    pub async fn accept(&mut self, operator: &mut impl Operator) -> Result<Connection, Error> {
        let cancel = self.state.cancel.clone();
        loop {
            let accepted = tokio::select! {
                accepted = self.acceptor.next() => accepted,
                () = cancel.cancelled() => return Err(Error::interrupted()),
                () = self.state.expire() => continue,
            };
            match accepted {
                Accepted::Authenticated(address, peer) => return Ok(Connection { address, peer }),
                Accepted::Failed(from, error) => {
                    let address = from.ip().to_canonical();
                    operator.event(match &error {
                        ConnectionError::Rejected(rejected) => Event::NotASender { address, why: *rejected },
                        ConnectionError::Untrusted(error) => Event::NotAuthenticated { address, error },
                    });
                }
            }
        }
    }

    /// Runs the session with a sender. Other senders are refused as *busy* meanwhile.
    ///
    /// After an error the receiver goes on: what was received of a folder is kept, and its sender can continue.
    pub async fn receive(&mut self, connection: Connection, operator: &mut impl Operator) -> Result<Outcome, Error> {
        tokio::select! {
            outcome = self.state.receive(connection.peer, operator) => outcome,
            never = self.acceptor.refuse_busy() => match never {},
        }
    }

    /// Whether the receipt of the last folder was sent and not confirmed. Its sender may connect again for it.
    pub fn has_unconfirmed_receipt(&self) -> bool {
        self.state.peers.has_unconfirmed_receipt()
    }

    /// Stops accepting folders. From now on, only receipts are repeated.
    pub fn close(&mut self) {
        self.state.peers.close();
    }

    /// What an interrupted transfer left in the staging area, if it left anything.
    pub async fn left_behind(&mut self) -> Option<LeftBehind> {
        self.state.store.left_behind().await
    }
}

/// The types with which core's receiver works on a computer.
struct ReceiverEnvironment<'a, O>(PhantomData<&'a O>);

impl<'a, O: Operator> Environment for ReceiverEnvironment<'a, O> {
    type Link = TlsLink;
    type Store = DirectoryStore;
    type Operator = SessionOperator<'a, O>;
    type Clock = Clock;
    type Rng = OsRng;
    type Cipher = RingCipher;
}

/// How keys reach a receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keys {
    /// A user types them.
    #[default]
    Typed,
    /// Senders seal them to the receiver's certificate.
    Sealed,
    /// Each sender decides, and thereby whether a user is asked.
    Either,
}

/// The state of a receiver between sessions.
struct State {
    identity: Arc<Identity>,
    store: DirectoryStore,
    is_code_required: bool,
    keys: Keys,
    peers: PeerState,
    clock: Clock,
    cancel: CancellationToken,
    /// The last code that was shown to the user.
    shown_code: Option<Zeroizing<[u8; 4]>>,
    frame: Vec<u8>,
    plain: Vec<u8>,
}

impl State {
    async fn receive(&mut self, authenticated: Authenticated, operator: &mut impl Operator) -> Result<Outcome, Error> {
        let Authenticated { mut link, peer } = authenticated;
        tokio::select! {
            () = self.store.prepare_for(peer.certificate.hash(), peer.name.clone()) => {}
            () = self.cancel.cancelled() => return Err(Error::interrupted()),
        }
        let policy = Policy {
            code_needed: self.is_code_required,
            key: match self.keys {
                Keys::Typed => KeySource::Typed,
                Keys::Sealed => KeySource::Sealed(self.identity.hpke()),
                Keys::Either => KeySource::Either(self.identity.hpke()),
            },
            max_iterations: MAX_ITERATIONS,
            max_chunk: ChunkSize::MAX,
            key_seconds: KEY_SECONDS,
            certificate: self.identity.certificate().hash(),
        };
        let shown_code = self.is_code_required.then_some(&mut self.shown_code);
        let mut operator = SessionOperator::new(operator, &peer, shown_code, self.keys, &self.cancel);
        let mut session = Session::<ReceiverEnvironment<'_, _>> {
            policy: &policy,
            peers: &mut self.peers,
            store: &mut self.store,
            operator: &mut operator,
            clock: &self.clock,
            rng: &mut OsRng,
            buffers: Buffers { frame: &mut self.frame, plain: &mut self.plain },
        };
        let outcome = session.receive(&mut link, peer.certificate.hash()).await;
        link.close().await;
        let (held, phase, has_committed) = operator.end();
        // The store's error matters only to a refusal. It is dropped otherwise, so that the next session does not
        // report it.
        let file_error = self.store.take_error().filter(|_| matches!(outcome, Err(SessionError::Refused(_))));
        match outcome {
            Ok(receipt) if has_committed => {
                let folder = self.store.folder().unwrap_or_default().to_owned();
                let (path, placed) = (self.store.target().to_owned(), self.store.placed());
                Ok(Outcome::Committed(Received { receipt, held, folder, path, placed }))
            }
            Ok(_) => Ok(Outcome::ReceiptRepeated),
            Err(SessionError::Cancelled(Cancel::Interrupted)) => Err(Error::interrupted()),
            Err(cause) => Err(session_error(peer.name.as_str(), cause, file_error.as_ref(), phase)),
        }
    }

    /// Completes when a remembered run has expired and its proofs were erased.
    async fn expire(&mut self) {
        match self.peers.next_expiry() {
            Some(moment) => {
                self.clock.sleep_until(moment).await;
                self.peers.expire(self.clock.now());
            }
            None => std::future::pending().await,
        }
    }
}

/// The digits of a code, for comparison with the next one.
fn digits(code: &AuthCode) -> Zeroizing<[u8; 4]> {
    Zeroizing::new(*code.digits())
}

/// Authenticates connections. The trust is looked up for each one, so that a peer that was just added can connect.
#[derive(Clone)]
struct Authenticator {
    trust: TrustSource,
    identity: Arc<Identity>,
}

impl Authenticator {
    async fn authenticate(self, stream: TcpStream) -> Result<Authenticated, ConnectionError> {
        let trust = in_background(move || self.trust.current()).await;
        let trust = trust.map_err(|error| ConnectionError::Untrusted(error.into()))?;
        // Without this option, small messages would be delayed until earlier ones are acknowledged.
        let _ = stream.set_nodelay(true);
        let peer = stream.peer_addr().map_or("a peer".into(), |from| from.ip().to_canonical().to_string());
        let authenticated = receiver::authenticate(stream, &self.identity, Pins::senders(trust)).await;
        authenticated.map_err(|error| ConnectionError::Untrusted(error.with(&peer)))
    }
}

/// Why a connection has no session.
enum ConnectionError {
    /// The peer did not send a valid preface.
    Rejected(Rejected),
    /// The peer could not be authenticated. The user may want to change that.
    Untrusted(Error),
}

impl From<Rejected> for ConnectionError {
    fn from(rejected: Rejected) -> Self {
        Self::Rejected(rejected)
    }
}
