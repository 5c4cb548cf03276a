//! Runs a receiver's sessions, and holds the state that outlives each of them.

use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::Arc;

use rand_core::OsRng;
use waft_core::limits::CHUNK_MAX;
use waft_core::sealed::ChunkSize;
use waft_core::session::peers::PeerState;
use waft_core::session::receiver::{Buffers, Environment, KeySource, Policy, Receiver, buffer_len};
use waft_core::session::{Clock as _, Receipt, SessionError};
use waft_core::wire::message::Cancel;
use zeroize::Zeroizing;

use super::operator::AtReceiver;
use crate::cli::answers::show_code;
use crate::cli::arguments::Receive;
use crate::cli::interrupt::Interrupt;
use crate::cli::ui::secret;
use crate::cli::ui::{Event, Ui};
use crate::clock::Clock;
use crate::crypto::RingCipher;
use crate::error::{Error, bytes, shown};
use crate::identity::Identity;
use crate::store::DirectoryStore;
use crate::tls::Authenticated;
use crate::tls::link::TlsLink;

/// Maximum number of iterations of a sender's key derivation: about a second. The derivation blocks the thread that
/// also sends keep-alives.
const MAX_ITERATIONS: u32 = 2_000_000;
/// How long a user has to type the key, in seconds.
const KEY_SECONDS: u16 = 300;

/// The types with which core's receiver works on a computer.
struct ReceiverEnvironment<'a>(PhantomData<&'a ()>);

impl<'a> Environment for ReceiverEnvironment<'a> {
    type Link = TlsLink;
    type Store = DirectoryStore;
    type Operator = AtReceiver<'a>;
    type Clock = Clock;
    type Rng = OsRng;
    type Cipher = RingCipher;
}

/// The state of a receiver between sessions: the peers' state, the store, and the buffers.
pub(super) struct Reception {
    identity: Arc<Identity>,
    store: DirectoryStore,
    into: String,
    code_needed: bool,
    typed: bool,
    peers: PeerState,
    clock: Clock,
    /// The last code that was shown to the user.
    shown: Option<Zeroizing<String>>,
    frame: Vec<u8>,
    plain: Vec<u8>,
}

impl Reception {
    pub(super) fn new(args: &Receive, identity: Arc<Identity>, store: DirectoryStore) -> Self {
        Self {
            identity,
            store,
            into: shown(&args.into),
            code_needed: !args.no_code,
            typed: !args.no_key,
            peers: PeerState::new(&mut OsRng),
            clock: Clock::start(),
            shown: None,
            frame: vec![0; buffer_len(ChunkSize::MAX)],
            plain: vec![0; CHUNK_MAX as usize],
        }
    }

    /// The first code, in the form in which it is shown.
    pub(super) fn first_code(&mut self) -> Zeroizing<String> {
        self.shown.insert(secret(self.peers.code().display())).clone()
    }

    /// Prints that the receiver waits for the next folder, and the current code.
    pub(super) fn listen_on(&self, ui: &Ui) {
        ui.say("Waiting for the next folder.");
        if let Some(code) = self.shown.as_ref().filter(|_| self.code_needed) {
            show_code(ui, "Code", code);
        }
    }

    /// Whether a receipt was sent and not confirmed.
    pub(super) fn has_unconfirmed_receipt(&self) -> bool {
        self.peers.has_unconfirmed_receipt()
    }

    /// Stops accepting folders. From now on, only receipts are repeated.
    pub(super) fn close(&mut self) {
        self.peers.close();
    }

    /// The path of a part of a folder that is kept for the sender's next attempt, if there is one.
    pub(super) async fn left_behind(&mut self) -> Option<PathBuf> {
        self.store.left_behind().await
    }

    /// Completes when a remembered run has expired and its proofs were erased.
    pub(super) async fn expire(&mut self) {
        match self.peers.next_expiry() {
            Some(moment) => {
                self.clock.sleep_until(moment).await;
                self.peers.expire(self.clock.now());
            }
            None => std::future::pending().await,
        }
    }

    /// Runs one session, which receives a folder.
    pub(super) async fn receive(&mut self, guest: Authenticated, ui: &Ui, interrupt: &Interrupt) -> Result<(), Error> {
        let Authenticated { mut link, peer } = guest;
        tokio::select! {
            () = self.store.prepare_for(peer.certificate.hash()) => {}
            () = interrupt.raised() => return Err(Error::Interrupted),
        }
        let name = peer.name.as_str();
        let policy = Policy {
            code_needed: self.code_needed,
            key: if self.typed { KeySource::Typed } else { KeySource::Sealed(self.identity.hpke()) },
            max_iterations: MAX_ITERATIONS,
            max_chunk: ChunkSize::MAX,
            key_seconds: KEY_SECONDS,
            certificate: self.identity.certificate().hash(),
        };
        let shown = self.code_needed.then_some(&mut self.shown);
        let mut operator = AtReceiver::new(ui, interrupt, name, shown, self.typed);
        let mut receiver = Receiver::<ReceiverEnvironment<'_>> {
            policy: &policy,
            peers: &mut self.peers,
            store: &mut self.store,
            operator: &mut operator,
            clock: &self.clock,
            rng: &mut OsRng,
            buffers: Buffers { frame: &mut self.frame, plain: &mut self.plain },
        };
        let outcome = receiver.receive(&mut link, peer.certificate.hash()).await;
        link.close().await;
        let committed = operator.has_committed();
        let (held, moment, failure) = operator.end();
        // The store's problem matters only to a refusal. It is dropped otherwise, so that the next session does not
        // report it.
        let trouble = self.store.take_trouble().filter(|_| matches!(outcome, Err(SessionError::Refused(_))));
        match outcome {
            Ok(receipt) if committed => {
                self.tell(name, receipt, held, ui);
                Ok(())
            }
            Ok(_) => {
                ui.say(format!("{name} has asked for its receipt again."));
                Ok(())
            }
            Err(SessionError::Cancelled(Cancel::Interrupted)) => Err(Error::Interrupted),
            Err(cause) => {
                Err(failure.unwrap_or_else(|| Error::Receiving { peer: name.to_owned(), cause, trouble, moment }))
            }
        }
    }

    fn tell(&self, peer: &str, receipt: Receipt, held: u64, ui: &Ui) {
        let Receipt { digest, files, bytes: total, generation } = receipt;
        let sent = total - held;
        ui.event(&Event::Committed { peer, files, bytes: total, sent, digest: digest.to_string(), generation });
        ui.done(format!("The folder of {peer} is in {}: {}, {}.", self.into, crate::error::files(files), bytes(total)));
        ui.detail(format!("Its digest: {digest}"));
    }
}
