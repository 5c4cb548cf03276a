//! Fixture of the session tests: both sides with the state that outlives a connection, and connections between them.

use std::future::Future;
use std::marker::PhantomData;
use std::rc::Rc;

use embassy_futures::join::join;
use embassy_futures::select::{Either, select};
use rand_core::RngCore;
use waft_core::certificate::CertificateHash;
use waft_core::code::{AuthCode, TransferKey};
use waft_core::limits;
use waft_core::path::FolderName;
use waft_core::sealed::hpke::HpkeSecret;
use waft_core::sealed::{ChunkSize, Cipher, Compressor, SoftCipher};
use waft_core::session::peers::PeerState;
use waft_core::session::receiver::{self, KeySource, Policy, Receiver};
use waft_core::session::sender::{self, KeyRule, Peer, Run, SendError, Sender};
use waft_core::session::{Clock as _, Offered, Receipt, SessionError};
use waft_core::wire::message::Refusal;

use crate::doubles::{MemoryStore, Moment, ReceiverUser, Seeded, SenderUser, Slow, archive_of};
use crate::simulation::{MemoryLink, Stall, VirtualClock, connect, run};
use crate::source::HandMade;

pub(crate) const SENDER: CertificateHash = CertificateHash([0x5e; 32]);
pub(crate) const RECEIVER: CertificateHash = CertificateHash([0x4e; 32]);
pub(crate) const CHUNK_SIZE: ChunkSize = ChunkSize::MIN;
pub(crate) const CHUNK: u32 = CHUNK_SIZE.bytes();
pub(crate) const UNKNOWN: SendError = SendError::OutcomeUnknown { interrupted: false };
pub(crate) const KEY: &str = "0123-4567-89AB-CDEF";

/// Both sides with the state that outlives a connection.
pub(crate) struct Fixture {
    pub(crate) clock: Rc<VirtualClock>,
    pub(crate) rng: Seeded,
    pub(crate) peers: PeerState,
    pub(crate) store: MemoryStore,
    pub(crate) receiver_user: ReceiverUser,
    pub(crate) sender_user: SenderUser,
    pub(crate) source: HandMade,
    /// Milliseconds that each read of the source takes.
    pub(crate) source_delay: u64,
    pub(crate) key: TransferKey,
    pub(crate) hpke: HpkeSecret,
    pub(crate) code_needed: bool,
    pub(crate) typed: bool,
    /// Whether the receiver offers both key modes.
    pub(crate) either: bool,
    /// The key modes that the sender accepts.
    pub(crate) keys: KeyRule,
    pub(crate) salt: [u8; 32],
    /// The name of the folder.
    pub(crate) name: String,
    pub(crate) max_chunk: ChunkSize,
    /// Changes a byte that one side sends: the side (0: the sender), the position, and the bits to flip.
    pub(crate) edit: Option<(u8, usize, u8)>,
    /// When each side of the last connection ended, in milliseconds.
    pub(crate) sender_ended_at: u64,
    pub(crate) receiver_ended_at: u64,
}

/// The results of sender and receiver on one connection.
pub(crate) type Outcomes = (Result<Receipt, SendError>, Result<Receipt, SessionError>);

impl Fixture {
    pub(crate) fn new() -> Self {
        let mut rng = Seeded(1);
        let long: Vec<u8> = (0..20_000u32).flat_map(u32::to_le_bytes).collect();
        Self {
            clock: Rc::default(),
            peers: PeerState::new(&mut rng),
            store: MemoryStore::default(),
            receiver_user: ReceiverUser { keys: [key(KEY)].into(), ..ReceiverUser::default() },
            sender_user: SenderUser::default(),
            source: archive_of(&[("a", b"alpha"), ("b", &long), ("c", b"")]),
            source_delay: 0,
            key: key(KEY),
            hpke: HpkeSecret::random(&mut rng),
            rng,
            code_needed: false,
            typed: true,
            either: false,
            keys: KeyRule::Any,
            salt: [7; 32],
            name: "photos".to_owned(),
            max_chunk: CHUNK_SIZE,
            edit: None,
            sender_ended_at: 0,
            receiver_ended_at: 0,
        }
    }

