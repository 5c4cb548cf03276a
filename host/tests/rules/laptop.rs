//! A sender whose runs a test controls: real identities, TCP and TLS, the sender of core, a folder in memory.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use rand_core::{OsRng, RngCore};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use waft::home::Home;
use waft::identity::Identity;
use waft::name::Name;
use waft::preface::{self, PrefaceError};
use waft::session::Clock;
use waft::session::RingCipher;
use waft::tls::TlsLink;
use waft::tls::pins::Pins;
use waft::tls::sender::authenticate;
use waft::trust::Trust;
use waft_core::archive::{ENTRY_PREFIX, Entry, Kind, ManifestWriter, Modified};
use waft_core::code::{AuthCode, TransferKey};
use waft_core::limits::ENTRY_MAX;
use waft_core::path::{FolderName, RelPath};
use waft_core::sealed::ChunkSize;
use waft_core::session::Receipt;
use waft_core::session::sender::{
    Buffers, Environment, Event, KeyRule, Operator, Peer, Run, SendError, Sender, Source as _, buffer_len,
};
use waft_core::wire::preface::ClearRefusal;

use super::source::HandMade;
use super::world::Machine;

/// After this time a session counts as stuck. It is longer than everything here that needs no user.
const STUCK: Duration = Duration::from_secs(60);

/// How a session ended. `None` if the test has abandoned it.
pub(crate) type Ended = Option<Result<Receipt, SendError>>;

/// The laptop: its identity and its trust.
#[derive(Clone)]
pub(crate) struct Laptop {
    home: Home,
}

/// One run: the values that stay the same from one connection to the next.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) folder: HandMade,
    pub(crate) salt: [u8; 32],
    pub(crate) key: String,
    pub(crate) created: u64,
}

/// A connection in progress.
pub(crate) struct Sending {
    session: JoinHandle<(Ended, Option<TlsLink>)>,
    moved: Arc<AtomicU64>,
}

impl Running {
    /// A run with a folder of one file.
    pub(crate) fn of(name: &str, content: &str) -> Self {
        let mut salt = [0; 32];
        OsRng.fill_bytes(&mut salt);
        let key = TransferKey::random(&mut OsRng).display().to_string();
        Self { folder: folder(name, content.as_bytes()), salt, key, created: 1_700_000_000 }
    }

    /// Another folder, offered as if it belonged to this run.
    pub(crate) fn with(&self, other: &Self) -> Self {
        Self { folder: other.folder.clone(), ..self.clone() }
    }
}

impl Laptop {
    pub(crate) fn of(machine: &Machine) -> Self {
        Self { home: machine.open_home() }
    }

    /// Connects to the receiver "kitchen": TCP, the preface and TLS.
    pub(crate) async fn dial(&self, address: &str) -> TlsLink {
        let stream = loop {
            let mut stream = TcpStream::connect(address).await.expect("the receiver listens");
            match preface::send(&mut stream).await {
                Ok(()) => break stream,
                // The session before is not over yet.
                Err(PrefaceError::Refused(ClearRefusal::Busy)) => sleep(Duration::from_millis(20)).await,
                Err(error) => panic!("the receiver does not begin TLS: {error:?}"),
            }
        };
        let trust = Trust::load(&self.home).expect("the trust file is good");
        let pins = Pins::receiver(trust, &Name::new("kitchen").expect("a good name"));
        authenticate(stream, &self.identity(), pins).await.expect("they trust each other").link
    }

    fn identity(&self) -> Identity {
        Identity::open(&self.home).expect("the identity is good").0
    }

    /// Starts to send, and gives these codes when a code is asked for.
    pub(crate) fn begin(&self, address: &str, run: &Running, codes: &[&str]) -> Sending {
        self.start(address, run, codes, false)
    }

    /// Starts to send, and reads nothing more after everything was sent.
    pub(crate) fn begin_without_receipt(&self, address: &str, run: &Running, codes: &[&str]) -> Sending {
        self.start(address, run, codes, true)
    }

    /// Sends to a receiver that asks for no key.
    pub(crate) fn send(&self, address: &str, run: &Running, codes: &[&str]) -> Result<Receipt, SendError> {
        self.begin(address, run, codes).ends()
    }

