//! Senders and receivers of the tests: real identities, real TLS, and any behaviour after the handshake.

use std::marker::PhantomData;

use embedded_io_async::{Read, Write};
use rand_core::{OsRng, RngCore};
use tokio::net::{TcpListener, TcpStream};
use waft::preface;
use waft::session::Clock;
use waft::tls;
use waft::tls::TlsLink;
use waft::tls::pins::Pins;
use waft_core::code::{AuthCode, TransferKey};
use waft_core::limits::CHUNK_MAX;
use waft_core::path::FolderName;
use waft_core::sealed::{ChunkSize, Cipher};
use waft_core::session::peers::PeerState;
use waft_core::session::receiver::{self, KeyAnswer, KeySource, Policy, Receiver};
use waft_core::session::sender::{self, KeyRule, Peer, Run, SendError, Sender};
use waft_core::session::{Offered, Receipt, Store};

use super::source::HandMade;
use super::world::{World, name};

/// Runs a peer to its end.
pub(crate) fn run<T>(peer: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("there is a runtime").block_on(peer)
}

/// Connects to a receiver as the laptop. Returns after the TLS handshake.
pub(crate) async fn dial(world: &World, address: &str) -> TlsLink {
    let mut stream = TcpStream::connect(address).await.expect("the receiver listens");
    preface::send(&mut stream).await.expect("the receiver begins TLS");
    let pins = Pins::receiver(world.laptop.known(), &name(&world.kitchen));
    tls::sender::authenticate(stream, &world.laptop.identity(), pins).await.expect("they trust each other").link
}

/// Accepts a sender as the kitchen. Returns after the TLS handshake.
pub(crate) async fn accept(world: &World, listener: &TcpListener) -> TlsLink {
    let (mut stream, _) = listener.accept().await.expect("a sender comes");
    preface::receive(&mut stream).await.expect("it is one");
    let pins = Pins::senders(world.kitchen.known());
    tls::receiver::authenticate(stream, &world.kitchen.identity(), pins).await.expect("they trust each other").link
}

/// Sends a hand-made archive by the protocol, as the laptop, without a code and with a sealed key.
pub(crate) async fn send<C: Cipher>(world: &World, address: &str, mut source: HandMade) -> Result<Receipt, SendError> {
    let mut link = dial(world, address).await;
    let (laptop, kitchen) = (world.laptop.identity(), world.kitchen.identity());
    let mut salt = [0; 32];
    OsRng.fill_bytes(&mut salt);
    let run = Run {
        key: &TransferKey::random(&mut OsRng),
        salt,
        name: FolderName::new("photos").expect("a name"),
        created: 1,
        iterations: 1000,
        chunk: ChunkSize::MAX,
        certificate: laptop.certificate().hash(),
        keys: KeyRule::Any,
    };
    let length = sender::buffer_len(ChunkSize::MAX);
    let (mut plain, mut frame) = (vec![0; length], vec![0; length]);
    let mut sender = Sender::<LaptopEnvironment<C>> {
        run: &run,
        source: &mut source,
        operator: &mut NoUser,
        clock: &Clock::start(),
        rng: &mut OsRng,
        buffers: sender::Buffers { plain: &mut plain, frame: &mut frame, compressor: None },
    };
    let peer = Peer { certificate: kitchen.certificate().hash(), hpke: kitchen.certificate().hpke() };
    let outcome = sender.send(&mut link, &peer).await;
    link.close().await;
    outcome
}

/// Receives by the protocol into a store that may misbehave, as the kitchen, without a code and with a sealed key.
pub(crate) async fn receive<C: Cipher, S: Store>(world: &World, listener: &TcpListener, store: &mut S) {
    let mut link = accept(world, listener).await;
    let (laptop, kitchen) = (world.laptop.identity(), world.kitchen.identity());
    let policy = Policy {
        code_needed: false,
        key: KeySource::Sealed(kitchen.hpke()),
        max_iterations: 1000,
        max_chunk: ChunkSize::MAX,
        key_seconds: 1,
        certificate: kitchen.certificate().hash(),
    };
    let mut frame = vec![0; receiver::buffer_len(ChunkSize::MAX)];
    let mut receiver = Receiver::<KitchenEnvironment<C, S>> {
        policy: &policy,
        peers: &mut PeerState::new(&mut OsRng),
        store,
        operator: &mut NoUser,
        clock: &Clock::start(),
        rng: &mut OsRng,
        buffers: receiver::Buffers { frame: &mut frame, plain: &mut vec![0; CHUNK_MAX as usize] },
    };
    // The result is checked at the other end.
    let _ = receiver.receive(&mut link, laptop.certificate().hash()).await;
    link.close().await;
}

