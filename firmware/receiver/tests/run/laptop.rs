//! The real sender, with a folder in memory and an operator that knows the codes.

use std::future::pending;
use std::marker::PhantomData;
use std::net::SocketAddr;

use embedded_io_async::{Read, Write};
use rand_core::{OsRng, RngCore};
use tokio::net::TcpStream;
use waft::certificate::Certificate;
use waft::identity::Identity as Keys;
use waft::name::Name;
use waft::preface::{self, PrefaceError};
use waft::tls::TlsLink;
use waft::tls::pins::Pins;
use waft::tls::{Authenticated, sender};
use waft::trust::{Peer as Trusted, Trust};
use waft_core::archive::Shape;
use waft_core::code::{AuthCode, TransferKey};
use waft_core::digest::Digest;
use waft_core::limits::{FRAME_HEADER, MESSAGE_MAX, SEALED_NAME};
use waft_core::path::FolderName;
use waft_core::sealed::{ChunkSize, Compressor, SoftCipher};
use waft_core::session::sender::buffer_len;
use waft_core::session::sender::{
    ArchiveInfo, Buffers, Environment, Event, KeyRule, Operator, Peer, Run, SendError, Sender, Source, SourceError,
};
use waft_core::session::{Receipt, SessionError};
use waft_core::wire::frame::{Header, Kind};
use waft_core::wire::message::{FromReceiver, FromSender, Greeting, Hello, KeyMode, Offer, OfferBody};
use waft_core::wire::preface::VERSION;

use crate::archive::Archive;
use crate::support::TokioClock;

/// The chunk size that the sender prefers. A board may limit it.
const CHUNK: ChunkSize = ChunkSize::new(16 << 10).expect("16 KiB is a chunk size");

/// A computer that trusts one board.
pub(crate) struct Laptop {
    pub(crate) keys: Keys,
    pub(crate) pins: Pins,
    pub(crate) key: TransferKey,
    pub(crate) salt: [u8; 32],
    /// The offset in the archive from which on reads never complete.
    pub(crate) stalls_at: Option<usize>,
}

/// How an attempt to send ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Sent(Receipt),
    NotAccepted(PrefaceError),
    Unsecured,
    Ended(SessionError),
    /// The session ended with an error that only a sender has.
    GaveUp(SendError),
}

impl Outcome {
    pub(crate) fn receipt(self) -> Receipt {
        match self {
            Self::Sent(receipt) => receipt,
            other => panic!("not sent: {other:?}"),
        }
    }
}

impl Laptop {
    pub(crate) fn new(keys: Keys, board: &Keys) -> Self {
        Self::trusting(keys, board.certificate().clone())
    }

    /// A computer that trusts the board with this certificate.
    pub(crate) fn trusting(keys: Keys, certificate: Certificate) -> Self {
        let name = Name::new("kitchen").unwrap();
        let peer = Trusted { name: name.clone(), certificate, sends: false, receives: true, at: None, last: None };
        let mut trust = Trust::default();
        trust.add(peer, keys.certificate()).unwrap();
        let mut salt = [0; 32];
        OsRng.fill_bytes(&mut salt);
        let key = TransferKey::random(&mut OsRng);
        Self { keys, pins: Pins::receiver(trust, &name), key, salt, stalls_at: None }
    }

