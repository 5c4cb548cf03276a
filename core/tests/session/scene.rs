//! Both ends of a session with all that outlives one connection, and the connections between them.

use std::future::Future;
use std::rc::Rc;

use embassy_futures::join::join;
use embassy_futures::select::{Either, select};
use rand_core::RngCore;
use waft_core::certificate::CertificateHash;
use waft_core::code::{AuthCode, TransferKey};
use waft_core::limits;
use waft_core::sealed::cipher::{Cipher, SoftCipher};
use waft_core::sealed::hpke::HpkeSecret;
use waft_core::sealed::stream::Compressor;
use waft_core::session::peers::PeerState;
use waft_core::session::receiver::{self, KeySource, Policy, Receiver};
use waft_core::session::sender::{self, Peer, Run, Sender};
use waft_core::session::{Clock as _, Offered, Receipt, SessionError};
use waft_core::wire::message::Refusal;

use crate::actors::{Caller, MemoryStore, Moment, Seeded, Slow, Typist, archive_of};
use crate::source::HandMade;
use crate::world::{MemoryLink, Stall, VirtualClock, connect, run};

pub(crate) const SENDER: CertificateHash = CertificateHash([0x5e; 32]);
pub(crate) const RECEIVER: CertificateHash = CertificateHash([0x4e; 32]);
pub(crate) const CHUNK: u32 = 1_024;
pub(crate) const UNKNOWN: SessionError = SessionError::OutcomeUnknown { interrupted: false };
pub(crate) const KEY: &str = "0123-4567-89AB-CDEF";

/// Everything that outlives one connection.
pub(crate) struct Scene {
    pub(crate) clock: Rc<VirtualClock>,
    pub(crate) entropy: Seeded,
    pub(crate) peers: PeerState,
    pub(crate) store: MemoryStore,
    pub(crate) typist: Typist,
    pub(crate) caller: Caller,
    pub(crate) source: HandMade,
    /// Milliseconds that each read of the source takes.
    pub(crate) source_takes: u64,
    pub(crate) key: TransferKey,
    pub(crate) hpke: HpkeSecret,
    pub(crate) code_needed: bool,
    pub(crate) typed: bool,
    /// Whether the sender wants it typed.
    pub(crate) typed_only: bool,
    pub(crate) salt: [u8; 32],
    pub(crate) max_chunk: u32,
    /// The side (0: the sender) whose byte at that place is changed on the way, and what is flipped in it.
    pub(crate) edit: Option<(u8, usize, u8)>,
    /// When each side of the last connection ended, in milliseconds.
    pub(crate) sender_ended: u64,
    pub(crate) receiver_ended: u64,
}

/// How both ends of one connection ended.
pub(crate) type Ends = (Result<Receipt, SessionError>, Result<Receipt, SessionError>);

impl Scene {
    pub(crate) fn new() -> Self {
        let mut entropy = Seeded(1);
        let long: Vec<u8> = (0..20_000u32).flat_map(u32::to_le_bytes).collect();
        Self {
            clock: Rc::default(),
            peers: PeerState::new(&mut entropy),
            store: MemoryStore::default(),
            typist: Typist { keys: [key(KEY)].into(), ..Typist::default() },
            caller: Caller::default(),
            source: archive_of(&[("a", b"alpha"), ("b", &long), ("c", b"")]),
            source_takes: 0,
            key: key(KEY),
            hpke: HpkeSecret::random(&mut entropy),
            entropy,
            code_needed: false,
            typed: true,
            typed_only: false,
            salt: [7; 32],
            max_chunk: CHUNK,
            edit: None,
            sender_ended: 0,
            receiver_ended: 0,
        }
    }

    pub(crate) fn with_right_code(mut self) -> Self {
        self.code_needed = true;
        self.caller.codes.push_back(AuthCode::parse(std::str::from_utf8(self.peers.code().digits()).unwrap()).unwrap());
        self
    }

    /// Another run, with the names of the committed folder and another content; a reader holds the place for so long.
    pub(crate) fn starting_over(held_ms: u64) -> Self {
        let mut scene = Self::new();
        let ends = scene.connect();
        scene.assert_committed(ends);
        let last = scene.store.committed.len() - 1;
        scene.store.committed[last] ^= 1;
        scene.salt = [8; 32];
        scene.typist.keys.push_back(key(KEY));
        scene.store.leased = Some((Rc::clone(&scene.clock), scene.clock.now() + held_ms));
        scene
    }

    pub(crate) fn connect(&mut self) -> Ends {
        self.connect_cut(u64::MAX, u64::MAX)
    }

    /// One connection that breaks after so many bytes to the receiver, or to the sender.
    pub(crate) fn connect_cut(&mut self, forth: u64, back: u64) -> Ends {
        self.run::<SoftCipher>(forth, back).0
    }