/// The types with which the laptop sends.
struct LaptopEnvironment<C>(PhantomData<C>);

impl<C: Cipher> sender::Environment for LaptopEnvironment<C> {
    type Link = TlsLink;
    type Source = HandMade;
    type Operator = NoUser;
    type Clock = Clock;
    type Rng = OsRng;
    type Cipher = C;
}

/// The types with which the kitchen receives.
struct KitchenEnvironment<C, S>(PhantomData<(C, S)>);

impl<C: Cipher, S: Store> receiver::Environment for KitchenEnvironment<C, S> {
    type Link = TlsLink;
    type Store = S;
    type Operator = NoUser;
    type Clock = Clock;
    type Rng = OsRng;
    type Cipher = C;
}

/// The types of a sender's `Cancel`, a receiver's `Refused` and its `Cancel`.
const LAST_WORDS: [u8; 3] = [4, 7, 8];

/// Sends those bytes, and returns all answers up to the peer's final message.
pub(crate) async fn say(mut link: TlsLink, bytes: &[u8]) -> Vec<u8> {
    // A peer that has already closed has sent all its answers.
    let _ = link.write_all(bytes).await;
    let _ = link.flush().await;
    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = link.read(&mut buffer).await {
        answer.extend(&buffer[..count]);
        if payloads(&answer).last().and_then(|last| last.first()).is_some_and(|first| LAST_WORDS.contains(first)) {
            break;
        }
    }
    link.close().await;
    answer
}

/// A frame that carries a message.
pub(crate) fn message(payload: &[u8]) -> Vec<u8> {
    [&[1, 0, (payload.len() >> 8) as u8, payload.len() as u8][..], payload].concat()
}

/// The payloads of complete frames.
pub(crate) fn payloads(mut frames: &[u8]) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    while let [_, high, middle, low, rest @ ..] = frames {
        let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
        let Some((payload, behind)) = rest.split_at_checked(length) else { break };
        payloads.push(payload.to_vec());
        frames = behind;
    }
    payloads
}

/// Encodes a varint.
pub(crate) fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 127 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// An operator that answers nothing.
struct NoUser;

impl sender::Operator for NoUser {
    async fn code(&mut self, _: Option<u8>) -> Option<AuthCode> {
        None
    }
    fn event(&mut self, _: sender::Event) {}
}

impl receiver::Operator for NoUser {
    fn code(&mut self, _: &AuthCode) {}
    async fn key(&mut self, _: &Offered, _: Option<u8>, _: &mut TransferKey) -> KeyAnswer {
        KeyAnswer::Declined
    }
    fn event(&mut self, _: receiver::Event) {}
}

/// An entry of a manifest as bytes, valid or not.
#[derive(Clone)]
pub(crate) struct Raw {
    pub(crate) size: Option<u64>,
    pub(crate) path: Vec<u8>,
    pub(crate) mode: u64,
    pub(crate) nanos: u64,
}

/// A directory.
pub(crate) fn directory(path: impl AsRef<[u8]>) -> Raw {
    Raw { size: None, path: path.as_ref().to_vec(), mode: 0o755, nanos: 0 }
}

/// An empty file.
pub(crate) fn file(path: impl AsRef<[u8]>) -> Raw {
    Raw { size: Some(0), ..directory(path) }
}

impl Raw {
    /// Its encoding in a manifest.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let kind = self.size.map_or(vec![0], |size| [vec![1], varint(size)].concat());
        let path = [varint(self.path.len() as u64), self.path.clone()].concat();
        let body = [kind, path, varint(self.mode), vec![0], varint(self.nanos)].concat();
        [&(body.len() as u16).to_be_bytes()[..], &body].concat()
    }
}

/// The archive of these entries, in which every file is empty.
pub(crate) fn archive_of(entries: &[Raw]) -> HandMade {
    let manifest: Vec<u8> = entries.iter().flat_map(Raw::bytes).collect();
    let files = entries.iter().filter(|entry| entry.size.is_some()).count();
    HandMade::of(&manifest, entries.len() as u32, &vec![&b""[..]; files])
}