    /// Sends once. Enters `codes`, which are separated by spaces, in order, and stops after `stop` bytes of the
    /// archive.
    pub(crate) async fn send(&self, at: SocketAddr, archive: &Archive, codes: &str, stop: Option<u64>) -> Outcome {
        let Authenticated { mut link, peer } = match self.dial(at).await {
            Ok(authenticated) => authenticated,
            Err(outcome) => return outcome,
        };
        let run = Run {
            key: &self.key,
            salt: self.salt,
            name: FolderName::new("assets").unwrap(),
            created: archive.offered.created,
            iterations: 200_000,
            chunk: CHUNK,
            certificate: self.keys.certificate().hash(),
            keys: KeyRule::Any,
        };
        let mut source = InMemory { archive, at: 0, stop, stalls_at: self.stalls_at };
        let mut user = KnownCodes(
            codes.split(' ').filter(|code| !code.is_empty()).map(|code| AuthCode::parse(code).unwrap()).collect(),
        );
        let (mut plain, mut frame) = (vec![0; buffer_len(CHUNK)], vec![0; buffer_len(CHUNK)]);
        let mut compressor = Compressor::default();
        let mut sender = Sender::<LaptopEnvironment<'_>> {
            run: &run,
            source: &mut source,
            operator: &mut user,
            clock: &TokioClock::new(),
            rng: &mut OsRng,
            buffers: Buffers { plain: &mut plain, frame: &mut frame, compressor: Some(&mut compressor) },
        };
        let receiver = Peer { certificate: peer.certificate.hash(), hpke: peer.certificate.hpke() };
        let sent = sender.send(&mut link, &receiver).await;
        // A sender that disappears does not close the connection properly.
        if stop.is_none() {
            link.close().await;
        }
        match sent {
            Ok(receipt) => Outcome::Sent(receipt),
            Err(SendError::Session(error)) => Outcome::Ended(error),
            Err(error) => Outcome::GaveUp(error),
        }
    }

    /// Offers a folder whose key needs this many iterations, whatever limit the board states. Returns the board's
    /// greeting and its answer.
    pub(crate) async fn offer(&self, at: SocketAddr, iterations: u32) -> (Greeting, FromReceiver) {
        let Authenticated { mut link, .. } = self.dial(at).await.unwrap();
        let hello = Hello { min: VERSION, max: VERSION, nonce: [1; 32], salt: self.salt };
        say(&mut link, &FromSender::Hello(hello)).await;
        let FromReceiver::Greeting(greeting) = receive(&mut link).await else { panic!("no Greeting") };
        let (aead, codec, chunk) = (greeting.aeads[0], greeting.codecs[0], greeting.max_chunk);
        let shape = Shape { total: 100, files: 1, entries: 1, manifest: 10 };
        let body = OfferBody { iterations, aead, codec, chunk, key: KeyMode::Typed, created: 100, shape };
        say(
            &mut link,
            &FromSender::Offer(Offer { body, manifest_tag: [2; 32], commitment: [3; 32], name: &[4; SEALED_NAME] }),
        )
        .await;
        (greeting, receive(&mut link).await)
    }

    /// Connects, and completes the TLS handshake.
    async fn dial(&self, at: SocketAddr) -> Result<Authenticated, Outcome> {
        let mut stream = TcpStream::connect(at).await.unwrap();
        preface::send(&mut stream).await.map_err(Outcome::NotAccepted)?;
        sender::authenticate(stream, &self.keys, self.pins.clone()).await.map_err(|_| Outcome::Unsecured)
    }
}

async fn say(link: &mut TlsLink, message: &FromSender<'_>) {
    let mut buffer = [0; MESSAGE_MAX];
    let payload = postcard::to_slice(message, &mut buffer).unwrap();
    link.write_all(&Header::encode(Kind::Message, payload.len())).await.unwrap();
    link.write_all(payload).await.unwrap();
    link.flush().await.unwrap();
}

async fn receive(link: &mut TlsLink) -> FromReceiver {
    let mut header = [0; FRAME_HEADER];
    link.read_exact(&mut header).await.unwrap();
    let mut payload = vec![0; Header::decode(header, 0).unwrap().length];
    link.read_exact(&mut payload).await.unwrap();
    postcard::from_bytes(&payload).unwrap()
}

/// An operator that enters these codes.
struct KnownCodes(Vec<AuthCode>);

impl Operator for KnownCodes {
    async fn code(&mut self, _left: Option<u8>) -> Option<AuthCode> {
        match self.0.is_empty() {
            true => None,
            false => Some(self.0.remove(0)),
        }
    }

    fn event(&mut self, _event: Event) {}
}

/// The types with which the laptop sends.
struct LaptopEnvironment<'a>(PhantomData<&'a ()>);

impl<'a> Environment for LaptopEnvironment<'a> {
    type Link = TlsLink;
    type Source = InMemory<'a>;
    type Operator = KnownCodes;
    type Clock = TokioClock;
    type Rng = OsRng;
    type Cipher = SoftCipher;
}

struct InMemory<'a> {
    archive: &'a Archive,
    at: usize,
    /// The number of bytes after which the sender disappears.
    stop: Option<u64>,
    stalls_at: Option<usize>,
}

impl Source for InMemory<'_> {
    fn info(&self) -> ArchiveInfo {
        ArchiveInfo { shape: self.archive.offered.shape, manifest_digest: self.archive.manifest, longest_path: 10 }
    }

    async fn rewind(&mut self) -> Result<(), SourceError> {
        self.at = 0;
        Ok(())
    }

    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError> {
        if self.stop.is_some_and(|stop| self.at as u64 >= stop) {
            return Err(SourceError::Unreadable);
        }
        if self.stalls_at.is_some_and(|stall| self.at >= stall) {
            pending::<()>().await;
        }
        let count = buffer.len().min(self.archive.bytes.len() - self.at);
        buffer[..count].copy_from_slice(&self.archive.bytes[self.at..][..count]);
        self.at += count;
        Ok(count)
    }

    fn root(&self) -> Option<Digest> {
        Some(self.archive.root)
    }
}