    /// All bytes of one successful connection, there and back.
    pub(crate) fn record<C: Cipher>(&mut self) -> (Vec<u8>, Vec<u8>) {
        let (ends, bytes) = self.run::<C>(u64::MAX, u64::MAX);
        self.assert_committed(ends);
        bytes
    }

    pub(crate) fn run<C: Cipher>(&mut self, forth: u64, back: u64) -> (Ends, (Vec<u8>, Vec<u8>)) {
        let (mut here, mut there) = connect(forth, back);
        if let Some((side, place, flip)) = self.edit {
            [&mut here, &mut there][usize::from(side)].edits.push((place, flip));
        }
        let clock = Rc::clone(&self.clock);
        let hpke = self.hpke.public();
        let peer = Peer { certificate: RECEIVER, hpke: Some(&hpke) };
        let (mut sending, mut receiving) = self.sides();
        let (mut sender_ended, mut receiver_ended) = (0, 0);
        let send = async {
            let end = sending.sender().send::<C>(&mut here, &peer).await;
            sender_ended = clock.now();
            (end, std::mem::take(&mut here.written), drop(here))
        };
        let receive = async {
            let end = receiving.receive::<C>(&mut there).await;
            receiver_ended = clock.now();
            (end, std::mem::take(&mut there.written), drop(there))
        };
        let ((sent, forth, ()), (received, back, ())) = run(&clock, join(send, receive));
        (self.sender_ended, self.receiver_ended) = (sender_ended, receiver_ended);
        ((sent, received), (forth, back))
    }

    /// A receiver against a peer that a test plays by hand.
    pub(crate) fn receive_from<F: Future<Output = ()>>(
        &mut self,
        play: impl FnOnce(MemoryLink) -> F,
    ) -> Result<Receipt, SessionError> {
        let (here, mut there) = connect(u64::MAX, u64::MAX);
        let clock = Rc::clone(&self.clock);
        let (_, mut receiving) = self.sides();
        let receive = async {
            let end = receiving.receive::<SoftCipher>(&mut there).await;
            drop(there);
            end
        };
        let play = async {
            play(here).await;
            std::future::pending::<()>().await
        };
        match run(&clock, select(receive, play)) {
            Either::First(end) => end,
            Either::Second(()) => unreachable!("the play never ends by itself"),
        }
    }

    /// Both sides of one connection.
    pub(crate) fn sides(&mut self) -> (Sending<'_>, Receiving<'_>) {
        let sending = Sending {
            run: Run {
                key: &self.key,
                salt: self.salt,
                created: 1_700_000_000,
                iterations: limits::ITERATIONS_MIN,
                chunk: limits::CHUNK_MAX,
                certificate: SENDER,
                typed_only: self.typed_only,
            },
            source: Slow { source: &mut self.source, clock: &self.clock, takes: self.source_takes },
            caller: &mut self.caller,
            clock: &self.clock,
            entropy: Seeded(self.entropy.next_u64()),
            plain: vec![0; sender::buffer_len(CHUNK)],
            frame: vec![0; sender::buffer_len(CHUNK)],
            compressor: Compressor::new(),
        };
        let policy = Policy {
            code_needed: self.code_needed,
            key: if self.typed { KeySource::Typed } else { KeySource::Sealed(&self.hpke) },
            max_iterations: limits::ITERATIONS_MIN,
            max_chunk: self.max_chunk,
            key_seconds: 300,
            certificate: RECEIVER,
        };
        let receiving = Receiving {
            policy,
            peers: &mut self.peers,
            store: &mut self.store,
            typist: &mut self.typist,
            clock: &self.clock,
            entropy: &mut self.entropy,
        };
        (sending, receiving)
    }

    pub(crate) fn assert_committed(&self, ends: Ends) {
        let receipt = ends.0.expect("the sender has a receipt");
        assert_eq!(ends.1, Ok(receipt));
        assert_eq!(receipt.digest, self.source.root);
        assert_eq!(self.store.committed, self.source.archive);
    }

    pub(crate) fn assert_old(&self) {
        assert!(self.store.committed.is_empty());
    }
}

/// A sender with what it works with.
pub(crate) struct Sending<'s> {
    pub(crate) run: Run<'s>,
    pub(crate) source: Slow<'s>,
    pub(crate) caller: &'s mut Caller,
    pub(crate) clock: &'s VirtualClock,
    pub(crate) entropy: Seeded,
    pub(crate) plain: Vec<u8>,
    pub(crate) frame: Vec<u8>,
    pub(crate) compressor: Compressor,
}

impl<'s> Sending<'s> {
    pub(crate) fn sender(&mut self) -> Sender<'_, Slow<'s>, Caller, VirtualClock, Seeded> {
        let Self { plain, frame, compressor, .. } = self;
        Sender {
            run: &self.run,
            source: &mut self.source,
            operator: self.caller,
            clock: self.clock,
            entropy: &mut self.entropy,
            buffers: sender::Buffers { plain, frame, compressor: Some(compressor) },
        }
    }
}