    pub(crate) fn with_right_code(mut self) -> Self {
        self.code_needed = true;
        self.sender_user
            .codes
            .push_back(AuthCode::parse(std::str::from_utf8(self.peers.code().digits()).unwrap()).unwrap());
        self
    }

    /// A second run with the paths of the committed folder and other content, while a reader has a lease for `held_ms`.
    pub(crate) fn starting_over(held_ms: u64) -> Self {
        let mut fixture = Self::new();
        let ends = fixture.connect();
        fixture.assert_committed(ends);
        let last = fixture.store.committed.len() - 1;
        fixture.store.committed[last] ^= 1;
        fixture.salt = [8; 32];
        fixture.receiver_user.keys.push_back(key(KEY));
        fixture.store.leased = Some((Rc::clone(&fixture.clock), fixture.clock.now() + held_ms));
        fixture
    }

    pub(crate) fn connect(&mut self) -> Outcomes {
        self.connect_cut(u64::MAX, u64::MAX)
    }

    /// A connection that breaks after `forth` bytes to the receiver, or `back` bytes to the sender.
    pub(crate) fn connect_cut(&mut self, to_receiver: u64, to_sender: u64) -> Outcomes {
        self.run::<SoftCipher>(to_receiver, to_sender).0
    }

    /// All bytes of a successful connection, from the sender and from the receiver.
    pub(crate) fn record<C: Cipher>(&mut self) -> (Vec<u8>, Vec<u8>) {
        let (ends, bytes) = self.run::<C>(u64::MAX, u64::MAX);
        self.assert_committed(ends);
        bytes
    }

    pub(crate) fn run<C: Cipher>(&mut self, to_receiver: u64, to_sender: u64) -> (Outcomes, (Vec<u8>, Vec<u8>)) {
        let (mut sender_link, mut receiver_link) = connect(to_receiver, to_sender);
        if let Some((side, position, flip)) = self.edit {
            [&mut sender_link, &mut receiver_link][usize::from(side)].edits.push((position, flip));
        }
        let clock = Rc::clone(&self.clock);
        let hpke = self.hpke.public();
        let peer = Peer { certificate: RECEIVER, hpke: Some(&hpke) };
        let (mut sending, mut receiving) = self.sides();
        let (mut sender_ended_at, mut receiver_ended_at) = (0, 0);
        let send = async {
            let end = sending.sender::<C>().send(&mut sender_link, &peer).await;
            sender_ended_at = clock.now();
            (end, std::mem::take(&mut sender_link.written), drop(sender_link))
        };
        let receive = async {
            let end = receiving.receive::<C>(&mut receiver_link).await;
            receiver_ended_at = clock.now();
            (end, std::mem::take(&mut receiver_link.written), drop(receiver_link))
        };
        let ((sent, to_receiver, ()), (received, to_sender, ())) = run(&clock, join(send, receive));
        (self.sender_ended_at, self.receiver_ended_at) = (sender_ended_at, receiver_ended_at);
        ((sent, received), (to_receiver, to_sender))
    }

    /// Runs a receiver with a peer that the test implements.
    pub(crate) fn receive_from<F: Future<Output = ()>>(
        &mut self,
        peer: impl FnOnce(MemoryLink) -> F,
    ) -> Result<Receipt, SessionError> {
        let (sender_link, mut receiver_link) = connect(u64::MAX, u64::MAX);
        let clock = Rc::clone(&self.clock);
        let (_, mut receiving) = self.sides();
        let receive = async {
            let end = receiving.receive::<SoftCipher>(&mut receiver_link).await;
            drop(receiver_link);
            end
        };
        let peer = async {
            peer(sender_link).await;
            std::future::pending::<()>().await
        };
        match run(&clock, select(receive, peer)) {
            Either::First(end) => end,
            Either::Second(()) => unreachable!("the peer runs until it is dropped"),
        }
    }

