//! A dialer and a listener with everything that they need, which behave the same in every run.

use embassy_futures::join::join;
use waft_core::limits::PAIRING_PAUSE_S;
use waft_core::pairing::{
    Buffer, DeviceKind, Directions, Incoming, Introduction, Limiter, Outgoing, Paired, PairingCode, PairingError,
};
use waft_core::session::Clock as _;
use waft_core::wire::preface::LEN;

use crate::doubles::Seeded;
use crate::simulation::{MemoryLink, VirtualClock, connect, run};

pub(crate) const DIALER: [u8; 32] = [0x5e; 32];
pub(crate) const LISTENER: [u8; 32] = [0x4e; 32];
pub(crate) const CODE: &str = "123 456";
/// Upper bound of an attempt's length, in milliseconds, whatever the other side does.
pub(crate) const LONGEST: u64 = 130_000;

/// A peer after a pairing: its certificate, its name, and whether it is known to have paired as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) certificate: Vec<u8>,
    pub(crate) name: String,
    pub(crate) kind: DeviceKind,
    pub(crate) directions: Directions,
    pub(crate) is_confirmed: bool,
}

impl From<Paired<'_>> for Known {
    fn from(paired: Paired<'_>) -> Self {
        Self {
            certificate: paired.peer.certificate().to_vec(),
            name: paired.peer.name().to_owned(),
            kind: paired.peer.kind(),
            directions: paired.peer.directions(),
            is_confirmed: paired.is_confirmed,
        }
    }
}

pub(crate) type End = Result<Known, PairingError>;

/// What the dialer's introduction says.
pub(crate) fn dialer_introduction(certificate: &[u8]) -> Introduction<'_> {
    let directions = Directions { sends: true, receives: false };
    Introduction::new(DeviceKind::Computer, directions, "anna", certificate).unwrap()
}

/// What the listener's introduction says.
pub(crate) fn listener_introduction(certificate: &[u8]) -> Introduction<'_> {
    let directions = Directions { sends: false, receives: true };
    Introduction::new(DeviceKind::Board, directions, "desk", certificate).unwrap()
}

/// Both sides, their users' codes and the connection.
pub(crate) struct Fixture {
    pub(crate) clock: VirtualClock,
    pub(crate) limiter: Limiter,
    pub(crate) typed: &'static str,
    pub(crate) shown: &'static str,
    pub(crate) dialer_certificate: Vec<u8>,
    pub(crate) listener_certificate: Vec<u8>,
    pub(crate) seeds: (u64, u64),
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self {
            clock: VirtualClock::default(),
            limiter: Limiter::new(),
            typed: CODE,
            shown: CODE,
            dialer_certificate: DIALER.to_vec(),
            listener_certificate: LISTENER.to_vec(),
            seeds: (1, 2),
        }
    }

    pub(crate) async fn dial(&self, link: &mut MemoryLink) -> End {
        let (mut buffer, mut rng) = (Buffer::new(), Seeded(self.seeds.0));
        let outgoing = Outgoing::connect(link, &mut buffer, &mut rng, &self.clock).await?;
        let code = PairingCode::parse(self.typed).unwrap();
        let me = dialer_introduction(&self.dialer_certificate);
        outgoing.pair(code, &me, &mut rng).await.map(Known::from)
    }

    /// Listens on a connection whose preface was received.
    pub(crate) async fn listen(&self, limiter: &mut Limiter, link: &mut MemoryLink) -> End {
        let (mut buffer, mut rng) = (Buffer::new(), Seeded(self.seeds.1));
        let incoming = Incoming::accept(link, &mut buffer, &mut rng, &self.clock, limiter).await?;
        let code = PairingCode::parse(self.shown).unwrap();
        let me = listener_introduction(&self.listener_certificate);
        incoming.pair(Some(code), &me, &mut rng, limiter).await.map(Known::from)
    }

    /// Both sides over this connection. Returns how they ended, and what each of them sent.
    pub(crate) fn run(&mut self, links: (MemoryLink, MemoryLink)) -> ((End, Vec<u8>), (End, Vec<u8>)) {
        let (mut dialer_link, mut listener_link) = links;
        let start = self.clock.now();
        let mut limiter = self.limiter.clone();
        let dial = async {
            let end = self.dial(&mut dialer_link).await;
            (end, std::mem::take(&mut dialer_link.written), drop(dialer_link))
        };
        let listen = async {
            let end = match receive_preface(&mut listener_link).await {
                true => self.listen(&mut limiter, &mut listener_link).await,
                false => Err(PairingError::Disconnected),
            };
            (end, std::mem::take(&mut listener_link.written), drop(listener_link))
        };
        let ((dialed, sent, ()), (listened, answered, ())) = run(&self.clock, join(dial, listen));
        self.limiter = limiter;
        let took = self.clock.now() - start;
        assert!(took < LONGEST, "{took} ms");
        ((dialed, sent), (listened, answered))
    }

    pub(crate) fn pair(&mut self) -> (End, End) {
        let ((dialed, _), (listened, _)) = self.run(connect(u64::MAX, u64::MAX));
        (dialed, listened)
    }

    /// The listener alone, with a dialer that does what `dial` says after the preface. The connection is closed after
    /// that.
    pub(crate) fn listen_to<F: Future<Output = ()>>(&mut self, dial: impl FnOnce(MemoryLink) -> F) -> End {
        let (dialer_link, mut listener_link) = connect(u64::MAX, u64::MAX);
        let mut limiter = self.limiter.clone();
        let listen = async {
            let end = self.listen(&mut limiter, &mut listener_link).await;
            drop(listener_link);
            end
        };
        let (end, ()) = run(&self.clock, join(listen, dial(dialer_link)));
        self.limiter = limiter;
        end
    }

    /// The dialer alone, with a listener that does what `listen` says after it has received the preface.
    pub(crate) fn dial_to<F: Future<Output = ()>>(&mut self, listen: impl FnOnce(MemoryLink) -> F) -> End {
        let (mut dialer_link, mut listener_link) = connect(u64::MAX, u64::MAX);
        let dial = async {
            let end = self.dial(&mut dialer_link).await;
            drop(dialer_link);
            end
        };
        let answer = async {
            assert!(receive_preface(&mut listener_link).await);
            listen(listener_link).await;
        };
        run(&self.clock, join(dial, answer)).0
    }

    pub(crate) fn is_paused(&self) -> bool {
        let paused = self.limiter.paused(self.clock.now());
        assert!(paused.is_none_or(|seconds| seconds <= PAIRING_PAUSE_S));
        paused.is_some()
    }
}

/// Receives the 8 bytes of a preface, as the code that accepts connections does. Returns whether they are those of a
/// pairing.
pub(crate) async fn receive_preface(link: &mut MemoryLink) -> bool {
    use embedded_io_async::Read as _;
    use waft_core::wire::preface::Purpose;
    let mut bytes = [0; LEN];
    link.read_exact(&mut bytes).await.is_ok() && Purpose::of_preface(&bytes) == Ok(Purpose::Pairing)
}

/// What each side knows after a pairing.
pub(crate) fn assert_paired((dialed, listened): (End, End)) {
    let listener = dialed.unwrap();
    assert_eq!((&listener.certificate[..], &*listener.name, listener.is_confirmed), (&LISTENER[..], "desk", true));
    assert_eq!(listener.directions, Directions { sends: false, receives: true });
    let dialer = listened.unwrap();
    assert_eq!((&dialer.certificate[..], &*dialer.name, dialer.is_confirmed), (&DIALER[..], "anna", true));
    assert_eq!((dialer.kind, listener.kind), (DeviceKind::Computer, DeviceKind::Board));
}
