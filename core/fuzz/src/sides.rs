//! A sender and a receiver with everything that they need, which behave the same in every run.

use std::marker::PhantomData;

use waft_core::certificate::CertificateHash;
use waft_core::code::{AuthCode, TransferKey};
use waft_core::limits::ITERATIONS_MIN;
use waft_core::path::FolderName;
use waft_core::sealed::{ChunkSize, Cipher};
use waft_core::session::peers::PeerState;
use waft_core::session::receiver::{self, KeySource, Policy, Receiver};
use waft_core::session::sender::{self, KeyRule, Peer, Run, SendError, Sender};
use waft_core::session::{Receipt, SessionError};

use crate::doubles::{Base, MemoryStore, ReceiverUser, Seeded, SenderUser, archive_at, archive_of};
use crate::simulation::{MemoryLink, VirtualClock};
use crate::source::HandMade;

const CHUNK: ChunkSize = ChunkSize::MIN;
const SENDER: CertificateHash = CertificateHash([1; 32]);
const RECEIVER: CertificateHash = CertificateHash([2; 32]);
/// Upper bound of a session's length, in milliseconds, whatever the other side does.
pub(crate) const LONGEST: u64 = 3_600_000;

/// The types with which both sides work.
struct Environment<C>(PhantomData<C>);

impl<C: Cipher> sender::Environment for Environment<C> {
    type Link = MemoryLink;
    type Source = HandMade;
    type Operator = SenderUser;
    type Clock = VirtualClock;
    type Rng = Seeded;
    type Cipher = C;
}

impl<C: Cipher> receiver::Environment for Environment<C> {
    type Link = MemoryLink;
    type Store = MemoryStore;
    type Operator = ReceiverUser;
    type Clock = VirtualClock;
    type Rng = Seeded;
    type Cipher = C;
}

fn key() -> TransferKey {
    TransferKey::parse("0123456789ABCDEF").expect("well-formed")
}

/// A sender of two files.
pub(crate) struct SendingSide {
    pub(crate) source: HandMade,
    operator: SenderUser,
}

impl SendingSide {
    /// A sender whose user types the code of `receiver`.
    pub(crate) fn to(receiver: &ReceivingSide) -> Self {
        let code = AuthCode::parse(str::from_utf8(receiver.peers.code().digits()).expect("digits")).expect("a code");
        let operator = SenderUser { codes: [code].into(), ..SenderUser::default() };
        Self { source: archive_of(&[("a", b"alpha"), ("b", &[7; 3_000])]), operator }
    }

    pub(crate) async fn send<C: Cipher>(
        &mut self,
        clock: &VirtualClock,
        link: &mut MemoryLink,
    ) -> Result<Receipt, SendError> {
        let (mut plain, mut frame) = (vec![0; sender::buffer_len(CHUNK)], vec![0; sender::buffer_len(CHUNK)]);
        let mut sender = Sender::<Environment<C>> {
            run: &Run {
                key: &key(),
                salt: [7; 32],
                name: FolderName::new("photos").expect("a name"),
                created: 0,
                iterations: ITERATIONS_MIN,
                chunk: CHUNK,
                certificate: SENDER,
                keys: KeyRule::Any,
            },
            source: &mut self.source,
            operator: &mut self.operator,
            clock,
            rng: &mut Seeded(1),
            buffers: sender::Buffers { plain: &mut plain, frame: &mut frame, compressor: None },
        };
        sender.send(link, &Peer { certificate: RECEIVER, hpke: None }).await
    }
}

/// A receiver that asks for a code and a key.
pub(crate) struct ReceivingSide {
    pub(crate) store: MemoryStore,
    peers: PeerState,
    operator: ReceiverUser,
    rng: Seeded,
}

impl ReceivingSide {
    pub(crate) fn new() -> Self {
        let mut rng = Seeded(2);
        let peers = PeerState::new(&mut rng);
        let operator = ReceiverUser { keys: [key()].into(), ..ReceiverUser::default() };
        Self { store: MemoryStore::default(), peers, operator, rng }
    }

    /// Gives the receiver a folder of the sender, of which one file differs.
    pub(crate) fn have_base(&mut self) {
        let base = archive_at(1, &[("a", b"alpha"), ("b", &[8; 3_000])]);
        self.store.committed_manifest = base.info.shape.manifest;
        (self.store.committed, self.store.committed_by) = (base.archive, Some(SENDER));
        self.store.base = Some(Base::Stays);
    }

    pub(crate) async fn receive<C: Cipher>(
        &mut self,
        clock: &VirtualClock,
        link: &mut MemoryLink,
    ) -> Result<Receipt, SessionError> {
        let (mut frame, mut plain) = (vec![0; receiver::buffer_len(CHUNK)], vec![0; CHUNK.bytes() as usize]);
        let mut receiver = Receiver::<Environment<C>> {
            policy: &Policy {
                code_needed: true,
                key: KeySource::Typed,
                max_iterations: ITERATIONS_MIN,
                max_chunk: CHUNK,
                key_seconds: 300,
                certificate: RECEIVER,
            },
            peers: &mut self.peers,
            store: &mut self.store,
            operator: &mut self.operator,
            clock,
            rng: &mut self.rng,
            buffers: receiver::Buffers { frame: &mut frame, plain: &mut plain },
        };
        receiver.receive(link, SENDER).await
    }
}