    /// Both sides of one connection.
    pub(crate) fn sides(&mut self) -> (Sending<'_>, Receiving<'_>) {
        let sending = Sending {
            run: Run {
                key: &self.key,
                salt: self.salt,
                name: FolderName::new(&self.name).unwrap(),
                created: 1_700_000_000,
                iterations: limits::ITERATIONS_MIN,
                chunk: ChunkSize::MAX,
                certificate: SENDER,
                keys: self.keys,
            },
            source: Slow { source: &mut self.source, clock: &self.clock, delay: self.source_delay },
            sender_user: &mut self.sender_user,
            clock: &self.clock,
            rng: Seeded(self.rng.next_u64()),
            plain: vec![0; sender::buffer_len(CHUNK_SIZE)],
            frame: vec![0; sender::buffer_len(CHUNK_SIZE)],
            compressor: Compressor::new(),
        };
        let policy = Policy {
            code_needed: self.code_needed,
            key: match self.typed {
                _ if self.either => KeySource::Either(&self.hpke),
                true => KeySource::Typed,
                false => KeySource::Sealed(&self.hpke),
            },
            max_iterations: limits::ITERATIONS_MIN,
            max_chunk: self.max_chunk,
            key_seconds: 300,
            certificate: RECEIVER,
        };
        let receiving = Receiving {
            policy,
            peers: &mut self.peers,
            store: &mut self.store,
            receiver_user: &mut self.receiver_user,
            clock: &self.clock,
            rng: &mut self.rng,
        };
        (sending, receiving)
    }

    pub(crate) fn assert_committed(&self, ends: Outcomes) {
        let receipt = ends.0.expect("the sender has a receipt");
        assert_eq!(ends.1, Ok(receipt));
        assert_eq!(receipt.digest, self.source.root);
        assert_eq!(self.store.committed, self.source.archive);
    }

    pub(crate) fn assert_nothing_committed(&self) {
        assert!(self.store.committed.is_empty());
    }
}

/// The types with which both sides work.
pub(crate) struct InMemory<'s, C>(PhantomData<(&'s (), C)>);

impl<'s, C: Cipher> sender::Environment for InMemory<'s, C> {
    type Link = MemoryLink;
    type Source = Slow<'s>;
    type Operator = SenderUser;
    type Clock = VirtualClock;
    type Rng = Seeded;
    type Cipher = C;
}

impl<C: Cipher> receiver::Environment for InMemory<'_, C> {
    type Link = MemoryLink;
    type Store = MemoryStore;
    type Operator = ReceiverUser;
    type Clock = VirtualClock;
    type Rng = Seeded;
    type Cipher = C;
}

/// Everything that a sender borrows.
pub(crate) struct Sending<'s> {
    pub(crate) run: Run<'s>,
    pub(crate) source: Slow<'s>,
    pub(crate) sender_user: &'s mut SenderUser,
    pub(crate) clock: &'s VirtualClock,
    pub(crate) rng: Seeded,
    pub(crate) plain: Vec<u8>,
    pub(crate) frame: Vec<u8>,
    pub(crate) compressor: Compressor,
}

impl<'s> Sending<'s> {
    pub(crate) fn sender<C: Cipher>(&mut self) -> Sender<'_, InMemory<'s, C>> {
        let Self { plain, frame, compressor, .. } = self;
        Sender {
            run: &self.run,
            source: &mut self.source,
            operator: self.sender_user,
            clock: self.clock,
            rng: &mut self.rng,
            buffers: sender::Buffers { plain, frame, compressor: Some(compressor) },
        }
    }
}

/// Everything that a receiver borrows.
pub(crate) struct Receiving<'s> {
    pub(crate) policy: Policy<'s>,
    pub(crate) peers: &'s mut PeerState,
    pub(crate) store: &'s mut MemoryStore,
    pub(crate) receiver_user: &'s mut ReceiverUser,
    pub(crate) clock: &'s VirtualClock,
    pub(crate) rng: &'s mut Seeded,
}

impl Receiving<'_> {
    pub(crate) async fn receive<C: Cipher>(&mut self, link: &mut MemoryLink) -> Result<Receipt, SessionError> {
        let (mut frame, mut plain) = (vec![0; receiver::buffer_len(CHUNK_SIZE)], vec![0; CHUNK as usize]);
        let mut receiver = Receiver::<InMemory<'_, C>> {
            policy: &self.policy,
            peers: self.peers,
            store: self.store,
            operator: self.receiver_user,
            clock: self.clock,
            rng: self.rng,
            buffers: receiver::Buffers { frame: &mut frame, plain: &mut plain },
        };
        receiver.receive(link, SENDER).await
    }
}