    fn start(&self, address: &str, run: &Running, codes: &[&str], deaf: bool) -> Sending {
        let (laptop, address, run) = (self.clone(), address.to_owned(), run.clone());
        let codes = codes.iter().map(|code| AuthCode::parse(code).expect("a code")).rev().collect();
        let moved = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&moved);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("there is a runtime");
        let session = spawn(move || {
            runtime.block_on(async {
                let session = laptop.session(&address, run, codes, deaf, &count);
                timeout(STUCK, session).await.expect("a user is asked who should not be")
            })
        });
        Sending { session, moved }
    }

    async fn session(
        &self,
        address: &str,
        run: Running,
        codes: Vec<AuthCode>,
        deaf: bool,
        moved: &AtomicU64,
    ) -> (Ended, Option<TlsLink>) {
        let mut link = self.dial(address).await;
        let identity = self.identity();
        let trust = Trust::load(&self.home).expect("the trust file is good");
        let kitchen = &trust.by_name("kitchen").expect("it is trusted").certificate;
        let Running { mut folder, salt, key, created } = run;
        let run = Run {
            key: &TransferKey::parse(&key).expect("a key"),
            salt,
            name: FolderName::new("photos").expect("a name"),
            created,
            iterations: 1_000,
            chunk: ChunkSize::MAX,
            certificate: identity.certificate().hash(),
            keys: KeyRule::Any,
        };
        let (mut plain, mut frame) = (vec![0; buffer_len(ChunkSize::MAX)], vec![0; buffer_len(ChunkSize::MAX)]);
        let all_sent = Notify::new();
        let mut operator = Caller { codes, total: folder.info().shape.total, all_sent: &all_sent, offset: 0, moved };
        let mut sender = Sender::<CallerEnvironment<'_>> {
            run: &run,
            source: &mut folder,
            operator: &mut operator,
            clock: &Clock::start(),
            rng: &mut OsRng,
            buffers: Buffers { plain: &mut plain, frame: &mut frame, compressor: None },
        };
        let peer = Peer { certificate: kitchen.hash(), hpke: kitchen.hpke() };
        tokio::select! {
            biased;
            () = all_sent.notified(), if deaf => (None, Some(link)),
            outcome = sender.send(&mut link, &peer) => {
                link.close().await;
                (Some(outcome), None)
            }
        }
    }
}

impl Sending {
    /// Waits for the result.
    pub(crate) fn ends(self) -> Result<Receipt, SendError> {
        self.session.join().expect("the laptop does not panic").0.expect("it was not abandoned")
    }

    /// Waits until the session succeeds. Returns how many bytes of the archive were sent.
    pub(crate) fn moves(self) -> u64 {
        let moved = Arc::clone(&self.moved);
        self.ends().expect("nothing is in the way");
        moved.load(Ordering::Relaxed)
    }

    /// Breaks the connection after `done`. Until then it stays open, and nothing is read from it.
    pub(crate) fn vanishes_after(self, done: impl FnOnce()) {
        let (ended, link) = self.session.join().expect("the laptop does not panic");
        assert!(ended.is_none(), "it heard how it ended: {ended:?}");
        done();
        drop(link);
    }
}

/// The types with which this sender works.
struct CallerEnvironment<'a>(PhantomData<&'a ()>);

impl<'a> Environment for CallerEnvironment<'a> {
    type Link = TlsLink;
    type Source = HandMade;
    type Operator = Caller<'a>;
    type Clock = Clock;
    type Rng = OsRng;
    type Cipher = RingCipher;
}

/// The sender's operator, with these codes in reverse order.
struct Caller<'a> {
    codes: Vec<AuthCode>,
    total: u64,
    all_sent: &'a Notify,
    /// The offset at which sending resumed.
    offset: u64,
    /// Counts the bytes of the archive that were sent.
    moved: &'a AtomicU64,
}

impl Operator for Caller<'_> {
    async fn code(&mut self, _: Option<u8>) -> Option<AuthCode> {
        self.codes.pop()
    }

    fn event(&mut self, event: Event) {
        let sent = match event {
            Event::Accepted { offset } => {
                self.offset = offset;
                offset
            }
            Event::Sent(sent) => {
                self.moved.store(sent - self.offset, Ordering::Relaxed);
                sent
            }
            _ => 0,
        };
        if sent == self.total {
            self.all_sent.notify_one();
        }
    }
}

/// The archive of one file.
fn folder(name: &str, content: &[u8]) -> HandMade {
    let entry = Entry {
        kind: Kind::File { size: content.len() as u64 },
        path: RelPath::new(name).expect("a good name"),
        mode: 0o644,
        modified: Modified { seconds: 1_700_000_000, nanos: 0 },
    };
    let mut out = [0; ENTRY_PREFIX + ENTRY_MAX];
    let length = ManifestWriter::new().push(&entry, &mut out).expect("one entry fits");
    HandMade::of(&out[..length], 1, &[content])
}