/// A receiver with what it works with.
pub(crate) struct Receiving<'s> {
    pub(crate) policy: Policy<'s>,
    pub(crate) peers: &'s mut PeerState,
    pub(crate) store: &'s mut MemoryStore,
    pub(crate) typist: &'s mut Typist,
    pub(crate) clock: &'s VirtualClock,
    pub(crate) entropy: &'s mut Seeded,
}

impl Receiving<'_> {
    pub(crate) async fn receive<C: Cipher>(&mut self, link: &mut MemoryLink) -> Result<Receipt, SessionError> {
        let (mut frame, mut plain) = (vec![0; receiver::buffer_len(CHUNK)], vec![0; CHUNK as usize]);
        let mut receiver = Receiver {
            policy: &self.policy,
            peers: self.peers,
            store: self.store,
            operator: self.typist,
            clock: self.clock,
            entropy: self.entropy,
            buffers: receiver::Buffers { frame: &mut frame, plain: &mut plain },
        };
        receiver.receive::<C>(link, SENDER).await
    }
}

pub(crate) fn key(text: &str) -> TransferKey {
    TransferKey::parse(text).unwrap()
}

pub(crate) fn refused(refusal: Refusal) -> Ends {
    (Err(SessionError::Refused(refusal)), Err(SessionError::Refused(refusal)))
}

impl Scene {
    /// A connection whose sender stops at that moment, without closing it. How the receiver ends.
    pub(crate) fn sender_stops_at(&mut self, at: u64) -> Result<Receipt, SessionError> {
        let (mut here, mut there) = connect(u64::MAX, u64::MAX);
        let clock = Rc::clone(&self.clock);
        let hpke = self.hpke.public();
        let (mut sending, mut receiving) = self.sides();
        let send = async {
            let peer = Peer { certificate: RECEIVER, hpke: Some(&hpke) };
            let _ = select(sending.sender().send::<SoftCipher>(&mut here, &peer), clock.sleep_until(at)).await;
        };
        run(&clock, join(send, receiving.receive::<SoftCipher>(&mut there))).1
    }

    /// A connection whose receiver stops at that moment, without closing it. How the sender ends.
    pub(crate) fn receiver_stops_at(&mut self, at: u64) -> Result<Receipt, SessionError> {
        let (mut here, mut there) = connect(u64::MAX, u64::MAX);
        let clock = Rc::clone(&self.clock);
        let hpke = self.hpke.public();
        let (mut sending, mut receiving) = self.sides();
        let receive = async {
            let _ = select(receiving.receive::<SoftCipher>(&mut there), clock.sleep_until(at)).await;
        };
        let peer = Peer { certificate: RECEIVER, hpke: Some(&hpke) };
        run(&clock, join(sending.sender().send::<SoftCipher>(&mut here, &peer), receive)).0
    }

    /// A connection on which one side (0: the sender's) takes no bytes behind so many before that moment.
    pub(crate) fn connect_stalled(&mut self, side: u8, behind: usize, until: u64) -> Ends {
        let (mut here, mut there) = connect(u64::MAX, u64::MAX);
        let clock = Rc::clone(&self.clock);
        [&mut here, &mut there][usize::from(side)].stall = Some(Stall { behind, clock: Rc::clone(&clock), until });
        let hpke = self.hpke.public();
        let peer = Peer { certificate: RECEIVER, hpke: Some(&hpke) };
        let (mut sending, mut receiving) = self.sides();
        let send = async {
            let end = sending.sender().send::<SoftCipher>(&mut here, &peer).await;
            (end, drop(here)).0
        };
        let receive = async {
            let end = receiving.receive::<SoftCipher>(&mut there).await;
            (end, drop(there)).0
        };
        run(&clock, join(send, receive))
    }

    /// What is staged came from the sender.
    pub(crate) fn hold_staged(&mut self) {
        self.store.owner = Some(Offered { sender: SENDER, created: 0, shape: self.source.info.shape });
    }

    /// Bytes that a receiver of this source sends before `Accept`.
    pub(crate) fn accept_begins(&mut self) -> u64 {
        let mut scene = Self::new();
        scene.source = archive_of(&[("a", b"alpha")]);
        let said = scene.record::<SoftCipher>().1;
        let accept = said.windows(6).position(|bytes| bytes[..4] == [1, 0, 0, 66] && bytes[4] == 4);
        accept.expect("the receiver accepts") as u64
    }

    /// Interrupts that side (0: the sender) at that moment.
    pub(crate) fn interrupt(&mut self, side: u8, at: u64) {
        let moment = Moment(Some((Rc::clone(&self.clock), at)));
        *[&mut self.caller.leaves, &mut self.typist.leaves][usize::from(side)] = moment;
    }
}