pub(crate) fn key(text: &str) -> TransferKey {
    TransferKey::parse(text).unwrap()
}

pub(crate) fn refused(refusal: Refusal) -> Outcomes {
    (Err(SessionError::Refused(refusal).into()), Err(SessionError::Refused(refusal)))
}

impl Fixture {
    /// A connection whose sender stops at a time without closing it. Returns the receiver's result.
    pub(crate) fn sender_stops_at(&mut self, at: u64) -> Result<Receipt, SessionError> {
        let (mut sender_link, mut receiver_link) = connect(u64::MAX, u64::MAX);
        let clock = Rc::clone(&self.clock);
        let hpke = self.hpke.public();
        let (mut sending, mut receiving) = self.sides();
        let send = async {
            let peer = Peer { certificate: RECEIVER, hpke: Some(&hpke) };
            let _ = select(sending.sender::<SoftCipher>().send(&mut sender_link, &peer), clock.sleep_until(at)).await;
        };
        run(&clock, join(send, receiving.receive::<SoftCipher>(&mut receiver_link))).1
    }

    /// A connection whose receiver stops at a time without closing it. Returns the sender's result.
    pub(crate) fn receiver_stops_at(&mut self, at: u64) -> Result<Receipt, SendError> {
        let (mut sender_link, mut receiver_link) = connect(u64::MAX, u64::MAX);
        let clock = Rc::clone(&self.clock);
        let hpke = self.hpke.public();
        let (mut sending, mut receiving) = self.sides();
        let receive = async {
            let _ = select(receiving.receive::<SoftCipher>(&mut receiver_link), clock.sleep_until(at)).await;
        };
        let peer = Peer { certificate: RECEIVER, hpke: Some(&hpke) };
        run(&clock, join(sending.sender::<SoftCipher>().send(&mut sender_link, &peer), receive)).0
    }

    /// A connection that stalls for one side (0: the sender): after a number of bytes, it accepts none before `until`.
    pub(crate) fn connect_stalled(&mut self, side: u8, after_bytes: usize, until: u64) -> Outcomes {
        let (mut sender_link, mut receiver_link) = connect(u64::MAX, u64::MAX);
        let clock = Rc::clone(&self.clock);
        [&mut sender_link, &mut receiver_link][usize::from(side)].stall =
            Some(Stall { after_bytes, clock: Rc::clone(&clock), until });
        let hpke = self.hpke.public();
        let peer = Peer { certificate: RECEIVER, hpke: Some(&hpke) };
        let (mut sending, mut receiving) = self.sides();
        let send = async {
            let end = sending.sender::<SoftCipher>().send(&mut sender_link, &peer).await;
            (end, drop(sender_link)).0
        };
        let receive = async {
            let end = receiving.receive::<SoftCipher>(&mut receiver_link).await;
            (end, drop(receiver_link)).0
        };
        run(&clock, join(send, receive))
    }

    /// Marks the staged archive as received from the sender.
    pub(crate) fn hold_staged(&mut self) {
        self.store.owner = Some(Offered { sender: SENDER, created: 0, shape: self.source.info.shape });
    }

    /// Number of bytes that a receiver of this source sends before `Accept`.
    pub(crate) fn accept_begins(&mut self) -> u64 {
        let mut fixture = Self::new();
        fixture.source = archive_of(&[("a", b"alpha")]);
        let sent = fixture.record::<SoftCipher>().1;
        let accept = sent.windows(6).position(|bytes| bytes[..4] == [1, 0, 0, 67] && bytes[4] == 4);
        accept.expect("the receiver accepts") as u64
    }

    /// Lets the user of one side (0: the sender) interrupt at a time.
    pub(crate) fn interrupt(&mut self, side: u8, at: u64) {
        let moment = Moment(Some((Rc::clone(&self.clock), at)));
        *[&mut self.sender_user.interrupts_at, &mut self.receiver_user.interrupts_at][usize::from(side)] = moment;
    }
}
